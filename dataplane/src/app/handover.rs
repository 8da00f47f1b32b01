//! One process takes the place of another on the same machine: it is given the listening sockets, so that nobody who connects
//! meanwhile is refused, and says when it serves. Only then does the other one leave, as it does when it is told to stop.
//!
//! The two meet at a Unix socket in the state folder. The successor connects, and is sent `sockets`, and with that the sockets as
//! descriptors (`SCM_RIGHTS`, unix(7)), and the lock of the state folder. It answers `ready`. If it goes away before, nothing has happened.

use std::io::{Error, ErrorKind, IoSlice, IoSliceMut, Result};
use std::mem::MaybeUninit;
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FileType, fstat};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};
use tokio::io::{AsyncReadExt as _, Interest};
use tokio::net::UnixListener;
use tokio::task::AbortHandle;

use super::tenancy::Tenancy;
use crate::limit;
use crate::listen::entrance::Entrances;
use crate::node::Node;

/// The socket in the state folder.
const FILE: &str = "handover.sock";
/// What the successor says when it serves.
const READY: &[u8] = b"ready\n";
/// What comes with the sockets.
const SOCKETS: &[u8] = b"sockets\n";
/// Bytes of the descriptors of as many sockets as one message can have (`SCM_MAX_FD`, 253).
const DESCRIPTORS: usize = 2048;

fn place(state: &Path) -> PathBuf {
    state.join(FILE)
}

/// What was given by the process before.
pub(super) struct Inherited {
    pub sockets: Vec<TcpListener>,
    /// The right to the state folder.
    pub tenancy: Option<Tenancy>,
    before: UnixStream,
}

impl Inherited {
    /// Asks the process that runs with this state folder. `None`: there is none.
    ///
    /// # Errors
    /// It is there, and gives nothing.
    pub(super) fn ask(state: &Path) -> Result<Option<Self>> {
        let before = match UnixStream::connect(place(state)) {
            Ok(before) => before,
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        before.set_read_timeout(Some(limit::HANDOVER_ANSWER))?;
        let (mut said, mut given) = (Vec::new(), Vec::new());
        while said.len() < SOCKETS.len() {
            if receive(&before, &mut said, &mut given)? == 0 {
                return Err(Error::new(ErrorKind::UnexpectedEof, "it gives no sockets"));
            }
        }
        if said != SOCKETS {
            return Err(Error::new(ErrorKind::InvalidData, "it gives something else"));
        }
        // the lock is a file among sockets
        let is_file = |given: &mut OwnedFd| {
            fstat(&*given).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile)
        };
        let lock = given.extract_if(.., is_file).last();
        let (sockets, tenancy) = (given.into_iter().map(TcpListener::from).collect(), lock.map(Tenancy::inherited));
        Ok(Some(Self { sockets, tenancy, before }))
    }

    /// Whoever was there before can leave.
    ///
    /// # Errors
    /// It is gone.
    pub(super) fn ready(self) -> Result<()> {
        use std::io::Write as _;
        (&self.before).write_all(READY)
    }
}

/// Reads some bytes, and the descriptors that come with them; how many bytes.
fn receive(from: &UnixStream, bytes: &mut Vec<u8>, descriptors: &mut Vec<OwnedFd>) -> Result<usize> {
    let (mut some, mut room) = ([0; SOCKETS.len()], [MaybeUninit::uninit(); DESCRIPTORS]);
    let mut room = RecvAncillaryBuffer::new(&mut room);
    let received = recvmsg(from, &mut [IoSliceMut::new(&mut some)], &mut room, RecvFlags::CMSG_CLOEXEC)?;
    for message in room.drain() {
        if let RecvAncillaryMessage::ScmRights(given) = message {
            descriptors.extend(given);
        }
    }
    bytes.extend_from_slice(&some[..received.bytes]);
    Ok(received.bytes)
}

/// What a process hands over.
pub(super) struct Estate {
    /// The right to the state folder.
    pub tenancy: Option<Arc<Tenancy>>,
    pub entrances: Arc<Entrances>,
    pub linking: Option<Arc<TcpListener>>,
    pub admin: Option<TcpListener>,
    /// Answers there until another process does.
    pub serving_admin: Option<AbortHandle>,
    pub node: Arc<Node>,
}

impl Estate {
    /// Waits for successors at the state folder, until one serves.
    pub(super) async fn hand_over(self, state: PathBuf) {
        let listener = match open(&place(&state)) {
            Ok(listener) => listener,
            Err(error) => return tracing::warn!(%error, "no other process can take over from this one"),
        };
        loop {
            let Ok((successor, _)) = listener.accept().await else {
                tokio::time::sleep(limit::SWEEP).await;
                continue;
            };
            // what it keeps of sessions may be changed by the other one from now on
            self.node.sessions.share(true);
            match self.to(successor).await {
                Ok(()) => {
                    tracing::info!("another process serves in the place of this one");
                    if let Some(serving) = &self.serving_admin {
                        serving.abort();
                    }
                    return self.node.drain.succeeded();
                }
                Err(error) => {
                    self.node.sessions.share(false);
                    tracing::warn!(%error, "another process was to take over, and did not");
                }
            }
        }
    }

    async fn to(&self, mut successor: tokio::net::UnixStream) -> Result<()> {
        // the folder is the user's own; who can reach into it all the same is not given our sockets
        let user = successor.peer_cred()?.uid();
        if user != rustix::process::geteuid().as_raw() {
            return Err(Error::new(ErrorKind::PermissionDenied, format!("it runs as user {user}")));
        }
        let entrances = self.entrances.open();
        let mut sockets: Vec<_> = entrances.iter().map(|open| open.socket.as_fd()).collect();
        sockets.extend(self.linking.as_ref().map(|linking| linking.as_fd()));
        sockets.extend(self.admin.as_ref().map(|admin| admin.as_fd()));
        sockets.extend(self.tenancy.as_ref().map(|tenancy| tenancy.as_fd()));
        tracing::info!(descriptors = sockets.len(), "another process is given the sockets of this one");
        let send = || {
            let message = SendAncillaryMessage::ScmRights(&sockets);
            let mut room = vec![MaybeUninit::uninit(); message.size()];
            let mut room = SendAncillaryBuffer::new(&mut room);
            room.push(message);
            Ok(sendmsg(&successor, &[IoSlice::new(SOCKETS)], &mut room, SendFlags::NOSIGNAL)?)
        };
        let sent = loop {
            successor.writable().await?;
            match successor.try_io(Interest::WRITABLE, send) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                sent => break sent?,
            }
        };
        if sent < SOCKETS.len() {
            // a line fits into a fresh socket
            return Err(Error::from(ErrorKind::WriteZero));
        }
        let mut said = [0; READY.len()];
        tokio::time::timeout(limit::HANDOVER_READY, successor.read_exact(&mut said)).await??;
        if said == *READY { Ok(()) } else { Err(Error::from(ErrorKind::InvalidData)) }
    }
}

fn open(place: &Path) -> Result<UnixListener> {
    // of the process before, which nobody can reach any more
    match std::fs::remove_file(place) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    UnixListener::bind(place)
}
