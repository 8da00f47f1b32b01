//! Sessions that outlive this process, or are served by others as well: looked up, changed and ended in the store, and the
//! copies of this node brought to where the store is. What the memory of one process keeps is simply there.

use std::rc::Rc;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use sluice_mcp::{ScanLimits, scan};
use tokio::time::timeout;

use super::Place;
use crate::budget::Held;
use crate::catalog::Kind as Kinds;
use crate::clock::epoch_seconds;
use crate::exchange::merged;
use crate::limit;
use crate::node::Worker;
use crate::plane::Plane;
use crate::reason::Reason;
use crate::session::definition::Definitions;
use crate::session::record::{self, Record, Sealed};
use crate::session::store::{Down, Replaced, Shared};
use crate::session::{Merged, Opening, Session, SessionId, State};
use crate::upstream::{Carrier, Upstream};

impl From<Down> for Reason {
    fn from(Down: Down) -> Self {
        Self::SessionStore
    }
}

/// The session of a genuine id that is not at hand, or not known to be unchanged.
///
/// # Errors
/// [`Reason::SessionStore`]: nobody knows at the moment; [`Reason::Busy`].
pub(in crate::exchange) async fn find(worker: &Worker, id: &SessionId) -> Result<Option<Arc<Session>>, Reason> {
    let store = &worker.node.sessions;
    let Some(shared) = store.shared() else { return Ok(None) };
    let copy = store.held(id);
    match read(worker, id).await {
        Err(Reason::SessionStore) => copy.filter(|copy| shared.holds_over(copy)).map(Some).ok_or(Reason::SessionStore),
        found => found,
    }
}

/// The session of a genuine id as it is in the store.
///
/// # Errors
/// See [`find`].
pub(in crate::exchange) async fn read(worker: &Worker, id: &SessionId) -> Result<Option<Arc<Session>>, Reason> {
    let store = &worker.node.sessions;
    let Some(shared) = store.shared() else { return Ok(None) };
    let copy = store.held(id);
    let look = shared.look(id);
    let found = shared.read(&worker.node.seal, id).await?;
    let Some((record, revision)) = found.filter(|(record, _)| !is_aged(record.created)) else {
        if let Some(copy) = copy {
            gone(worker, &copy).await;
        }
        return Ok(None);
    };
    let plane = worker.plane();
    let session = match copy {
        Some(copy) => {
            adopt(shared, &plane, worker, &copy, record, revision);
            copy
        }
        None => match revived(worker, &plane, id, record, revision)? {
            Some(session) => store.take_in(session),
            None => return Ok(None),
        },
    };
    shared.confirm(&session, look);
    Ok((!session.is_over()).then_some(session))
}

/// A session begins: it is kept where others find it, unless it cannot leave this node.
///
/// # Errors
/// It is not kept, and must not begin.
pub(in crate::exchange) async fn begin(worker: &Rc<Worker>, session: Arc<Session>) -> Result<(), Reason> {
    let store = &worker.node.sessions;
    let plane = worker.plane();
    let shared = store.shared().filter(|_| may_leave(&plane, &session));
    let Some(shared) = shared else {
        store.take_in(session);
        return Ok(());
    };
    let record = record_of(&plane, &session).ok_or(Reason::Busy)?;
    let look = shared.look(&session.id);
    shared.create(&worker.node.seal, &session.id, &record, life(&plane)).await?;
    session.tie.set_revision(1);
    store.take_in(Arc::clone(&session));
    shared.confirm(&session, look);
    // what was opened for a session of the merged door while it was written
    for part in session.merged.iter().flat_map(|merged| merged.parts()) {
        if !record.parts.iter().any(|kept| *kept.server == *part.server) {
            let _ = add(worker, &session, &part).await;
        }
    }
    Ok(())
}

/// Changes the state of a session, or of a part of one, before the change counts. `false`: it does not apply any more.
///
/// # Errors
/// It is not known to be kept; or the session is over.
pub(in crate::exchange) async fn change(
    worker: &Worker,
    session: &Arc<Session>,
    mut change: impl FnMut(&mut State) -> bool,
) -> Result<bool, Reason> {
    let (whole, part) = match session.whole() {
        None => (Arc::clone(session), None),
        Some(None) => return Err(Reason::SessionUnknown),
        Some(Some(whole)) => (whole, Some(&*session.server)),
    };
    let mut is_kept = whole.tie.is_kept();
    let applies = is_kept
        && rewrite(worker, &whole, |record| match record.state_of(part) {
            Some(state) => change(state),
            // a part that cannot leave this node
            None => {
                is_kept = false;
                false
            }
        })
        .await?;
    Ok(if is_kept { applies } else { session.update(change) })
}

/// A server told a session that its lists changed: all nodes have to know that they may be unlike others'.
pub(in crate::exchange) fn note_lists(worker: &Rc<Worker>, session: &Arc<Session>, kinds: &[Kinds]) {
    let fresh = session.told_of_lists(kinds);
    if fresh != 0 && session.tie.is_kept() {
        let (worker, session) = (Rc::clone(worker), Arc::clone(session));
        tokio::task::spawn_local(async move {
            let noted = change(&worker, &session, |state| {
                let told = state.told | fresh;
                std::mem::replace(&mut state.told, told) != told
            });
            if noted.await.is_err() {
                tracing::debug!("other nodes do not know that a session has lists of its own");
            }
        });
    }
}

/// Keeps the log level of a session of the merged door, for the servers that are open and those that are opened later.
pub(in crate::exchange) async fn set_log_level(
    worker: &Worker,
    whole: &Arc<Session>,
    level: Bytes,
) -> Result<(), Reason> {
    let Some(merged) = &whole.merged else { return Ok(()) };
    if whole.tie.is_kept() {
        rewrite(worker, whole, |record| {
            record.log_level = Some(level.clone());
            record.parts.iter_mut().for_each(|part| part.state.log_level = Some(level.clone()));
            true
        })
        .await?;
    }
    for part in merged.parts() {
        part.update(|state| state.log_level.replace(level.clone()).as_ref() != Some(&level));
    }
    merged.log_level.store(Some(Arc::new(level)));
    Ok(())
}

/// Keeps a part that was opened, so that other nodes go on with it. `false`: somebody else opened one first, which is the
/// part now.
pub(super) async fn add(worker: &Worker, whole: &Arc<Session>, part: &Arc<Session>) -> Result<bool, Reason> {
    let plane = worker.plane();
    let Some(kept) = kept_part(&plane, part).filter(|_| whole.tie.is_kept()) else { return Ok(true) };
    rewrite(worker, whole, |record| {
        let there = record.parts.iter_mut().find(|other| other.server == kept.server);
        match there {
            Some(other) if other.definitions.agree(&kept.definitions) => return other.state == kept.state,
            Some(other) => *other = kept.clone(),
            None => record.parts.push(kept.clone()),
        }
        true
    })
    .await
}

/// Parts whose servers are gone, or configured otherwise, are parts no longer: says which of them this node is to end.
pub(super) async fn take_out(worker: &Worker, whole: &Arc<Session>, gone: Vec<Arc<Session>>) -> Vec<Arc<Session>> {
    let Some(shared) = worker.node.sessions.shared().filter(|_| whole.tie.is_kept()) else { return gone };
    for _ in 0..limit::STATE_TRIES {
        let Ok(Some((mut record, revision))) = shared.read(&worker.node.seal, &whole.id).await else { break };
        let is_in = |record: &Record, part: &Session| {
            let same =
                |kept: &record::Part| *kept.server == *part.server && kept.state.upstream == part.state().upstream;
            record.parts.iter().any(same)
        };
        let ours: Vec<_> = gone.iter().filter(|part| is_in(&record, part)).cloned().collect();
        if ours.is_empty() {
            break;
        }
        record.parts.retain(|kept| !ours.iter().any(|part| *part.server == *kept.server));
        match shared.replace(&worker.node.seal, &whole.id, revision, &record, revision + 1).await {
            Ok(Replaced::Done) => {
                adopt(shared, &worker.plane(), worker, whole, record, revision + 1);
                return ours;
            }
            Ok(Replaced::Other(_)) => {}
            Ok(Replaced::Gone) | Err(Down) => break,
        }
    }
    Vec::new()
}

/// Ends a session for everybody. `true` for the one caller who did, and ends it towards its servers.
///
/// # Errors
/// Nobody knows whether it is over.
pub(in crate::exchange) async fn remove(worker: &Worker, session: &Arc<Session>) -> Result<bool, Reason> {
    let store = &worker.node.sessions;
    let Some(shared) = store.shared().filter(|_| session.tie.is_kept()) else {
        let first = store.let_go(&session.id);
        session.end();
        return Ok(first);
    };
    if !shared.is_up() {
        // nothing is asked for: it goes on
        return Err(Reason::SessionStore);
    }
    let removed = shared.remove(&session.id).await.inspect_err(|_| {
        // done or not, or done later: whoever finds that it is over here tells the server
        session.tie.owe_end();
        session.tie.doubt();
    })?;
    let first = removed.is_some();
    // others may have opened what is to be ended now
    if let Some((record, revision)) = removed.and_then(|sealed| shared.open(&worker.node.seal, &session.id, sealed)) {
        adopt(shared, &worker.plane(), worker, session, record, revision);
    }
    match first {
        true => {
            store.let_go(&session.id);
            session.end();
        }
        false => gone(worker, session).await,
    }
    Ok(first)
}

/// Somebody else ended the session, or this node did without hearing of it: it is over here, too.
async fn gone(worker: &Worker, session: &Arc<Session>) {
    let store = &worker.node.sessions;
    let is_first = store.let_go(&session.id);
    session.end();
    if let Some(shared) = store.shared().filter(|_| is_first && session.tie.owes_end()) {
        shared.owe_end(session);
    }
    release(&worker.plane(), session).await;
}

/// Lets go of processes that the parts of a session have on this node.
pub(super) async fn release(plane: &Plane, session: &Session) {
    for part in session.merged.iter().flat_map(|merged| merged.parts()) {
        if let (Some(upstream), Some(attachment)) = (plane.server(&part.server), part.take_attachment().await) {
            upstream.children.release(&attachment, part.id.0);
        }
    }
}

/// Looks after copies. Those of which something was changed are held against the store, before they are needed: that may have been a
/// note of use, or this node's own change. Those that are in use here are brought to where the store is, so that their streams end
/// with them. After a new line to the store, all are looked at.
pub(crate) async fn follow(worker: Rc<Worker>) {
    let Some(shared) = worker.node.sessions.shared() else { return };
    loop {
        let ids = shared.doubted().await;
        for (at, batch) in ids.chunks(limit::STORE_BATCH).enumerate() {
            if compare(&worker, shared, batch).await.is_err() {
                tokio::time::sleep(limit::STORE_PING).await;
                shared.doubt_again(ids[at * limit::STORE_BATCH..].to_vec());
                break;
            }
        }
    }
}

/// Holds copies against the store: those that are as it has them are good again. A revision is not sealed; whoever writes one without
/// our key leaves things as they are.
async fn compare(worker: &Worker, shared: &Shared, ids: &[SessionId]) -> Result<(), Reason> {
    let looks: Vec<_> = ids.iter().map(|id| shared.look(id)).collect();
    for ((id, look), revision) in ids.iter().zip(looks).zip(shared.revisions(ids.to_vec()).await?) {
        let Some(copy) = worker.node.sessions.held(id) else { continue };
        let is_current = || revision == Some(copy.tie.revision());
        if revision.is_some() && !is_current() {
            // our own change may be kept already, and not count yet
            drop(shared.turn(id).await);
        }
        match revision {
            Some(_) if is_current() => shared.confirm(&copy, look),
            // when it is used next
            Some(_) if !copy.is_in_use() => {}
            _ => drop(find(worker, id).await?),
        }
    }
    Ok(())
}

/// Whether a session is too old to go on.
pub(super) fn is_aged(created: u64) -> bool {
    epoch_seconds().saturating_sub(created) >= limit::SESSION_AGE.as_secs()
}

/// How often uses are noted.
pub(super) fn noted_every(plane: &Plane) -> Duration {
    (plane.snapshot.limits.session_idle / 4).min(limit::USE_NOTED)
}

/// How long a record is kept after the last use: until it idled, as far as some node can know, and that node could end it.
pub(super) fn life(plane: &Plane) -> Duration {
    plane.snapshot.limits.session_idle + note_late(plane) + limit::IDLE_NOTICED
}

/// How late a use may be noted.
pub(super) fn note_late(plane: &Plane) -> Duration {
    noted_every(plane) + 2 * limit::SWEEP
}

/// Rewrites a record as `change` says, again when somebody else was faster. `false`: the change does not apply any more.
async fn rewrite(
    worker: &Worker,
    whole: &Arc<Session>,
    change: impl FnMut(&mut Record) -> bool,
) -> Result<bool, Reason> {
    let rewritten = try_rewrite(worker, whole, change).await;
    if rewritten == Err(Reason::SessionStore) {
        // written or not: the store knows
        whole.tie.note_unanswered();
        if let Some(shared) = worker.node.sessions.shared() {
            shared.doubt_again(vec![whole.id]);
        }
    }
    rewritten
}

/// The same, of what the copy here has in any case.
pub(super) async fn try_rewrite(
    worker: &Worker,
    whole: &Arc<Session>,
    change: impl FnMut(&mut Record) -> bool,
) -> Result<bool, Reason> {
    let Some(shared) = worker.node.sessions.shared() else { return Err(Reason::SessionStore) };
    let rewriting = async {
        // those of this node wait for each other: a client may subscribe to a hundred resources at once
        let _turn = shared.turn(&whole.id).await;
        rewrite_in_turn(worker, shared, whole, change).await
    };
    timeout(limit::STORE_DEADLINE, rewriting).await.unwrap_or(Err(Reason::SessionStore))
}

async fn rewrite_in_turn(
    worker: &Worker,
    shared: &Shared,
    whole: &Arc<Session>,
    mut change: impl FnMut(&mut Record) -> bool,
) -> Result<bool, Reason> {
    let (seal, plane) = (&worker.node.seal, worker.plane());
    let mut behind = None;
    for _ in 0..limit::STATE_TRIES {
        let (record, revision) = current(shared, &plane, whole);
        let Some(mut record) = record else { return Err(Reason::SessionUnknown) };
        if !change(&mut record) {
            return Ok(false);
        }
        let from = behind.take().unwrap_or(revision);
        let next = revision.max(from) + 1;
        match shared.replace(seal, &whole.id, from, &record, next).await? {
            Replaced::Done => {
                adopt(shared, &plane, worker, whole, record, next);
                return Ok(true);
            }
            Replaced::Gone => {
                gone(worker, whole).await;
                return Err(Reason::SessionUnknown);
            }
            Replaced::Other(other) => match shared.open(seal, &whole.id, other) {
                Some((record, other)) if other > revision => adopt(shared, &plane, worker, whole, record, other),
                // the store lost what it had acknowledged, in a failover: the copy is the newer one
                Some((_, other)) => behind = Some(other),
                None => {
                    gone(worker, whole).await;
                    return Err(Reason::SessionUnknown);
                }
            },
        }
    }
    Err(Reason::SessionStore)
}

/// The record of a session as this node has it, and its revision.
fn current(shared: &Shared, plane: &Plane, whole: &Session) -> (Option<Record>, u64) {
    let _one = shared.adopting.lock().unwrap_or_else(PoisonError::into_inner);
    (record_of(plane, whole), whole.tie.revision())
}

/// Whether a session can be served by other nodes: not one with a server behind a pipe.
fn may_leave(plane: &Plane, session: &Session) -> bool {
    session.merged.is_some()
        || plane.server(&session.server).is_some_and(|upstream| upstream.carrier() == Carrier::Requests)
}

/// `None`: its server is not configured any more.
fn record_of(plane: &Plane, session: &Session) -> Option<Record> {
    let server = match &session.merged {
        Some(_) => None,
        None => {
            let upstream = plane.server(&session.server).filter(|upstream| upstream.id == session.definition)?;
            Some((Box::from(&**upstream.name()), Definitions::of(upstream)))
        }
    };
    let merged = session.merged.as_ref();
    let mut parts: Vec<_> =
        merged.iter().flat_map(|merged| merged.parts()).filter_map(|part| kept_part(plane, &part)).collect();
    let others: Vec<_> = merged.iter().flat_map(|merged| merged.elsewhere()).collect();
    parts.extend(
        others.into_iter().filter(|other| !parts.iter().any(|part| part.server == other.server)).collect::<Vec<_>>(),
    );
    Some(Record {
        owner: session.owner,
        principal: session.principal,
        subject: Box::from(&*session.subject),
        server,
        declared: session.declared,
        created: session.created,
        initialize: session.initialize.clone(),
        state: State::clone(&session.state()),
        log_level: merged.and_then(|merged| merged.log_level.load_full()).map(|level| Bytes::clone(&level)),
        parts,
        stream: session.stream_holder(),
    })
}

/// A part, if other nodes can go on with it.
fn kept_part(plane: &Plane, part: &Session) -> Option<record::Part> {
    let upstream = plane.server(&part.server).filter(|upstream| upstream.id == part.definition)?;
    (upstream.carrier() == Carrier::Requests).then(|| record::Part {
        server: Box::from(&*part.server),
        definitions: Definitions::of(upstream),
        state: State::clone(&part.state()),
    })
}

/// Makes a session of its record; `None`: its server is not the one it was opened with.
fn revived(
    worker: &Worker,
    plane: &Plane,
    id: &SessionId,
    record: Record,
    revision: u64,
) -> Result<Option<Arc<Session>>, Reason> {
    let (server, definition, merged) = match &record.server {
        Some((server, definitions)) => match same(plane, server, definitions) {
            Some(upstream) => (Arc::clone(upstream.name()), upstream.id, None),
            None => return Ok(None),
        },
        None => {
            let Ok(message) = scan(&record.initialize, ScanLimits { depth: u16::MAX }) else { return Ok(None) };
            let capabilities = message.p.capabilities.map_or(&b"{}"[..], |span| span.of(&record.initialize));
            let audience = merged::audience(plane, record.principal, *id, capabilities);
            (Arc::from(""), Merged::DEFINITION, Some(Box::new(Merged::new(audience))))
        }
    };
    let held: Held = worker.node.hold(record.initialize.len())?;
    // it was let in when it began
    let place = Place::take(&worker.node.quotas.account(record.owner), u32::MAX)?;
    let opening = Opening {
        owner: record.owner,
        principal: record.principal,
        subject: Arc::from(&*record.subject),
        server,
        definition,
        initialize: record.initialize.clone(),
        declared: record.declared,
        upstream: None,
        place: None,
        version: None,
        attachment: None,
        merged,
        whole: None,
        created: record.created,
        account: Some(place.keep()),
        held: Some(held),
    };
    let session = Arc::new(Session::new(*id, opening, worker.node.clock.ms()));
    if let Some(shared) = worker.node.sessions.shared() {
        adopt(shared, plane, worker, &session, record, revision);
    }
    Ok(Some(session))
}

/// The server of a record, if it is configured here as it was, or runs where it did.
fn same<'p>(plane: &'p Plane, server: &str, was: &Definitions) -> Option<&'p Arc<Upstream>> {
    plane.server(server).filter(|upstream| Definitions::of(upstream).agree(was))
}

/// Brings a copy to where the store is, unless it is further.
fn adopt(shared: &Shared, plane: &Plane, worker: &Worker, whole: &Arc<Session>, record: Record, revision: u64) {
    let _one = shared.adopting.lock().unwrap_or_else(PoisonError::into_inner);
    if revision <= whole.tie.revision() {
        return;
    }
    whole.set_state(record.state);
    match record.stream {
        Some(holder) => whole.stream_is_held_by(holder),
        None => whole.stream_is_free(worker.node.sessions.process),
    }
    if let Some(merged) = &whole.merged {
        if let Some(level) = record.log_level {
            merged.log_level.store(Some(Arc::new(level)));
        }
        let is_kept = |part: &Session| record.parts.iter().any(|kept| *kept.server == *part.server);
        let is_here = |part: &Session| kept_part(plane, part).is_none();
        for closed in merged.take_closed(|part| is_kept(part) || is_here(part)) {
            closed.end();
        }
        let (here, elsewhere) = record
            .parts
            .into_iter()
            .partition::<Vec<_>, _>(|kept| same(plane, &kept.server, &kept.definitions).is_some());
        merged.set_elsewhere(elsewhere);
        for kept in here {
            adopt_part(plane, worker, whole, merged, kept);
        }
    }
    whole.tie.set_revision(revision);
}

fn adopt_part(plane: &Plane, worker: &Worker, whole: &Arc<Session>, merged: &Merged, kept: record::Part) {
    let Some(upstream) = same(plane, &kept.server, &kept.definitions) else { return };
    let place = merged.part(upstream.name());
    if let Some(part) = place.session(upstream.id) {
        part.set_state(kept.state);
        return;
    }
    let opening = Opening {
        owner: whole.owner,
        principal: whole.principal,
        subject: Arc::clone(&whole.subject),
        server: Arc::clone(upstream.name()),
        definition: upstream.id,
        initialize: whole.initialize.clone(),
        declared: whole.declared,
        upstream: None,
        place: None,
        version: None,
        attachment: None,
        merged: None,
        whole: Some(Arc::downgrade(whole)),
        created: whole.created,
        account: None,
        held: None,
    };
    let part = Arc::new(Session::new(whole.id, opening, worker.node.clock.ms()));
    part.set_state(kept.state);
    if let Some(before) = place.open(part) {
        before.end();
    }
    merged.opened.notify_waiters();
}

/// Takes what was removed from a store as a session that is to be ended.
pub(super) fn ended(worker: &Worker, id: &SessionId, sealed: Sealed) -> Option<Arc<Session>> {
    let shared = worker.node.sessions.shared()?;
    let (record, revision) = shared.open(&worker.node.seal, id, sealed)?;
    revived(worker, &worker.plane(), id, record, revision).ok().flatten()
}
