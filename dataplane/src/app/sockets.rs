//! Listening sockets. They are exclusive: two processes never share a port.

use std::net::{SocketAddr, TcpListener, TcpStream};

#[cfg(target_os = "linux")]
use socket2::SockFilter;
use socket2::{SockRef, Socket, TcpKeepalive};

use crate::limit;
use crate::settings::StartError;

/// Connections that wait to be accepted: as many as come while every worker is busy for some milliseconds.
const BACKLOG: i32 = 1024;

/// A program for the packets of a socket, of one instruction: return 0, the bytes that are kept (`BPF_RET | BPF_K`).
#[cfg(target_os = "linux")]
const DROP: SockFilter = SockFilter::new(0x06, 0, 0, 0);

/// The one of these that is bound to an address.
pub(super) fn at(address: SocketAddr, doors: &[TcpListener]) -> Option<&TcpListener> {
    doors.iter().find(|door| door.local_addr().is_ok_and(|open| open == address))
}

/// Binds an address; `flag` is the one that changes it.
pub(super) fn listen(address: SocketAddr, flag: &'static str) -> Result<TcpListener, StartError> {
    listen_beside(address, flag, &[])
}

/// Binds an address that may overlap those of sockets which are about to be closed, such as one of all interfaces.
pub(super) fn listen_beside(
    address: SocketAddr,
    flag: &'static str,
    leaving: &[&TcpListener],
) -> Result<TcpListener, StartError> {
    let overlaps = |socket: &&&TcpListener| socket.local_addr().is_ok_and(|open| open.port() == address.port());
    let overlapping: Vec<_> = leaving.iter().filter(overlaps).map(|socket| SockRef::from(*socket)).collect();
    let bound = bind(address, false).or_else(|cause| {
        if overlapping.is_empty() || cause.kind() != std::io::ErrorKind::AddrInUse {
            return Err(cause);
        }
        // shared with ourselves for this one step, and with nobody after it
        let share = |is_shared| overlapping.iter().try_for_each(|socket| socket.set_reuse_port(is_shared));
        share(true)?;
        let bound = bind(address, true);
        share(false)?;
        let bound = bound?;
        bound.set_reuse_port(false)?;
        Ok(bound)
    });
    bound.map(TcpListener::from).map_err(|cause| StartError::Bind { address, flag, cause })
}

/// Lets nobody begin to connect any more, who is not reset by that: the system drops what comes, and clients ask again a second
/// later, when the socket is closed. Whoever is connected already can still be accepted.
pub(super) fn deafen(socket: &TcpListener) {
    #[cfg(target_os = "linux")]
    if let Err(error) = SockRef::from(socket).attach_filter(&[DROP]) {
        tracing::debug!(%error, "a socket that is to be closed cannot be made deaf");
    }
}

/// Makes a connection what those are that workers accept.
pub(super) fn take_up(stream: &TcpStream) -> std::io::Result<()> {
    // made while its listener was being made deaf, it would be deaf itself; most are not, which is an error that says nothing
    #[cfg(target_os = "linux")]
    let _ = SockRef::from(stream).detach_filter();
    stream.set_nonblocking(true)
}

fn bind(address: SocketAddr, is_shared: bool) -> std::io::Result<Socket> {
    let socket = Socket::new(socket2::Domain::for_address(address), socket2::Type::STREAM, None)?;
    // only skips the wait for old connections; two processes still cannot listen on one port
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(is_shared)?;
    // whoever is accepted has these of its listener, without a call of the system for each
    let probes =
        TcpKeepalive::new().with_time(limit::CLIENT_PROBE).with_interval(limit::CLIENT_PROBE_AGAIN).with_retries(3);
    socket.set_tcp_keepalive(&probes)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(limit::CLIENT_GONE))?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}
