//! The doors on the network: TLS, and on loopback plain text as well, told apart by the first byte of a connection.

mod calls;
mod certificate;
mod connection;
mod places;
mod serve;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::CertificateDer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

use crate::authority::Credential;
pub use certificate::{Certificate, CertificateError, CertificateFiles, Given};
pub use connection::{Connection, Peer};
use places::{Guest, Place, Places};
pub use serve::serve;

/// How long it may take until a connection can be spoken on: two round trips, on a very bad network.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Pause after the system gave no connection: out of descriptors, and some will be closed.
const PAUSE: Duration = Duration::from_millis(100);
/// What a TLS record of a handshake begins with.
const TLS: u8 = 0x16;
/// What plain text from another machine is answered, whatever it asks.
const PLAIN: &str = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n\
    This port speaks TLS: write https:// instead of http://. A token that was sent has crossed the network as it is: \
    revoke it.\n";
/// Bytes of a plain request that are read before the connection is closed: one that is closed with more to read is reset, and
/// its answer lost.
const PLAIN_REQUEST: u64 = 64 << 10;

/// A connection that may stay.
pub struct Welcomed {
    connection: Connection,
    place: Place,
}

/// The connections of a door.
pub struct Incoming(mpsc::Receiver<Welcomed>);

impl Incoming {
    /// Accepts as long as it lives.
    #[must_use]
    pub fn new(listener: TcpListener, certificate: Certificate) -> Self {
        let (taken, connections) = mpsc::channel(1);
        tokio::spawn(accept(listener, Arc::new(certificate), taken));
        Self(connections)
    }

    async fn next(&mut self) -> Option<Welcomed> {
        self.0.recv().await
    }
}

async fn accept(listener: TcpListener, certificate: Arc<Certificate>, taken: mpsc::Sender<Welcomed>) {
    let places = Arc::new(Places::default());
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
        let Some(greeted) = places.take(Guest::greeted(address.ip())) else { continue };
        let (certificate, taken, places) = (Arc::clone(&certificate), taken.clone(), Arc::clone(&places));
        tokio::spawn(async move {
            match tokio::time::timeout(HANDSHAKE, greet(stream, address, &certificate)).await {
                Ok(Ok(connection)) => {
                    // whoever is a node has room, however many strangers there are
                    if let Some(place) = places.take(connection.peer().guest()) {
                        drop(taken.send(Welcomed { connection, place }).await);
                    }
                }
                Ok(Err(error)) => tracing::debug!(%address, %error, "a connection did not come about"),
                Err(_) => tracing::debug!(%address, "a connection took too long"),
            }
            drop(greeted);
        });
    }
}

async fn greet(mut stream: TcpStream, address: SocketAddr, certificate: &Certificate) -> io::Result<Connection> {
    stream.set_nodelay(true)?;
    let mut first = [0];
    if stream.peek(&mut first).await? == 1 && first[0] != TLS {
        if stream.local_addr()?.ip().to_canonical().is_loopback() {
            return Ok(Connection::Plain(stream, Peer { address, credential: None }));
        }
        turn_away(&mut stream).await?;
        return Err(io::Error::other("it is not TLS"));
    }
    let stream = TlsAcceptor::from(certificate.tls()).accept(stream).await?;
    let leaf = stream.get_ref().1.peer_certificates().and_then(<[CertificateDer<'_>]>::first);
    let credential = leaf.and_then(Credential::of).map(Arc::new);
    Ok(Connection::Tls(Box::new(stream), Peer { address, credential }))
}

/// Says why nothing is served.
async fn turn_away(stream: &mut TcpStream) -> io::Result<()> {
    stream.write_all(PLAIN.as_bytes()).await?;
    stream.shutdown().await?;
    tokio::io::copy(&mut stream.take(PLAIN_REQUEST), &mut tokio::io::sink()).await?;
    Ok(())
}

/// Whether a name or an address stands for this machine alone.
pub(crate) fn is_loopback(host: &str) -> bool {
    let is_one = |address: IpAddr| address.to_canonical().is_loopback();
    host.eq_ignore_ascii_case("localhost") || host.parse().is_ok_and(is_one)
}
