//! What a door hands to the path, and what it gets back. Doors know bytes; the path knows calls.

use std::ops::{Deref, DerefMut};
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use sluice_http1::Fields;
use sluice_mcp::{Chunks, Edit, Message, ScanLimits, Span, decode_string, scan_into};

use super::batch::Batch;
use super::handed::Handed;
use super::json_stream::JsonStream;
use super::record::Record;
use super::relay::Relay;
use crate::auth::Principal;
use crate::auth::quota::{Account, Ticket};
use crate::budget::Held;
use crate::catalog::exposure::Naming;
use crate::plane::Plane;
use crate::reason::Reason;
use crate::upstream::Upstream;
use crate::wire::MemoryFile;

/// Which door a call came through.
#[derive(Clone)]
pub(crate) enum Scope {
    /// `/servers/{server}`: one server.
    Server(Arc<Upstream>),
    /// All servers as one.
    Merged,
}

impl Scope {
    /// How this door names what servers offer.
    pub(crate) fn naming(&self, plane: &Plane) -> Naming {
        match self {
            Self::Server(_) => Naming::Own,
            Self::Merged => Naming::merged(plane.snapshot.prefix),
        }
    }
}

/// A call whose server is not decided yet: on the merged door, that takes a look at the message.
pub(crate) type Arrival = Call<Scope>;

/// A request on its way: who asks which server, with the client's headers, and what is accounted at its end. It is handed on many
/// times, so it is small.
pub(crate) struct Call<To = Arc<Upstream>> {
    pub upstream: To,
    pub base: Box<Base>,
}

/// What is known of a call whichever server it is for.
pub(crate) struct Base {
    pub plane: Arc<Plane>,
    pub principal: Principal,
    pub account: Arc<Account>,
    pub headers: Fields,
    /// The client sent no headers (stdio): these were made from its message.
    pub synthesized: bool,
    pub record: Record,
    pub ticket: Ticket,
    /// How the door names what the server offers.
    pub naming: Naming,
}

impl<To> Deref for Call<To> {
    type Target = Base;

    fn deref(&self) -> &Base {
        &self.base
    }
}

impl<To> DerefMut for Call<To> {
    fn deref_mut(&mut self) -> &mut Base {
        &mut self.base
    }
}

impl Arrival {
    /// The call, now that its server is known.
    pub(crate) fn towards(mut self, upstream: Arc<Upstream>) -> Call {
        self.base.record.upstream = Some(Arc::clone(&upstream));
        Call { upstream, base: self.base }
    }
}

/// A POSTed message, and what the door changes of it. It is handed on many times, so it is small.
pub(crate) struct Posted {
    original: Rc<Original>,
    /// What the door changes before the server sees it; the parts of the message stay where they are.
    pub edits: Vec<Edit>,
    /// The server's own name (or URI) of what is asked for, where that is not what the client sent.
    pub name: Option<String>,
    /// The edits change a tool's arguments.
    pub rearranged: bool,
}

/// A message as the client sent it: its bytes, what the scan found, and the room they take.
pub(crate) struct Original {
    pub body: Bytes,
    pub message: Message,
    _held: Held,
}

impl Deref for Posted {
    type Target = Original;

    fn deref(&self) -> &Original {
        &self.original
    }
}

impl Posted {
    pub(crate) fn new(body: Bytes, message: Message, held: Held) -> Self {
        let original = Rc::new(Original { body, message, _held: held });
        Self { original, edits: Vec::new(), name: None, rearranged: false }
    }

    /// Scans a message, in the place where it stays: what is found is too large to be handed on.
    ///
    /// # Errors
    /// What is refused, and the id to answer to, as far as it was read.
    pub(crate) fn scan(body: Bytes, held: Held, limits: ScanLimits) -> Result<Self, Refusal> {
        let mut posted = Self::new(body, Message::default(), held);
        let original = Rc::get_mut(&mut posted.original).expect("nobody else has it yet");
        if let Err(error) = scan_into(&original.body, limits, &mut original.message) {
            let id = posted.raw(error.id);
            return Err(Refusal { reason: Reason::Message { code: error.code(), text: error.to_string() }, id });
        }
        Ok(posted)
    }

    /// The message as the client sent it; it takes its room for as long as anybody has it.
    pub(crate) fn original(&self) -> Rc<Original> {
        Rc::clone(&self.original)
    }

    /// The raw token of a span as the server sees it.
    pub(crate) fn sent(&self, span: Option<Span>) -> Option<Bytes> {
        let edit = self.edits.iter().find(|edit| Some(edit.span) == span);
        edit.map(|edit| edit.with.clone()).or_else(|| self.raw(span))
    }

    /// The raw token of a span.
    pub(crate) fn raw(&self, span: Option<Span>) -> Option<Bytes> {
        span.map(|s| self.body.slice(s.range()))
    }

    /// The text of a string token.
    pub(crate) fn text(&self, span: Option<Span>) -> Option<String> {
        span.map(|s| decode_string(s.of(&self.body)).into_owned())
    }

    /// The raw id of a request.
    pub(crate) fn id(&self) -> Option<Bytes> {
        self.raw(self.message.id)
    }
}

/// The answer to a call.
pub(crate) struct Reply {
    pub status: StatusCode,
    /// A session that began with this call.
    pub session: Option<String>,
    /// When a server that is asked too much wants to be asked again, in seconds.
    pub retry_after: Option<u32>,
    pub content: Content,
}

/// What an answer consists of.
pub(crate) enum Content {
    /// Nothing: a notification was accepted, a session ended.
    Empty,
    /// One message.
    Json(Bytes),
    /// One message in pieces that others share (a list from the catalogue).
    Pieces(Box<Pieces>),
    /// One large message that streams through.
    JsonStream(Box<JsonStream>),
    /// A stream of messages.
    Messages(Box<Relay>),
    /// What is said of the messages of a batch.
    Batch(Box<Batch>),
    /// What another node answered.
    Handed(Box<Handed>),
}

/// Pieces of one message.
pub(crate) struct Pieces {
    pub chunks: Chunks,
    /// Where some of them lie besides, for sockets to take them from.
    pub file: Option<Arc<MemoryFile>>,
    /// The room they take, until they are written.
    pub _held: Vec<Held>,
}

impl Reply {
    pub(crate) fn of(status: StatusCode, content: Content) -> Self {
        Self { status, session: None, retry_after: None, content }
    }

    pub(crate) fn json(status: StatusCode, body: Bytes) -> Self {
        Self::of(status, Content::Json(body))
    }

    pub(crate) fn empty(status: StatusCode) -> Self {
        Self::of(status, Content::Empty)
    }

    /// The same with when to come again.
    pub(crate) fn again_after(self, seconds: Option<u32>) -> Self {
        Self { retry_after: seconds, ..self }
    }
}

/// A refused call: why, and the id to answer to.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub reason: Reason,
    pub id: Option<Bytes>,
}

impl From<Reason> for Refusal {
    fn from(reason: Reason) -> Self {
        Self { reason, id: None }
    }
}
