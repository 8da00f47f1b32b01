//! TLS towards a control plane. At first it is known by the fingerprint that came with the join token, then by the authorities
//! that came with the certificate; nothing is trusted because it was there first.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use sluice_contract::authority_hint;
use sluice_snapshot::chunk::Name;

use super::identity::Identity;

/// HTTP/2 only: that is what gRPC is spoken over.
const ALPN: &[u8] = b"h2";

/// For whoever knows nothing of a control plane but the fingerprint that came with a token.
///
/// # Errors
/// TLS cannot be set up.
pub fn first_contact(authority: Name) -> Result<Arc<ClientConfig>, Error> {
    let provider = provider();
    let verifier = Arc::new(FirstContact { authority, hint: [hint(authority)], provider: Arc::clone(&provider) });
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    Ok(over_http2(config))
}

/// For a node that has joined; one whose certificate has ended shows none.
pub(super) fn known(identity: &Identity) -> Result<Arc<ClientConfig>, Error> {
    let verifier = Arc::new(Acquainted::of(&identity.authorities)?);
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let config = if identity.has_ended() {
        builder.with_no_client_auth()
    } else {
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(identity.key.serialize_der()));
        builder.with_client_auth_cert(identity.chain.clone(), key)?
    };
    Ok(over_http2(config))
}

fn over_http2(mut config: ClientConfig) -> Arc<ClientConfig> {
    config.alpn_protocols = vec![ALPN.to_vec()];
    // each connection shows the certificate of now
    config.resumption = rustls::client::Resumption::disabled();
    Arc::new(config)
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// By what a control plane is asked to show a certificate of an authority that is known here.
fn hint(authority: Name) -> DistinguishedName {
    DistinguishedName::in_sequence(&authority_hint(&format!("{authority:?}")))
}

/// Trusts authorities as usual, and says which.
#[derive(Debug)]
struct Acquainted {
    verifier: Arc<WebPkiServerVerifier>,
    hints: Box<[DistinguishedName]>,
}

impl Acquainted {
    fn of(authorities: &[CertificateDer<'static>]) -> Result<Self, Error> {
        let mut roots = RootCertStore::empty();
        for authority in authorities {
            roots.add(authority.clone())?;
        }
        let hints = authorities.iter().map(|authority| hint(Name::of(authority))).collect();
        Ok(Self { verifier: verifier(roots, provider())?, hints })
    }
}

impl ServerCertVerifier for Acquainted {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }

    fn root_hint_subjects(&self) -> Option<&[DistinguishedName]> {
        Some(&self.hints)
    }
}

fn verifier(roots: RootCertStore, provider: Arc<CryptoProvider>) -> Result<Arc<WebPkiServerVerifier>, Error> {
    let builder = WebPkiServerVerifier::builder_with_provider(roots.into(), provider);
    builder.build().map_err(|error| Error::General(error.to_string()))
}

/// Trusts the one authority whose fingerprint is known, if the control plane shows it with its own certificate.
#[derive(Debug)]
struct FirstContact {
    authority: Name,
    hint: [DistinguishedName; 1],
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for FirstContact {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let unknown = Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let authority = intermediates.iter().find(|shown| Name::of(shown) == self.authority).ok_or(unknown)?;
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone().into_owned())?;
        let verifier = verifier(roots, Arc::clone(&self.provider))?;
        verifier.verify_server_cert(end_entity, &[], server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }

    fn root_hint_subjects(&self) -> Option<&[DistinguishedName]> {
        Some(&self.hint)
    }
}
