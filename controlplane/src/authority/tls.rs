//! TLS of the gRPC listener.

use std::sync::Arc;

use rcgen::KeyPair;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use super::root::Root;
use super::{AuthorityError, Clock};

/// HTTP/2 only: that is what gRPC is spoken over.
const ALPN: &[u8] = b"h2";

/// Serves with a certificate. Clients may come without one: to join, to renew one that has ended, or because they are people.
pub(super) fn config(
    chain: Vec<CertificateDer<'static>>,
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
    let mut config = ServerConfig::builder_with_details(provider, Arc::new(clock.clone()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| tls(&error))?
        .with_client_cert_verifier(nodes)
        .with_single_cert(chain, key)
        .map_err(|error| tls(&error))?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    // each connection is judged by its certificate, not by one of before
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    Ok(Arc::new(config))
}
