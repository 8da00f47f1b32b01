//! A client of HTTP+SSE (2024-11-05): one event stream, and POSTs to where its first event says.

use serde_json::{Value, json};

use crate::events::Events;
use crate::message;
use crate::{Call, Reply};

/// An open stream. Dropped: the connection closes.
pub struct Sse {
    port: u16,
    key: Option<String>,
    /// The stream, behind its first event.
    pub events: Events,
    /// Where messages are handed in.
    pub endpoint: String,
}

impl Sse {
    /// Opens a stream and reads its first event.
    pub async fn open(port: u16, path: &str) -> Self {
        Self::with(port, path, None).await
    }

    /// As [`Sse::open`], with an API key.
    pub async fn with(port: u16, path: &str, key: Option<&str>) -> Self {
        let call = key.iter().fold(Call::get(path), |call, key| call.key(key));
        let mut events = call.open(port).await;
        assert_eq!(events.status, 200);
        let first = crate::wait::soon("the first event", events.event()).await.expect("a first event");
        assert_eq!(first.name.as_deref(), Some("endpoint"), "{first:?}");
        Self { port, key: key.map(Into::into), events, endpoint: first.data.unwrap() }
    }

    /// A POST as clients of this transport send it.
    #[must_use]
    pub fn post(&self, body: &Value) -> Call {
        let call = Call::post(&self.endpoint, body.to_string()).header("accept", "*/*");
        self.key.iter().fold(call, |call, key| call.key(key))
    }

    /// Hands a message in, and returns how that was answered.
    pub async fn hand_in(&self, body: &Value) -> Reply {
        self.post(body).send(self.port).await
    }

    /// Hands a message in, which must be accepted.
    pub async fn send(&self, body: &Value) {
        let reply = self.hand_in(body).await;
        assert_eq!(reply.status, 202, "{reply:?}");
    }

    /// Begins the session; the result of `initialize`.
    pub async fn initialize(&mut self, capabilities: Value) -> Value {
        self.send(&message::initialize("2024-11-05", capabilities)).await;
        let (answer, before) = self.answer(&json!(0)).await;
        assert!(before.is_empty(), "{before:?}");
        self.send(&message::notification("notifications/initialized", json!({}))).await;
        answer["result"].clone()
    }

    /// The next message.
    pub async fn message(&mut self) -> Value {
        let event = self.events.next().await;
        assert_eq!(event.name.as_deref(), Some("message"), "{event:?}");
        event.message()
    }

    /// The answer to a request, and the messages before it.
    pub async fn answer(&mut self, id: &Value) -> (Value, Vec<Value>) {
        let mut before = Vec::new();
        loop {
            let message = self.message().await;
            if message["id"] == *id && message.get("method").is_none() {
                return (message, before);
            }
            before.push(message);
        }
    }

    /// Calls a tool: the text it answers with.
    pub async fn call(&mut self, tool: &str, id: i64, arguments: Value) -> String {
        self.send(&message::call(tool, id, arguments)).await;
        let (answer, _) = self.answer(&json!(id)).await;
        answer["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
    }
}
