//! What is known of the copies that a node has of sessions: which of them Redis said were changed, and until when it would have
//! been heard saying so.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use redis::{PushInfo, PushKind, Value};

use super::id_of;
use crate::limit;
use crate::session::SessionId;
use crate::session::memory::Memory;
use crate::session::store::{Doubted, Look};
use crate::session::tie::Tie;

/// Changes are counted in so many heaps, by id: a look at a record is spoilt by a change of the same heap.
const HEAPS: usize = 1024;

/// The copies of a node, of whichever line they came by.
pub(super) struct Copies {
    pub prefix: String,
    near: Arc<Memory>,
    begun: Instant,
    doubted: Arc<Doubted>,
    heaps: Box<[AtomicU32]>,
    /// The generation that began last.
    last: AtomicU64,
    /// Those that are over.
    past: Mutex<Vec<Past>>,
}

/// A generation that is over, and when Redis was last heard in it.
struct Past {
    generation: u64,
    heard: Instant,
}

/// What is heard on one line. Its generation rises with each connection, and whenever else copies that came by it may have been
/// changed without a word: what was changed between two generations was not told. No two lines have the same one.
pub(super) struct Hearing {
    pub copies: Arc<Copies>,
    generation: AtomicU64,
}

impl Copies {
    pub(super) fn new(prefix: &str, near: Arc<Memory>, doubted: Arc<Doubted>) -> Self {
        Self {
            prefix: prefix.to_owned(),
            near,
            begun: Instant::now(),
            doubted,
            heaps: (0..HEAPS).map(|_| AtomicU32::new(0)).collect(),
            last: AtomicU64::new(0),
            past: Mutex::default(),
        }
    }

    fn heap(&self, id: &SessionId) -> &AtomicU32 {
        // ids are random
        &self.heaps[usize::from(u16::from_be_bytes([id.0[0], id.0[1]])) % HEAPS]
    }

    /// A look at a record that comes by a line of this generation.
    pub(super) fn look(&self, id: &SessionId, generation: u64) -> Look {
        Look { generation, changes: self.heap(id).load(Ordering::SeqCst) }
    }

    /// What is looked at now is not known to stay: its changes may be told elsewhere.
    pub(super) fn spoil(&self, id: &SessionId) {
        self.heap(id).fetch_add(1, Ordering::SeqCst);
    }

    /// This node begins to change what is kept of a session, and will hear that it was changed.
    pub(super) fn change(&self, id: &SessionId) {
        if let Some(session) = self.near.get(id) {
            session.tie.change(self.now());
        }
    }

    /// What is kept of a session was changed: by somebody else, or by this node, which then knows what is kept. Redis does not say who
    /// it was, and tells of two in one turn once: so the copy is held against it in any case.
    fn changed(&self, id: &SessionId) {
        self.changed_by(id, |tie| self.doubt(tie));
    }

    fn changed_by(&self, id: &SessionId, doubt: impl FnOnce(&Tie)) {
        self.spoil(id);
        if let Some(session) = self.near.get(id) {
            doubt(&session.tie);
            self.doubted.add([*id]);
        }
    }

    /// A copy may be another one than what is kept.
    pub(super) fn doubt(&self, tie: &Tie) {
        let own = match tie.changing() {
            0 => false,
            began => u128::from(self.now().saturating_sub(began)) <= limit::OWN_CHANGE_TOLD.as_millis(),
        };
        if own {
            tie.note_unanswered();
        } else {
            tie.doubt();
        }
    }

    /// Milliseconds, from 1 on.
    fn now(&self) -> u64 {
        self.begun.elapsed().as_millis() as u64 + 1
    }

    /// What is kept of a session has this revision now; `None`: nothing is kept. A copy of another one is to be looked at.
    pub(super) fn found(&self, id: &SessionId, revision: Option<u64>) {
        if self.near.get(id).is_some_and(|session| Some(session.tie.revision()) != revision) {
            self.changed_by(id, Tie::doubt);
        }
    }

    /// All are to be looked at.
    pub(super) fn doubt_all(&self) {
        self.doubted.add(self.near.kept());
    }

    /// A generation that nobody had.
    fn next(&self) -> u64 {
        self.last.fetch_add(1, Ordering::SeqCst) + 1
    }

    fn past(&self) -> std::sync::MutexGuard<'_, Vec<Past>> {
        self.past.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a copy was good this long ago at most, in a generation that is over.
    pub(super) fn held_over(&self, tie: &Tie, now: Instant, within: Duration) -> bool {
        let recent = |past: &Past| now.saturating_duration_since(past.heard) <= within;
        self.past().iter().any(|past| tie.was_confirmed(past.generation) && recent(past))
    }
}

impl Hearing {
    pub(super) fn new(copies: Arc<Copies>) -> Self {
        let generation = AtomicU64::new(copies.next());
        Self { copies, generation }
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::SeqCst)
    }

    /// No copy that came by this line is known to be good any more. Those that were when Redis was `heard` last may be held over.
    pub(super) fn begin(&self, heard: Option<Instant>) {
        let over = self.generation.swap(self.copies.next(), Ordering::SeqCst);
        if let Some(heard) = heard {
            let mut past = self.copies.past();
            past.retain(|past| past.heard.elapsed() <= limit::COPY_HELD_OVER);
            past.push(Past { generation: over, heard });
        }
    }

    /// Redis tells something. Called where the connection is read, before what comes after it is.
    pub(super) fn hear(&self, info: &PushInfo) {
        if info.kind != PushKind::Invalidate {
            return;
        }
        match info.data.first() {
            Some(Value::Array(names)) => names.iter().for_each(|name| {
                if let Value::BulkString(name) = name
                    && let Some(id) = id_of(&self.copies.prefix, name)
                {
                    self.copies.changed(&id);
                }
            }),
            // all of them: somebody emptied the database
            _ => {
                self.begin(None);
                self.copies.doubt_all();
            }
        }
    }
}
