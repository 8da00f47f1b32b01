//! Where the client's end of a pipe stays while no connection has it. A connection that breaks leaves it here; the next one that
//! names the session takes it up, on whichever worker that is, and a newer one takes it from an older.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use papaya::HashMap;
use tokio::sync::{Notify, mpsc, watch};

mod sent;

use super::mailbox::Mail;
use super::outbox::Waiting;
use super::pipe::Desk;
use crate::auth::Principal;
use crate::limit;
use crate::reason::Reason;
use crate::session::SessionId;
pub(crate) use sent::Sent;

/// The berths of all workers of a node, by the sessions whose clients may come back.
#[derive(Default)]
pub(crate) struct Berths {
    by_session: HashMap<SessionId, Arc<Berth>, foldhash::fast::RandomState>,
}

/// That of one pipe.
pub(crate) struct Berth {
    slot: Mutex<Slot>,
    changed: Notify,
    /// The number of the newest connection.
    newest: watch::Sender<u64>,
}

enum Slot {
    /// A connection has the end.
    Out,
    In(Box<Ends>),
    /// The pipe is over.
    Closed,
}

/// The client's end of a pipe.
pub(crate) struct Ends {
    /// What goes to the client.
    pub waiting: Waiting,
    /// What went to it and may not have come.
    pub sent: Sent,
    /// Where its messages are handed in.
    pub mailbox: mpsc::Sender<Mail>,
    pub desk: Desk,
    /// Who it is, with its newest credential.
    pub principal: watch::Sender<Principal>,
    /// Messages of the client that were taken.
    pub taken: u64,
}

/// A connection's hold of the end: dropped, it is left in the berth.
pub(crate) struct Held {
    berth: Arc<Berth>,
    ends: Option<Box<Ends>>,
    number: u64,
}

impl Berths {
    /// The berth of a session's pipe.
    pub(crate) fn of(&self, session: &SessionId) -> Option<Arc<Berth>> {
        self.by_session.pin().get(session).cloned()
    }

    /// The session is found by its id from now on.
    pub(crate) fn name(&self, session: SessionId, berth: &Arc<Berth>) {
        self.by_session.pin().insert(session, Arc::clone(berth));
    }

    /// Nobody finds it any more.
    pub(crate) fn forget(&self, session: &SessionId) {
        self.by_session.pin().remove(session);
    }
}

impl Berth {
    /// That of a new pipe, whose end its first connection has.
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { slot: Mutex::new(Slot::Out), changed: Notify::new(), newest: watch::Sender::new(0) })
    }

    /// The first connection's hold.
    pub(crate) fn hold(self: &Arc<Self>, ends: Ends) -> Held {
        Held { berth: Arc::clone(self), ends: Some(Box::new(ends)), number: 0 }
    }

    /// Takes the end, from whichever connection has it.
    ///
    /// # Errors
    /// [`Reason::SessionUnknown`]: the pipe is over. [`Reason::ConnectionElsewhere`]: a newer connection takes it, or the older one does
    /// not let go of it in time.
    pub(crate) async fn take(self: &Arc<Self>) -> Result<Held, Reason> {
        let mut number = 0;
        self.newest.send_modify(|newest| {
            *newest += 1;
            number = *newest;
        });
        let taking = async {
            loop {
                let mut changed = std::pin::pin!(self.changed.notified());
                // listening before looking: what is left in between is not missed
                changed.as_mut().enable();
                if *self.newest.borrow() != number {
                    return Err(Reason::ConnectionElsewhere);
                }
                match self.take_now() {
                    Taken::Ends(ends) => return Ok(ends),
                    Taken::Later => changed.await,
                    Taken::Never => return Err(Reason::SessionUnknown),
                }
            }
        };
        let taken = tokio::time::timeout(limit::WEBSOCKET_HANDED_OVER, taking).await;
        let ends = taken.unwrap_or(Err(Reason::ConnectionElsewhere))?;
        Ok(Held { berth: Arc::clone(self), ends: Some(ends), number })
    }

    fn take_now(&self) -> Taken {
        let mut slot = self.slot();
        match std::mem::replace(&mut *slot, Slot::Out) {
            Slot::In(ends) => {
                drop(slot);
                self.changed.notify_waiters();
                Taken::Ends(ends)
            }
            Slot::Out => Taken::Later,
            Slot::Closed => {
                *slot = Slot::Closed;
                Taken::Never
            }
        }
    }

    fn leave(&self, ends: Box<Ends>) {
        let mut slot = self.slot();
        // what nobody takes up any more is dropped after the lock
        let left = match *slot {
            Slot::Closed => Some(ends),
            _ => {
                *slot = Slot::In(ends);
                None
            }
        };
        drop(slot);
        self.changed.notify_waiters();
        drop(left);
    }

    /// The pipe is over.
    pub(crate) fn close(&self) {
        let left = std::mem::replace(&mut *self.slot(), Slot::Closed);
        self.changed.notify_waiters();
        drop(left);
    }

    /// Waits until no connection had the end for so long.
    pub(crate) async fn abandoned(&self, patience: Duration) {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            let is_in = matches!(*self.slot(), Slot::In(_));
            tokio::select! {
                () = changed => {}
                () = tokio::time::sleep(patience), if is_in => return,
            }
        }
    }

    fn slot(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Taken {
    Ends(Box<Ends>),
    Later,
    Never,
}

impl Held {
    /// The end.
    pub(crate) fn ends(&mut self) -> &mut Ends {
        self.ends.as_mut().expect("it is held until it is finished, which takes the hold")
    }

    /// Waits until a newer connection wants it.
    pub(crate) fn wanted(&self) -> impl Future<Output = ()> + use<> {
        let (mut newest, number) = (self.berth.newest.subscribe(), self.number);
        async move {
            // without a berth nobody can want it
            if newest.wait_for(|newest| *newest != number).await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// The client is done: nobody comes back for it, and the pipe ends.
    pub(crate) fn finish(mut self) {
        drop(self.ends.take());
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(ends) = self.ends.take() {
            self.berth.leave(ends);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_millis(20);

    #[tokio::test]
    async fn a_berth_is_abandoned_when_nobody_took_its_end_for_a_while() {
        let berth = Berth::new();
        let given_up = tokio::time::timeout(5 * SOON, berth.abandoned(SOON)).await;
        assert!(given_up.is_err(), "a connection has it");
        berth.close();
        assert!(matches!(berth.take().await.err(), Some(Reason::SessionUnknown)), "the pipe is over");
    }
}
