//! What a stream passes on, one at a time.

use bytes::Bytes;
use sluice_mcp::Method;

use crate::session::ring::Position;

/// The notifications that tell of changed lists, in the order of `Changes::told`.
pub(crate) const LIST_CHANGED: [Method; 3] = [
    Method::NotificationToolsListChanged,
    Method::NotificationPromptsListChanged,
    Method::NotificationResourcesListChanged,
];

/// Such a notification of our own.
pub(crate) fn list_changed(method: Method) -> Bytes {
    format!(r#"{{"jsonrpc":"2.0","method":"{}"}}"#, method.as_str()).into()
}

/// One thing to pass on: a message, a comment, a reconnection time.
pub(crate) struct Item {
    /// The event's id towards the client, sealed.
    pub id: Option<String>,
    pub event: Option<Bytes>,
    pub data: Option<Bytes>,
    pub retry: Option<u64>,
    /// The event as it arrived, where nothing in it changes.
    pub raw: Option<Bytes>,
    /// How far it brings the stream of a part, where several are gathered.
    pub at: Option<Box<Position>>,
}

impl Item {
    pub(crate) fn message(data: Bytes) -> Self {
        Self { id: None, event: None, data: Some(data), retry: None, raw: None, at: None }
    }

    pub(crate) fn comment() -> Self {
        Self {
            id: None,
            event: None,
            data: None,
            retry: None,
            raw: Some(Bytes::from_static(b": keep-alive\n\n")),
            at: None,
        }
    }
}
