//! A socket whose unfinished message counts in the node's byte budget: what a client begins and does not end is bounded
//! over all connections, not for each alone. Its connection is told when the client takes nothing.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::limit;
use crate::listen::connection::Connection;
use crate::node::Node;

/// What one connection has read of a message that is not complete.
pub(super) struct Meter {
    node: Arc<Node>,
    read: Cell<usize>,
    counted: Cell<usize>,
    refused: Cell<bool>,
}

/// The socket.
pub(super) struct Metered<I> {
    pub io: I,
    pub connection: Rc<Connection>,
    pub meter: Rc<Meter>,
}

impl Meter {
    pub(super) fn new(node: &Arc<Node>) -> Rc<Self> {
        Rc::new(Self { node: Arc::clone(node), read: Cell::new(0), counted: Cell::new(0), refused: Cell::new(false) })
    }

    /// A message was complete: from here on it counts as a body does.
    pub(super) fn taken(&self) {
        self.read.set(0);
        self.node.metrics.held.take(self.counted.take());
    }

    /// Whether the budget was used up.
    pub(super) fn is_refused(&self) -> bool {
        self.refused.get()
    }

    fn count(&self, bytes: usize) -> io::Result<()> {
        self.read.set(self.read.get() + bytes);
        if self.read.get() <= limit::WEBSOCKET_UNCOUNTED {
            return Ok(());
        }
        if !self.node.metrics.held.add(bytes) {
            self.refused.set(true);
            return Err(io::Error::other("the byte budget is used up"));
        }
        self.counted.set(self.counted.get() + bytes);
        Ok(())
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.taken();
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Metered<I> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.io).poll_read(cx, buf);
        match polled {
            Poll::Ready(Ok(())) => Poll::Ready(self.meter.count(buf.filled().len() - before)),
            other => other,
        }
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Metered<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write(cx, buf);
        self.connection.wrote(polled.is_pending());
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
