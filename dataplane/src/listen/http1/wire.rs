//! The reading side of a client's connection: heads, bodies, and whether the client is still there.

use std::io::{Error, ErrorKind, Result};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use sluice_http1::{Body, Framing, HeadError, Limits, RequestHead, find_end};

use super::outflow::Outflow;
use crate::limit;
use crate::listen::connection::Connection;
use crate::listen::received::{Broken, Source};
use crate::wire::{Socket, poll_bytes, poll_read};

const LIMITS: Limits = Limits { bytes: limit::HEAD_BYTES, fields: limit::HEADERS };
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// What comes next on a connection.
pub(super) enum Next {
    /// A request, whose head is there to be taken.
    Request,
    /// The client has closed, or is asked to go.
    End,
    Refused(HeadError),
}

/// A socket, and what was read of it.
pub(super) struct Wire<I> {
    io: I,
    connection: Rc<Connection>,
    read: Read,
}

/// What was read and is not used yet.
#[derive(Default)]
struct Read {
    /// Bytes of the next head, or of the requests behind this one.
    unread: Vec<u8>,
    /// How many of them hold no end of a head.
    looked: usize,
    /// The head of the current request, until it is taken: it is too large to be handed on.
    head: Option<RequestHead>,
    /// The body of the current request, if it came along with its head; else what is to come of it.
    whole: Bytes,
    body: Option<Body>,
    /// The client waits for a word before it sends the body.
    owes_continue: bool,
}

impl<I: Socket> Wire<I> {
    pub(super) fn new(io: I, connection: Rc<Connection>) -> Self {
        Self { io, connection, read: Read::default() }
    }

    pub(super) fn into_parts(self) -> (I, Bytes) {
        (self.io, self.read.unread.into())
    }

    /// The next request's head; its body is there behind it, or is to be read.
    pub(super) fn poll_request(&mut self, cx: &mut Context<'_>) -> Poll<Result<Next>> {
        let mut found = self.read.look();
        loop {
            match found {
                Err(error) => return Poll::Ready(Ok(Next::Refused(error))),
                Ok(true) => return Poll::Ready(Ok(Next::Request)),
                Ok(false) => {}
            }
            if self.read.unread.is_empty() {
                if self.connection.is_closing() {
                    return Poll::Ready(Ok(Next::End));
                }
            } else {
                self.connection.read();
            }
            let taken = poll_read(&mut self.io, cx, |bytes| (!bytes.is_empty()).then(|| self.read.take(bytes)));
            match ready!(taken)? {
                Some(taken) => found = taken,
                None => return Poll::Ready(Ok(Next::End)),
            }
        }
    }

    /// The current request's head.
    pub(super) fn take_head(&mut self) -> Option<RequestHead> {
        self.read.head.take()
    }

    /// The current request's body, if it came whole.
    pub(super) fn take_whole(&mut self) -> Option<Bytes> {
        self.read.body.is_none().then(|| std::mem::take(&mut self.read.whole))
    }

    /// Nothing is left of the current request's body.
    pub(super) fn is_exhausted(&self) -> bool {
        self.read.body.is_none()
    }

    /// Whether the current request can be read to its end: not where its client was never told to send it, where it is broken,
    /// or where nobody reads so much to throw it away.
    pub(super) fn can_go_on(&self) -> bool {
        let ends = |body: &Body| !body.is_broken() && body.ahead() <= limit::DISCARD_BYTES as u64;
        !self.read.owes_continue && self.read.body.as_ref().is_none_or(ends)
    }

    /// Waits until the client is gone. While its request is still coming, whoever reads that will see it; behind further
    /// requests it cannot be seen.
    pub(super) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.read.body.is_some() || !self.read.unread.is_empty() {
            return Poll::Pending;
        }
        let unread = &mut self.read.unread;
        match poll_read(&mut self.io, cx, |bytes| unread.extend_from_slice(bytes)) {
            Poll::Ready(Ok(())) if !self.read.unread.is_empty() => Poll::Pending,
            Poll::Ready(_) => Poll::Ready(()),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Writes what there is to write.
    pub(super) fn poll_out(&mut self, cx: &mut Context<'_>, out: &mut Outflow) -> Poll<Result<()>> {
        let before = out.written();
        let polled = out.poll_flush(&mut self.io, cx);
        if out.written() > before {
            // slow is not stuck
            self.connection.wrote(false);
        }
        self.connection.wrote(polled.is_pending());
        polled
    }

    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    /// Reads up to `most` bytes of whatever comes, until nothing more does.
    pub(super) fn poll_drained(&mut self, cx: &mut Context<'_>, most: usize) -> Poll<()> {
        let mut drained = self.read.looked;
        while drained <= most {
            match ready!(poll_read(&mut self.io, cx, <[u8]>::len)) {
                Ok(read) if read > 0 => drained += read,
                _ => break,
            }
            self.read.looked = drained;
        }
        Poll::Ready(())
    }
}

impl Read {
    /// Looks at what came behind the request before; whether that is a head.
    fn look(&mut self) -> std::result::Result<bool, HeadError> {
        match std::mem::take(&mut self.unread) {
            unread if unread.is_empty() => Ok(false),
            unread => self.take(&unread),
        }
    }

    /// Takes the next bytes; whether a head is complete with them.
    fn take(&mut self, bytes: &[u8]) -> std::result::Result<bool, HeadError> {
        if self.unread.is_empty() {
            return self.parse(bytes);
        }
        self.unread.extend_from_slice(bytes);
        if find_end(&self.unread, self.looked).is_none() && self.unread.len() < LIMITS.bytes {
            self.looked = self.unread.len();
            return Ok(false);
        }
        let unread = std::mem::take(&mut self.unread);
        self.parse(&unread)
    }

    fn parse(&mut self, bytes: &[u8]) -> std::result::Result<bool, HeadError> {
        self.looked = 0;
        let Some((head, length)) = RequestHead::parse(bytes, LIMITS)? else {
            self.unread = bytes.to_vec();
            self.looked = bytes.len();
            return Ok(false);
        };
        let (framing, expects_continue) = (head.framing, head.expects_continue);
        self.head = Some(head);
        let rest = &bytes[length..];
        match framing {
            Framing::Length(body) if body <= rest.len() as u64 => {
                // not larger than what was read
                let (body, rest) = rest.split_at(body as usize);
                self.whole = Bytes::copy_from_slice(body);
                self.unread.extend_from_slice(rest);
            }
            framing => {
                let body = Body::of_request(framing, Bytes::copy_from_slice(rest)).map_err(|_| HeadError::Malformed)?;
                self.owes_continue = expects_continue && rest.is_empty();
                self.body = Some(body);
            }
        }
        Ok(true)
    }
}

impl<I: Socket> Source for Wire<I> {
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<std::result::Result<Bytes, Broken>>> {
        Poll::Ready(ready!(self.poll_some(cx)).transpose())
    }

    fn is_end(&self) -> bool {
        self.read.body.is_none()
    }
}

impl<I: Socket> Wire<I> {
    fn poll_some(&mut self, cx: &mut Context<'_>) -> Poll<std::result::Result<Option<Bytes>, Broken>> {
        loop {
            let Some(body) = &mut self.read.body else { return Poll::Ready(Ok(None)) };
            let data = body.data()?;
            if body.is_end() {
                let rest = self.read.body.take().map(Body::rest).unwrap_or_default();
                self.read.unread.extend_from_slice(&rest);
                return Poll::Ready(Ok(data));
            }
            if data.is_some() {
                return Poll::Ready(Ok(data));
            }
            if self.read.owes_continue {
                let written = ready!(Pin::new(&mut self.io).poll_write(cx, CONTINUE))?;
                self.read.owes_continue = false;
                if written < CONTINUE.len() {
                    return Poll::Ready(Err(Error::from(ErrorKind::WriteZero).into()));
                }
            }
            // what was written so far has to leave before anything comes (TLS keeps it back)
            ready!(Pin::new(&mut self.io).poll_flush(cx))?;
            let bytes = ready!(poll_bytes(&mut self.io, cx, body.ahead()))?;
            if bytes.is_empty() {
                body.close()?;
            } else {
                body.feed(bytes)?;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use tokio::io::AsyncReadExt as _;

    use super::*;
    use crate::listen::connection::Connections;

    #[tokio::test]
    async fn a_client_that_reads_slowly_is_served_and_one_that_stops_is_cut() {
        let connections = Connections::default();
        let (_, connection) = connections.add();
        let _busy = connection.begin();
        let (near, mut far) = tokio::io::duplex(1000);
        let mut wire = Wire::new(near, Rc::clone(&connection));
        let mut out = Outflow::new(Framing::Length(1 << 20));
        out.add_whole(1 << 20, std::iter::once(Bytes::from(vec![b'x'; 1 << 20])), None);
        let mut cx = Context::from_waker(Waker::noop());
        let stall = limit::WRITE_STALL.as_secs() as u32;
        for second in 0..3 * stall {
            connections.sweep(second);
            assert!(wire.poll_out(&mut cx, &mut out).is_pending());
            far.read_exact(&mut [0; 100]).await.unwrap();
            assert!(!connection.is_closing(), "cut after {second} s");
        }
        for second in 3 * stall..=4 * stall + 1 {
            connections.sweep(second);
            assert!(wire.poll_out(&mut cx, &mut out).is_pending());
        }
        assert!(connection.poll_cut(&mut cx).is_ready());
    }
}
