//! Ids of our own, and events kept under them, for streams whose servers number nothing: once a stream is older than
//! [`limit::RESUMABLE_AFTER`], and as long as its client could come back for them.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use sluice_mcp::{Feature, encode_event};

use super::attended::keep;
use super::{Item, Relay, Source};
use crate::limit;
use crate::node::Node;
use crate::seal;
use crate::session::Session;
use crate::session::ring::{Kept, Of, Place, Position, Positions, Ring};

/// What a relay has for that.
#[derive(Default)]
pub(super) struct Keeping {
    /// The client could come back, and the server has not numbered anything.
    may: bool,
    /// From the first event on, however young the stream.
    at_once: bool,
    /// The client may have to be told an id to come back with.
    to_prime: bool,
    /// How far parts got before anything is kept.
    positions: Positions,
    /// Made when it is needed first.
    numbered: Option<Box<Numbered>>,
}

/// A stream that we number.
struct Numbered {
    /// The client's own session.
    session: Arc<Session>,
    place: Place,
    ring: Arc<Ring>,
}

impl Keeping {
    /// Where events are kept, if they are.
    pub(super) fn ring(&self) -> Option<&Arc<Ring>> {
        self.numbered.as_ref().map(|numbered| &numbered.ring)
    }

    /// The same, and the session they are kept for.
    pub(super) fn what(&self) -> Option<(Arc<Session>, Arc<Ring>)> {
        self.numbered.as_ref().map(|numbered| (Arc::clone(&numbered.session), Arc::clone(&numbered.ring)))
    }
}

impl Numbered {
    fn id(&mut self, node: &Node, number: u64) -> String {
        self.place.number = number;
        self.place.sealed(&node.seal, &self.session)
    }
}

impl Relay {
    /// The stream takes the place of one whose client got that far. So that it never comes back for more than it missed, events
    /// have ids from the first.
    pub(crate) fn goes_on_from(&mut self, positions: Positions) {
        self.keeping.positions = positions;
        self.keeping.at_once = true;
        self.timer.as_mut().reset(Instant::now().into());
    }

    /// The stream goes to a client that can come back.
    pub(super) fn may_keep(&mut self) {
        let is_kept = self.in_use.is_some() && !self.ended && !matches!(self.source, Source::Again(_));
        self.keeping.may = is_kept;
        self.keeping.to_prime = is_kept;
    }

    /// An item as the client gets it: with an id, and kept, where the server gave it none.
    pub(super) fn kept(&mut self, mut item: Item) -> Item {
        if !self.keeping.may {
            return item;
        }
        let has_message = item.data.as_ref().is_some_and(|data| !data.is_empty());
        if item.id.is_some() {
            // from here on the server can be asked; what came before, only we have
            if let Some(ring) = self.keeping.ring().filter(|_| has_message) {
                ring.push(item.to_keep());
            }
            self.keep_no_more();
            return item;
        }
        if let Some(at) = &item.at {
            let place = self.keeping.numbered.as_mut().map(|numbered| &mut numbered.place.of);
            match place {
                Some(Of::Session(positions)) => positions.advance(Position::clone(at)),
                _ => self.keeping.positions.advance(Position::clone(at)),
            }
        }
        if !has_message || self.keeping.numbered.is_none() && !self.is_old_enough(self.last_out) {
            return item;
        }
        let Self { worker, .. } = self;
        let node = Arc::clone(&worker.node);
        let Some(numbered) = self.numbered() else { return item };
        let number = numbered.ring.push(item.to_keep());
        item.id = Some(numbered.id(&node, number));
        item.raw = None;
        item
    }

    /// An event that tells the client how to come back, once the stream is old enough and where it knows of such events.
    pub(super) fn primed(&mut self, now: Instant) -> Option<Item> {
        let due = self.keeping.to_prime && self.keeping.may && self.is_old_enough(now);
        if !due || self.keeping.numbered.is_some() {
            return None;
        }
        self.keeping.to_prime = false;
        let knows = self.in_use.as_ref().is_some_and(|in_use| knows_priming(&in_use.session));
        let node = Arc::clone(&self.worker.node);
        let numbered = if knows { self.numbered()? } else { return None };
        let mut raw = Vec::with_capacity(160);
        encode_event(&mut raw, Some(numbered.id(&node, 0).as_bytes()), None, Some(b""), None);
        Some(Item { raw: Some(raw.into()), ..Item::comment() })
    }

    /// The same for a stream that ends, however young: its client is to come back.
    pub(super) fn primed_at_last(&mut self) -> Option<Item> {
        self.keeping.at_once = true;
        self.primed(Instant::now())
    }

    fn is_old_enough(&self, now: Instant) -> bool {
        self.keeping.at_once || now.duration_since(self.record.started()) >= limit::RESUMABLE_AFTER
    }

    /// What numbers the stream; `None`, and nothing is kept, where there is too much of that.
    fn numbered(&mut self) -> Option<&mut Numbered> {
        if self.keeping.numbered.is_none() {
            let numbered = self.begin();
            self.keeping.may = numbered.is_some();
            self.keeping.numbered = numbered;
        }
        self.keeping.numbered.as_deref_mut()
    }

    fn begin(&mut self) -> Option<Box<Numbered>> {
        let session = self.in_use.as_ref()?.session.of_client()?;
        let of = match &self.expected {
            Some(expected) if expected.id.len() > limit::RING_REQUEST_BYTES => return None,
            // a copy of its own: the id is a slice of the whole message
            Some(expected) => Of::Request(Bytes::copy_from_slice(&expected.id)),
            None => Of::Session(std::mem::take(&mut self.keeping.positions)),
        };
        let node = &self.worker.node;
        let stream = u64::from_be_bytes(seal::random());
        let ring = Arc::new(Ring::new(stream, self.expected.is_none(), node.metrics.held.clone()));
        let place = Place { home: node.peers.home, stream, number: 0, of };
        session.rare().rings.add(&ring).then(|| Box::new(Numbered { session: Arc::clone(&session), place, ring }))
    }

    /// The server numbers its events after all.
    fn keep_no_more(&mut self) {
        if let Some((session, ring)) = std::mem::take(&mut self.keeping).what() {
            ring.let_go();
            ring.end(false);
            tokio::task::spawn_local(keep(session, ring));
        }
    }
}

impl Item {
    fn to_keep(&self) -> Kept {
        let data = self.data.clone().unwrap_or_default();
        let (id, event, at) = (self.id.clone(), self.event.clone(), self.at.clone());
        Kept { number: 0, id, event, data, retry: self.retry, at }
    }
}

/// Whether the client takes an event without a message for what it is; others may take it for a broken one.
fn knows_priming(session: &Session) -> bool {
    // what came later has it known, though not any more
    session.asked_for().is_some_and(|version| version.has(Feature::StreamPolling) || !version.has(Feature::Sessions))
}
