//! Between sockets and messages: what a worker reads into and writes from. Connections keep no buffers of their own, so that one
//! that idles costs next to nothing: what is read lies in one place per worker until it is taken, what is written in one that is
//! lent.

use std::cell::RefCell;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use crate::limit;

mod memory_file;
mod write;

pub(crate) use memory_file::{MemoryFile, poll_send};
pub(crate) use write::{Room, Unwritten};

/// A client's connection.
pub(crate) trait Socket: AsyncRead + AsyncWrite + Unpin {
    /// The socket itself, where what is written leaves as it is: the kernel may be told to take it from elsewhere.
    fn plain(&self) -> Option<&TcpStream>;
}

impl Socket for TcpStream {
    fn plain(&self) -> Option<&TcpStream> {
        Some(self)
    }
}

impl<I> Socket for TlsStream<I>
where
    Self: AsyncRead + AsyncWrite + Unpin,
{
    fn plain(&self) -> Option<&TcpStream> {
        None
    }
}

#[cfg(test)]
impl Socket for tokio::io::DuplexStream {
    fn plain(&self) -> Option<&TcpStream> {
        None
    }
}

thread_local! {
    static READ: RefCell<Box<[u8]>> = RefCell::new(vec![0; limit::READ_BYTES].into());
}

/// Reads what is there, as far as the worker's room goes, and hands it to `take`; no bytes: the other side said its last.
///
/// # Errors
/// The socket's.
pub(crate) fn poll_read<T>(
    io: &mut (impl AsyncRead + Unpin + ?Sized),
    cx: &mut Context<'_>,
    take: impl FnOnce(&[u8]) -> T,
) -> Poll<std::io::Result<T>> {
    READ.with_borrow_mut(|room| {
        let mut buffer = ReadBuf::new(room);
        ready!(Pin::new(io).poll_read(cx, &mut buffer))?;
        Poll::Ready(Ok(take(buffer.filled())))
    })
}

/// The next bytes of a body of which `ahead` bytes are still to come: many of them are not copied once more.
///
/// # Errors
/// The socket's.
pub(crate) fn poll_bytes(
    io: &mut (impl AsyncRead + Unpin + ?Sized),
    cx: &mut Context<'_>,
    ahead: u64,
) -> Poll<std::io::Result<Bytes>> {
    if ahead < limit::READ_BYTES as u64 / 2 {
        return poll_read(io, cx, copied);
    }
    let mut buffer = BytesMut::with_capacity((limit::READ_BYTES as u64).min(ahead) as usize);
    let reading = std::pin::pin!(io.read_buf(&mut buffer));
    ready!(reading.poll(cx))?;
    if buffer.len() < buffer.capacity() / 2 {
        // few bytes do not keep so much room
        return Poll::Ready(Ok(copied(&buffer)));
    }
    Poll::Ready(Ok(buffer.freeze()))
}

/// A copy. Large ones come in few sizes, so that the allocator has few kinds of pages for them: a stream of pieces of any size
/// would otherwise keep some megabytes.
fn copied(bytes: &[u8]) -> Bytes {
    if bytes.len() <= limit::COPIED_BYTES {
        return Bytes::copy_from_slice(bytes);
    }
    let mut copy = BytesMut::with_capacity(bytes.len().next_power_of_two());
    copy.extend_from_slice(bytes);
    copy.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn pieces_keep_no_more_room_than_about_their_size() {
        use tokio::io::AsyncWriteExt as _;

        for size in [1, 1000, 20_000, 40_000, limit::READ_BYTES] {
            let (mut near, mut far) = tokio::io::duplex(limit::READ_BYTES);
            far.write_all(&vec![b'x'; size]).await.unwrap();
            let piece = std::future::poll_fn(|cx| poll_bytes(&mut near, cx, 1 << 20)).await.unwrap();
            assert_eq!(piece.len(), size);
            let room = piece.try_into_mut().unwrap().capacity();
            assert!(room <= 2 * size, "{size} bytes keep {room}");
        }
    }
}
