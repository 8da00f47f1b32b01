//! A server whose calls last as long as the test says, and which numbers nothing.

use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::until;
use crate::upstream::{Answer, Legacy, Pipe};

/// A legacy server; its tool `work` says what the test says, on a stream of events without ids.
pub struct Works {
    /// The server.
    pub server: Legacy,
    calls: Arc<Mutex<Vec<(Value, Pipe)>>>,
}

impl Works {
    /// Starts it.
    #[must_use]
    pub fn start() -> Self {
        let calls: Arc<Mutex<Vec<(Value, Pipe)>>> = Arc::default();
        let own = Arc::clone(&calls);
        let server = Legacy::scripted(move |received| {
            (received.tool() == "work").then(|| {
                let (pipe, answer) = Answer::stream("text/event-stream");
                own.lock().unwrap().push((received.message()["id"].clone(), pipe));
                answer
            })
        });
        Self { server, calls }
    }

    /// The last call, once it is there: its id, and what it is answered on.
    pub async fn call(&self) -> (Value, Pipe) {
        until("the call at the server", || self.calls.lock().unwrap().pop()).await
    }
}
