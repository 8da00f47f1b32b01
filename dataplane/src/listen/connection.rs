//! Client connections of one worker, watched without a timer each: once a second they are looked over, and cut when they
//! dribble a request head, take no bytes, or sit idle (V18–V20 of the fault tests).

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::SystemTime;

use tokio::sync::Notify;

use super::entrance::{Closed, Entrance};
use crate::limit;

/// All connections of a worker.
#[derive(Default)]
pub(crate) struct Connections {
    all: RefCell<HashMap<u64, Rc<Connection>, foldhash::fast::RandomState>>,
    next: Cell<u64>,
    /// Those that come are not to stay.
    leaving: Cell<bool>,
    clock: Rc<Clock>,
    pub freed: Notify,
}

/// The time as of the last look.
struct Clock {
    /// In seconds.
    now: Cell<u32>,
    /// As in a `Date` header field (RFC 9110 section 5.6.7).
    date: Cell<[u8; 29]>,
}

/// One connection's state.
pub(crate) struct Connection {
    clock: Rc<Clock>,
    /// When the first byte of a request head came that is not complete yet.
    head_since: Cell<Option<u32>>,
    /// Since when the client takes no bytes.
    stalled_since: Cell<Option<u32>>,
    idle_since: Cell<u32>,
    /// When it came.
    came: u32,
    in_flight: Cell<u32>,
    served: Cell<bool>,
    multiplexed: Cell<bool>,
    /// HTTP/2: those on their way.
    answers: RefCell<Vec<Weak<dyn Answer>>>,
    ending: Cell<Ending>,
    /// Where it came in.
    entrance: OnceCell<Arc<Entrance>>,
    /// Who drives the connection, to be told of its end.
    driver: RefCell<Option<Waker>>,
}

/// Whether a connection is to end.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Ending {
    No,
    /// With the next answer.
    Last,
    /// After what is in flight.
    Close,
    /// At once.
    Cut,
}

/// A request in flight on a connection.
pub(crate) struct Busy {
    connection: Rc<Connection>,
}

/// An answer on its way beside others.
pub(crate) trait Answer {
    /// Since when its client takes nothing of it.
    fn unread_since(&self) -> Option<u32>;
    /// Minds what comes meanwhile.
    fn mind(&self);
    /// Ends it, and none of the others.
    fn cut(&self);
}

impl Connections {
    pub(crate) fn add(&self) -> (u64, Rc<Connection>) {
        let id = self.next.get();
        self.next.set(id + 1);
        let connection = Rc::new(Connection {
            clock: Rc::clone(&self.clock),
            head_since: Cell::new(None),
            stalled_since: Cell::new(None),
            idle_since: Cell::new(self.clock.now.get()),
            came: self.clock.now.get(),
            in_flight: Cell::new(0),
            served: Cell::new(false),
            multiplexed: Cell::new(false),
            answers: RefCell::default(),
            ending: Cell::new(Ending::No),
            entrance: OnceCell::new(),
            driver: RefCell::default(),
        });
        if self.leaving.get() {
            connection.leave(Some(Closed::Drained));
        }
        self.all.borrow_mut().insert(id, Rc::clone(&connection));
        (id, connection)
    }

    pub(crate) fn remove(&self, id: u64) {
        self.all.borrow_mut().remove(&id);
        self.freed.notify_one();
    }

    /// Ends all connections: those without a request at once, the others after what is in flight. One that came a moment ago came
    /// with a request.
    pub(crate) fn close_all(&self) {
        let now = self.clock.now.get();
        for connection in self.all.borrow().values() {
            let asks = connection.in_flight.get() > 0 || connection.head_since.get().is_some();
            connection.end(match asks {
                true => Ending::Close,
                false if connection.is_fresh(now) => Ending::Last,
                false => Ending::Cut,
            });
        }
    }

    /// Ends those that were not used.
    pub(crate) fn close_unused(&self) {
        for connection in self.all.borrow().values() {
            if !connection.served.get() && connection.head_since.get().is_none() {
                connection.end(Ending::Cut);
            }
        }
    }

    /// An entrance was closed: those who came by it have to go, without a request lost.
    pub(crate) fn leave(&self, entrance: &Arc<Entrance>) {
        let came_by = |connection: &&Rc<Connection>| {
            connection.entrance.get().is_some_and(|entered| Arc::ptr_eq(entered, entrance))
        };
        for connection in self.all.borrow().values().filter(came_by) {
            connection.leave(entrance.closed());
        }
    }

    /// The node is about to end: all have to go with their next answer, and so do those that still come.
    pub(crate) fn leave_all(&self) {
        self.leaving.set(true);
        self.all.borrow().values().for_each(|connection| connection.leave(Some(Closed::Drained)));
    }

    /// One look at every connection; `now` in seconds.
    pub(crate) fn sweep(&self, now: u32) {
        self.clock.tick(now);
        for connection in self.all.borrow().values() {
            connection.judge(now);
        }
    }
}

impl Default for Clock {
    fn default() -> Self {
        let clock = Self { now: Cell::new(0), date: Cell::new([b' '; 29]) };
        clock.tick(0);
        clock
    }
}

impl Clock {
    fn tick(&self, now: u32) {
        self.now.set(now);
        let date = httpdate::fmt_http_date(SystemTime::now());
        if let Ok(date) = date.as_bytes().try_into() {
            self.date.set(date);
        }
    }
}

impl Connection {
    /// HTTP/2: frames come between requests, and pings mind the peer.
    pub(crate) fn is_multiplexed(&self) {
        self.multiplexed.set(true);
        self.head_since.set(None);
    }

    /// Whether its first request may be on its way.
    fn is_fresh(&self, now: u32) -> bool {
        !self.served.get() && u64::from(now.saturating_sub(self.came)) <= limit::FRESH.as_secs()
    }

    /// Where it came in. One that came just before that was closed leaves like the others.
    pub(crate) fn came_by(&self, entrance: Arc<Entrance>) {
        self.leave(entrance.closed());
        let _ = self.entrance.set(entrance);
    }

    fn leave(&self, closed: Option<Closed>) {
        match closed {
            None => {}
            Some(Closed::Cut) => self.end(Ending::Cut),
            Some(Closed::Drained) => {
                self.idle_since.set(self.clock.now.get());
                self.end(Ending::Last);
            }
        }
    }

    /// A request head is complete.
    pub(crate) fn begin(self: &Rc<Self>) -> Busy {
        self.head_since.set(None);
        self.served.set(true);
        self.in_flight.set(self.in_flight.get() + 1);
        Busy { connection: Rc::clone(self) }
    }

    fn judge(&self, now: u32) {
        let over = |since: Option<u32>, limit: std::time::Duration| {
            since.is_some_and(|since| u64::from(now.saturating_sub(since)) > limit.as_secs())
        };
        for answer in self.unread() {
            match over(answer.unread_since(), limit::WRITE_STALL) {
                true => answer.cut(),
                false => answer.mind(),
            }
        }
        if over(self.stalled_since.get(), limit::WRITE_STALL) || over(self.head_since.get(), limit::HEAD_READ) {
            self.end(Ending::Cut);
        } else if self.in_flight.get() == 0 {
            let since = Some(self.idle_since.get());
            if !self.served.get() && over(since, limit::HEAD_READ) {
                self.end(Ending::Cut);
            } else if self.multiplexed.get() && over(since, limit::CLIENT_IDLE + limit::WRITE_STALL) {
                // its client has left the end of some answer unread
                self.end(Ending::Cut);
            } else if over(since, limit::CLIENT_IDLE) || self.is_leaving() && over(since, limit::DRAIN) {
                self.end(Ending::Close);
            }
        }
    }

    /// The answers of which their client takes nothing.
    fn unread(&self) -> Vec<Rc<dyn Answer>> {
        let mut answers = self.answers.borrow_mut();
        answers.retain(|answer| answer.strong_count() > 0);
        answers.iter().filter_map(Weak::upgrade).filter(|answer| answer.unread_since().is_some()).collect()
    }

    /// An answer is on its way beside others.
    pub(crate) fn carries(&self, answer: Weak<dyn Answer>) {
        self.answers.borrow_mut().push(answer);
    }

    /// The time, in seconds, as of the last look.
    pub(crate) fn now(&self) -> u32 {
        self.clock.now.get()
    }

    fn end(&self, ending: Ending) {
        if ending > self.ending.get() {
            self.ending.set(ending);
            if let Some(driver) = self.driver.borrow().as_ref() {
                driver.wake_by_ref();
            }
        }
    }

    /// Whether the next answer is its last.
    pub(crate) fn is_leaving(&self) -> bool {
        self.ending.get() >= Ending::Last
    }

    /// Waits until the next answer is to be its last. Whoever drives a connection polls this, or [`Connection::poll_cut`], and is
    /// woken for both.
    pub(crate) fn poll_leaving(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_ending(Ending::Last, cx)
    }

    /// Whether it ends after what is in flight.
    pub(crate) fn is_closing(&self) -> bool {
        self.ending.get() >= Ending::Close
    }

    /// Waits until it is to end at once.
    pub(crate) fn poll_cut(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_ending(Ending::Cut, cx)
    }

    /// As [`Connection::poll_cut`].
    pub(crate) async fn cut(&self) {
        std::future::poll_fn(|cx| self.poll_cut(cx)).await;
    }

    fn poll_ending(&self, ending: Ending, cx: &mut Context<'_>) -> Poll<()> {
        if self.ending.get() >= ending {
            return Poll::Ready(());
        }
        let mut driver = self.driver.borrow_mut();
        if !driver.as_ref().is_some_and(|driver| driver.will_wake(cx.waker())) {
            *driver = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    /// The time, for a `Date` header field.
    pub(crate) fn date(&self) -> [u8; 29] {
        self.clock.date.get()
    }

    /// Bytes came.
    pub(crate) fn read(&self) {
        if self.in_flight.get() == 0 && !self.multiplexed.get() && self.head_since.get().is_none() {
            self.head_since.set(Some(self.clock.now.get()));
        }
    }

    /// The client took what was written, or not yet.
    pub(crate) fn wrote(&self, pending: bool) {
        match (pending, self.stalled_since.get()) {
            (true, None) => self.stalled_since.set(Some(self.clock.now.get())),
            (false, Some(_)) => self.stalled_since.set(None),
            _ => {}
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let connection = &self.connection;
        connection.in_flight.set(connection.in_flight.get() - 1);
        connection.idle_since.set(connection.clock.now.get());
    }
}
