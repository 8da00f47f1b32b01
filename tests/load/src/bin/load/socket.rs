//! A client's end of a connection, plain or with TLS.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// Where connections go, and how.
pub(crate) struct Dialer {
    address: SocketAddr,
    tls: Option<Arc<ClientConfig>>,
}

impl Dialer {
    /// `trusted`: the certificate of the other side, for TLS.
    ///
    /// # Errors
    /// A sentence that says what is wrong with the certificate.
    pub(crate) fn new(address: SocketAddr, trusted: Option<&Path>) -> Result<Self, String> {
        let tls = trusted.map(configuration).transpose()?.map(Arc::new);
        Ok(Self { address, tls })
    }

    /// A connection, its handshake done. It blocks, but not for longer than `patience`.
    ///
    /// # Errors
    /// As `connect(2)`, and those of TLS.
    pub(crate) fn connect(&self, patience: Duration) -> io::Result<Socket> {
        let mut socket = TcpStream::connect(self.address)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(patience))?;
        let Some(tls) = &self.tls else { return Ok(Socket::Plain(socket)) };
        let name = ServerName::IpAddress(self.address.ip().into());
        let mut connection = ClientConnection::new(Arc::clone(tls), name).map_err(io::Error::other)?;
        while connection.is_handshaking() {
            connection.complete_io(&mut socket)?;
        }
        Ok(Socket::Tls(Box::new(StreamOwned::new(connection, socket))))
    }
}

fn configuration(trusted: &Path) -> Result<ClientConfig, String> {
    let certificate =
        CertificateDer::from_pem_file(trusted).map_err(|error| format!("{}: {error}", trusted.display()))?;
    let mut roots = RootCertStore::empty();
    roots.add(certificate).map_err(|error| format!("{}: {error}", trusted.display()))?;
    Ok(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth())
}

/// Open.
pub(crate) enum Socket {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Socket {
    fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(stream) => &stream.sock,
        }
    }

    pub(crate) fn set_nonblocking(&self) -> io::Result<()> {
        self.tcp().set_nonblocking(true)
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.tcp().as_fd()
    }
}

impl Read for Socket {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(into),
            Self::Tls(stream) => stream.read(into),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}
