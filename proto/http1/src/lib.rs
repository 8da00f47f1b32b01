//! HTTP/1.1 messages (RFC 9112), pure: bytes in, heads and pieces of bodies out; no sockets, no clock.
//!
//! Heads are taken apart by `httparse`; what is here decides how a message is framed, and refuses what two readers could
//! frame differently (RFC 9112 section 11.2, request smuggling). [`Fields`] are the header fields of one message as they
//! stood on the wire: no map is built, because a request has about ten of them and a gateway looks at six.

mod body;
mod chunked;
mod fields;
mod framing;
mod head;

pub use body::{BadBody, Body};
pub use chunked::{BadChunk, Chunked, Step};
pub use fields::{BadField, Fields, Values};
pub use framing::Framing;
pub use head::{HeadError, RequestHead, ResponseHead, Target, find_end};

/// What a head may consist of.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes from its first to the empty line that ends it.
    pub bytes: usize,
    /// Header fields; at most [`MOST_FIELDS`].
    pub fields: usize,
}

/// More header fields than this cannot be asked for: room for them is on the stack.
pub const MOST_FIELDS: usize = 128;
