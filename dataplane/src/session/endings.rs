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
    /// Takes how many were ended here; `None`: it is not known of all of them that they are over.
    pub done: oneshot::Sender<Option<u32>>,
}

impl Endings {
    /// Asks for the end of sessions, and waits for it: how many were ended here. `None`: some may go on.
    pub(crate) async fn ask(&self, ids: Vec<SessionId>, shared: bool) -> Option<u32> {
        if ids.is_empty() {
            return Some(0);
        }
        let (done, answer) = oneshot::channel();
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).push(Ending { ids, shared, done });
        self.told.notify_one();
        answer.await.ok().flatten()
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
