//! TLS of the gRPC listener.

use std::sync::Arc;

use rcgen::KeyPair;
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{DistinguishedName, RootCertStore, ServerConfig};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use sluice_contract::authority_hint;

use super::root::Root;
use super::{AuthorityError, Clock};

/// HTTP/2 only: that is what gRPC is spoken over.
const ALPN: &[u8] = b"h2";

/// A certificate for the control plane, and the authority that made it.
pub(super) struct Chain {
    /// That of the authority.
    pub fingerprint: String,
    /// Leaf first.
    pub certificates: Vec<CertificateDer<'static>>,
}

/// The certificates of the control plane, the one for those who do not say whom they know first.
#[derive(Debug)]
struct Known(Vec<(Vec<u8>, Arc<CertifiedKey>)>);

impl ResolvesServerCert for Known {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let hints = hello.certificate_authorities().unwrap_or_default();
        let known = self.0.iter().find(|(own, _)| hints.iter().any(|hint| hint.as_ref() == own));
        known.or(self.0.first()).map(|(_, key)| Arc::clone(key))
    }
}

/// Serves with certificates for one key. Clients may come without one: to join, to renew one that has ended, or because they are people.
pub(super) fn config(
    chains: Vec<Chain>,
    key: &KeyPair,
    roots: &[Root],
    clock: &Clock,
) -> Result<Arc<ServerConfig>, AuthorityError> {
    let tls = |error: &dyn std::fmt::Display| AuthorityError::Tls(error.to_string());
    let mut trusted = RootCertStore::empty();
    for root in roots {
        trusted.add(root.certificate().clone()).map_err(|error| tls(&error))?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let nodes = WebPkiClientVerifier::builder_with_provider(trusted.into(), Arc::clone(&provider))
        .allow_unauthenticated()
        .build()
        .map_err(|error| tls(&error))?;
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let known = chains.into_iter().map(|Chain { fingerprint, certificates }| {
        let hint = DistinguishedName::in_sequence(&authority_hint(&fingerprint)).as_ref().to_vec();
        Ok((hint, Arc::new(CertifiedKey::from_der(certificates, key.clone_key(), &provider)?)))
    });
    let known = known.collect::<Result<Vec<_>, rustls::Error>>().map_err(|error| tls(&error))?;
    let mut config = ServerConfig::builder_with_details(provider, Arc::new(clock.clone()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| tls(&error))?
        .with_client_cert_verifier(nodes)
        .with_cert_resolver(Arc::new(Known(known)));
    config.alpn_protocols = vec![ALPN.to_vec()];
    // each connection is judged by its certificate, not by one of before
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    Ok(Arc::new(config))
}
