//! What ties a session in a node's memory to the store it is a copy from.

use std::sync::atomic::{AtomicU64, Ordering};

/// Of a session that is nowhere but here, all zeros.
#[derive(Default)]
pub(crate) struct Tie {
    /// Which revision of the record this is a copy of; 0: there is no record.
    revision: AtomicU64,
    /// The generation of the line to the store in which the copy was found to be current; 0: it has to be read again.
    confirmed: AtomicU64,
}

impl Tie {
    /// Whether the session is kept in a store.
    pub(crate) fn is_kept(&self) -> bool {
        self.revision() != 0
    }

    pub(crate) fn revision(&self) -> u64 {
        self.revision.load(Ordering::Acquire)
    }

    /// The copy is one of this revision now.
    pub(crate) fn set_revision(&self, revision: u64) {
        self.revision.store(revision, Ordering::Release);
    }

    /// Whether it was found to be current in this generation, and nobody said otherwise since.
    pub(crate) fn is_confirmed(&self, generation: u64) -> bool {
        self.confirmed.load(Ordering::SeqCst) == generation
    }

    /// It was found to be current.
    pub(crate) fn confirm(&self, generation: u64) {
        self.confirmed.store(generation, Ordering::SeqCst);
    }

    /// Something was changed: the copy has to be held against the record before it is used.
    pub(crate) fn doubt(&self) {
        self.confirmed.store(0, Ordering::SeqCst);
    }
}
