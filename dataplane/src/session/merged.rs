//! A session of the merged door: one session towards each server that was needed, opened with the client's own
//! `initialize` at first use, so that all that holds for a session with one server holds for each of them.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use tokio::sync::Notify;

use super::{Session, record};
use crate::catalog::Audience;
use crate::limit;
use crate::reason::Reason;

/// What a session of the merged door has beyond any session.
pub(crate) struct Merged {
    /// Whose lists the client sees.
    pub audience: Audience,
    /// Under a plain lock: a session is one client's, and a concurrent map would cost it 20 KB.
    parts: Mutex<HashMap<Arc<str>, Arc<Part>, foldhash::fast::RandomState>>,
    /// Which server has a request that runs, by its raw id: a cancellation concerns that one only.
    in_flight: Mutex<HashMap<Bytes, Arc<str>>>,
    /// A part was opened: the client's stream takes in its messages.
    pub opened: Notify,
    /// The client was shown lists without those of some server: it is told when they come.
    pub missing: AtomicBool,
    /// The client's last `logging/setLevel`, as it came, for parts that open later.
    pub log_level: ArcSwapOption<Bytes>,
    /// Parts whose servers this node does not have, or has configured otherwise: another node may.
    elsewhere: Mutex<Vec<record::Part>>,
}

/// The place of one server in a merged session.
#[derive(Default)]
pub(crate) struct Part {
    session: ArcSwapOption<Session>,
    /// What the client is subscribed to at a server whose configuration changed: restored when it is opened again.
    subscriptions: Mutex<BTreeSet<Bytes>>,
    /// One opening at a time; when the last one failed and why, for those who waited.
    pub opening: tokio::sync::Mutex<Option<(Instant, Reason)>>,
}

impl Merged {
    /// Stands for all servers where a session names the definition of its server; those of servers begin at 1.
    pub(crate) const DEFINITION: u64 = 0;

    pub(crate) fn new(audience: Audience) -> Self {
        Self {
            audience,
            parts: Mutex::default(),
            in_flight: Mutex::default(),
            opened: Notify::new(),
            missing: AtomicBool::new(false),
            log_level: ArcSwapOption::empty(),
            elsewhere: Mutex::default(),
        }
    }

    /// The place of that server.
    pub(crate) fn part(&self, server: &Arc<str>) -> Arc<Part> {
        Arc::clone(self.lock().entry(Arc::clone(server)).or_default())
    }

    /// The open session with that server.
    pub(crate) fn open_part(&self, server: &str) -> Option<Arc<Session>> {
        self.lock().get(server)?.session.load_full()
    }

    /// All open sessions with servers.
    pub(crate) fn parts(&self) -> Vec<Arc<Session>> {
        self.lock().values().filter_map(|part| part.session.load_full()).collect()
    }

    /// Parts that only other nodes can go on with.
    pub(crate) fn elsewhere(&self) -> Vec<record::Part> {
        self.elsewhere.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// See [`Merged::elsewhere`].
    pub(crate) fn set_elsewhere(&self, parts: Vec<record::Part>) {
        *self.elsewhere.lock().unwrap_or_else(PoisonError::into_inner) = parts;
    }

    /// Takes out the sessions with servers that are not there any more, by their definitions.
    pub(crate) fn take_gone(&self, is_there: impl Fn(&Session) -> bool) -> Vec<Arc<Session>> {
        let parts = self.lock();
        let gone = parts.values().filter_map(|part| {
            let session = part.session.load_full().filter(|session| !is_there(session))?;
            part.session.store(None);
            let subscribed = session.state().subscriptions.clone();
            part.subscriptions.lock().unwrap_or_else(PoisonError::into_inner).extend(subscribed);
            Some(session)
        });
        gone.collect()
    }

    /// Takes out the open sessions that `stay` does not let stay.
    pub(crate) fn take_closed(&self, stay: impl Fn(&Session) -> bool) -> Vec<Arc<Session>> {
        let parts = self.lock();
        let closed = parts.values().filter_map(|part| {
            let session = part.session.load_full().filter(|session| !stay(session))?;
            part.session.store(None);
            Some(session)
        });
        closed.collect()
    }

    /// Notes where a request went. Beyond [`limit::IN_FLIGHT_NOTED`] nothing is noted: a cancellation then asks all.
    pub(crate) fn sent(&self, id: &Bytes, server: &Arc<str>) {
        let mut in_flight = self.in_flight();
        if in_flight.len() < limit::IN_FLIGHT_NOTED {
            // a copy of its own: the id is a slice of the whole message
            in_flight.insert(Bytes::copy_from_slice(id), Arc::clone(server));
        }
    }

    /// Where a request went; `None` when it is answered, or was never seen.
    pub(crate) fn server_of(&self, id: &[u8]) -> Option<Arc<str>> {
        self.in_flight().get(id).cloned()
    }

    /// A request was answered or given up.
    pub(crate) fn answered(&self, id: &[u8]) {
        self.in_flight().remove(id);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Arc<Part>, foldhash::fast::RandomState>> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn in_flight(&self) -> MutexGuard<'_, HashMap<Bytes, Arc<str>>> {
        self.in_flight.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Part {
    /// The open session, if it is with this definition of the server.
    pub(crate) fn session(&self, definition: u64) -> Option<Arc<Session>> {
        self.session.load_full().filter(|session| session.definition == definition)
    }

    /// Takes what the client was subscribed to before.
    pub(crate) fn take_subscriptions(&self) -> BTreeSet<Bytes> {
        std::mem::take(&mut *self.subscriptions.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts a fresh session in place, and returns the one before.
    pub(crate) fn open(&self, session: Arc<Session>) -> Option<Arc<Session>> {
        self.session.swap(Some(session))
    }
}
