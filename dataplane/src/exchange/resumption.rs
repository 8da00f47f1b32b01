//! Clients that come back for a stream whose events the gateway itself has numbered and kept: the node that has them gives what
//! came since, and what comes. Where nobody has them any more, the client is told: a call by its answer, an error that says that
//! it may have run; a standing stream by a new one that begins with everything that may have changed. Of the streams it gathers,
//! those whose servers number their events go on where they were.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use sluice_mcp::uri::expose_uri;
use sluice_mcp::{decode_string, encode_string, header};

use super::call::Call;
use super::handed::{self, Door};
use super::relay::{Again, Item, LIST_CHANGED, Parts, Relay, Source, keep, list_changed, lost};
use super::{Outcome, handles_towards, sessions, stream, stream_ticket, taken_notes};
use crate::catalog::Kind as Kinds;
use crate::catalog::exposure::Naming;
use crate::node::Worker;
use crate::plane::Plane;
use crate::session::ring::{Missing, Of, Place, Position, Positions, Reader, Ring};
use crate::session::{InUse, Session};
use crate::upstream::Upstream;

/// What becomes of a GET.
pub(super) enum Resumed<To> {
    Here(Outcome),
    /// A stream begins, or the server itself resumes one.
    Anew(Anew<To>),
}

/// A GET for which nothing is kept.
pub(super) struct Anew<To> {
    pub call: Call<To>,
    pub in_use: InUse,
    /// Where the streams of parts go on; `None` where no stream was resumed.
    pub positions: Option<Positions>,
}

/// Gives a client what was kept for it, if its GET asks for that; or if its standing stream goes on without it.
pub(super) async fn resume<To: Door>(worker: &Rc<Worker>, mut call: Call<To>, in_use: InUse) -> Resumed<To> {
    let session = Arc::clone(&in_use.session);
    let here = worker.node.peers.home;
    let Some(last) = call.headers.get(header::LAST_EVENT_ID) else {
        let ring = session.rings().and_then(|rings| rings.waiting());
        let Some(Ok(reader)) = ring.map(|ring| ring.read(None)) else { return anew(call, in_use) };
        let of = Of::Session(Positions::default());
        let place = Place { home: here, stream: reader.ring.stream, number: 0, of };
        return Resumed::Here(again(worker, call, in_use, (Some(reader), place), None).await);
    };
    // others are the server's
    let Some(place) = Place::open(&worker.node.seal, &session, last) else { return anew(call, in_use) };
    let mut place = place;
    let mut ring = session.rings().and_then(|rings| rings.of(place.stream));
    if ring.is_none() && place.home != here {
        call = match handed::resumption(worker, call, place.home).await {
            Ok(outcome) => return Resumed::Here(outcome),
            Err(call) => call,
        };
    }
    if ring.is_none() && place.request().is_some() {
        ring = spilled(worker, &session, place.stream).await;
    }
    if let Some(ring) = ring {
        // from here on, whoever asks elsewhere is sent here
        place.home = here;
        match (ring.read(Some(place.number)), &place.of) {
            (Ok(reader), _) => return Resumed::Here(again(worker, call, in_use, (Some(reader), place), None).await),
            (Err(Missing::Over { early: false }), Of::Request(_)) => {
                return Resumed::Here(again(worker, call, in_use, (None, place), None).await);
            }
            (Err(Missing::Over { early: false }), Of::Session(_)) => {
                // a stream that its server ended: the next one
                call.headers.remove(header::LAST_EVENT_ID);
                return anew(call, in_use);
            }
            (Err(Missing::Over { early: true } | Missing::Lost), _) => {}
        }
    }
    let positions = match place.of {
        Of::Session(positions) => positions,
        Of::Request(ref request) => {
            let answer = lost(request);
            return Resumed::Here(again(worker, call, in_use, (None, place), Some(answer)).await);
        }
    };
    call.headers.remove(header::LAST_EVENT_ID);
    let positions = still_good(&session, positions);
    if session.merged.is_none() {
        sessions::note_lists(worker, &session, &Kinds::ALL);
    }
    session.leave_notes(whatever_changed(&call.plane, &session, call.upstream.server(), call.naming, &positions));
    Resumed::Anew(Anew { call, in_use, positions: Some(positions) })
}

/// The answer to a call that a node left in the store as it ended.
async fn spilled(worker: &Worker, session: &Arc<Session>, stream: u64) -> Option<Arc<Ring>> {
    let node = &worker.node;
    let shared = node.sessions.shared().filter(|_| session.tie.is_kept())?;
    let events = shared.spilled(&node.seal, &session.id, stream).await.ok()??;
    let ring = Ring::of_spilled(stream, &events, node.metrics.held.clone())?;
    if session.rare().rings.add(&ring) {
        tokio::task::spawn_local(keep(Arc::clone(session), Arc::clone(&ring)));
    }
    Some(ring)
}

fn anew<To>(call: Call<To>, in_use: InUse) -> Resumed<To> {
    Resumed::Anew(Anew { call, in_use, positions: None })
}

/// The stream, as far as it is there.
async fn again<To: Door>(
    worker: &Rc<Worker>,
    call: Call<To>,
    in_use: InUse,
    (reader, place): (Option<Reader>, Place),
    before: Option<Item>,
) -> Outcome {
    let Call { upstream, base } = call;
    let mut base = *base;
    let upstream = upstream.server().cloned();
    let handles = upstream.as_ref().map(|upstream| handles_towards(worker, &base, upstream, None));
    let ticket = stream_ticket(base.ticket, &mut base.record, None)?;
    let mut before: VecDeque<Item> = before.into_iter().collect();
    if place.request().is_none() {
        before.extend(taken_notes(worker, &in_use.session).await);
    }
    let again = Again { node: Arc::clone(&worker.node), session: Arc::clone(&in_use.session), reader, place };
    Ok(stream(Relay::new(Parts {
        worker: Rc::clone(worker),
        source: Source::Again(Box::new(again)),
        handles,
        numbering: None,
        expected: None,
        depth: base.plane.snapshot.limits.json_depth,
        before,
        on_timeout: None,
        principal: base.principal,
        upstream,
        record: base.record,
        ticket,
        in_use: Some(in_use),
    })))
}

/// The positions whose servers still have the sessions they are of.
fn still_good(session: &Session, mut positions: Positions) -> Positions {
    let part = |at: &Position| session.merged.as_ref()?.open_part(&at.server);
    positions.retain(|at| part(at).is_some_and(|part| part.state().epoch == at.epoch));
    positions
}

/// What a client is told that may have missed something: that all lists may be others, and all resources it is subscribed to.
/// What parts with a position have to say, they say.
fn whatever_changed(
    plane: &Plane,
    session: &Session,
    server: Option<&Arc<Upstream>>,
    naming: Naming,
    positions: &Positions,
) -> Vec<Bytes> {
    let mut notes: Vec<Bytes> = LIST_CHANGED.map(list_changed).into();
    if let Some(upstream) = server {
        notes.extend(updated(session, upstream, naming));
    }
    for part in session.merged.iter().flat_map(|merged| merged.parts()) {
        let is_resumed = positions.of(&part.server).is_some();
        if let (false, Some(upstream)) = (is_resumed, plane.server(&part.server)) {
            notes.extend(updated(&part, upstream, naming));
        }
    }
    notes
}

/// `notifications/resources/updated` for everything a session is subscribed to, as the door names it.
pub(super) fn updated(session: &Session, upstream: &Upstream, naming: Naming) -> Vec<Bytes> {
    let state = session.state();
    let exposed = |uri: &Bytes| match naming {
        Naming::Prefixed => encode_string(&expose_uri(&upstream.exposure.token, &decode_string(uri))).into(),
        Naming::Own | Naming::Plain => uri.clone(),
    };
    let note = |uri| {
        let note = br#"{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"#;
        Bytes::from([&note[..], &exposed(uri)[..], b"}}"].concat())
    };
    state.subscriptions.iter().map(note).collect()
}
