//! The standalone stream of a merged session: the streams of its parts in one, and what the catalogue tells. A part that
//! opens later joins in; one whose server goes away leaves.

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use bytes::Bytes;
use sluice_http1::Fields;
use sluice_mcp::{Kind, Message, ScanLimits, header, scan};
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};

use super::asker::Asker;
use super::lists::{self};
use super::{merged_of, quiet, seen};
use crate::auth::Principal;
use crate::catalog::Kind as Kinds;
use crate::exchange::call::{Arrival, Content, Reply};
use crate::exchange::handles::Handles;
use crate::exchange::holding::Holding;
use crate::exchange::relay::{
    Item, LIST_CHANGED, Numbering, Parts, Relay, Source, list_changed, open_event, seal_event,
};
use crate::exchange::resumption::updated;
use crate::exchange::{Outcome, handles_of, http_server, pipe_server, refuse, stream, stream_ticket, taken_notes};
use crate::limit;
use crate::node::Worker;
use crate::plane::Plane;
use crate::reason::Reason;
use crate::session::ring::{Position, Positions};
use crate::session::{InUse, Requests, Session};
use crate::upstream::Carrier;

/// Opens the stream; in the place of one that got as far as `from`, if the client `comes_back` for one.
pub(super) async fn open(
    worker: &Rc<Worker>,
    mut arrival: Arrival,
    whole: InUse,
    from: Option<Positions>,
    comes_back: bool,
) -> Outcome {
    let holding = match Holding::take(worker, &whole.session, comes_back).await {
        Ok(holding) => holding,
        Err(reason) => return Err(refuse(&mut arrival, reason, None)),
    };
    let mut base = *arrival.base;
    let ticket = stream_ticket(base.ticket, &mut base.record, None)?;
    let (items, queue) = mpsc::channel(limit::GATHERED);
    let gathering = Gathering {
        worker: Rc::clone(worker),
        whole: Arc::clone(&whole.session),
        principal: base.principal.clone(),
        headers: base.headers,
        items,
        from: RefCell::new(from.clone().unwrap_or_default()),
    };
    let gathering = tokio::task::spawn_local(gathering.run()).abort_handle();
    let mut relay = Relay::new(Parts {
        worker: Rc::clone(worker),
        source: Source::Gathered { items: queue, gathering },
        handles: None,
        numbering: None,
        expected: None,
        depth: base.plane.snapshot.limits.json_depth,
        before: taken_notes(worker, &whole.session).await,
        on_timeout: None,
        principal: base.principal,
        upstream: None,
        record: base.record,
        ticket,
        in_use: Some(whole),
    });
    if let Some(from) = from {
        relay.goes_on_from(from);
    }
    Ok(stream(relay.held(holding)))
}

struct Gathering {
    worker: Rc<Worker>,
    whole: Arc<Session>,
    principal: Principal,
    headers: Fields,
    items: mpsc::Sender<Item>,
    /// Where the streams of parts go on that have not joined yet.
    from: RefCell<Positions>,
}

impl Gathering {
    async fn run(self) {
        let mut told = self.worker.node.changes.told();
        let mut before = *told.borrow_and_update();
        let mut quiet_until = Instant::now();
        let mut streams = JoinSet::new();
        let mut joined: HashMap<Arc<str>, (u64, AbortHandle)> = HashMap::new();
        let merged = merged_of(&self.whole);
        let mut seen = seen::Seen::new(&self.worker, &self.principal);
        loop {
            let mut opened = std::pin::pin!(merged.opened.notified());
            // listening before looking: a part that opens in between is not missed
            opened.as_mut().enable();
            self.join(&seen.plane, &mut joined, &mut streams);
            // a stream that has nothing to wait for has no timer
            let missing = merged.missing.load(Ordering::Relaxed);
            let changed = tokio::select! {
                () = self.items.closed() => return,
                () = &mut opened => [false; 3],
                others = seen.changed() => [others; 3],
                changed = due(&mut told, before, quiet_until) => {
                    let Some(now) = changed else { return };
                    let changed = std::array::from_fn(|at| now[at] != before[at]);
                    before = now;
                    changed
                }
                () = tokio::time::sleep(limit::SWEEP), if missing => {
                    let asker = Asker::Legacy(Arc::clone(&self.whole));
                    merged.missing.store(try_missed(&self.worker, &seen.plane, &asker), Ordering::Relaxed);
                    [false; 3]
                }
            };
            if changed.contains(&true) {
                for (method, _) in LIST_CHANGED.iter().zip(changed).filter(|(_, changed)| *changed) {
                    if self.items.send(Item::message(list_changed(*method))).await.is_err() {
                        return;
                    }
                }
                quiet_until = Instant::now() + limit::CHANGES_PAUSE;
            }
            while streams.try_join_next().is_some() {}
        }
    }

    /// Takes in the streams of parts that are open, and lets go those whose servers are configured otherwise by now.
    fn join(&self, plane: &Plane, joined: &mut HashMap<Arc<str>, (u64, AbortHandle)>, streams: &mut JoinSet<()>) {
        joined.retain(|server, (definition, stream)| {
            let same = plane.server(server).is_some_and(|upstream| upstream.id == *definition);
            if !same {
                stream.abort();
            }
            same
        });
        for part in merged_of(&self.whole).parts() {
            let known = joined.get(&part.server).is_some_and(|(definition, _)| *definition == part.definition);
            let current = plane.server(&part.server).is_some_and(|upstream| upstream.id == part.definition);
            if known || !current {
                continue;
            }
            let position = self.from.borrow_mut().take(&part.server);
            let one = One {
                worker: Rc::clone(&self.worker),
                whole: Arc::clone(&self.whole),
                part: Arc::clone(&part),
                principal: self.principal.clone(),
                headers: self.headers.clone(),
                items: self.items.clone(),
            };
            let stream = streams.spawn_local(one.run(position));
            joined.insert(Arc::clone(&part.server), (part.definition, stream));
        }
    }
}

/// Servers that were missing when clients like this one listed are tried again from time to time; when they come, it is
/// told. Says whether any is missing still.
pub(super) fn try_missed(worker: &Rc<Worker>, plane: &Plane, asker: &Asker) -> bool {
    let now = Instant::now();
    let mut missing = false;
    for upstream in plane.servers() {
        let Some(entry) = upstream.catalogue.known(&asker.audience_of(upstream)) else { continue };
        if !entry.is_missed() {
            continue;
        }
        missing = true;
        if entry.held_back(now).is_some() {
            continue;
        }
        for kind in Kinds::ALL {
            if entry.is_missed_in(kind) && !entry.is_fetching(kind) {
                drop(lists::begin(worker, upstream, asker, kind));
            }
        }
    }
    missing
}

/// Waits for a change of lists that is to be told, and not before `quiet_until`: a server whose lists change all the time
/// must not keep everybody busy. `None` when the node goes away. May be dropped and called again at any time.
pub(super) async fn due(
    told: &mut watch::Receiver<[u64; 3]>,
    before: [u64; 3],
    quiet_until: Instant,
) -> Option<[u64; 3]> {
    told.wait_for(|now| *now != before).await.ok()?;
    let copies_are_in = Instant::now() + limit::CHANGES_COPIES;
    tokio::time::sleep_until(quiet_until.max(copies_are_in).into()).await;
    Some(*told.borrow_and_update())
}

/// The stream of one part.
struct One {
    worker: Rc<Worker>,
    whole: Arc<Session>,
    part: Arc<Session>,
    principal: Principal,
    headers: Fields,
    items: mpsc::Sender<Item>,
}

impl One {
    /// Opens it, and again whenever it ends, until the server says that it has none.
    async fn run(self, mut position: Option<Position>) {
        let mut last: Option<String> = None;
        let mut pause = limit::GATHER_RETRY_FIRST;
        loop {
            let plane = seen::plane(&self.worker, &self.principal);
            let Some(upstream) = plane.server(&self.part.server).filter(|u| u.id == self.part.definition) else {
                return;
            };
            let mut headers = self.headers.clone();
            headers.remove(header::LAST_EVENT_ID);
            let mut call = quiet::call(&self.worker, &plane, upstream, &self.principal, headers);
            let handles = handles_of(&self.worker, &call, None);
            let resumed =
                position.take().map(|at| seal_event(&handles, self.numbering(at.epoch), &at.id)).or(last.take());
            let had_last = resumed.is_some();
            if let Some(last) = &resumed {
                // sealed by us: a field value
                let _ = call.headers.set(header::LAST_EVENT_ID, last.as_bytes());
            }
            let in_use = self.whole.hold(self.worker.node.clock).part(&self.part, Requests::None);
            let opened = match upstream.carrier() {
                // boxed: a stream that is open does not keep the room that opening it took
                Carrier::Requests => Box::pin(http_server::get(&self.worker, call, in_use, true)).await,
                Carrier::Pipe => Box::pin(pipe_server::get(&self.worker, call, in_use, true)).await,
            };
            match opened {
                Ok(Reply { content: Content::Messages(relay), .. }) => {
                    let asker = Asker::Legacy(Arc::clone(&self.whole));
                    let (_watch, first) = upstream.catalogue.watch(&asker.audience_of(upstream));
                    if first {
                        lists::doubt(&self.worker, upstream, &asker);
                    }
                    let begun = Instant::now();
                    last = match self.pass(*relay, &handles).await {
                        Ok(last) => last.or(resumed),
                        Err(Gone) => return,
                    };
                    if begun.elapsed() > limit::GATHER_RETRY_LAST {
                        pause = limit::GATHER_RETRY_FIRST;
                    }
                }
                Ok(_) => return,
                Err(refusal) => match refusal.reason {
                    // it has no such stream, or our session is over
                    Reason::MethodNotAllowed(_) | Reason::SessionUnknown => return,
                    reason => {
                        tracing::debug!(server = %upstream.name(), outcome = reason.row().outcome, "no standalone stream");
                        // one that was not heard can be asked again
                        let heard =
                            !matches!(reason, Reason::ServerUnreachable | Reason::ServerClosed) && !reason.is_silence();
                        last = resumed.filter(|_| !heard);
                        if had_last && last.is_none() && self.missed(&handles).await.is_err() {
                            return;
                        }
                    }
                },
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(limit::GATHER_RETRY_LAST);
        }
    }

    /// Passes messages on, to the end of the stream; what comes back is where to resume it.
    async fn pass(&self, mut relay: Relay, handles: &Handles) -> Result<Option<String>, Gone> {
        let mut last = None;
        while let Some(item) = poll_fn(|cx| relay.poll_item(cx)).await {
            let at = item.id.as_ref().and_then(|id| self.position(handles, id));
            last = item.id.or(last);
            let Some(data) = item.data.filter(|data| !data.is_empty()) else {
                if at.is_some() {
                    // the server tells how to come back: for the client, a part of how it does
                    self.items.send(Item { at, ..Item::comment() }).await.map_err(|_| Gone)?;
                }
                continue;
            };
            let message = scan(&data, ScanLimits { depth: u16::MAX }).ok();
            if let Some(message) = message.filter(|message| message.kind == Kind::Response)
                && !self.is_owed(&data, &message)
            {
                continue;
            }
            // without the server's event id: a stream of several cannot be resumed by the number of one alone
            self.items.send(Item { at, ..Item::message(data) }).await.map_err(|_| Gone)?;
        }
        Ok(last)
    }

    fn numbering(&self, epoch: u64) -> Numbering {
        Numbering { session: self.part.id, epoch, stands: true }
    }

    /// What an event of the part with this id says of its stream.
    fn position(&self, handles: &Handles, id: &str) -> Option<Box<Position>> {
        let epoch = self.part.state().epoch;
        let id = open_event(handles, self.numbering(epoch), id.as_bytes())?;
        Some(Box::new(Position { server: Arc::clone(&self.part.server), epoch, id: id.into() }))
    }

    /// The server cannot say what came after the last event: the client is told what may have changed.
    async fn missed(&self, handles: &Handles) -> Result<(), Gone> {
        let lists = LIST_CHANGED.into_iter().map(list_changed);
        for note in lists.chain(updated(&self.part, &handles.upstream, handles.naming)) {
            self.items.send(Item::message(note)).await.map_err(|_| Gone)?;
        }
        Ok(())
    }

    /// Whether a response here answers a request that this server has. Servers are to answer where they were asked, or where
    /// the stream of that is resumed; some take any stream that is open, and a client that is connected to them directly
    /// takes the answer from any.
    fn is_owed(&self, data: &Bytes, response: &Message) -> bool {
        let merged = merged_of(&self.whole);
        let id = response
            .id
            .map(|id| id.of(data))
            .filter(|id| merged.server_of(id).is_some_and(|server| server == self.part.server));
        id.inspect(|id| merged.answered(id)).is_some()
    }
}

/// The client's stream is gone.
struct Gone;
