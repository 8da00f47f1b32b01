//! An answer that arrives bit by bit, read as server-sent events.

use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::Value;

use crate::wait::{silent, soon};

/// An open answer. Dropped: the connection closes.
pub struct Events {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    body: Incoming,
    text: String,
    ended: bool,
}

/// One server-sent event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Event {
    /// Its `event`, if it has one.
    pub name: Option<String>,
    /// Its `id`, if it has one.
    pub id: Option<String>,
    /// Its `retry`, if it has one.
    pub retry: Option<String>,
    /// Its `data`, lines joined; `None` for a comment.
    pub data: Option<String>,
    /// The event as it came.
    pub raw: String,
}

impl Event {
    /// Reads one.
    #[must_use]
    pub fn of(raw: &str) -> Self {
        let mut event = Self { raw: raw.to_owned(), ..Self::default() };
        for line in raw.lines() {
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value).to_owned();
            match field {
                "event" => event.name = Some(value),
                "id" => event.id = Some(value),
                "retry" => event.retry = Some(value),
                "data" => event.data = Some(event.data.map_or(value.clone(), |before| before + "\n" + &value)),
                _ => {}
            }
        }
        event
    }

    /// The data as a message; null for comments and priming events.
    #[must_use]
    pub fn message(&self) -> Value {
        self.data.as_deref().and_then(|data| serde_json::from_str(data).ok()).unwrap_or_default()
    }
}

/// The messages of a whole event stream.
#[must_use]
pub fn messages(text: &str) -> Vec<Value> {
    text.split("\n\n").map(|raw| Event::of(raw).message()).filter(|message| !message.is_null()).collect()
}

impl Events {
    pub(crate) fn new(response: http::Response<Incoming>) -> Self {
        let (head, body) = response.into_parts();
        Self { status: head.status.as_u16(), headers: head.headers, body, text: String::new(), ended: false }
    }

    /// The next bytes; `None` at the end or when the connection broke.
    pub async fn bytes(&mut self) -> Option<Bytes> {
        loop {
            match self.body.frame().await {
                Some(Ok(frame)) => {
                    if let Ok(bytes) = frame.into_data() {
                        return Some(bytes);
                    }
                }
                _ => return None,
            }
        }
    }

    /// The id by which a client comes back, which an event without a message tells by itself.
    pub async fn primed(&mut self) -> String {
        let event = crate::wait::soon("an id to come back with", async {
            loop {
                let event = self.event().await.expect("the stream goes on");
                if event.id.is_some() {
                    return event;
                }
            }
        });
        let event = event.await;
        assert_eq!(event.data.as_deref(), Some(""), "no message: {event:?}");
        event.id.expect("looked for")
    }

    /// The next event of any kind; `None` at the end.
    pub async fn event(&mut self) -> Option<Event> {
        loop {
            if let Some(end) = self.text.find("\n\n") {
                let rest = self.text.split_off(end + 2);
                let raw = std::mem::replace(&mut self.text, rest);
                return Some(Event::of(&raw));
            }
            if self.ended {
                return None;
            }
            match self.bytes().await {
                Some(bytes) => self.text.push_str(std::str::from_utf8(&bytes).unwrap()),
                None => self.ended = true,
            }
        }
    }

    /// The next event that carries a message; panics when none comes soon, or the stream ends.
    pub async fn next(&mut self) -> Event {
        let event = soon("the next message of the stream", async {
            loop {
                let event = self.event().await?;
                if !event.message().is_null() {
                    return Some(event);
                }
            }
        });
        event.await.expect("the stream goes on")
    }

    /// The next message.
    pub async fn message(&mut self) -> Value {
        self.next().await.message()
    }

    /// Waits for the end of the stream; the messages that came before it.
    pub async fn rest(&mut self) -> Vec<Value> {
        soon("the end of the stream", async {
            let mut messages = Vec::new();
            while let Some(event) = self.event().await {
                messages.extend(Some(event.message()).filter(|message| !message.is_null()));
            }
            messages
        })
        .await
    }

    /// Whether nothing but comments comes for `pause`.
    pub async fn quiet(&mut self, pause: Duration) -> bool {
        silent(pause, async {
            while let Some(event) = self.event().await {
                if !event.message().is_null() {
                    return;
                }
            }
        })
        .await
    }
}
