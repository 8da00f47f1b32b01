//! The last events of one stream, kept in the memory of the node that has it for a client that may come back for them: where
//! the server does not number its events, nobody else has them. What passes them on, or goes on reading them when the client
//! is away, is the relay of the stream; whoever resumes it reads them here.
//!
//! A client that is away misses nothing, or is told that it did: events are never dropped that it cannot have got, the ring
//! is given up as a whole instead.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;

use crate::budget::Budget;
use crate::limit;

mod place;
mod position;
mod rings;
mod spilled;
#[cfg(test)]
mod tests;

pub(crate) use place::{Of, Place};
pub(crate) use position::{Position, Positions};
pub(crate) use rings::Rings;

/// Events of one stream; numbered from 1.
pub(crate) struct Ring {
    /// Which stream it is, in ids of its events.
    pub stream: u64,
    /// A session's standing stream; otherwise the answer to a request.
    pub is_standing: bool,
    inner: Mutex<Inner>,
    /// A client came or went, or the stream is over.
    moved: Notify,
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kept {
    pub number: u64,
    /// Its id, where that is not made of the number: one the server can resume from.
    pub id: Option<String>,
    pub event: Option<Bytes>,
    pub data: Bytes,
    pub retry: Option<u64>,
    /// How far it brought the stream of a part.
    pub at: Option<Box<Position>>,
}

struct Inner {
    /// In order, the last one being `last`.
    events: VecDeque<Kept>,
    last: u64,
    /// The last one that was passed on.
    taken: u64,
    /// Bytes of all of them, and of those that whoever reads here has not read.
    bytes: usize,
    unread: usize,
    budget: Budget,
    phase: Phase,
    client: Client,
    clients: u64,
    /// Who fills it, to be told of room; or who passes events on, to be told that the client came back by another way.
    filling: Option<Waker>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Running,
    /// The stream is over. `early`: not its server ended it, which may have gone on.
    Over {
        early: bool,
    },
    /// What the client may have missed is not here.
    Lost,
}

enum Client {
    /// Gets events as they come, not from here.
    Direct,
    Away,
    Reading {
        client: u64,
        next: u64,
        waker: Option<Waker>,
    },
}

/// Why there is nothing to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missing {
    /// What came is not here any more.
    Lost,
    /// The stream is over, and all of it was read. `early`: more may have been said since.
    Over { early: bool },
}

/// What a reader gets.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Read {
    Event(Kept),
    /// The stream is over, or another one reads in this one's place. `early`: more may have been said since.
    Over {
        early: bool,
    },
    Lost,
}

/// Reads a ring, in the place of whoever had the stream before.
pub(crate) struct Reader {
    pub ring: Arc<Ring>,
    client: u64,
}

impl Ring {
    /// An empty one, of a stream that its client has.
    pub(crate) fn new(stream: u64, is_standing: bool, budget: Budget) -> Self {
        let inner = Inner {
            events: VecDeque::new(),
            last: 0,
            taken: 0,
            bytes: 0,
            unread: 0,
            budget,
            phase: Phase::Running,
            client: Client::Direct,
            clients: 0,
            filling: None,
        };
        Self { stream, is_standing, inner: Mutex::new(inner), moved: Notify::new() }
    }

    /// Keeps an event, and says its number, whichever it was given.
    pub(crate) fn push(&self, event: Kept) -> u64 {
        // what comes in small pieces would keep the large ones alive that it was read in
        let own = |bytes: &Bytes| match bytes.len() <= limit::COPIED_BYTES {
            true => Bytes::copy_from_slice(bytes),
            false => bytes.clone(),
        };
        let mut inner = self.lock();
        let number = inner.last + 1;
        inner.push(Kept { number, event: event.event.as_ref().map(own), data: own(&event.data), ..event });
        number
    }

    /// The client has gone.
    pub(crate) fn let_go(&self) {
        let mut inner = self.lock();
        if matches!(inner.client, Client::Direct) {
            inner.client = Client::Away;
        }
    }

    /// The client came back: it reads what came after the event of that number, or what nobody was given yet.
    ///
    /// # Errors
    /// See [`Missing`].
    pub(crate) fn read(self: &Arc<Self>, after: Option<u64>) -> Result<Reader, Missing> {
        let mut inner = self.lock();
        let after = after.unwrap_or(inner.taken);
        let first = inner.events.front().map_or(inner.last + 1, |event| event.number);
        match inner.phase {
            Phase::Lost => return Err(Missing::Lost),
            _ if after + 1 < first || after > inner.last => return Err(Missing::Lost),
            Phase::Over { early } if after == inner.last => return Err(Missing::Over { early }),
            _ => {}
        }
        inner.clients += 1;
        let client = inner.clients;
        inner.unread = inner.events.iter().filter(|event| event.number > after).map(Kept::bytes).sum();
        let before = std::mem::replace(&mut inner.client, Client::Reading { client, next: after + 1, waker: None });
        before.wake();
        inner.wake_filling();
        drop(inner);
        self.moved.notify_waiters();
        Ok(Reader { ring: Arc::clone(self), client })
    }

    /// Whether the client came back by another way, and whoever passed events on directly has nobody to pass them on to. Otherwise
    /// the caller is woken when that is so.
    pub(crate) fn is_read(&self, cx: &Context<'_>) -> bool {
        let mut inner = self.lock();
        let is_read = !matches!(inner.client, Client::Direct);
        if !is_read {
            inner.filling = Some(cx.waker().clone());
        }
        is_read
    }

    /// Waits until there is room for what the client has not read. One that is away does not hold up its server.
    pub(crate) fn poll_room(&self, cx: &Context<'_>) -> Poll<()> {
        let mut inner = self.lock();
        inner.filling = Some(cx.waker().clone());
        let is_full = matches!(inner.client, Client::Reading { .. }) && inner.unread > limit::RING_BYTES / 2;
        if is_full { Poll::Pending } else { Poll::Ready(()) }
    }

    /// The stream is over. `early`: its server may have gone on.
    pub(crate) fn end(&self, early: bool) {
        self.become_phase(Phase::Over { early });
    }

    /// What comes, or what was not read, is kept no longer.
    pub(crate) fn lose(&self) {
        self.become_phase(Phase::Lost);
    }

    fn become_phase(&self, phase: Phase) {
        let mut inner = self.lock();
        if inner.phase == Phase::Running {
            inner.phase = phase;
            if phase == Phase::Lost {
                inner.empty();
            }
            inner.client.wake();
        }
        drop(inner);
        self.moved.notify_waiters();
    }

    /// Whether it was given up.
    pub(crate) fn is_lost(&self) -> bool {
        self.lock().phase == Phase::Lost
    }

    /// Whether a stream goes on whose client is away.
    pub(crate) fn waits(&self) -> bool {
        let inner = self.lock();
        inner.phase == Phase::Running && matches!(inner.client, Client::Away)
    }

    /// Whether all of it was passed on.
    pub(crate) fn is_taken(&self) -> bool {
        let inner = self.lock();
        inner.taken == inner.last
    }

    /// Waits until nobody has read it for so long.
    pub(crate) async fn left_alone(&self, pause: Duration) {
        loop {
            let mut moved = std::pin::pin!(self.moved.notified());
            moved.as_mut().enable();
            if matches!(self.lock().client, Client::Reading { .. }) {
                moved.await;
            } else if tokio::time::timeout(pause, moved).await.is_err() {
                return;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn push(&mut self, event: Kept) {
        self.last = event.number;
        // the last event that the client may do without
        let spare = match self.client {
            Client::Direct => {
                self.taken = self.last;
                self.last
            }
            Client::Away => self.taken,
            Client::Reading { next, .. } => next - 1,
        };
        if self.phase != Phase::Running {
            return;
        }
        let bytes = event.bytes();
        while self.bytes + bytes > limit::RING_BYTES && self.events.front().is_some_and(|first| first.number <= spare) {
            self.drop_first();
        }
        // who reads is waited for, so that little more can come than there is room for
        let fits = self.bytes + bytes <= limit::RING_BYTES || matches!(self.client, Client::Reading { .. });
        let fits = fits && self.budget.used() + bytes <= limit::RINGS_ROOM && self.budget.add(bytes);
        match (fits, &self.client) {
            (true, _) => {
                self.bytes += bytes;
                self.unread += bytes;
                self.events.push_back(event);
            }
            // it was passed on: only a client that lost it misses it
            (false, Client::Direct) => self.empty(),
            (false, _) => {
                self.empty();
                self.phase = Phase::Lost;
            }
        }
        self.client.wake();
    }

    fn drop_first(&mut self) {
        if let Some(first) = self.events.pop_front() {
            self.bytes -= first.bytes();
            self.budget.take(first.bytes());
        }
    }

    fn empty(&mut self) {
        self.budget.take(std::mem::take(&mut self.bytes));
        self.events = VecDeque::new();
    }

    fn wake_filling(&mut self) {
        if let Some(waker) = self.filling.take() {
            waker.wake();
        }
    }

    /// The event of that number, or the one that is next.
    fn event(&self, number: u64) -> Option<&Kept> {
        let first = self.events.front()?.number;
        self.events.get(usize::try_from(number.checked_sub(first)?).ok()?)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.empty();
    }
}

impl Client {
    /// Wakes whoever reads.
    fn wake(&self) {
        if let Self::Reading { waker: Some(waker), .. } = self {
            waker.wake_by_ref();
        }
    }
}

impl Kept {
    /// What it takes.
    fn bytes(&self) -> usize {
        let texts =
            self.data.len() + self.event.as_ref().map_or(0, Bytes::len) + self.id.as_ref().map_or(0, String::len);
        let at = self.at.as_ref().map_or(0, |at| at.server.len() + at.id.len());
        texts + at + limit::RING_EVENT_BYTES
    }
}

impl Reader {
    /// The next event.
    pub(crate) fn poll(&mut self, cx: &Context<'_>) -> Poll<Read> {
        let mut inner = self.ring.lock();
        let Inner { client: Client::Reading { client, next, .. }, phase, .. } = &*inner else {
            return Poll::Ready(Read::Over { early: false });
        };
        if *client != self.client {
            return Poll::Ready(Read::Over { early: false });
        }
        if *phase == Phase::Lost {
            return Poll::Ready(Read::Lost);
        }
        let (number, phase) = (*next, *phase);
        if let Some(event) = inner.event(number).cloned() {
            inner.unread = inner.unread.saturating_sub(event.bytes());
            inner.taken = inner.taken.max(number);
            if let Client::Reading { next, .. } = &mut inner.client {
                *next += 1;
            }
            inner.wake_filling();
            return Poll::Ready(Read::Event(event));
        }
        if let Phase::Over { early } = phase {
            return Poll::Ready(Read::Over { early });
        }
        if let Client::Reading { waker, .. } = &mut inner.client {
            *waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut inner = self.ring.lock();
        if matches!(inner.client, Client::Reading { client, .. } if client == self.client) {
            inner.client = Client::Away;
            inner.wake_filling();
            drop(inner);
            self.ring.moved.notify_waiters();
        }
    }
}
