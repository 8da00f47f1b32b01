//! What all connections of one demo server share, however many clients there are.

use std::{io, sync::Arc};

use tokio::sync::watch;

use super::{connection::Connection, counter::Counter, era::Era, question::Questions};

/// The server as a whole; cheap to clone.
#[derive(Clone)]
pub(super) struct Demo {
    /// The generations it speaks.
    pub(super) era: Era,
    /// The resource that changes.
    pub(super) counter: Counter,
    /// What it has asked clients and not yet heard about.
    pub(super) questions: Questions,
    /// Whether clients can no longer be heard.
    ended: Arc<watch::Sender<bool>>,
}

impl Demo {
    /// A fresh server with its counter at zero. Fails only where the system has no randomness.
    pub(super) fn new(era: Era) -> io::Result<Self> {
        Ok(Self { era, counter: Counter::default(), questions: Questions::new()?, ended: Arc::default() })
    }

    /// The server as one client sees it: one per stdio process, legacy session or modern request.
    pub(super) fn connect(&self) -> Connection {
        Connection::new(self.clone())
    }

    /// Ends everything that waits for the client: open subscriptions and unanswered questions.
    pub(super) fn end(&self) {
        self.ended.send_replace(true);
    }

    /// Waits for [`Demo::end`].
    pub(super) async fn ended(&self) {
        // Cannot fail: the sender lives in `self`.
        let _ = self.ended.subscribe().wait_for(|ended| *ended).await;
    }
}
