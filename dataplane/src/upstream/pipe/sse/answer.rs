//! What a server says in its answer to a POST. The transport wants nothing there but a status; servers are found that
//! answer in place, as JSON or as events, whatever they call it.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use sluice_mcp::{SseDecoder, without_newlines};
use tokio::sync::mpsc::Sender;

use super::posts::Outcome;
use crate::limit;
use crate::upstream::http::Response;

/// What a body turns out to hold.
enum Content {
    /// Not known before the first byte.
    Unknown,
    Json(BytesMut),
    Events(SseDecoder),
    /// `Accepted`, an error page: nothing for anybody.
    Other,
}

/// Reads an answer to its end, so that its connection can be used again, and passes on the messages it holds. Takes at
/// most `wait`.
pub(super) async fn messages(response: Response, wait: Duration, outcomes: &Sender<Outcome>) {
    let typed_events = response.headers.get("content-type").is_some_and(|v| v.starts_with(b"text/event-stream"));
    let mut body = response.body;
    let mut content = Content::Unknown;
    let reading = async {
        while let Some(Ok(chunk)) = body.data().await {
            if matches!(content, Content::Unknown) {
                content = Content::of(&chunk, typed_events);
            }
            for message in content.take(chunk)? {
                let _ = outcomes.send(Outcome::Said(message)).await;
            }
        }
        Some(())
    };
    let whole = tokio::time::timeout(wait, reading).await == Ok(Some(()));
    if let (Content::Json(body), true) = (content, whole) {
        let _ = outcomes.send(Outcome::Said(without_newlines(body.freeze()))).await;
    }
}

impl Content {
    /// Judged by the first bytes, which say more than the type.
    fn of(chunk: &[u8], typed_events: bool) -> Self {
        let start = chunk.trim_ascii_start();
        let is_field = [&b"data:"[..], b"event:", b"id:", b":"].iter().any(|field| start.starts_with(field));
        match start.first() {
            None => Self::Unknown,
            Some(b'{') => Self::Json(BytesMut::new()),
            Some(_) if typed_events || is_field => Self::Events(SseDecoder::new(limit::EVENT_BYTES)),
            Some(_) => Self::Other,
        }
    }

    /// Takes the next bytes; the messages that became complete, or `None` when it is more than is taken of a server.
    fn take(&mut self, chunk: Bytes) -> Option<Vec<Bytes>> {
        let mut complete = Vec::new();
        match self {
            Self::Unknown | Self::Other => {}
            Self::Json(body) => {
                body.extend_from_slice(&chunk);
                return (body.len() <= limit::EVENT_BYTES).then_some(complete);
            }
            Self::Events(decoder) => {
                decoder.push(chunk);
                while let Some(event) = decoder.next().ok()? {
                    complete.extend(event.data.map(without_newlines));
                }
            }
        }
        Some(complete)
    }
}
