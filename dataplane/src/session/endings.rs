//! Sessions that somebody wants to be over: a queue from whoever asks to the worker that ends them.

use std::sync::{Mutex, PoisonError};

use tokio::sync::{Notify, oneshot};

use super::SessionId;

/// The queue.
#[derive(Default)]
pub(crate) struct Endings {
    asked: Mutex<Vec<Ending>>,
    told: Notify,
}

/// Sessions that are to be over.
pub(crate) struct Ending {
    pub ids: Vec<SessionId>,
    /// Those that are not at hand are ended, too, where others may go on with them.
    pub shared: bool,
    /// Takes what became of them.
    pub done: oneshot::Sender<Ended>,
}

/// What became of sessions that were to be over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ended {
    /// So many were ended here.
    pub count: u32,
    /// No other goes on.
    pub are_all: bool,
}

impl Endings {
    /// Asks for the end of sessions, and waits for it.
    pub(crate) async fn ask(&self, ids: Vec<SessionId>, shared: bool) -> Ended {
        if ids.is_empty() {
            return Ended { count: 0, are_all: true };
        }
        let (done, answer) = oneshot::channel();
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).push(Ending { ids, shared, done });
        self.told.notify_one();
        answer.await.unwrap_or(Ended { count: 0, are_all: false })
    }

    /// Waits for sessions that are to be over.
    pub(crate) async fn next(&self) -> Ending {
        loop {
            let told = self.told.notified();
            if let Some(ending) = self.asked.lock().unwrap_or_else(PoisonError::into_inner).pop() {
                return ending;
            }
            told.await;
        }
    }
}
