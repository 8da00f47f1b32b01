//! The way out: readiness goes first, then listeners close, then calls finish and streams end with a resume point.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::watch;

/// How far the node is on its way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    Serving,
    /// Not ready; still accepting, so that balancers notice first. Each answer is the last of its connection, so that clients go
    /// elsewhere before one is closed.
    Leaving,
    /// Listeners are closed; calls finish, streams end.
    Closing,
    /// Nothing is in flight any more: sessions are ended towards their servers.
    Emptying,
}

/// The node's phase, and the calls that are still open.
#[derive(Clone)]
pub(crate) struct Drain {
    phase: Arc<watch::Sender<Phase>>,
    open: Arc<AtomicUsize>,
    succeeded: Arc<watch::Sender<bool>>,
}

impl Drain {
    pub(crate) fn new() -> Self {
        let phase = Arc::new(watch::Sender::new(Phase::Serving));
        Self { phase, open: Arc::default(), succeeded: Arc::default() }
    }

    pub(crate) fn enter(&self, phase: Phase) {
        self.phase.send_if_modified(|now| {
            let later = phase > *now;
            if later {
                *now = phase;
            }
            later
        });
    }

    /// Another process has the place of this one, and its listening sockets.
    pub(crate) fn succeeded(&self) {
        self.succeeded.send_replace(true);
        self.enter(Phase::Leaving);
    }

    /// Whether it has.
    pub(crate) fn has_successor(&self) -> bool {
        *self.succeeded.borrow()
    }

    /// Waits until it has.
    pub(crate) async fn successor(&self) {
        // the sender lives in self: waiting cannot fail
        let _ = self.succeeded.subscribe().wait_for(|has| *has).await;
    }

    pub(crate) fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Waits for a phase or a later one.
    pub(crate) async fn reached(&self, phase: Phase) {
        // the sender lives in self: waiting cannot fail
        let _ = self.phase.subscribe().wait_for(|now| *now >= phase).await;
    }

    /// Counts a client connection.
    pub(crate) fn open(&self) -> Open {
        self.open.fetch_add(1, Ordering::Relaxed);
        Open(Arc::clone(&self.open))
    }

    pub(crate) fn still_open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }
}

/// A client connection that is still open.
pub(crate) struct Open(Arc<AtomicUsize>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
