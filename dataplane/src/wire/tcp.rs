//! A TCP socket, read and written by bare system calls. The C library's may be cancelled with their thread, and make ready for
//! that on each call; nobody here cancels threads.

use std::io::{ErrorKind, IoSlice, Result};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustix::net::{RecvFlags, SendFlags, recv, send};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

/// A connected socket.
pub(crate) struct Tcp(TcpStream);

impl Tcp {
    pub(crate) fn new(socket: TcpStream) -> Self {
        Self(socket)
    }

    /// Makes a system call that moves at most `most` bytes, once the socket is ready for it. Fewer were moved because there were
    /// no more, or no more room: to go on as if it had said so spares the call that would find that out.
    fn poll_call(
        &self,
        cx: &mut Context<'_>,
        interest: Interest,
        most: usize,
        mut call: impl FnMut() -> rustix::io::Result<usize>,
    ) -> Poll<Result<usize>> {
        loop {
            if interest.is_readable() {
                ready!(self.0.poll_read_ready(cx))?;
            } else {
                ready!(self.0.poll_write_ready(cx))?;
            }
            let mut moved = None;
            let called = self.0.try_io(interest, || {
                let count = call()?;
                moved = Some(count);
                if 0 < count && count < most { Err(ErrorKind::WouldBlock.into()) } else { Ok(()) }
            });
            match (moved, called) {
                (Some(count), _) => return Poll::Ready(Ok(count)),
                (None, Err(error)) if !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                    return Poll::Ready(Err(error));
                }
                (None, _) => {}
            }
        }
    }
}

impl AsyncRead for Tcp {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        let room = buffer.initialize_unfilled();
        let most = room.len();
        let read = || Ok(recv(&self.0, &mut *room, RecvFlags::empty())?.1);
        let count = ready!(self.poll_call(cx, Interest::READABLE, most, read))?;
        buffer.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Tcp {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        self.poll_call(cx, Interest::WRITABLE, bytes.len(), || send(&self.0, bytes, SendFlags::NOSIGNAL))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        // large: what the library does beside the call is nothing
        Pin::new(&mut self.0).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    async fn pair() -> (Tcp, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let far = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (Tcp::new(listener.accept().await.unwrap().0), far)
    }

    #[tokio::test]
    async fn what_comes_in_pieces_is_read_to_the_end() {
        let (mut near, mut far) = pair().await;
        let mut room = [0; 64];
        for piece in [&b"one"[..], b"a second", &[b'x'; 64], b"."] {
            far.write_all(piece).await.unwrap();
            let count = near.read(&mut room).await.unwrap();
            assert_eq!(&room[..count], piece);
        }
        drop(far);
        assert_eq!(near.read(&mut room).await.unwrap(), 0);
        assert_eq!(near.read(&mut room).await.unwrap(), 0, "and it stays the end");
    }

    #[tokio::test]
    async fn more_than_the_socket_holds_is_written_as_the_other_side_reads() {
        let (mut near, mut far) = pair().await;
        let sent: Vec<u8> = (0..8 << 20).map(|n: u32| (n % 251) as u8).collect();
        let mut read = Vec::new();
        let writing = async {
            near.write_all(&sent).await.unwrap();
            near.shutdown().await.unwrap();
        };
        tokio::join!(writing, async { far.read_to_end(&mut read).await.unwrap() });
        assert!(read == sent);
    }

    #[tokio::test]
    async fn a_socket_whose_other_side_is_gone_is_an_error_and_no_signal() {
        let (mut near, far) = pair().await;
        far.set_zero_linger().unwrap();
        drop(far);
        let error = async {
            loop {
                if let Err(error) = near.write(&[b'x'; 1024]).await {
                    return error.kind();
                }
            }
        };
        assert!(matches!(error.await, ErrorKind::BrokenPipe | ErrorKind::ConnectionReset));
    }
}
