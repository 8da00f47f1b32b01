//! One HTTP/1.1 connection to a server, driven by whoever asks something over it.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use bytes::Bytes;
use http::{Method, StatusCode};
use sluice_http1::{HeadError, Limits, ResponseHead, find_end};
use tokio::time::Sleep;

use super::{Failure, Request, Target};
use crate::connection::Socket;
use crate::limit;
use crate::observe::metrics::Inside;
use crate::wire::{self, Room, Unwritten};

const LIMITS: Limits = Limits { bytes: limit::HEAD_BYTES, fields: limit::HEADERS };

/// A connection on which one request at a time is answered.
pub(in crate::upstream) struct Connection {
    pub socket: Socket,
    /// Rings at the first deadline there was, or later: to look at a clock then is cheaper than to set one for each request.
    timer: Option<Pin<Box<Sleep>>>,
    /// Not all of the last request was written.
    pub unfinished: bool,
    /// What is left of it, where the server may still be reading.
    rest: Option<Box<Rest>>,
    open: Inside,
}

/// What is left to write of a request whose answer has begun.
struct Rest {
    pieces: Vec<Bytes>,
    /// Bytes of them that are gone.
    written: usize,
}

/// What came of an answer before its head was whole.
#[derive(Default)]
struct Begun {
    read: Vec<u8>,
    /// Bytes of interim answers that were passed over.
    passed: usize,
}

/// Why no answer came.
#[derive(Debug)]
pub(in crate::upstream) enum Fault {
    /// No byte of the request was written.
    Unsent(String),
    Broken(String),
    /// The head of the answer exceeds a limit.
    Head,
    Late,
}

impl Connection {
    pub(in crate::upstream) fn new(socket: Socket, open: Inside) -> Self {
        Self { socket, timer: None, unfinished: false, rest: None, open }
    }

    /// The socket, to go on otherwise, and what counts it.
    pub(in crate::upstream) fn into_parts(self) -> (Socket, Inside) {
        (self.socket, self.open)
    }

    /// Writes a request whole and reads the head of its answer.
    ///
    /// # Errors
    /// See [`Failure`].
    pub(in crate::upstream) async fn say(
        &mut self,
        target: &Target,
        request: Request<'_>,
        deadline: Instant,
    ) -> Result<(ResponseHead, Bytes), Failure> {
        let mut head = Room::take();
        target.head(&request, &mut head);
        Ok(self.ask(&request.verb, &head, request.body, deadline).await?)
    }

    /// Whether nothing came from the server since its last answer: neither its end nor a byte nobody asked for.
    pub(super) fn is_quiet(&mut self) -> bool {
        self.poll_quiet(&mut Context::from_waker(Waker::noop()))
    }

    fn poll_quiet(&mut self, cx: &mut Context<'_>) -> bool {
        wire::poll_read(&mut self.socket, cx, |_| ()).is_pending()
    }

    /// Writes a request and reads the head of its answer; with it come the bytes behind the head. A server may answer before
    /// it has read all: what is left is written while its answer is read, unless that is a refusal.
    ///
    /// # Errors
    /// See [`Fault`].
    pub(in crate::upstream) async fn ask(
        &mut self,
        verb: &Method,
        head: &[u8],
        body: &[Bytes],
        deadline: Instant,
    ) -> Result<(ResponseHead, Bytes), Fault> {
        let mut unwritten = Unwritten::new(head, body);
        let mut answer = Begun::default();
        let mut begun = false;
        let mut failed = None;
        std::future::poll_fn(|cx| {
            if !begun && !self.poll_quiet(cx) {
                return Poll::Ready(Err(Fault::Unsent("closed by the server".to_owned())));
            }
            if !unwritten.is_done()
                && failed.is_none()
                && let Poll::Ready(Err(error)) = unwritten.poll_write(&mut self.socket, cx)
            {
                if unwritten.written == 0 {
                    return Poll::Ready(Err(Fault::Unsent(error.to_string())));
                }
                // the server reads no more, but may have said why
                failed = Some(error.to_string());
            }
            // the first time, nothing was there just before, and we are told when something is
            if std::mem::replace(&mut begun, true)
                && let Poll::Ready(answered) = self.poll_head(cx, verb, &mut answer)
            {
                self.unfinished = !unwritten.is_done();
                let goes_on = answered.as_ref().is_ok_and(|(head, _)| head.status.is_success());
                if self.unfinished && goes_on && failed.is_none() {
                    self.rest = Some(Box::new(Rest { pieces: unwritten.rest(), written: 0 }));
                }
                return Poll::Ready(answered.map_err(|fault| failed.take().map_or(fault, Fault::Broken)));
            }
            self.poll_late(cx, deadline).map(|()| Err(Fault::Late))
        })
        .await
    }

    /// Writes on what was left of the request when its answer began.
    pub(super) fn poll_rest(&mut self, cx: &mut Context<'_>) {
        let Some(rest) = &mut self.rest else { return };
        let mut unwritten = Unwritten::resume(&[], &rest.pieces, rest.written);
        match unwritten.poll_write(&mut self.socket, cx) {
            Poll::Pending => rest.written = unwritten.written,
            Poll::Ready(written) => {
                // a server that reads no more may answer all the same
                self.unfinished = written.is_err();
                self.rest = None;
            }
        }
    }

    fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        verb: &Method,
        begun: &mut Begun,
    ) -> Poll<Result<(ResponseHead, Bytes), Fault>> {
        loop {
            let taken = wire::poll_read(&mut self.socket, cx, |bytes| {
                if bytes.is_empty() {
                    return Err(Fault::Broken("closed without an answer".to_owned()));
                }
                if begun.read.is_empty() {
                    return begun.final_head(bytes, verb);
                }
                let looked = begun.read.len();
                begun.read.extend_from_slice(bytes);
                if find_end(&begun.read, looked).is_none() && begun.read.len() < LIMITS.bytes {
                    return Ok(None);
                }
                let whole = std::mem::take(&mut begun.read);
                begun.final_head(&whole, verb)
            });
            match taken {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(Fault::Broken(error.to_string()))),
                Poll::Ready(Ok(Ok(None))) => {}
                Poll::Ready(Ok(Ok(Some(answered)))) => return Poll::Ready(Ok(answered)),
                Poll::Ready(Ok(Err(fault))) => return Poll::Ready(Err(fault)),
            }
        }
    }

    /// Waits for the deadline.
    pub(super) fn poll_late(&mut self, cx: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline.into())));
        if timer.deadline() > deadline.into() {
            timer.as_mut().reset(deadline.into());
        }
        while timer.as_mut().poll(cx).is_ready() {
            if Instant::now() >= deadline {
                return Poll::Ready(());
            }
            timer.as_mut().reset(deadline.into());
        }
        Poll::Pending
    }
}

impl Begun {
    /// The head of the final answer in `bytes`, and what follows it; interim ones are passed over (RFC 9110 section 15.2), but
    /// for the one that ends HTTP. `None`: not there yet, and what was not used is kept.
    fn final_head(&mut self, bytes: &[u8], verb: &Method) -> Result<Option<(ResponseHead, Bytes)>, Fault> {
        let mut rest = bytes;
        loop {
            let parsed = ResponseHead::parse(rest, verb, LIMITS).map_err(|error| match error {
                HeadError::Malformed | HeadError::Version | HeadError::Tls => {
                    Fault::Broken("the answer is not HTTP/1.1".to_owned())
                }
                HeadError::TooLarge => Fault::Head,
            })?;
            let Some((head, length)) = parsed else {
                self.read.extend_from_slice(rest);
                return Ok(None);
            };
            rest = &rest[length..];
            if !head.status.is_informational() || head.status == StatusCode::SWITCHING_PROTOCOLS {
                return Ok(Some((head, Bytes::copy_from_slice(rest))));
            }
            self.passed += length;
            if self.passed > LIMITS.bytes {
                return Err(Fault::Broken("interim answers without an end".to_owned()));
            }
        }
    }
}
