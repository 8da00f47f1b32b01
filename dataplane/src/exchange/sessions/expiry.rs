//! Sessions that idle, or are too old, end. Uses are noted in the store from time to time, many at once, so that a session
//! that is used on one node is not over because it idles on another.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::kept::{ended, is_aged, life, note_late, noted_every, release, remove};
use crate::limit;
use crate::node::Worker;
use crate::session::ring::Rings;
use crate::session::store::Shared;
use crate::session::{Session, SessionId};

/// What looks after the sessions of a node.
pub(crate) struct Expiry {
    worker: Rc<Worker>,
    /// Node time up to which uses are noted in the store.
    noted: u64,
}

impl Expiry {
    pub(crate) fn new(worker: &Rc<Worker>) -> Self {
        Self { worker: Rc::clone(worker), noted: worker.node.clock.ms() }
    }

    /// Sessions that are over, to be ended towards their servers: by one node of all.
    pub(crate) async fn look(&mut self) -> Vec<Arc<Session>> {
        let (store, now) = (&self.worker.node.sessions, self.worker.node.clock.ms());
        let idle = self.worker.plane().snapshot.limits.session_idle.as_millis() as u64;
        let is_over = |session: &Session| session.idle(now) >= idle || is_aged(session.created);
        let mut over = store.those(|session| !session.tie.is_kept() && is_over(session));
        over.retain(|session| store.let_go(&session.id));
        over.iter().for_each(|session| session.end());
        let worker = Rc::clone(&self.worker);
        if let Some(shared) = worker.node.sessions.shared() {
            self.note(shared, now).await;
            over.extend(self.idle_everywhere(shared, now, idle).await);
            over.extend(self.forgotten(shared).await);
            over.extend(shared.take_owed());
        }
        over
    }

    /// The sessions of a node that ends: those that nobody can go on with are returned, to be ended.
    pub(crate) async fn leave(mut self) -> Vec<Arc<Session>> {
        let worker = Rc::clone(&self.worker);
        let store = &worker.node.sessions;
        if let Some(shared) = store.shared() {
            // everything that is in use by now was used by now
            self.note_used(shared, worker.node.clock.ms()).await;
            spill(&worker, shared).await;
        }
        let mut own = store.those(|session| !session.tie.is_kept());
        own.retain(|session| store.let_go(&session.id));
        own.iter().for_each(|session| session.end());
        own.extend(store.shared().map(Shared::take_owed).unwrap_or_default());
        own
    }

    /// Notes in the store what was used since it was noted last.
    async fn note(&mut self, shared: &Shared, now: u64) {
        if now.saturating_sub(self.noted) >= noted_every(&self.worker.plane()).as_millis() as u64 {
            self.note_used(shared, now).await;
        }
    }

    async fn note_used(&mut self, shared: &Shared, now: u64) {
        let store = &self.worker.node.sessions;
        let since = now.saturating_sub(self.noted);
        let used = store.those(|session| session.tie.is_kept() && session.idle(now) <= since);
        let life = life(&self.worker.plane());
        let left = |session: &Session| life.saturating_sub(Duration::from_millis(session.idle(now)));
        for batch in used.chunks(limit::STORE_BATCH) {
            let lives = batch.iter().map(|session| (session.id, left(session))).collect();
            if shared.touch(lives).await.is_err() {
                return;
            }
        }
        self.noted = now;
    }

    /// Of the sessions that idle here, those that idle on all nodes.
    async fn idle_everywhere(&self, shared: &Shared, now: u64, idle: u64) -> Vec<Arc<Session>> {
        let (store, plane) = (&self.worker.node.sessions, self.worker.plane());
        let is_aged = |session: &Session| is_aged(session.created);
        let here = store.those(|session| session.tie.is_kept() && (session.idle(now) >= idle || is_aged(session)));
        let mut over = Vec::new();
        for batch in here.chunks(limit::STORE_BATCH) {
            let Ok(left) = shared.left(ids(batch)).await else {
                // they may be gone before anybody can look
                here.iter().for_each(|session| session.tie.owe_end());
                break;
            };
            for (session, left) in batch.iter().zip(left) {
                match left.filter(|left| *left > limit::IDLE_NOTICED && !is_aged(session)) {
                    // used on another node since: should it come back, the store has it
                    Some(left) if left > limit::IDLE_NOTICED + note_late(&plane) + limit::SWEEP => {
                        store.let_go(&session.id);
                        release(&plane, session).await;
                    }
                    // or perhaps, and it is not noted yet
                    Some(_) => {}
                    None => {
                        let ended = matches!(remove(&self.worker, session).await, Ok(true));
                        over.extend(ended.then(|| Arc::clone(session)));
                    }
                }
            }
        }
        over
    }

    /// Sessions that are over and that no node has in its memory, where the store does not forget by itself.
    async fn forgotten(&self, shared: &Shared) -> Vec<Arc<Session>> {
        let mut over = Vec::new();
        for id in shared.over().await.unwrap_or_default() {
            if self.worker.node.sessions.held(&id).is_none()
                && let Ok(Some(sealed)) = shared.remove(&id).await
            {
                over.extend(ended(&self.worker, &id, sealed));
            }
        }
        over
    }
}

/// Answers to calls that wait in this node's memory for their clients go where other nodes find them.
async fn spill(worker: &Worker, shared: &Shared) {
    let node = &worker.node;
    let kept = node.sessions.those(|session| session.tie.is_kept() && session.rings().is_some());
    let waiting = |session: &Arc<Session>| {
        let rings = session.rings().map(Rings::all).unwrap_or_default();
        let id = session.id;
        rings.into_iter().filter_map(move |ring| Some((id, ring.stream, ring.to_spill()?)))
    };
    let waiting: Vec<_> = kept.iter().flat_map(waiting).collect();
    for few in waiting.chunks(limit::SESSIONS_ENDING) {
        let spilling =
            few.iter().map(|(id, stream, events)| shared.spill(&node.seal, id, *stream, events, limit::RING_KEPT));
        if futures_util::future::join_all(spilling).await.iter().any(Result::is_err) {
            tracing::warn!("answers that clients have not come back for are lost: the store does not take them");
            return;
        }
    }
}

fn ids(sessions: &[Arc<Session>]) -> Vec<SessionId> {
    sessions.iter().map(|session| session.id).collect()
}
