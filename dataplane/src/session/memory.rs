//! The sessions in a node's memory: all there are, or copies of what a store keeps.

use std::sync::Arc;

use papaya::HashMap;

use super::{Session, SessionId};

/// A concurrent map; look-ups take no lock.
#[derive(Default)]
pub(crate) struct Memory {
    sessions: HashMap<SessionId, Arc<Session>, foldhash::fast::RandomState>,
}

impl Memory {
    /// Takes in a session; the one that is there already, if any, stays and is returned.
    pub(super) fn insert(&self, session: Arc<Session>) -> Arc<Session> {
        Arc::clone(self.sessions.pin().get_or_insert(session.id, session))
    }

    pub(super) fn get(&self, id: &SessionId) -> Option<Arc<Session>> {
        self.sessions.pin().get(id).cloned()
    }

    pub(super) fn remove(&self, id: &SessionId) -> Option<Arc<Session>> {
        self.sessions.pin().remove(id).cloned()
    }

    pub(super) fn those(&self, are: impl Fn(&Session) -> bool) -> Vec<Arc<Session>> {
        self.sessions.pin().values().filter(|session| are(session)).cloned().collect()
    }

    /// Those that are copies.
    pub(super) fn kept(&self) -> Vec<SessionId> {
        self.sessions.pin().values().filter(|session| session.tie.is_kept()).map(|session| session.id).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.sessions.len()
    }
}
