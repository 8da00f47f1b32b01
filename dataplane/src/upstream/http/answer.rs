//! The body of a server's answer, as it comes.

use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use sluice_http1::{BadBody, Body, Framing};

use super::connection::Connection;
use super::{Failure, Pools};
use crate::upstream::endpoint::{Flight, Key};
use crate::wire;

/// The body of an answer. Read to its end, its connection goes back to the stack; dropped before, the connection closes,
/// which in the modern era tells the server that the request is cancelled.
pub(crate) struct Answer {
    body: Body,
    /// Boxed: nearly always the body is there with its head, and the connection free again.
    lease: Option<Box<Lease>>,
}

pub(super) struct Lease {
    pub pools: Rc<Pools>,
    pub from: Key,
    pub connection: Connection,
    /// When it was asked.
    pub asked: Instant,
    /// How long it may idle, if it may.
    pub keep: Option<Duration>,
    /// Counts it among what its endpoint has to do.
    pub flight: Option<Flight>,
}

impl Lease {
    /// The connection may be used again, if it may.
    fn end(self) {
        let Self { pools, from, connection, asked, keep, flight: _ } = self;
        if let Some(keep) = keep.filter(|_| !connection.unfinished) {
            pools.give(from, connection, asked, keep);
        }
    }
}

/// Why a body broke off.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broken {
    #[error(transparent)]
    Http(#[from] BadBody),
    #[error(transparent)]
    Socket(#[from] std::io::Error),
}

impl Answer {
    pub(super) fn new(framing: Framing, came: Bytes, lease: Lease) -> Result<Self, BadBody> {
        let body = Body::new(framing, came)?;
        if body.is_here() {
            lease.end();
            return Ok(Self { body, lease: None });
        }
        let mut answer = Self { body, lease: Some(Box::new(lease)) };
        answer.settle();
        Ok(answer)
    }

    /// When nothing more is to come, the connection is free; or closed, where something came behind the body.
    fn settle(&mut self) {
        if self.body.is_here() {
            if let Some(lease) = self.lease.take() {
                lease.end();
            }
        } else if self.body.is_end() {
            self.lease = None;
        }
    }

    /// Counts it among what its endpoint has to do, to its end.
    pub(crate) fn count(&mut self, flight: Flight) {
        if let Some(lease) = &mut self.lease {
            lease.flight = Some(flight);
        }
    }

    /// All of the body, where it is there.
    pub(crate) fn whole(&self) -> Option<&[u8]> {
        (self.lease.is_none() && self.body.is_here()).then(|| self.body.peek())
    }

    /// Takes what [`Answer::whole`] shows.
    pub(crate) fn take_whole(&mut self) -> Bytes {
        self.body.data().ok().flatten().unwrap_or_default()
    }

    /// The next bytes; `None` at the end.
    pub(crate) fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Broken>>> {
        Poll::Ready(ready!(self.poll_some(cx)).transpose())
    }

    fn poll_some(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Broken>> {
        loop {
            if let Some(data) = self.body.data()? {
                self.settle();
                return Poll::Ready(Ok(Some(data)));
            }
            let Some(lease) = &mut self.lease else { return Poll::Ready(Ok(None)) };
            lease.connection.poll_rest(cx);
            let bytes = ready!(wire::poll_bytes(&mut lease.connection.socket, cx, self.body.ahead()))?;
            if bytes.is_empty() {
                self.body.close()?;
                self.lease = None;
            } else {
                self.body.feed(bytes)?;
                self.settle();
            }
        }
    }

    /// The next bytes; `None` at the end.
    pub(crate) async fn data(&mut self) -> Option<Result<Bytes, Broken>> {
        std::future::poll_fn(|cx| self.poll_data(cx)).await
    }

    /// The next bytes; `None` at the end.
    ///
    /// # Errors
    /// [`Failure::Broken`], [`Failure::Timeout`] at `deadline`, which is `wait` after something had to be waited for first.
    pub(crate) async fn data_within(
        &mut self,
        deadline: &mut Option<Instant>,
        wait: Duration,
    ) -> Result<Option<Bytes>, Failure> {
        std::future::poll_fn(|cx| {
            if let Poll::Ready(data) = self.poll_some(cx) {
                return Poll::Ready(data.map_err(|error| Failure::Broken(error.to_string())));
            }
            // most of the time all is there, and nobody need look at a clock
            let deadline = *deadline.get_or_insert_with(|| Instant::now() + wait);
            match &mut self.lease {
                Some(lease) => lease.connection.poll_late(cx, deadline).map(|()| Err(Failure::Timeout)),
                None => Poll::Pending,
            }
        })
        .await
    }

    /// Whether all of it was given out.
    pub(crate) fn is_end(&self) -> bool {
        self.body.is_end()
    }

    /// The whole body, if it is at most `limit` bytes.
    ///
    /// # Errors
    /// [`Failure::Broken`] when it is longer or ends early, [`Failure::Timeout`] when it takes longer than `wait`.
    pub(crate) async fn collect(mut self, limit: usize, wait: Duration) -> Result<Bytes, Failure> {
        let collecting = async {
            let mut whole = Bytes::new();
            let mut more = Vec::new();
            while let Some(data) = self.data().await {
                let data = data.map_err(|e| Failure::Broken(e.to_string()))?;
                if whole.len() + more.len() + data.len() > limit {
                    return Err(Failure::Broken(format!("the answer is longer than {limit} bytes")));
                }
                if whole.is_empty() && more.is_empty() {
                    whole = data;
                    continue;
                }
                if more.is_empty() {
                    more.extend_from_slice(&whole);
                    whole = Bytes::new();
                }
                more.extend_from_slice(&data);
            }
            Ok(if more.is_empty() { whole } else { Bytes::from(more) })
        };
        tokio::time::timeout(wait, collecting).await.unwrap_or(Err(Failure::Timeout))
    }
}
