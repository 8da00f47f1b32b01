//! A legacy server: `initialize`, sessions, a GET stream, DELETE. Forgets its sessions when told to.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::{Answer, Pipe, Received, Upstream};
use crate::message;

/// The server; dereferences to what it received.
pub struct Legacy {
    upstream: Upstream,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    sessions: Mutex<Vec<String>>,
    streams: Mutex<HashMap<String, Pipe>>,
    opened: AtomicUsize,
    /// The status for a session that is not known.
    unknown: AtomicU16,
    /// The answer to what carries no session, where it is not the usual one.
    sessionless: Option<Box<dyn Fn() -> Answer + Send + Sync>>,
}

impl Deref for Legacy {
    type Target = Upstream;

    fn deref(&self) -> &Upstream {
        &self.upstream
    }
}

impl Legacy {
    /// A server whose every tool answers with its arguments.
    #[must_use]
    pub fn start() -> Self {
        Self::scripted(|_| None)
    }

    /// A server that first asks `script`, for everything that carries a known session and for `initialize`.
    pub fn scripted(script: impl Fn(&Received) -> Option<Answer> + Send + Sync + 'static) -> Self {
        Self::of(State::default(), script)
    }

    /// A server that answers so to whatever carries no session and is not `initialize`.
    pub fn strange(answer: impl Fn() -> Answer + Send + Sync + 'static) -> Self {
        Self::of(State { sessionless: Some(Box::new(answer)), ..State::default() }, |_| None)
    }

    fn of(state: State, script: impl Fn(&Received) -> Option<Answer> + Send + Sync + 'static) -> Self {
        let state = Arc::new(State { unknown: AtomicU16::new(404), ..state });
        let own = Arc::clone(&state);
        let upstream = Upstream::start(move |received| {
            let answer = own.answer(&received, &script);
            async move { if let Some(answer) = answer { answer } else { Answer::never().await } }
        });
        Self { upstream, state }
    }

    /// Forgets every session, as a restart would, and closes their streams. From now on they get `status`.
    pub fn forget(&self, status: u16) {
        self.state.unknown.store(status, Ordering::SeqCst);
        self.state.sessions.lock().unwrap().clear();
        self.state.streams.lock().unwrap().clear();
    }

    /// The session ids it knows.
    #[must_use]
    pub fn sessions(&self) -> Vec<String> {
        self.state.sessions.lock().unwrap().clone()
    }

    /// The GET stream of the session that has one, once it is open.
    pub async fn stream(&self) -> Pipe {
        crate::until("a GET stream at the server", || {
            self.state.streams.lock().unwrap().values().find(|pipe| !pipe.is_closed()).cloned()
        })
        .await
    }
}

impl State {
    fn answer(&self, received: &Received, script: &dyn Fn(&Received) -> Option<Answer>) -> Option<Answer> {
        let message = received.message();
        let id = &message["id"];
        if message["method"] == "initialize" {
            return Some(script(received).unwrap_or_else(|| self.initialize(&message)));
        }
        let Some(session) = received.header("mcp-session-id") else {
            if let Some(answer) = &self.sessionless {
                return Some(answer());
            }
            let refusal = message::error(&Value::Null, -32000, "Bad Request: Server not initialized");
            return Some(Answer::new(400, "application/json", refusal.to_string()));
        };
        if !self.sessions.lock().unwrap().iter().any(|known| known == session) {
            let refusal = message::error(&Value::Null, -32001, "Session not found");
            let status = self.unknown.load(Ordering::SeqCst);
            return Some(Answer::new(status, "application/json", refusal.to_string()));
        }
        if let Some(answer) = script(received) {
            return Some(answer);
        }
        match (received.verb.as_str(), message["method"].as_str()) {
            ("GET", _) => {
                let (pipe, answer) = Answer::stream("text/event-stream");
                self.streams.lock().unwrap().insert(session.to_owned(), pipe);
                Some(answer)
            }
            ("DELETE", _) => {
                self.sessions.lock().unwrap().retain(|known| known != session);
                Some(Answer::empty(200))
            }
            (_, Some("tools/call")) if message["params"]["name"] == "hang" => None,
            (_, Some("tools/call")) if message["params"]["name"] == "unknown" => {
                Some(Answer::message(&message::error(id, -32602, "Unknown tool: unknown")))
            }
            (_, Some("tools/call")) => Some(Answer::message(&message::response(
                id,
                message::text(&message["params"]["arguments"].to_string()),
            ))),
            (_, Some("tools/list")) => Some(Answer::message(&message::response(id, tools()))),
            (_, Some("ping" | "logging/setLevel" | "resources/subscribe" | "resources/unsubscribe")) => {
                Some(Answer::message(&message::response(id, json!({}))))
            }
            (_, Some(_)) if !id.is_null() => Some(Answer::message(&message::error(id, -32601, "Method not found"))),
            _ => Some(Answer::accepted()),
        }
    }

    fn initialize(&self, message: &Value) -> Answer {
        let session = format!("upstream-session-{}", self.opened.fetch_add(1, Ordering::SeqCst));
        self.sessions.lock().unwrap().push(session.clone());
        let asked = message["params"]["protocolVersion"].as_str().unwrap_or_default();
        let version = if asked == "2026-07-28" { "2025-11-25" } else { asked };
        let result = json!({
            "protocolVersion": version,
            "capabilities": { "tools": { "listChanged": true }, "resources": { "subscribe": true }, "logging": {} },
            "serverInfo": { "name": "scripted", "version": "1" },
        });
        Answer::message(&message::response(&message["id"], result)).header("mcp-session-id", &session)
    }
}

fn tools() -> Value {
    json!({ "tools": [{ "name": "echo", "inputSchema": { "type": "object" } }] })
}
