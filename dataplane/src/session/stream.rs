//! Who has the standing stream of a session: the client's newest GET, at whichever node it came in. An older one has lost it,
//! and lets go, as soon as its node knows. It may stay open (2025-11-25, *Multiple Connections*: each message goes to one of a
//! client's streams), aside, until the newest has gone.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::Session;
use crate::limit;

/// A process that serves sessions, as it stands in their records. No two have the same one, also on one node one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Process(u64);

/// What one GET was given. It is good until a newer one comes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Claim {
    holder: Process,
    number: u64,
}

/// The GETs of a session that came in at this node.
#[derive(Default)]
pub(super) struct Claims {
    newest: AtomicU64,
    told: Notify,
    /// This process had the stream, and nobody has it now.
    given_back: AtomicBool,
    older: Mutex<Older>,
}

/// Those before the newest.
#[derive(Default)]
struct Older {
    /// The newest has gone.
    is_free: bool,
    /// Which of them are still open, the oldest first.
    aside: Vec<u64>,
}

/// An older one that is still open.
pub(crate) struct Aside {
    session: Arc<Session>,
    number: u64,
}

impl Process {
    /// One that nobody was.
    pub(crate) fn fresh() -> Self {
        Self(u64::from_be_bytes(crate::seal::random()) | 1)
    }

    /// As it is written.
    pub(crate) fn number(self) -> u64 {
        self.0
    }

    /// The one that was written so; `None` for nobody.
    pub(crate) fn numbered(number: u64) -> Option<Self> {
        (number != 0).then_some(Self(number))
    }
}

/// Which process has the stream, as far as this node knows.
#[derive(Default)]
pub(super) struct Holder(AtomicU64);

impl Session {
    /// The process that has the stream; `None`: no GET has come yet, or it was given back.
    pub(crate) fn stream_holder(&self) -> Option<Process> {
        Process::numbered(self.holder.0.load(Ordering::SeqCst)).filter(|_| !self.is_stream_given_back())
    }

    /// A GET came in here: those before it have lost the stream.
    pub(crate) fn claim_stream(&self, holder: Process) -> Claim {
        let claims = &self.rare().claims;
        let mut older = claims.older();
        older.is_free = false;
        self.take_stream_back();
        self.holder.0.store(holder.0, Ordering::SeqCst);
        let number = claims.newest.fetch_add(1, Ordering::SeqCst) + 1;
        drop(older);
        claims.told.notify_waiters();
        Claim { holder, number }
    }

    /// A process is known to have the stream: GETs that came in at others have lost it.
    pub(crate) fn stream_is_held_by(&self, holder: Process) {
        if self.holder.0.swap(holder.0, Ordering::SeqCst) != holder.0
            && let Some(rare) = self.rare.get()
        {
            rare.claims.older().is_free = false;
            rare.claims.given_back.store(false, Ordering::SeqCst);
            rare.claims.told.notify_waiters();
        }
    }

    /// No process has the stream any more, as the store says; `process`, this one, knows better of its own.
    pub(crate) fn stream_is_free(&self, process: Process) {
        let left = |holder| (holder != 0 && holder != process.0).then_some(0);
        if self.holder.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, left).is_ok()
            && let Some(rare) = self.rare.get()
        {
            rare.claims.free(rare.claims.older());
        }
    }

    /// The client of a GET has gone: of those that stand aside the newest is to come back. `false`: it had the stream no more.
    pub(crate) fn leave_stream(&self, claim: Claim) -> bool {
        let claims = &self.rare().claims;
        let older = claims.older();
        // a newer one that comes now waits, and finds the stream free
        let had = self.has_stream(claim);
        if had {
            claims.free(older);
        }
        had
    }

    /// Nobody has the stream, for all processes to know.
    pub(crate) fn give_stream_back(&self) {
        self.rare().claims.given_back.store(true, Ordering::SeqCst);
    }

    /// Whether that still stands.
    pub(crate) fn is_stream_given_back(&self) -> bool {
        self.rare.get().is_some_and(|rare| rare.claims.given_back.load(Ordering::SeqCst))
    }

    /// It does not: a GET has come.
    pub(crate) fn take_stream_back(&self) {
        if let Some(rare) = self.rare.get() {
            rare.claims.given_back.store(false, Ordering::SeqCst);
        }
    }

    /// A GET that has lost the stream, or is about to, and stays open.
    pub(crate) fn stand_aside(self: &Arc<Self>, claim: Claim) -> Aside {
        let claims = &self.rare().claims;
        let mut older = claims.older();
        // the newest may have come and gone already
        if !older.is_free && self.stream_holder().is_some() {
            older.aside.push(claim.number);
            if older.aside.len() > limit::STREAMS_ASIDE {
                older.aside.remove(0);
                claims.told.notify_waiters();
            }
        }
        drop(older);
        Aside { session: Arc::clone(self), number: claim.number }
    }

    /// How many stand aside here.
    pub(crate) fn streams_aside(&self) -> usize {
        self.rare.get().map_or(0, |rare| rare.claims.older().aside.len())
    }

    /// Whether no newer GET is known of.
    pub(crate) fn has_stream(&self, claim: Claim) -> bool {
        let newest = self.rare.get().map(|rare| rare.claims.newest.load(Ordering::SeqCst));
        newest == Some(claim.number) && self.stream_holder() == Some(claim.holder)
    }

    /// Waits until another process has the stream, after this one had it.
    pub(crate) async fn stream_moved(&self, from: Process) {
        let claims = &self.rare().claims;
        let mut had = false;
        loop {
            let mut told = std::pin::pin!(claims.told.notified());
            told.as_mut().enable();
            match self.stream_holder() {
                Some(holder) if holder == from => had = true,
                Some(_) if had => return,
                _ => {}
            }
            told.await;
        }
    }

    /// Waits for a newer GET.
    pub(crate) async fn stream_lost(&self, claim: Claim) {
        let claims = &self.rare().claims;
        loop {
            let mut told = std::pin::pin!(claims.told.notified());
            // listening before looking: a claim in between is not missed
            told.as_mut().enable();
            if !self.has_stream(claim) {
                return;
            }
            told.await;
        }
    }
}

impl Claims {
    fn older(&self) -> MutexGuard<'_, Older> {
        self.older.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The newest has gone: the one before it is called back.
    fn free(&self, mut older: MutexGuard<'_, Older>) {
        older.is_free = true;
        older.aside.pop();
        drop(older);
        self.told.notify_waiters();
    }
}

impl Aside {
    /// Waits until it is to end: its client is to come back, or there are too many of them.
    pub(crate) fn over(&self) -> impl Future<Output = ()> + use<> {
        let (session, number) = (Arc::clone(&self.session), self.number);
        async move {
            let claims = &session.rare().claims;
            loop {
                let mut told = std::pin::pin!(claims.told.notified());
                told.as_mut().enable();
                if !claims.older().aside.contains(&number) {
                    return;
                }
                told.await;
            }
        }
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        self.session.rare().claims.older().aside.retain(|number| *number != self.number);
    }
}
