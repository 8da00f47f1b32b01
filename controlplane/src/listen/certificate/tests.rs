//! The certificate of the HTTP door as weeks pass, on a clock that is told to.

use std::sync::atomic::{AtomicI64, Ordering};

use jiff::Timestamp;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::*;
use crate::authority::Clock;
use crate::secrets::Ring;
use crate::store::Folder;

const DAY: i64 = 24 * 3600;

/// The certificate that is shown to somebody who asks for a name and trusts the authority.
async fn shown(door: &Certificate, name: &'static str) -> CertificateDer<'static> {
    let authority = &door.choice.authority;
    let mut trusted = rustls::RootCertStore::empty();
    trusted.add(authority.certificates().remove(0)).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_details(provider, Arc::new(authority.clock().clone()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(trusted)
        .with_no_client_auth();
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    let acceptor = TlsAcceptor::from(door.tls());
    let server = tokio::spawn(async move { acceptor.accept(theirs).await.map(drop) });
    let name = ServerName::try_from(name).unwrap();
    let client = TlsConnector::from(Arc::new(config)).connect(name, ours).await.unwrap();
    server.await.unwrap().unwrap();
    client.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
}

#[tokio::test]
async fn a_certificate_that_was_renewed_is_shown_from_the_next_connection_on() {
    let folder = tempfile::tempdir().unwrap();
    let seconds = Arc::new(AtomicI64::new(1_800_000_000));
    let now = Arc::clone(&seconds);
    let clock = Clock::of(move || Timestamp::from_second(now.load(Ordering::Relaxed)).unwrap());
    let ring = Ring::parse(&format!("k1:{}\n", "A".repeat(43) + "=")).unwrap_or_else(|error| panic!("{error}"));
    let names = vec!["control.example.com".to_owned(), "192.0.2.7".to_owned()];
    let authority = Authority::open(Folder::new(folder.path()), Arc::new(ring), clock, names);
    let authority = authority.unwrap_or_else(|error| panic!("{error}"));
    let door = Certificate::web(Arc::clone(&authority), None).unwrap();
    let first = shown(&door, CONTROL_PLANE).await;
    for name in ["control.example.com", "192.0.2.7"] {
        assert_eq!(shown(&door, name).await, first, "{name}");
    }
    // longer than it lasts
    for _ in 0..40 {
        seconds.fetch_add(DAY, Ordering::Relaxed);
        authority.keep_up().unwrap();
        shown(&door, "control.example.com").await;
    }
    assert_ne!(shown(&door, CONTROL_PLANE).await, first);
}
