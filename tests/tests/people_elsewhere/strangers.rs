//! Somebody at another address who comes in and says nothing.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, Error, SignatureScheme};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

/// Their address: this machine's, and not that by which people come.
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 9));

/// How many come at once: fewer than may be greeted.
const ABREAST: usize = 40;
/// Within which those are closed that have no place.
const TURNED_AWAY: Duration = Duration::from_millis(500);

/// An open connection.
pub(crate) struct Stranger(Box<dyn AsyncRead + Send + Unpin>);

impl Stranger {
    /// Who does not even begin.
    pub(crate) async fn before_tls(door: SocketAddr) -> Self {
        Self(Box::new(connect(door).await))
    }

    /// Who stops after the handshake; `None`: there is no place.
    async fn after_tls(door: SocketAddr, alpn: &str) -> Option<Self> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let anybody = Arc::new(Anybody(Arc::clone(&provider)));
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let mut config = config.dangerous().with_custom_certificate_verifier(anybody).with_no_client_auth();
        config.alpn_protocols = vec![alpn.as_bytes().to_vec()];
        let connector = TlsConnector::from(Arc::new(config));
        let mut stream = connector.connect(ServerName::from(door.ip()), connect(door).await).await.ok()?;
        // who has a place hears nothing, or the settings of HTTP/2, and who has none the end
        let heard = tokio::time::timeout(TURNED_AWAY, stream.read(&mut [0; 1])).await;
        match heard {
            Ok(Ok(0) | Err(_)) => None,
            _ => Some(Self(Box::new(stream))),
        }
    }

    /// Ends when the other side has closed.
    pub(crate) async fn closed(mut self) {
        let mut heard = [0; 1_024];
        while self.0.read(&mut heard).await.is_ok_and(|bytes| bytes > 0) {}
    }
}

/// Those of a number who are let in, and stop after the handshake.
pub(crate) async fn crowd(door: SocketAddr, alpn: &'static str, size: usize) -> Vec<Stranger> {
    let mut let_in = Vec::new();
    for first in (0..size).step_by(ABREAST) {
        let mut coming = JoinSet::new();
        for _ in first..size.min(first + ABREAST) {
            coming.spawn(Stranger::after_tls(door, alpn));
        }
        let_in.extend(coming.join_all().await.into_iter().flatten());
    }
    let_in
}

async fn connect(door: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((HERE, 0).into()).unwrap();
    socket.connect(door).await.unwrap()
}

/// Takes anybody for the control plane: strangers do not care.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
