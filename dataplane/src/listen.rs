//! Doors: bytes to calls and replies to bytes, nothing else. Who may come in is checked here, before the path begins.

pub(crate) mod balance;
pub(crate) mod berth;
pub(crate) mod body;
pub(crate) mod connection;
pub(crate) mod door;
pub(crate) mod entrance;
pub(crate) mod http;
mod http1;
mod http2;
pub(crate) mod link;
pub(crate) mod mailbox;
mod outbox;
mod path;
mod pipe;
mod received;
mod request;
mod response;
mod sse;
pub(crate) mod stdio;
pub(crate) mod tls;
mod websocket;
