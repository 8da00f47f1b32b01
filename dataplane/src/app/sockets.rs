//! The listening sockets: bound once, before anything else of the node is there, and handed on as descriptors.

use std::net::{SocketAddr, TcpListener};

use sluice_snapshot::model::Snapshot;

use crate::settings::{Settings, StartError};

/// Binds what a snapshot says, or the settings in its place. `door` is open already.
pub(super) fn bind(
    settings: &Settings,
    snapshot: &Snapshot,
    door: Option<&TcpListener>,
) -> Result<Vec<TcpListener>, StartError> {
    let configured = if settings.stdio && !snapshot.listener.addresses.is_empty() && settings.listen.is_none() {
        &[][..]
    } else {
        &snapshot.listener.addresses[..]
    };
    let addresses: Vec<SocketAddr> = settings.listen.map_or_else(|| configured.to_vec(), |address| vec![address]);
    let open = snapshot.access.required || snapshot.access.explicitly_open;
    if let Some(address) = addresses.iter().find(|a| !a.ip().to_canonical().is_loopback() && !open) {
        return Err(StartError::Open(*address));
    }
    let is_open = |address: SocketAddr| door.filter(|door| door.local_addr().is_ok_and(|open| open == address));
    let open = |address| match is_open(address) {
        Some(door) => Ok(door.try_clone()?),
        None => listen(address, "--listen"),
    };
    addresses.into_iter().map(open).collect()
}

/// Binds an address; `flag` is the one that changes it.
pub(super) fn listen(address: SocketAddr, flag: &'static str) -> Result<TcpListener, StartError> {
    let bound = (|| {
        let socket = socket2::Socket::new(socket2::Domain::for_address(address), socket2::Type::STREAM, None)?;
        // only skips the wait for old connections; two processes still cannot listen on one port
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        socket.listen(1024)?;
        socket.set_nonblocking(true)?;
        Ok(TcpListener::from(socket))
    })();
    bound.map_err(|cause| StartError::Bind { address, flag, cause })
}
