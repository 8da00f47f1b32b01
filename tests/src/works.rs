//! A server whose calls last as long as the test says, and which numbers nothing.

use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::until;
use crate::upstream::{Answer, Legacy, Pipe};

/// A legacy server; its tool `work` says what the test says.
pub struct Works {
    /// The server.
    pub server: Legacy,
    calls: Arc<Mutex<Vec<(Value, Pipe)>>>,
}

impl Works {
    /// Starts it; it answers on a stream of events without ids.
    #[must_use]
    pub fn start() -> Self {
        Self::answering("text/event-stream")
    }

    /// Starts it; it answers with a document, whose head is sent at once.
    #[must_use]
    pub fn json() -> Self {
        Self::answering("application/json")
    }

    fn answering(kind: &'static str) -> Self {
        let calls: Arc<Mutex<Vec<(Value, Pipe)>>> = Arc::default();
        let own = Arc::clone(&calls);
        let server = Legacy::scripted(move |received| {
            (received.tool() == "work").then(|| {
                let (pipe, answer) = Answer::stream(kind);
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
