//! The memory store: sessions of one process, gone with it.

use std::sync::Arc;

use papaya::HashMap;

use super::{Session, SessionId};

/// A concurrent map; look-ups take no lock.
#[derive(Default)]
pub(crate) struct Memory {
    sessions: HashMap<SessionId, Arc<Session>, foldhash::fast::RandomState>,
}

impl Memory {
    pub(super) fn insert(&self, session: Arc<Session>) {
        self.sessions.pin().insert(session.id, session);
    }

    pub(super) fn get(&self, id: &SessionId) -> Option<Arc<Session>> {
        self.sessions.pin().get(id).cloned()
    }

    pub(super) fn remove(&self, id: &SessionId) -> Option<Arc<Session>> {
        self.sessions.pin().remove(id).cloned()
    }

    pub(super) fn expire(&self, now: u64, idle_ms: u64) -> Vec<Arc<Session>> {
        let sessions = self.sessions.pin();
        let idle: Vec<_> = sessions.values().filter(|s| s.idle(now) >= idle_ms).cloned().collect();
        idle.into_iter().filter(|session| sessions.remove(&session.id).is_some()).collect()
    }

    pub(super) fn all(&self) -> Vec<Arc<Session>> {
        self.sessions.pin().values().cloned().collect()
    }

    pub(super) fn drain(&self) -> Vec<Arc<Session>> {
        let sessions = self.sessions.pin();
        let all: Vec<_> = sessions.values().cloned().collect();
        sessions.clear();
        all
    }

    pub(super) fn len(&self) -> usize {
        self.sessions.len()
    }
}
