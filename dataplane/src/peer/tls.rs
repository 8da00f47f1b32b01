//! TLS between nodes: both sides show the certificate by which the control plane knows them, and whose it is decides who they are.
//! Certificates are exchanged while connections go on; each new one is made with those of the moment.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, ServerConfig,
    SignatureScheme,
};
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, UnixTime};

use super::certificate::Shown;
use crate::limit;

/// HTTP/2 only.
const ALPN: &[u8] = b"h2";

/// Both sides of links made with one certificate of this node.
pub(crate) struct Tls {
    pub client: Arc<ClientConfig>,
    pub server: Arc<ServerConfig>,
}

impl Tls {
    /// With a node's certificate, its key, and the authorities it trusts.
    ///
    /// # Errors
    /// They do not belong together.
    pub(super) fn new(
        chain: Vec<CertificateDer<'static>>,
        key: &PrivatePkcs8KeyDer<'static>,
        authorities: &[CertificateDer<'static>],
    ) -> Result<Self, Error> {
        let provider: Arc<CryptoProvider> = rustls::crypto::aws_lc_rs::default_provider().into();
        let mut roots = RootCertStore::empty();
        for authority in authorities {
            roots.add(authority.clone())?;
        }
        let nodes = WebPkiClientVerifier::builder_with_provider(roots.into(), Arc::clone(&provider)).build();
        let nodes = Arc::new(Nodes(nodes.map_err(|error| Error::General(error.to_string()))?));
        let mut client = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(&nodes) as Arc<dyn ServerCertVerifier>)
            .with_client_auth_cert(chain.clone(), key.clone_key().into())?;
        let mut server = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(nodes)
            .with_single_cert(chain, key.clone_key().into())?;
        client.alpn_protocols = vec![ALPN.to_vec()];
        server.alpn_protocols = vec![ALPN.to_vec()];
        // each connection is judged by its certificate, not by one of before
        client.resumption = rustls::client::Resumption::disabled();
        server.send_tls13_tickets = 0;
        server.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
        Ok(Self { client: Arc::new(client), server: Arc::new(server) })
    }
}

/// Trusts certificates of nodes, on either side. Whether the node is still one of the fleet is looked at by who made the connection.
#[derive(Debug)]
struct Nodes(Arc<dyn ClientCertVerifier>);

impl Nodes {
    /// A certificate that has ended is good for as long as it may be renewed: while there is no control plane, links go on, and who was
    /// revoked is known by name.
    fn verify(
        &self,
        leaf: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let shown = Shown::of(leaf).ok_or(Error::InvalidCertificate(CertificateError::BadEncoding))?;
        let last = shown.ends - Duration::from_secs(1);
        let now = UNIX_EPOCH + Duration::from_secs(now.as_secs());
        let is_renewable = now.duration_since(last).is_ok_and(|over| over < limit::LINK_RENEWABLE);
        let moment: SystemTime = if is_renewable { last } else { now };
        let moment = UnixTime::since_unix_epoch(moment.duration_since(UNIX_EPOCH).unwrap_or_default());
        self.0.verify_client_cert(leaf, between, moment)
    }
}

impl ServerCertVerifier for Nodes {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.verify(end_entity, intermediates, now).map(|_| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

impl ClientCertVerifier for Nodes {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.verify(end_entity, intermediates, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
