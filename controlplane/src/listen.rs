//! The gRPC listener: TLS, and on loopback plain HTTP/2 as well, told apart by their first byte.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls_pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected;

use crate::authority::{Authority, Credential};

/// Connections that are not yet spoken on: enough for a fleet that comes back at once, and few enough that strangers who say
/// nothing take no room.
const GREETING: usize = 256;
/// How long that may take: two round trips, on a very bad network.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Pause after the system gave no connection: out of descriptors, and some will be closed.
const PAUSE: Duration = Duration::from_millis(100);
/// What a TLS record of a handshake begins with.
const TLS: u8 = 0x16;

/// Who is at the other end of a connection.
#[derive(Clone)]
pub struct Peer {
    /// Where it comes from.
    pub address: SocketAddr,
    /// Whose certificate it showed; checked, but for revocation.
    pub credential: Option<Arc<Credential>>,
}

/// A connection.
pub enum Connection {
    /// Over loopback, as it is.
    Plain(TcpStream, Peer),
    /// Over TLS.
    Tls(Box<TlsStream<TcpStream>>, Peer),
}

/// Accepts as long as somebody takes connections.
pub fn incoming(listener: TcpListener, authority: Arc<Authority>) -> ReceiverStream<io::Result<Connection>> {
    let (taken, connections) = mpsc::channel(1);
    tokio::spawn(accept(listener, authority, taken));
    ReceiverStream::new(connections)
}

async fn accept(listener: TcpListener, authority: Arc<Authority>, taken: mpsc::Sender<io::Result<Connection>>) {
    let greeting = Arc::new(Semaphore::new(GREETING));
    loop {
        let accepted = tokio::select! {
            () = taken.closed() => return,
            accepted = listener.accept() => accepted,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        // beyond it whoever comes waits in the kernel's queue
        let Ok(place) = Arc::clone(&greeting).acquire_owned().await else { return };
        let (authority, taken) = (Arc::clone(&authority), taken.clone());
        tokio::spawn(async move {
            match tokio::time::timeout(HANDSHAKE, greet(stream, address, &authority)).await {
                Ok(Ok(connection)) => drop(taken.send(Ok(connection)).await),
                Ok(Err(error)) => tracing::debug!(%address, %error, "a connection did not come about"),
                Err(_) => tracing::debug!(%address, "a connection took too long"),
            }
            drop(place);
        });
    }
}

async fn greet(stream: TcpStream, address: SocketAddr, authority: &Authority) -> io::Result<Connection> {
    stream.set_nodelay(true)?;
    let mut first = [0];
    if stream.peek(&mut first).await? == 1 && first[0] != TLS {
        if stream.local_addr()?.ip().to_canonical().is_loopback() {
            return Ok(Connection::Plain(stream, Peer { address, credential: None }));
        }
        return Err(io::Error::other("it is not TLS"));
    }
    let stream = TlsAcceptor::from(authority.tls()).accept(stream).await?;
    let leaf = stream.get_ref().1.peer_certificates().and_then(<[CertificateDer<'_>]>::first);
    let credential = leaf.and_then(Credential::of).map(Arc::new);
    Ok(Connection::Tls(Box::new(stream), Peer { address, credential }))
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        match self {
            Self::Plain(_, peer) | Self::Tls(_, peer) => peer.clone(),
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
