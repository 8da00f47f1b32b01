//! Server-sent events, both directions (WHATWG HTML, *Event stream interpretation*): bytes to events as they arrive,
//! and events to bytes. Reconnection is somebody else's business.

mod block;
mod decoder;
mod writer;

use bytes::Bytes;

pub use decoder::SseDecoder;
pub use writer::encode_event;

/// One block of an event stream: everything up to and including a blank line. A block of comments only, and a blank line
/// by itself, is an event in which every field is `None`, so that what keeps a connection alive can be passed on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Event {
    /// The last `id` field. May be empty, which resets the client's last event id.
    pub id: Option<Bytes>,
    /// The last `event` field.
    pub event: Option<Bytes>,
    /// The `data` fields, joined by newlines; a slice of the stream when there is one. `None` without such a field: then
    /// browsers see no event.
    pub data: Option<Bytes>,
    /// The last `retry` field, in milliseconds.
    pub retry: Option<u64>,
    /// The block as it arrived, without a byte order mark; its last line end is CR LF if it was a CR and the last byte there was.
    pub raw: Bytes,
}

/// Why a stream cannot be read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SseError {
    /// An event exceeds the limit. The decoder has let go of it and gives nothing more.
    #[error("an event of the stream exceeds {limit} bytes")]
    TooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
}

#[cfg(test)]
mod tests;
