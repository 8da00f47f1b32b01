//! The standing stream of a session while one GET has it. A newer one takes it, here or at another node that shares the sessions:
//! written in the session's record before its stream opens, told to the others, and looked up again by a node that may have
//! missed it, before anything more goes to a client.
//!
//! The older one stays open and is given nothing more. Were it ended, a client that has two, as the specification lets it, would
//! open it again, and so take the stream from its own newer one, for ever: TypeScript's SDK opens one more after each error
//! that it is answered on a stream it could resume.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use super::sessions;
use crate::drain::Phase;
use crate::limit;
use crate::node::Worker;
use crate::reason::Reason;
use crate::session::Session;
use crate::session::stream::{Aside, Claim};

/// What a GET has of the stream.
pub(crate) struct Holding {
    worker: Rc<Worker>,
    session: Arc<Session>,
    claim: Claim,
    /// Ready once a newer GET has it.
    lost: Pin<Box<dyn Future<Output = ()>>>,
    /// Another process had it before, where a stream may stand aside.
    others: bool,
    looking: Option<Pin<Box<dyn Future<Output = Seen>>>>,
    /// The store was waited for in vain then, and has not been heard since: it answers nobody else either.
    unheard: Option<Instant>,
}

/// What came of a look at the store.
enum Seen {
    /// The copy is as the store had it at that moment.
    At(Instant),
    /// The store does not answer.
    Nothing,
}

impl Holding {
    /// A GET came in: the stream is its, whoever had it. One that `comes_back` takes the place of an older one, if need be.
    ///
    /// # Errors
    /// The session has enough streams, or is over; or another node has it, and cannot be told.
    pub(super) async fn take(worker: &Rc<Worker>, session: &Arc<Session>, comes_back: bool) -> Result<Self, Reason> {
        if !comes_back && session.streams_aside() >= limit::STREAMS_ASIDE {
            return Err(Reason::StreamsEnough);
        }
        let others = sessions::take_stream(worker, session).await?;
        let claim = session.claim_stream(worker.node.sessions.process);
        let (worker, session) = (Rc::clone(worker), Arc::clone(session));
        let lost = Box::pin(lost(Arc::clone(&session), claim));
        Ok(Self { worker, session, claim, lost, others, looking: None, unheard: None })
    }

    /// Waits until a newer GET has it.
    pub(super) fn lost(&self) -> impl Future<Output = ()> + use<> {
        lost(Arc::clone(&self.session), self.claim)
    }

    /// Whether a newer GET has it; otherwise the caller is woken when one has.
    pub(super) fn is_lost(&mut self, cx: &mut Context<'_>) -> bool {
        self.lost.as_mut().poll(cx).is_ready()
    }

    /// What is left to a GET that has lost it.
    pub(super) fn stand_aside(&self) -> Aside {
        self.session.stand_aside(self.claim)
    }

    /// Whether something may be passed on now. A process that stood still finds out first.
    pub(super) fn poll_is_good(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        loop {
            let mut seen = None;
            if let Some(looking) = &mut self.looking {
                seen = Some(ready!(looking.as_mut().poll(cx)));
                self.looking = None;
            }
            if !self.session.has_stream(self.claim) {
                return Poll::Ready(false);
            }
            if self.is_vouched_for() {
                self.unheard = None;
                return Poll::Ready(true);
            }
            match seen {
                // it may have stood still since
                Some(Seen::At(then)) if then.elapsed() < limit::COPY_GOOD => return Poll::Ready(true),
                Some(Seen::Nothing) => self.unheard = Some(Instant::now()),
                _ => {}
            }
            let is_up = self.worker.node.sessions.shared().is_some_and(|shared| shared.is_up());
            if self.unheard.is_some_and(|then| then.elapsed() < limit::COPY_HELD_OVER) && !is_up {
                return Poll::Ready(true);
            }
            self.looking = Some(Box::pin(look(Rc::clone(&self.worker), Arc::clone(&self.session))));
        }
    }

    fn is_vouched_for(&self) -> bool {
        self.worker.node.sessions.vouches_for(&self.session, Instant::now())
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        let stays = self.worker.node.drain.phase() < Phase::Emptying;
        if self.session.leave_stream(self.claim) && self.others && stays {
            self.session.give_stream_back();
            let (worker, session) = (Rc::clone(&self.worker), Arc::clone(&self.session));
            tokio::task::spawn_local(async move { sessions::give_stream_back(&worker, &session).await });
        }
    }
}

async fn lost(session: Arc<Session>, claim: Claim) {
    session.stream_lost(claim).await;
}

/// Brings the copy to where the store is, as soon as that answers: when it was not heard for a while, that may be because nobody here
/// was listening. Time in which the process stood still counts as one pause only.
async fn look(worker: Rc<Worker>, session: Arc<Session>) -> Seen {
    let Some(shared) = worker.node.sessions.shared() else { return Seen::Nothing };
    for _ in 0..limit::STREAM_PAUSES {
        tokio::select! {
            biased;
            () = shared.reached() => {}
            () = tokio::time::sleep(limit::STORE_PING) => continue,
        }
        let now = Instant::now();
        if sessions::read(&worker, &session.id).await.is_ok() {
            return Seen::At(now);
        }
    }
    Seen::Nothing
}
