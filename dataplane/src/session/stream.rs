//! Who has the standing stream of a session: the client's newest GET, at whichever node it came in. An older one has lost it,
//! and lets go, as soon as its node knows.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

use super::Session;

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
    /// The process that has the stream; `None`: no GET has come yet.
    pub(crate) fn stream_holder(&self) -> Option<Process> {
        Process::numbered(self.holder.0.load(Ordering::SeqCst))
    }

    /// A GET came in here: those before it have lost the stream.
    pub(crate) fn claim_stream(&self, holder: Process) -> Claim {
        let claims = &self.rare().claims;
        self.holder.0.store(holder.0, Ordering::SeqCst);
        let number = claims.newest.fetch_add(1, Ordering::SeqCst) + 1;
        claims.told.notify_waiters();
        Claim { holder, number }
    }

    /// A process is known to have the stream: GETs that came in at others have lost it.
    pub(crate) fn stream_is_held_by(&self, holder: Process) {
        if self.holder.0.swap(holder.0, Ordering::SeqCst) != holder.0
            && let Some(rare) = self.rare.get()
        {
            rare.claims.told.notify_waiters();
        }
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
