//! A door as the HTTP server takes it.

use std::net::SocketAddr;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::net::TcpListener;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;

use super::{Certificate, Connection, Peer, incoming};

/// The connections of the HTTP door.
pub struct Web {
    address: SocketAddr,
    connections: ReceiverStream<std::io::Result<Connection>>,
}

impl Web {
    /// Accepts as long as it lives.
    ///
    /// # Errors
    ///
    /// The listener has no address.
    pub fn new(listener: TcpListener, certificate: Certificate) -> std::io::Result<Self> {
        Ok(Self { address: listener.local_addr()?, connections: incoming(listener, certificate) })
    }
}

impl Listener for Web {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        loop {
            match self.connections.next().await {
                Some(Ok(connection)) => {
                    let address = connection.peer().address;
                    return (connection, address);
                }
                Some(Err(error)) => tracing::warn!(%error, "cannot accept a connection"),
                // the runtime ends, and this with it
                None => std::future::pending().await,
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        Ok(self.address)
    }
}

impl Connected<IncomingStream<'_, Web>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Web>) -> Self {
        stream.io().peer().clone()
    }
}
