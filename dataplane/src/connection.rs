//! The way of bytes to a server: TCP or a Unix socket, inside TLS where its URL says so. What is said over it is somebody
//! else's business.

use std::io::{Error, ErrorKind, Result};
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustls_pki_types::ServerName;
use sluice_snapshot::model::HttpEndpoint;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

use crate::limit;

/// Bytes in both directions.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Duplex for T {}

const TOO_LATE: &str = "no connection in time";

/// An open connection. One call through a table for each system call is nothing beside the call.
pub(crate) type Socket = Box<dyn Duplex>;

/// Opens a connection to an endpoint: to its Unix socket if it has one, else to its host and port. TLS names the host of
/// the URL in both cases.
///
/// # Errors
/// Whatever kept the connection from being opened, within [`limit::CONNECT`] and [`limit::TLS_HANDSHAKE`].
pub(crate) async fn open(endpoint: &HttpEndpoint) -> Result<Socket> {
    open_within(endpoint, limit::CONNECT).await
}

/// The same, with so much time for the connection.
///
/// # Errors
/// See [`open`].
pub(crate) async fn open_within(endpoint: &HttpEndpoint, patience: Duration) -> Result<Socket> {
    let deadline = Instant::now() + patience;
    let connecting = async {
        if let Some(path) = &endpoint.socket {
            return Result::Ok(Box::new(UnixStream::connect(path).await?) as Socket);
        }
        let addresses: Vec<_> = tokio::net::lookup_host((&*endpoint.host, endpoint.port)).await?.collect();
        connect(&addresses, deadline).await
    };
    let plain = tokio::time::timeout_at(deadline, connecting).await.map_err(late(TOO_LATE))??;
    secure(endpoint, plain).await
}

/// The same to addresses that were looked up, and looked at, before.
///
/// # Errors
/// See [`open`].
pub(crate) async fn open_at(endpoint: &HttpEndpoint, addresses: &[SocketAddr]) -> Result<Socket> {
    let plain = connect(addresses, Instant::now() + limit::CONNECT).await?;
    secure(endpoint, plain).await
}

/// A connection to the first address that takes one. Each has an equal share of the time that is left, so that one which answers
/// nothing does not keep the others from being tried.
async fn connect(addresses: &[SocketAddr], deadline: Instant) -> Result<Socket> {
    let mut failed = Error::new(ErrorKind::NotFound, "the name has no address");
    for (tried, address) in addresses.iter().enumerate() {
        let left = deadline.saturating_duration_since(Instant::now());
        let share = left / u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX);
        match tokio::time::timeout(share, TcpStream::connect(address)).await.map_err(late(TOO_LATE)).flatten() {
            Ok(tcp) => {
                tcp.set_nodelay(true)?;
                return Ok(Box::new(tcp));
            }
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

fn late<E>(what: &'static str) -> impl FnOnce(E) -> Error {
    move |_| Error::new(ErrorKind::TimedOut, what)
}

/// TLS where the URL says so.
async fn secure(endpoint: &HttpEndpoint, plain: Socket) -> Result<Socket> {
    if !endpoint.tls {
        return Ok(plain);
    }
    let name = ServerName::try_from(endpoint.host.to_string()).map_err(Error::other)?;
    let tls = tokio::time::timeout(limit::TLS_HANDSHAKE, connector().connect(name, plain));
    Ok(Box::new(tls.await.map_err(late("no TLS handshake in time"))??))
}

/// Trusts what the system trusts, or the common roots where the system has none.
fn connector() -> TlsConnector {
    static CONFIG: OnceLock<Arc<rustls::ClientConfig>> = OnceLock::new();
    let config = CONFIG.get_or_init(|| {
        let mut roots = rustls::RootCertStore::empty();
        let native = rustls_native_certs::load_native_certs();
        for error in &native.errors {
            tracing::debug!(%error, "system root certificates");
        }
        roots.add_parsable_certificates(native.certs);
        if roots.is_empty() {
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        Arc::new(rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth())
    });
    TlsConnector::from(Arc::clone(config))
}
