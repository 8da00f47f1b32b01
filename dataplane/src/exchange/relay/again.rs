//! A stream read again from what a node kept of it, and what comes of it meanwhile.

use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use sluice_mcp::error_body;

use super::Item;
use crate::node::Node;
use crate::reason::Reason;
use crate::session::Session;
use crate::session::ring::{Of, Place, Read, Reader};

/// What a client comes back for.
pub(crate) struct Again {
    pub node: Arc<Node>,
    pub session: Arc<Session>,
    /// `None` once there is nothing more to come.
    pub reader: Option<Reader>,
    pub place: Place,
}

impl Again {
    /// The next event; `None` at the end.
    pub(super) fn poll(&mut self, cx: &Context<'_>) -> Poll<Option<Item>> {
        let Some(reader) = &mut self.reader else { return Poll::Ready(None) };
        let event = match ready!(reader.poll(cx)) {
            Read::Event(event) => event,
            Read::Over { early: false } => return Poll::Ready(None),
            Read::Over { early: true } | Read::Lost => {
                self.reader = None;
                return Poll::Ready(self.place.request().map(lost));
            }
        };
        if let (Some(at), Of::Session(positions)) = (event.at, &mut self.place.of) {
            positions.advance(*at);
        }
        let id = event.id.unwrap_or_else(|| {
            self.place.number = event.number;
            self.place.sealed(&self.node.seal, &self.session)
        });
        Poll::Ready(Some(Item {
            id: Some(id),
            event: event.event,
            data: Some(event.data),
            retry: event.retry,
            raw: None,
            at: None,
        }))
    }

    /// Whether it is the answer to a request, which its client gets as long as it has its session.
    pub(super) fn is_answer(&self) -> bool {
        self.place.request().is_some()
    }
}

/// The answer to a request whose own answer is nowhere any more.
pub(crate) fn lost(request: &Bytes) -> Item {
    let reason = Reason::EventsLost;
    Item::message(error_body(Some(request), reason.row().code, &reason.text(), None).into())
}
