//! A connection that can be cut from outside: those who speak on it would otherwise finish what they began.

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A connection.
pub(super) struct Severable<I> {
    io: I,
    knife: Rc<Knife>,
}

/// What cuts it.
#[derive(Default)]
pub(super) struct Knife {
    is_cut: Cell<bool>,
    reader: RefCell<Option<Waker>>,
}

impl<I> Severable<I> {
    /// A connection, and what cuts it.
    pub(super) fn new(io: I) -> (Self, Rc<Knife>) {
        let knife = Rc::<Knife>::default();
        (Self { io, knife: Rc::clone(&knife) }, knife)
    }
}

impl Knife {
    /// Whoever speaks on the connection finds it broken, at once.
    pub(super) fn cut(&self) {
        self.is_cut.set(true);
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }

    fn check(&self) -> io::Result<()> {
        if self.is_cut.get() { Err(io::ErrorKind::ConnectionAborted.into()) } else { Ok(()) }
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Severable<I> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.knife.check()?;
        let read = Pin::new(&mut self.io).poll_read(cx, buffer);
        if read.is_pending() {
            self.knife.reader.replace(Some(cx.waker().clone()));
        }
        read
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Severable<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.knife.check()?;
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.knife.check()?;
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.knife.check()?;
        Pin::new(&mut self.io).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}
