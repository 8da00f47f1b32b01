//! Sessions as people are told of them, and ended as people want it: those in the memory of this node, those in its file, and
//! those that it keeps together with others, where this node is the one that is asked for them.
//!
//! What is told is in the order of ids, so that a page can go on where another ended, on whichever node, while sessions come
//! and go. The control runtime looks through them; one worker ends them.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sluice_contract::v1;

use super::end;
use super::kept::{ended, find, life, remove};
use crate::clock::epoch_ms;
use crate::limit;
use crate::node::{Node, Worker};
use crate::reason::Reason;
use crate::session::endings::Ended;
use crate::session::record::Record;
use crate::session::store::{Down, Shared};
use crate::session::{Session, SessionId};

/// What is told where the store does not answer.
const STORE_DOWN: &str = "what keeps sessions does not answer";
/// And where sessions are to be ended.
const NOT_ENDED: &str = "what keeps sessions does not answer: those it keeps may go on; end them again when it does";

/// Which sessions are meant.
struct Which<'q> {
    subject: &'q str,
    server: &'q str,
    after: Option<SessionId>,
}

/// Sessions in order, as far as was looked.
#[derive(Default)]
struct Found {
    sessions: Vec<v1::Session>,
    /// There may be more after this one.
    until: Option<SessionId>,
}

/// Sessions in a moment of a node.
struct Census<'n> {
    node: &'n Node,
    /// The store, where there is one that keeps sessions beyond the process.
    store: Option<&'n Shared>,
    /// The store is looked through: not where another node does that.
    looks: bool,
    now_ms: u64,
}

/// A page of the sessions of this node; with those that it keeps together with others if `shared`.
pub(crate) async fn list(node: &Node, asked: &v1::ListSessionsRequest, shared: bool) -> v1::ListSessionsResponse {
    let limit = if asked.limit == 0 { limit::SESSIONS_USUAL } else { asked.limit.min(limit::SESSIONS_LISTED) } as usize;
    let which = Which { subject: &asked.principal, server: &asked.server, after: SessionId::shown(&asked.after) };
    let census = Census::of(node, shared);
    let kept = match census.looked_through() {
        Some(store) => Some(census.kept(store, &which, limit).await),
        None => None,
    };
    // copies are told by the store, if it tells anything
    let copies = !matches!(kept, Some(Ok(_)));
    let (near, near_is_sure) = census.near(&which, limit, copies).await;
    let kept = kept.unwrap_or_else(|| Ok(Found::default()));
    let trouble = if near_is_sure && kept.is_ok() { Vec::new() } else { vec![STORE_DOWN.to_owned()] };
    let (sessions, next) = merged(near, kept.unwrap_or_default(), limit);
    v1::ListSessionsResponse { sessions, next: next.unwrap_or_default(), trouble }
}

/// Ends sessions that are at hand here, and those that are kept together with others if `shared`.
pub(crate) async fn end_for(node: &Node, asked: &v1::EndSessionsRequest, shared: bool) -> v1::EndSessionsResponse {
    let looks = Census::of(node, shared).looks;
    let mut answer = v1::EndSessionsResponse::default();
    let mut finish = |ended: Ended| {
        answer.ended += ended.count;
        if !ended.are_all && answer.trouble.is_empty() {
            answer.trouble.push(NOT_ENDED.to_owned());
        }
    };
    let named = asked.sessions.iter().take(limit::SESSIONS_LISTED as usize);
    finish(node.endings.ask(named.filter_map(|id| SessionId::shown(id)).collect(), looks).await);
    let mut page = v1::ListSessionsRequest {
        principal: asked.principal.clone(),
        limit: limit::SESSIONS_LISTED,
        ..v1::ListSessionsRequest::default()
    };
    while !asked.principal.is_empty() {
        let found = list(node, &page, shared).await;
        if !found.trouble.is_empty() {
            finish(Ended { count: 0, are_all: false });
        }
        let is_meant = |session: &&v1::Session| asked.begun_by_ms == 0 || session.created_ms <= asked.begun_by_ms;
        let meant = found.sessions.iter().filter(is_meant);
        let ids = meant.filter_map(|session| SessionId::shown(&session.session)).collect();
        finish(node.endings.ask(ids, looks).await);
        if found.next.is_empty() {
            break;
        }
        page.after = found.next;
    }
    tracing::info!(ended = answer.ended, principal = asked.principal, "somebody ended sessions");
    answer
}

/// Ends what is asked for, on the worker that does so.
pub(crate) async fn end_asked(worker: Rc<Worker>) {
    loop {
        let asked = worker.node.endings.next().await;
        let mut ended = Ended { count: 0, are_all: true };
        for id in &asked.ids {
            match end_one(&worker, id, asked.shared).await {
                Ok(Some(session)) => {
                    ended.count += 1;
                    let (worker, plane) = (Rc::clone(&worker), worker.plane());
                    tokio::task::spawn_local(async move { end(&worker, &plane, &session).await });
                }
                Ok(None) => {}
                Err(_) => ended.are_all = false,
            }
        }
        // whoever asked may be gone
        let _ = asked.done.send(ended);
    }
}

/// The session, if it was this call that ended it: it is to be ended towards its servers.
async fn end_one(worker: &Rc<Worker>, id: &SessionId, shared: bool) -> Result<Option<Arc<Session>>, Reason> {
    let store = &worker.node.sessions;
    let session = match store.held(id) {
        Some(session) => Some(session),
        None if shared => match find(worker, id).await? {
            Some(session) => Some(session),
            // of a server that is not configured here: nobody can tell it
            None => {
                let Some(store) = store.shared() else { return Ok(None) };
                let removed = store.remove(id).await?;
                return Ok(removed.and_then(|sealed| ended(worker, id, sealed)));
            }
        },
        None => None,
    };
    match session {
        Some(session) => Ok(remove(worker, &session).await?.then_some(session)),
        None => Ok(None),
    }
}

impl<'n> Census<'n> {
    fn of(node: &'n Node, shared: bool) -> Self {
        let store = node.sessions.shared();
        let looks = store.is_some_and(|store| shared || !store.is_of_many());
        Self { node, store, looks, now_ms: epoch_ms() }
    }

    /// The store, where this node looks through it.
    fn looked_through(&self) -> Option<&'n Shared> {
        self.store.filter(|_| self.looks)
    }

    /// Sessions in memory. With `copies` also those of what is kept, as far as it still is; `false`: the store does not say which are.
    async fn near(&self, which: &Which<'_>, limit: usize, copies: bool) -> (Found, bool) {
        let is_meant =
            |session: &Session| which.fits(&session.id, &session.subject) && (copies || !session.tie.is_kept());
        let mut near = self.node.sessions.those(|session| is_meant(session) && has(session, which.server));
        near.sort_unstable_by_key(|session| session.id.0);
        let until = near.get(limit).and_then(|_| Some(near.get(limit.checked_sub(1)?)?.id));
        near.truncate(limit);
        let (mut sessions, mut is_sure) = (Vec::with_capacity(near.len()), true);
        for batch in near.chunks(limit::STORE_BATCH) {
            let left = self.left_of(batch).await.unwrap_or_else(|Down| {
                is_sure = false;
                vec![Some(Duration::ZERO); batch.len()]
            });
            let still = batch.iter().zip(left).filter(|(session, left)| !session.tie.is_kept() || left.is_some());
            sessions.extend(still.map(|(session, _)| self.told(session)));
        }
        (Found { sessions, until }, is_sure)
    }

    /// How long copies are kept unless they are used; `None` for what is not kept any more, or never was.
    async fn left_of(&self, batch: &[Arc<Session>]) -> Result<Vec<Option<Duration>>, Down> {
        match self.store.filter(|_| batch.iter().any(|session| session.tie.is_kept())) {
            Some(store) => store.left(batch.iter().map(|session| session.id).collect()).await,
            None => Ok(vec![None; batch.len()]),
        }
    }

    /// Sessions that a store keeps.
    async fn kept(&self, store: &Shared, which: &Which<'_>, limit: usize) -> Result<Found, Down> {
        let begun = Instant::now();
        let (ids, are_all) = store.ids(which.after, limit::SESSIONS_NAMED).await?;
        let mut found = Found { until: ids.last().filter(|_| !are_all).copied(), ..Found::default() };
        for batch in ids.chunks(limit::STORE_BATCH) {
            let records = store.read_all(&self.node.seal, batch.to_vec()).await?;
            let left = store.left(batch.to_vec()).await?;
            for ((id, record), left) in batch.iter().zip(records).zip(left) {
                let (Some(record), Some(left)) = (record, left) else { continue };
                if !which.fits(id, &record.subject) || !is_with(&record, which.server) {
                    continue;
                }
                if found.sessions.len() == limit {
                    found.until = found.sessions.last().and_then(|last| SessionId::shown(&last.session));
                    return Ok(found);
                }
                found.sessions.push(self.told_of_record(store, id, &record, left));
            }
            if begun.elapsed() > limit::SESSIONS_LOOKED {
                found.until = batch.last().copied();
                break;
            }
        }
        Ok(found)
    }

    /// What is told of a session in memory.
    fn told(&self, session: &Session) -> v1::Session {
        let parts = session.merged.iter().flat_map(|merged| merged.parts());
        let mut servers: Vec<_> = parts.map(|part| part.server.to_string()).collect();
        if session.merged.is_none() {
            servers.push(session.server.to_string());
        }
        let store = self.store.filter(|_| session.tie.is_kept()).map_or("memory", Shared::word);
        let told = v1::Session {
            session: session.id.to_string(),
            principal: session.subject.to_string(),
            servers,
            merged: session.merged.is_some(),
            created_ms: session.created * 1_000,
            store: store.to_owned(),
            ..v1::Session::default()
        };
        self.in_use(introduced(told, &session.initialize), session)
    }

    /// What is told of a session that is kept.
    fn told_of_record(&self, store: &Shared, id: &SessionId, record: &Record, left: Duration) -> v1::Session {
        let own = record.server.iter().map(|(server, _)| server.to_string());
        let parts = record.parts.iter().map(|part| part.server.to_string());
        let noted = life(&self.node.planes.borrow()).saturating_sub(left);
        let told = v1::Session {
            session: id.to_string(),
            principal: record.subject.to_string(),
            servers: own.chain(parts).collect(),
            merged: record.server.is_none(),
            created_ms: record.created * 1_000,
            used_ms: self.now_ms.saturating_sub(noted.as_millis() as u64),
            store: store.word().to_owned(),
            ..v1::Session::default()
        };
        let told = introduced(told, &record.initialize);
        match self.node.sessions.held(id) {
            Some(session) => self.in_use(told, &session),
            None => told,
        }
    }

    /// With what this node knows of its use.
    fn in_use(&self, mut told: v1::Session, session: &Session) -> v1::Session {
        let used = self.now_ms.saturating_sub(session.idle(self.node.clock.ms()));
        told.used_ms = told.used_ms.max(used);
        if session.is_in_use() {
            told.nodes.push(self.node.peers.name.to_string());
        }
        told
    }
}

impl Which<'_> {
    fn fits(&self, id: &SessionId, subject: &str) -> bool {
        self.after.is_none_or(|after| id.0 > after.0) && (self.subject.is_empty() || *subject == *self.subject)
    }
}

/// Whether a session in memory is with this server.
fn has(session: &Session, server: &str) -> bool {
    let has_part = || session.merged.as_ref().is_some_and(|merged| merged.open_part(server).is_some());
    server.is_empty() || *session.server == *server || has_part()
}

/// Whether a session that is kept is with this server.
fn is_with(record: &Record, server: &str) -> bool {
    let own = record.server.iter().map(|(own, _)| &**own);
    server.is_empty() || own.chain(record.parts.iter().map(|part| &*part.server)).any(|one| one == server)
}

/// With how the client introduced itself.
fn introduced(mut told: v1::Session, initialize: &[u8]) -> v1::Session {
    let said: serde_json::Value = serde_json::from_slice(initialize).unwrap_or_default();
    let params = &said["params"];
    let text = |value: &serde_json::Value| -> String {
        value.as_str().unwrap_or_default().chars().take(limit::CLIENT_NAME_CHARS).collect()
    };
    told.client = text(&params["clientInfo"]["name"]);
    told.client_version = text(&params["clientInfo"]["version"]);
    told.protocol_version = text(&params["protocolVersion"]);
    told
}

/// A page of two: as far as both were looked through.
fn merged(one: Found, other: Found, limit: usize) -> (Vec<v1::Session>, Option<String>) {
    let until = [one.until, other.until].into_iter().flatten().map(|id| id.to_string()).min();
    let mut sessions = [one.sessions, other.sessions].concat();
    sessions.sort_unstable_by(|a, b| a.session.cmp(&b.session));
    if let Some(until) = &until {
        sessions.retain(|session| session.session <= *until);
    }
    if sessions.len() > limit {
        sessions.truncate(limit);
        return (sessions.clone(), sessions.last().map(|last| last.session.clone()));
    }
    (sessions, until)
}
