//! One stream of an HTTP/2 connection: its answer on its way. The next piece is asked for when the client's window has room for the one
//! before; who leaves it shut for too long is cut off from this stream, and goes on with the others.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use crate::limit;
use crate::listen::body::Body;
use crate::listen::connection::{Answer, Connection};

/// A stream, as whoever looks after the connection sees it.
pub(super) struct Stream {
    connection: Rc<Connection>,
    body: RefCell<Option<Body>>,
    /// Since when the last piece waits for the client, unless the next one is waited for.
    unread_since: Cell<Option<u32>>,
    cut: Cell<bool>,
    /// Who drives it.
    driver: RefCell<Option<Waker>>,
}

/// The body of its answer.
pub(super) struct Outgoing {
    stream: Rc<Stream>,
    /// Of a piece that is given bit by bit.
    rest: Bytes,
}

impl Stream {
    pub(super) fn new(connection: Rc<Connection>) -> Self {
        Self {
            connection,
            body: RefCell::default(),
            unread_since: Cell::new(None),
            cut: Cell::new(false),
            driver: RefCell::default(),
        }
    }

    /// Whether it is to end at once. Whoever drives it asks first, and is woken.
    pub(super) fn is_cut(&self, cx: &Context<'_>) -> bool {
        let mut driver = self.driver.borrow_mut();
        if !driver.as_ref().is_some_and(|driver| driver.will_wake(cx.waker())) {
            *driver = Some(cx.waker().clone());
        }
        self.cut.get()
    }
}

impl Answer for Stream {
    fn unread_since(&self) -> Option<u32> {
        self.unread_since.get()
    }

    fn mind(&self) {
        let driver = self.driver.borrow().clone();
        if let (Some(driver), Some(body)) = (driver, &mut *self.body.borrow_mut()) {
            body.poll_aside(&mut Context::from_waker(&driver));
        }
    }

    fn cut(&self) {
        self.cut.set(true);
        if let Some(driver) = &*self.driver.borrow() {
            driver.wake_by_ref();
        }
    }
}

impl Outgoing {
    pub(super) fn new(stream: Rc<Stream>, body: Body) -> Self {
        *stream.body.borrow_mut() = Some(body);
        Self { stream, rest: Bytes::new() }
    }
}

impl http_body::Body for Outgoing {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        self.stream.unread_since.set(None);
        if self.rest.is_empty() {
            let polled = self.stream.body.borrow_mut().as_mut().map(|body| body.poll_data(cx));
            match polled {
                Some(Poll::Ready(Some(Ok(data)))) => self.rest = data,
                Some(Poll::Ready(Some(Err(error)))) => return Poll::Ready(Some(Err(error))),
                Some(Poll::Ready(None)) | None => return Poll::Ready(None),
                Some(Poll::Pending) => return Poll::Pending,
            }
        }
        self.stream.unread_since.set(Some(self.stream.connection.now()));
        let most = self.rest.len().min(limit::H2_PIECE_BYTES);
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(most)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.stream.body.borrow().as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let left = self.stream.body.borrow().as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint);
        match left.exact() {
            Some(left) => SizeHint::with_exact(left + self.rest.len() as u64),
            None => left,
        }
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        let body = self.stream.body.borrow_mut().take();
        drop(body);
    }
}
