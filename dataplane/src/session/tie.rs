//! What ties a session in a node's memory to the store it is a copy from.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Beside the generation in which a copy was found to be current: a change of this node's own was not answered since.
const UNANSWERED: u64 = 1 << 63;

/// Of a session that is nowhere but here, all zeros.
#[derive(Default)]
pub(crate) struct Tie {
    /// Which revision of the record this is a copy of; 0: there is no record.
    revision: AtomicU64,
    /// The generation of the line to the store in which the copy was found to be current; 0: it has to be read again.
    confirmed: AtomicU64,
    /// When this node last began to change the record, in milliseconds of the store's copies; 0: never.
    changing: AtomicU64,
    /// Should the record be gone, this node cannot know that another one told the server.
    owed: AtomicBool,
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

    /// Whether it was current in this generation but for what this node itself may have changed.
    pub(crate) fn was_confirmed(&self, generation: u64) -> bool {
        self.confirmed.load(Ordering::SeqCst) & !UNANSWERED == generation
    }

    /// A change of this node's own was not answered: it may be kept, and the copy has to be held against the record before it is used.
    /// Where that cannot be, the copy is as good as it was: nobody else is known to have changed anything.
    pub(crate) fn note_unanswered(&self) {
        let noted = |confirmed| (confirmed != 0).then_some(confirmed | UNANSWERED);
        let _ = self.confirmed.fetch_update(Ordering::SeqCst, Ordering::SeqCst, noted);
    }

    /// This node begins to change the record.
    pub(crate) fn change(&self, now: u64) {
        self.changing.store(now, Ordering::SeqCst);
    }

    /// When this node last began to change it.
    pub(crate) fn changing(&self) -> u64 {
        self.changing.load(Ordering::SeqCst)
    }

    /// This node may have removed the record, or missed that it went by itself.
    pub(crate) fn owe_end(&self) {
        self.owed.store(true, Ordering::Release);
    }

    /// Whether the server is to be told that the session is over although somebody else may have done so.
    pub(crate) fn owes_end(&self) -> bool {
        self.owed.load(Ordering::Acquire)
    }

    /// Something was changed: the copy has to be held against the record before it is used.
    pub(crate) fn doubt(&self) {
        self.confirmed.store(0, Ordering::SeqCst);
    }
}
