//! A legacy client with its session.

use std::sync::atomic::{AtomicI64, Ordering};

use serde_json::{Value, json};

use crate::events::Events;
use crate::message::{self, LEGACY};
use crate::{Call, Reply};

/// A session through the gateway, or straight to a server.
pub struct Session {
    port: u16,
    path: String,
    key: Option<String>,
    /// The session id the gateway gave.
    pub id: String,
    /// What `initialize` was answered with.
    pub opened: Value,
    next: AtomicI64,
}

impl Session {
    /// Opens a session with a client that declares nothing.
    pub async fn open(port: u16, path: &str) -> Self {
        Self::with(port, path, json!({}), None).await
    }

    /// Opens a session with capabilities and, if given, an API key.
    pub async fn with(port: u16, path: &str, capabilities: Value, key: Option<&str>) -> Self {
        Self::try_with(port, path, capabilities, key).await.unwrap_or_else(|reply| panic!("no session: {reply:?}"))
    }

    /// The same, where none may be had: then this is what was answered.
    ///
    /// # Errors
    /// There is no session.
    pub async fn try_with(port: u16, path: &str, capabilities: Value, key: Option<&str>) -> Result<Self, Reply> {
        let call = Call::post(path, message::initialize(LEGACY, capabilities).to_string());
        let call = key.iter().fold(call, |call, key| call.key(key));
        let reply = call.send(port).await;
        let Some(id) = reply.header("mcp-session-id").map(ToOwned::to_owned) else { return Err(reply) };
        let session = Self {
            port,
            path: path.into(),
            key: key.map(Into::into),
            id,
            opened: reply.result(),
            next: AtomicI64::new(1),
        };
        session.notify("notifications/initialized", json!({})).await;
        Ok(session)
    }

    /// The same session, at another gateway.
    #[must_use]
    pub fn at(&self, port: u16) -> Self {
        Self {
            port,
            path: self.path.clone(),
            key: self.key.clone(),
            id: self.id.clone(),
            opened: self.opened.clone(),
            // ids are said once in a session, wherever
            next: AtomicI64::new(self.next.load(Ordering::Relaxed) + 1_000),
        }
    }

    /// The door it is a session of.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// A POST of this session with any body.
    #[must_use]
    pub fn post(&self, body: &Value) -> Call {
        self.dressed(Call::post(&self.path, body.to_string()))
    }

    /// Any call, with the headers of this session.
    #[must_use]
    pub fn dressed(&self, call: Call) -> Call {
        let call = call.header("mcp-session-id", &self.id).header("mcp-protocol-version", LEGACY);
        self.key.iter().fold(call, |call, key| call.key(key))
    }

    /// A fresh request id.
    pub fn next_id(&self) -> i64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Sends a request and reads the whole answer.
    pub async fn request(&self, method: &str, params: Value) -> Reply {
        self.post(&message::request(method, self.next_id(), params)).send(self.port).await
    }

    /// Calls a tool and reads the whole answer.
    pub async fn call(&self, tool: &str, arguments: Value) -> Reply {
        self.post(&message::call(tool, self.next_id(), arguments)).send(self.port).await
    }

    /// Calls a tool and hands over the answer as it arrives.
    pub async fn stream(&self, tool: &str, arguments: Value) -> Events {
        self.post(&message::call(tool, self.next_id(), arguments)).open(self.port).await
    }

    /// Sends a notification, which must be accepted.
    pub async fn notify(&self, method: &str, params: Value) {
        let reply = self.post(&message::notification(method, params)).send(self.port).await;
        assert_eq!(reply.status, 202, "{reply:?}");
        assert!(reply.body.is_empty(), "{reply:?}");
    }

    /// Answers a request of the server, which must be accepted.
    pub async fn answer(&self, id: &Value, result: Value) {
        let reply = self.post(&message::response(id, result)).send(self.port).await;
        assert_eq!(reply.status, 202, "{reply:?}");
    }

    /// Opens the GET stream, after `last` if given.
    pub async fn listen(&self, last: Option<&str>) -> Events {
        let call = self.dressed(Call::get(&self.path));
        last.iter().fold(call, |call, last| call.header("last-event-id", last)).open(self.port).await
    }

    /// Ends the session.
    pub async fn delete(&self) -> Reply {
        self.dressed(Call::delete(&self.path)).send(self.port).await
    }
}
