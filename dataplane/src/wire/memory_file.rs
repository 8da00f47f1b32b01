//! Bytes that many are sent, kept in a memory file besides: a socket takes pages of a file as they are, where a write copies
//! them (`sendfile(2)`). The copy is what a large list costs, and how much depends on where the kernel finds room for it.

use std::io::{Error, ErrorKind, IoSlice, Result};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use rustix::fs::{MemfdFlags, memfd_create, sendfile};
use rustix::net::{SendAncillaryBuffer, SendFlags, sendmsg};
use tokio::io::Interest;
use tokio::net::TcpStream;

use crate::limit;

/// Files that are open in this process, and their bytes.
static FILES: AtomicUsize = AtomicUsize::new(0);
static BYTES: AtomicUsize = AtomicUsize::new(0);

/// Bytes that do not change, and their file once somebody is sent them.
pub(crate) struct MemoryFile {
    bytes: Bytes,
    file: OnceLock<Option<File>>,
}

struct File {
    descriptor: OwnedFd,
    bytes: usize,
}

impl MemoryFile {
    pub(crate) fn new(bytes: Bytes) -> Arc<Self> {
        Arc::new(Self { bytes, file: OnceLock::new() })
    }

    pub(crate) fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The file; `None` where it does not pay, or there are enough of them.
    pub(crate) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        let worth = self.bytes.len() >= limit::FILED_BYTES;
        let file = self.file.get_or_init(|| worth.then(|| File::of(&self.bytes)).flatten());
        file.as_ref().map(|file| file.descriptor.as_fd())
    }

    /// Where a piece lies in the file; `None` for one that is not of these bytes, or so small that it is copied sooner.
    fn place(&self, piece: &[u8]) -> Option<u64> {
        let at = (piece.as_ptr() as usize).checked_sub(self.bytes.as_ptr() as usize)?;
        (piece.len() >= limit::FILED_BYTES && at + piece.len() <= self.bytes.len()).then_some(at as u64)
    }
}

impl File {
    fn of(bytes: &[u8]) -> Option<Self> {
        // counted first: whoever is too many takes it back
        let files = FILES.fetch_add(1, Ordering::Relaxed);
        let all = BYTES.fetch_add(bytes.len(), Ordering::Relaxed) + bytes.len();
        let descriptor = (files < limit::MEMORY_FILES && all <= limit::MEMORY_FILES_BYTES).then(|| filled(bytes));
        match descriptor {
            Some(Ok(descriptor)) => Some(Self { descriptor, bytes: bytes.len() }),
            failed => {
                uncount(bytes.len());
                if let Some(Err(error)) = failed {
                    tracing::debug!(%error, "no memory file: lists are copied");
                }
                None
            }
        }
    }
}

impl Drop for File {
    fn drop(&mut self) {
        uncount(self.bytes);
    }
}

fn uncount(bytes: usize) {
    FILES.fetch_sub(1, Ordering::Relaxed);
    BYTES.fetch_sub(bytes, Ordering::Relaxed);
}

fn filled(mut bytes: &[u8]) -> Result<OwnedFd> {
    let file = memfd_create("sluice-list", MemfdFlags::CLOEXEC)?;
    while !bytes.is_empty() {
        match rustix::io::write(&file, bytes)? {
            0 => return Err(Error::from(ErrorKind::WriteZero)),
            written => bytes = &bytes[written..],
        }
    }
    Ok(file)
}

/// What comes next on a socket.
enum Next<'b> {
    /// Pieces to be copied; whether pages follow them at once.
    Copied([IoSlice<'b>; PIECES], usize, bool),
    /// So many bytes of the file, from there.
    Filed(u64, usize),
}

/// Pieces handed to the kernel at a time.
const PIECES: usize = 8;

impl<'b> Next<'b> {
    /// What follows the first `written` bytes; `None` at the end.
    fn after(mut written: usize, head: &'b [u8], body: &'b [Bytes], file: &MemoryFile) -> Option<Self> {
        let mut copied = [IoSlice::new(&[]); PIECES];
        let mut count = 0;
        for piece in std::iter::once(head).chain(body.iter().map(|piece| &piece[..])) {
            if written >= piece.len() {
                written -= piece.len();
                continue;
            }
            let gone = std::mem::take(&mut written);
            match file.place(piece) {
                Some(at) if count == 0 => return Some(Self::Filed(at + gone as u64, piece.len() - gone)),
                Some(_) => return Some(Self::Copied(copied, count, true)),
                None if count == PIECES => break,
                None => copied[count] = IoSlice::new(&piece[gone..]),
            }
            count += 1;
        }
        (count > 0).then_some(Self::Copied(copied, count, false))
    }

    fn send(&self, socket: &TcpStream, file: BorrowedFd<'_>) -> rustix::io::Result<usize> {
        match self {
            Self::Copied(pieces, count, more) => {
                let more = if *more { SendFlags::MORE } else { SendFlags::empty() };
                sendmsg(socket, &pieces[..*count], &mut SendAncillaryBuffer::default(), SendFlags::NOSIGNAL | more)
            }
            Self::Filed(at, left) => sendfile(socket, file, Some(&mut { *at }), *left),
        }
    }
}

/// Writes a head and the pieces of a body, `written` bytes of which are gone already; those that lie in the file leave without
/// being copied.
///
/// # Errors
/// The socket's.
pub(crate) fn poll_send(
    socket: &TcpStream,
    cx: &mut Context<'_>,
    (head, body): (&[u8], &[Bytes]),
    (file, descriptor): (&MemoryFile, BorrowedFd<'_>),
    written: &mut usize,
) -> Poll<Result<()>> {
    while let Some(next) = Next::after(*written, head, body, file) {
        ready!(socket.poll_write_ready(cx))?;
        match socket.try_io(Interest::WRITABLE, || Ok(next.send(socket, descriptor)?)) {
            Ok(0) => return Poll::Ready(Err(Error::from(ErrorKind::WriteZero))),
            Ok(sent) => *written += sent,
            // asked again, it waits until there is room
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Poll::Ready(Err(error)),
        }
    }
    Poll::Ready(Ok(()))
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;
    use tokio::net::TcpListener;

    use super::*;

    /// Sends the pieces to somebody who reads slowly at first.
    async fn sent(head: &[u8], body: &[Bytes], file: &MemoryFile) -> Vec<u8> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut reader = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (socket, _) = listener.accept().await.unwrap();
        let writing = async move {
            let mut written = 0;
            let descriptor = file.descriptor().unwrap();
            std::future::poll_fn(|cx| poll_send(&socket, cx, (head, body), (file, descriptor), &mut written)).await
        };
        let mut got = Vec::new();
        let (written, read) = tokio::join!(writing, reader.read_to_end(&mut got));
        written.unwrap();
        read.unwrap();
        got
    }

    #[tokio::test]
    async fn all_arrives_in_order_wherever_the_pages_are() {
        // more than a socket takes at once
        let bytes: Bytes = (0..8_000_000_u32).map(|n| (n % 251) as u8).collect::<Vec<_>>().into();
        let file = MemoryFile::new(bytes.clone());
        let small = |text: &'static str| Bytes::from_static(text.as_bytes());
        let bodies = [
            vec![bytes.slice(..40), small("id"), bytes.slice(42..)],
            vec![bytes.slice(..5_000_000), small("id"), bytes.slice(5_000_002..)],
            vec![bytes.clone(), small("}")],
            vec![
                small("{"),
                Bytes::new(),
                bytes.slice(1..20_000),
                bytes.slice(20_000..7_999_990),
                bytes.slice(7_999_990..),
            ],
            std::iter::repeat_n(small("x"), 20)
                .chain([bytes.clone()])
                .chain(std::iter::repeat_n(small("y"), 20))
                .collect(),
        ];
        for body in bodies {
            let whole: Vec<u8> =
                [&b"head"[..]].into_iter().chain(body.iter().map(|piece| &piece[..])).flatten().copied().collect();
            assert!(sent(b"head", &body, &file).await == whole);
        }
    }

    #[test]
    fn only_what_pays_has_a_file_and_all_together_are_bounded() {
        assert!(MemoryFile::new(vec![0; limit::FILED_BYTES - 1].into()).descriptor().is_none());
        let many: Vec<_> = std::iter::repeat_with(|| MemoryFile::new(vec![0; 1 << 20].into()))
            .take(limit::MEMORY_FILES_BYTES / (1 << 20) + 5)
            .collect();
        let open = many.iter().filter(|file| file.descriptor().is_some()).count();
        assert!(0 < open && open <= limit::MEMORY_FILES_BYTES / (1 << 20), "{open}");
        let other = MemoryFile::new(vec![0; limit::FILED_BYTES].into());
        assert!(other.place(many[0].bytes()).is_none(), "of other bytes");
    }
}
