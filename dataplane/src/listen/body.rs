//! The body of an HTTP answer: whole, streaming JSON, or an event stream.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use sluice_mcp::encode_event;

use super::connection::Busy;
use super::sse;
use crate::exchange::batch::Batch;
use crate::exchange::call::Pieces;
use crate::exchange::handed::Handed;
use crate::exchange::json_stream::JsonStream;
use crate::exchange::relay::{Attended, Item};
use crate::wire::MemoryFile;

/// The body of an HTTP answer.
pub(crate) struct Body {
    inner: Inner,
    _busy: Option<Busy>,
}

/// What a body consists of.
pub(super) enum Inner {
    Full(Bytes),
    Pieces { pieces: Box<Pieces>, next: usize, left: u64 },
    JsonStream(Box<JsonStream>),
    Events(Attended),
    Pipe(Box<sse::Stream>),
    Batch(Box<Batch>),
    Handed(Box<Handed>),
}

impl Body {
    pub(super) fn of(inner: Inner) -> Self {
        Self { inner, _busy: None }
    }

    pub(super) fn pieces(pieces: Box<Pieces>) -> Self {
        let left = pieces.chunks.iter().map(|piece| piece.len() as u64).sum();
        Self::of(Inner::Pieces { pieces, next: 0, left })
    }

    pub(super) fn full(body: Bytes) -> Self {
        Self::of(Inner::Full(body))
    }

    /// Keeps the connection busy until the answer has gone out.
    pub(crate) fn keep(&mut self, busy: Busy) {
        self._busy = Some(busy);
    }
}

impl Body {
    /// How long the body is, if all of it is there.
    pub(super) fn whole(&self) -> Option<u64> {
        match &self.inner {
            Inner::Full(body) => Some(body.len() as u64),
            Inner::Pieces { left, .. } => Some(*left),
            Inner::JsonStream(_) | Inner::Events(_) | Inner::Pipe(_) | Inner::Batch(_) | Inner::Handed(_) => None,
        }
    }

    /// Where pieces of a whole body lie besides.
    pub(super) fn file(&self) -> Option<Arc<MemoryFile>> {
        match &self.inner {
            Inner::Pieces { pieces, .. } => pieces.file.clone(),
            _ => None,
        }
    }

    /// The next piece of what is there; `None` where that is all.
    pub(super) fn next_piece(&mut self) -> Option<Bytes> {
        match &mut self.inner {
            Inner::Full(body) => Some(std::mem::take(body)).filter(|body| !body.is_empty()),
            Inner::Pieces { pieces, next, left } => {
                while let Some(piece) = pieces.chunks.get_mut(*next) {
                    *next += 1;
                    if !piece.is_empty() {
                        *left -= piece.len() as u64;
                        return Some(std::mem::take(piece));
                    }
                }
                None
            }
            Inner::JsonStream(_) | Inner::Events(_) | Inner::Pipe(_) | Inner::Batch(_) | Inner::Handed(_) => None,
        }
    }

    /// Minds what comes while the client reads nothing.
    pub(super) fn poll_aside(&mut self, cx: &mut Context<'_>) {
        if let Inner::Events(relay) = &mut self.inner {
            relay.poll_aside(cx);
        }
    }

    /// The next piece; `None` at the end.
    pub(super) fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, std::io::Error>>> {
        let piece = match &mut self.inner {
            Inner::Full(_) | Inner::Pieces { .. } => self.next_piece().map(Ok),
            Inner::JsonStream(stream) => ready!(stream.poll_piece(cx)),
            Inner::Events(relay) => ready!(relay.poll_item(cx)).map(|item| Ok(event(item))),
            Inner::Pipe(stream) => ready!(stream.poll_event(cx)).map(Ok),
            Inner::Batch(batch) => ready!(batch.poll_item(cx)).map(|item| Ok(event(item))),
            Inner::Handed(handed) => ready!(handed.poll_piece(cx)),
        };
        Poll::Ready(piece)
    }
}

/// As HTTP/2 wants it.
impl http_body::Body for Body {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        self.poll_data(cx).map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        match &self.inner {
            Inner::Full(body) => body.is_empty(),
            Inner::Pieces { left, .. } => *left == 0,
            _ => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.inner {
            Inner::Full(body) => SizeHint::with_exact(body.len() as u64),
            Inner::Pieces { left, .. } => SizeHint::with_exact(*left),
            _ => SizeHint::default(),
        }
    }
}

/// An item as an event: the bytes it came in, or written anew where something changed.
fn event(item: Item) -> Bytes {
    if let Some(raw) = item.raw {
        return raw;
    }
    let mut out = Vec::with_capacity(item.data.as_ref().map_or(0, Bytes::len) + 96);
    let named = item.event.as_deref().or(item.data.as_ref().filter(|d| !d.is_empty()).map(|_| &b"message"[..]));
    encode_event(&mut out, item.id.as_ref().map(String::as_bytes), named, item.data.as_deref(), item.retry);
    out.into()
}
