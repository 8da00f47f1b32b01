//! Client connections of one worker, watched without a timer each: once a second they are looked over, and cut when they
//! dribble a request head, take no bytes, or sit idle (V18–V20 of the fault tests).

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;

use crate::limit;

/// All connections of a worker.
#[derive(Default)]
pub(crate) struct Connections {
    all: RefCell<HashMap<u64, Rc<Connection>, foldhash::fast::RandomState>>,
    next: Cell<u64>,
    /// Seconds, as of the last look.
    now: Rc<Cell<u32>>,
    pub freed: Notify,
}

/// One connection's state.
pub(crate) struct Connection {
    now: Rc<Cell<u32>>,
    /// When the first byte of a request head came that is not complete yet.
    head_since: Cell<Option<u32>>,
    /// Since when the client takes no bytes.
    stalled_since: Cell<Option<u32>>,
    idle_since: Cell<u32>,
    in_flight: Cell<u32>,
    served: Cell<bool>,
    multiplexed: Cell<bool>,
    /// HTTP/2: when each answer on its way was last asked for more. One that is not asked waits for its client to read.
    answers: RefCell<Vec<Weak<Cell<u32>>>>,
    /// End after what is in flight.
    pub close: Notify,
    /// End now.
    pub cut: Notify,
}

/// A request in flight on a connection.
pub(crate) struct Busy {
    connection: Rc<Connection>,
    asked: Option<Rc<Cell<u32>>>,
}

impl Connections {
    pub(crate) fn is_full(&self) -> bool {
        self.all.borrow().len() >= limit::CONNECTIONS_PER_WORKER
    }

    pub(crate) fn add(&self) -> (u64, Rc<Connection>) {
        let id = self.next.get();
        self.next.set(id + 1);
        let connection = Rc::new(Connection {
            now: Rc::clone(&self.now),
            head_since: Cell::new(None),
            stalled_since: Cell::new(None),
            idle_since: Cell::new(self.now.get()),
            in_flight: Cell::new(0),
            served: Cell::new(false),
            multiplexed: Cell::new(false),
            answers: RefCell::default(),
            close: Notify::new(),
            cut: Notify::new(),
        });
        self.all.borrow_mut().insert(id, Rc::clone(&connection));
        (id, connection)
    }

    pub(crate) fn remove(&self, id: u64) {
        self.all.borrow_mut().remove(&id);
        self.freed.notify_one();
    }

    /// Ends all connections: those without a request at once, the others after what is in flight.
    pub(crate) fn close_all(&self) {
        for connection in self.all.borrow().values() {
            if connection.in_flight.get() == 0 && connection.head_since.get().is_none() {
                connection.cut.notify_one();
            } else {
                connection.close.notify_one();
            }
        }
    }

    /// One look at every connection; `now` in seconds.
    pub(crate) fn sweep(&self, now: u32) {
        self.now.set(now);
        for connection in self.all.borrow().values() {
            connection.judge(now);
        }
    }
}

impl Connection {
    /// HTTP/2: frames come between requests, and pings mind the peer.
    pub(crate) fn is_multiplexed(&self) {
        self.multiplexed.set(true);
        self.head_since.set(None);
    }

    /// A request head is complete.
    pub(crate) fn begin(self: &Rc<Self>) -> Busy {
        self.head_since.set(None);
        self.served.set(true);
        self.in_flight.set(self.in_flight.get() + 1);
        Busy { connection: Rc::clone(self), asked: None }
    }

    fn judge(&self, now: u32) {
        let over = |since: Option<u32>, limit: std::time::Duration| {
            since.is_some_and(|since| u64::from(now.saturating_sub(since)) > limit.as_secs())
        };
        let unread = || {
            let mut answers = self.answers.borrow_mut();
            answers.retain(|asked| asked.strong_count() > 0);
            answers.iter().filter_map(Weak::upgrade).any(|asked| over(Some(asked.get()), limit::WRITE_STALL))
        };
        if over(self.stalled_since.get(), limit::WRITE_STALL)
            || self.multiplexed.get() && unread()
            || over(self.head_since.get(), limit::HEAD_READ)
        {
            self.cut.notify_one();
        } else if self.in_flight.get() == 0 {
            let since = Some(self.idle_since.get());
            if !self.served.get() && over(since, limit::HEAD_READ) {
                self.cut.notify_one();
            } else if over(since, limit::CLIENT_IDLE) {
                self.close.notify_one();
            }
        }
    }

    fn read(&self) {
        if self.in_flight.get() == 0 && !self.multiplexed.get() && self.head_since.get().is_none() {
            self.head_since.set(Some(self.now.get()));
        }
    }

    fn wrote(&self, pending: bool) {
        match (pending, self.stalled_since.get()) {
            (true, None) => self.stalled_since.set(Some(self.now.get())),
            (false, Some(_)) => self.stalled_since.set(None),
            _ => {}
        }
    }
}

impl Busy {
    /// The answer is asked for its next piece (or, the first time, ready to be).
    pub(crate) fn asked(&mut self) {
        let now = self.connection.now.get();
        match &self.asked {
            Some(asked) => asked.set(now),
            None if self.connection.multiplexed.get() => {
                let asked = Rc::new(Cell::new(now));
                self.connection.answers.borrow_mut().push(Rc::downgrade(&asked));
                self.asked = Some(asked);
            }
            None => {}
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let connection = &self.connection;
        connection.in_flight.set(connection.in_flight.get() - 1);
        connection.idle_since.set(connection.now.get());
    }
}

/// A socket whose connection is told what happens on it.
pub(crate) struct Watched<T> {
    pub io: T,
    pub connection: Rc<Connection>,
}

impl<T: AsyncRead + Unpin> AsyncRead for Watched<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.io).poll_read(cx, buf);
        if polled.is_ready() && buf.filled().len() > before {
            self.connection.read();
        }
        polled
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Watched<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write(cx, buf);
        self.connection.wrote(polled.is_pending());
        polled
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.connection.wrote(polled.is_pending());
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
