//! The body of a server's answer, as it comes.

use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use sluice_http1::{BadBody, Body, Framing};

use super::connection::Connection;
use super::{Failure, Pools};
use crate::wire;

/// The body of an answer. Read to its end, its connection goes back to the stack; dropped before, the connection closes,
/// which in the modern era tells the server that the request is cancelled.
pub(crate) struct Answer {
    body: Body,
    lease: Option<Lease>,
}

pub(super) struct Lease {
    pub pools: Rc<Pools>,
    pub upstream: u64,
    pub connection: Connection,
    /// When it was asked.
    pub asked: Instant,
    /// How long it may idle, if it may.
    pub keep: Option<Duration>,
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
        let mut answer = Self { body: Body::new(framing, came)?, lease: Some(lease) };
        answer.settle();
        Ok(answer)
    }

    /// At the end of the body the connection is free.
    fn settle(&mut self) {
        if !self.body.is_end() {
            return;
        }
        if let Some(Lease { pools, upstream, connection, asked, keep: Some(keep) }) = self.lease.take()
            && self.body.is_exact()
            && !connection.unfinished
        {
            pools.give(upstream, connection, asked, keep);
        }
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
