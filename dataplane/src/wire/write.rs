//! Writing: pieces that lie apart, as few system calls as can be.

use std::cell::RefCell;
use std::io::{Error, ErrorKind, IoSlice, Result};
use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::AsyncWrite;

use crate::limit;

thread_local! {
    static ROOMS: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// Room to write into, lent by the worker: heads, small bodies, events.
pub(crate) struct Room(Vec<u8>);

impl Room {
    pub(crate) fn take() -> Self {
        Self(ROOMS.with_borrow_mut(Vec::pop).unwrap_or_default())
    }
}

impl Deref for Room {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.0
    }
}

impl DerefMut for Room {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if self.0.capacity() <= limit::ROOM_KEPT_BYTES {
            let mut room = std::mem::take(&mut self.0);
            room.clear();
            ROOMS.with_borrow_mut(|rooms| {
                if rooms.len() < limit::ROOMS_KEPT {
                    rooms.push(room);
                }
            });
        }
    }
}

/// What is left to write: a head, then pieces of a body.
pub(crate) struct Unwritten<'b> {
    head: &'b [u8],
    body: &'b [Bytes],
    /// Bytes of the first piece that are gone.
    gone: usize,
    /// Bytes the socket took.
    pub written: usize,
    /// The socket keeps nothing back (TLS does).
    flushed: bool,
}

impl<'b> Unwritten<'b> {
    pub(crate) fn new(head: &'b [u8], body: &'b [Bytes]) -> Self {
        let mut unwritten = Self { head, body, gone: 0, written: 0, flushed: false };
        // empty pieces are gone
        unwritten.advance(0);
        unwritten
    }

    /// The same, of which `written` bytes are gone already.
    pub(crate) fn resume(head: &'b [u8], body: &'b [Bytes], written: usize) -> Self {
        let mut unwritten = Self::new(head, body);
        unwritten.advance(written);
        unwritten
    }

    pub(crate) fn is_done(&self) -> bool {
        self.flushed
    }

    /// What is left, to be written later.
    pub(crate) fn rest(&self) -> Vec<Bytes> {
        let body = self.rest_of_body().zip(self.body).map(|(rest, piece)| piece.slice_ref(rest));
        std::iter::once(Bytes::copy_from_slice(self.head)).chain(body).collect()
    }

    fn is_written(&self) -> bool {
        self.head.is_empty() && self.body.is_empty()
    }

    /// Writes until all is gone.
    ///
    /// # Errors
    /// The socket's.
    pub(crate) fn poll_write(
        &mut self,
        io: &mut (impl AsyncWrite + Unpin + ?Sized),
        cx: &mut Context<'_>,
    ) -> Poll<Result<()>> {
        while !self.is_written() {
            let io = Pin::new(&mut *io);
            let count = if self.body.is_empty() {
                ready!(io.poll_write(cx, self.head))?
            } else {
                let mut slices = [IoSlice::new(&[]); 8];
                let pieces = std::iter::once(self.head).chain(self.rest_of_body());
                let count = slices.iter_mut().zip(pieces).map(|(slice, piece)| *slice = IoSlice::new(piece)).count();
                ready!(io.poll_write_vectored(cx, &slices[..count]))?
            };
            if count == 0 {
                return Poll::Ready(Err(Error::from(ErrorKind::WriteZero)));
            }
            self.advance(count);
        }
        ready!(Pin::new(io).poll_flush(cx))?;
        self.flushed = true;
        Poll::Ready(Ok(()))
    }

    fn rest_of_body(&self) -> impl Iterator<Item = &'b [u8]> {
        let gone = self.gone;
        self.body.iter().enumerate().map(move |(at, piece)| if at == 0 { &piece[gone..] } else { &piece[..] })
    }

    fn advance(&mut self, count: usize) {
        self.written += count;
        let of_head = count.min(self.head.len());
        self.head = &self.head[of_head..];
        self.gone += count - of_head;
        while let Some(first) = self.body.first().filter(|first| first.len() <= self.gone) {
            self.gone -= first.len();
            self.body = &self.body[1..];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn all_is_written_however_little_the_socket_takes_at_a_time() {
        for room in 1..12 {
            let (mut near, mut far) = tokio::io::duplex(room);
            let body =
                [Bytes::from_static(b"one"), Bytes::new(), Bytes::from_static(b"two"), Bytes::from_static(b"three")];
            let writing = async move {
                let mut unwritten = Unwritten::new(b"head", &body);
                std::future::poll_fn(|cx| unwritten.poll_write(&mut near, cx)).await.unwrap();
                unwritten.written
            };
            let mut read = String::new();
            let (written, _) = tokio::join!(writing, tokio::io::AsyncReadExt::read_to_string(&mut far, &mut read));
            assert_eq!((written, &*read), (15, "headonetwothree"), "{room}");
        }
    }
}
