//! A client of either era, for tests of what both eras promise alike.

use std::sync::atomic::{AtomicI64, Ordering};

use serde_json::{Value, json};

use crate::catalogue::KINDS;
use crate::{Call, Reply, Session};

/// The eras of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Era {
    /// `initialize` and sessions.
    Legacy,
    /// Every request for itself.
    Modern,
}

/// Both, for loops.
pub const ERAS: [Era; 2] = [Era::Legacy, Era::Modern];

/// A client at one door.
pub struct Client {
    port: u16,
    path: String,
    key: Option<String>,
    /// What a legacy client has.
    pub session: Option<Session>,
    next: AtomicI64,
}

impl Client {
    /// A client that declares nothing (legacy) or what all modern requests of the tests declare.
    pub async fn open(era: Era, port: u16, path: &str) -> Self {
        Self::with(era, port, path, None).await
    }

    /// The same with an API key.
    pub async fn with(era: Era, port: u16, path: &str, key: Option<&str>) -> Self {
        let session = match era {
            Era::Legacy => Some(Session::with(port, path, json!({}), key).await),
            Era::Modern => None,
        };
        Self { port, path: path.into(), key: key.map(Into::into), session, next: AtomicI64::new(1) }
    }

    /// A request, not yet sent.
    #[must_use]
    pub fn prepare(&self, method: &str, params: Value) -> Call {
        match &self.session {
            Some(session) => session.post(&crate::message::request(method, session.next_id(), params)),
            None => {
                let id = self.next.fetch_add(1, Ordering::Relaxed);
                let call = Call::modern(&self.path, method, id, params);
                self.key.iter().fold(call, |call, key| call.key(key))
            }
        }
    }

    /// Sends a request and reads the whole answer.
    pub async fn request(&self, method: &str, params: Value) -> Reply {
        self.prepare(method, params).send(self.port).await
    }

    /// Calls a tool.
    pub async fn call(&self, tool: &str, arguments: Value) -> Reply {
        self.request("tools/call", json!({ "name": tool, "arguments": arguments })).await
    }

    /// Calls a tool of a scripted server: what the server says that it was asked.
    pub async fn said(&self, tool: &str, arguments: Value) -> Value {
        let result = self.call(tool, arguments).await.result();
        serde_json::from_str(result["content"][0]["text"].as_str().unwrap()).unwrap()
    }

    /// Reads a resource of a scripted server: the URI the content has, and what the server says that it was asked.
    pub async fn read(&self, uri: &str) -> (Value, Value) {
        let content = self.request("resources/read", json!({ "uri": uri })).await.result()["contents"][0].clone();
        (content["uri"].clone(), serde_json::from_str(content["text"].as_str().unwrap()).unwrap())
    }

    /// All entries of a list, over all pages.
    pub async fn list(&self, method: &str) -> Vec<Value> {
        let key = KINDS.iter().find(|(list, ..)| *list == method).expect("a list").1;
        let (mut all, mut params) = (Vec::new(), json!({}));
        for _ in 0..1000 {
            let page = self.request(method, params).await.result();
            all.extend(page[key].as_array().unwrap_or_else(|| panic!("no {key} in {page}")).clone());
            match page.get("nextCursor") {
                Some(cursor) => params = json!({ "cursor": cursor }),
                None => return all,
            }
        }
        panic!("pages without end");
    }

    /// The names (or URIs, or templates) of a list, over all pages, in the order they came.
    pub async fn names(&self, method: &str) -> Vec<String> {
        let key = KINDS.iter().find(|(list, ..)| *list == method).expect("a list").2;
        self.list(method).await.iter().map(|entry| entry[key].as_str().unwrap().to_owned()).collect()
    }
}
