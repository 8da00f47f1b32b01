//! A connection to a door, and who is at its other end.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::places::Guest;
use crate::authority::Credential;

/// Who is at the other end of a connection.
#[derive(Clone)]
pub struct Peer {
    /// Where it comes from.
    pub address: SocketAddr,
    /// Whose certificate it showed; checked, but for revocation.
    pub credential: Option<Arc<Credential>>,
}

impl Peer {
    /// It is on this machine, by an address that no other machine has.
    #[must_use]
    pub fn is_here(&self) -> bool {
        self.address.ip().to_canonical().is_loopback()
    }

    /// Whose places it takes.
    pub(super) fn guest(&self) -> Guest {
        match &self.credential {
            Some(credential) => Guest::Node(credential.node.clone()),
            None => Guest::stranger(self.address.ip()),
        }
    }
}

/// A connection.
pub enum Connection {
    /// Over loopback, as it is.
    Plain(TcpStream, Peer),
    /// Over TLS.
    Tls(Box<TlsStream<TcpStream>>, Peer),
}

impl Connection {
    /// Who is at its other end.
    #[must_use]
    pub fn peer(&self) -> &Peer {
        match self {
            Self::Plain(_, peer) | Self::Tls(_, peer) => peer,
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream, _) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream, _) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream, _) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream, _) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream, _) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream, _) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream, _) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream, _) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
