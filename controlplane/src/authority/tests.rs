//! Who gets a certificate, and for how long it is of use. Weeks pass on a clock that is told to.

use std::sync::atomic::{AtomicI64, Ordering};

use rcgen::{CertificateParams, PKCS_ECDSA_P256_SHA256, SigningKey};
use rustls_pki_types::ServerName;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::*;

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

/// An authority, and hands on its clock.
struct Fleet {
    folder: tempfile::TempDir,
    seconds: Arc<AtomicI64>,
    authority: Arc<Authority>,
}

impl Fleet {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let seconds = Arc::new(AtomicI64::new(1_800_000_000));
        let authority = open(&folder, &seconds);
        Self { folder, seconds, authority }
    }

    fn pass(&self, seconds: i64) {
        self.seconds.fetch_add(seconds, Ordering::Relaxed);
    }

    fn node(&self, name: &str) -> Node {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let certificates = self.authority.admit(name, &csr(&key)).unwrap();
        Node { key, certificates }
    }

    /// Whether a TLS connection comes about, and whom the control plane sees.
    async fn sees(&self, node: &Node, with_certificate: bool) -> Result<Option<String>, String> {
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        let acceptor = TlsAcceptor::from(self.authority.tls());
        let server = tokio::spawn(async move {
            let stream = acceptor.accept(theirs).await.map_err(|error| error.to_string())?;
            let certificates = stream.get_ref().1.peer_certificates();
            Ok::<_, String>(certificates.and_then(|all| Credential::of(&all[0])).map(|seen| seen.node))
        });
        let mut trusted = rustls::RootCertStore::empty();
        for authority in &node.certificates.authorities {
            trusted.add(CertificateDer::from(authority.clone())).unwrap();
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = rustls::ClientConfig::builder_with_details(provider, Arc::new(self.authority.clock().clone()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(trusted);
        let mut config = if with_certificate {
            let chain = vec![CertificateDer::from(node.certificates.chain[0].clone())];
            builder.with_client_auth_cert(chain, node.key.serialize_der().try_into().unwrap()).unwrap()
        } else {
            builder.with_no_client_auth()
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        let name = ServerName::try_from(sluice_contract::CONTROL_PLANE).unwrap();
        let client = TlsConnector::from(Arc::new(config)).connect(name, ours).await;
        let seen = server.await.unwrap();
        client.map_err(|error| error.to_string())?;
        seen
    }
}

struct Node {
    key: KeyPair,
    certificates: v1::Certificates,
}

impl Node {
    /// Asks for a new certificate with one that has ended.
    fn renewal(&self) -> v1::RenewRequest {
        let csr = csr(&self.key);
        let signature = self.key.sign(&csr).unwrap();
        v1::RenewRequest { csr, certificate: self.certificates.chain[0].clone(), signature }
    }
}

fn open(folder: &tempfile::TempDir, seconds: &Arc<AtomicI64>) -> Arc<Authority> {
    let seconds = Arc::clone(seconds);
    let clock = Clock::of(move || Timestamp::from_second(seconds.load(Ordering::Relaxed)).unwrap());
    let ring = Ring::parse(&format!("k1:{}\n", "A".repeat(43) + "=")).unwrap_or_else(|error| panic!("{error}"));
    Authority::open(Folder::new(folder.path()), Arc::new(ring), clock, Vec::new())
        .unwrap_or_else(|error| panic!("{error}"))
}

fn csr(key: &KeyPair) -> Vec<u8> {
    CertificateParams::default().serialize_request(key).unwrap().der().to_vec()
}

#[test]
fn a_newer_key_of_the_ring_seals_the_authority_at_the_next_start() {
    let fleet = Fleet::new();
    let [old, new] = ["k1", "k2"].map(|id| format!("{id}:{}\n", "A".repeat(43) + "="));
    let opens = |text: &str| {
        let ring = Arc::new(Ring::parse(text).unwrap_or_else(|error| panic!("{error}")));
        Authority::open(Folder::new(fleet.folder.path()), ring, Clock::system(), Vec::new()).is_ok()
    };
    assert!(!opens(&new), "the old key is still needed");
    assert!(opens(&format!("{old}{new}")));
    assert!(opens(&new), "and then it can go");
}

#[tokio::test]
async fn a_node_is_known_by_its_certificate_for_a_day() {
    let fleet = Fleet::new();
    let node = fleet.node("edge-1");
    assert_eq!(fleet.sees(&node, true).await, Ok(Some("edge-1".to_owned())));
    assert_eq!(fleet.sees(&node, false).await, Ok(None), "people have none");
    fleet.pass(DAY + 1);
    assert!(fleet.sees(&node, true).await.is_err(), "it has ended");
    let strangers = Fleet::new();
    assert!(fleet.sees(&strangers.node("edge-1"), true).await.is_err(), "of another authority");
}

#[tokio::test]
async fn a_week_s_outage_is_survived_by_renewing_what_has_ended() {
    let fleet = Fleet::new();
    let node = fleet.node("edge-1");
    fleet.pass(7 * DAY);
    // the control plane is up again
    let authority = open(&fleet.folder, &fleet.seconds);
    assert_eq!(authority.fingerprint(), fleet.authority.fingerprint());
    let known = authority.recognise(&node.renewal()).unwrap();
    assert_eq!(known.node, "edge-1");
    let certificates = authority.admit(&known.node, &csr(&node.key)).unwrap();
    let renewed = Node { key: node.key, certificates };
    let fleet = Fleet { authority, ..fleet };
    assert_eq!(fleet.sees(&renewed, true).await, Ok(Some("edge-1".to_owned())));
    fleet.pass(32 * DAY);
    assert_eq!(fleet.authority.recognise(&renewed.renewal()).err(), Some(Refused::Expired));
}

#[test]
fn an_ended_certificate_is_renewed_for_its_owner_only() {
    let fleet = Fleet::new();
    let (node, other) = (fleet.node("edge-1"), fleet.node("edge-2"));
    fleet.pass(2 * DAY);
    let stolen = v1::RenewRequest { certificate: node.certificates.chain[0].clone(), ..other.renewal() };
    assert_eq!(fleet.authority.recognise(&stolen).err(), Some(Refused::Certificate));
    let replayed = v1::RenewRequest { csr: other.renewal().csr, ..node.renewal() };
    assert_eq!(fleet.authority.recognise(&replayed).err(), Some(Refused::Certificate));
    let strangers = Fleet::new();
    assert_eq!(fleet.authority.recognise(&strangers.node("edge-1").renewal()).err(), Some(Refused::Certificate));
    assert_eq!(fleet.authority.admit("edge-1", b"nonsense").err(), Some(Refused::Request));
}

#[tokio::test]
async fn authorities_follow_each_other_and_nodes_that_come_now_and_then_know_them_all() {
    let fleet = Fleet::new();
    let first = fleet.authority.fingerprint();
    let mut node = fleet.node("edge-1");
    let mut changes = 0;
    // two and a half years, in steps of 25 days
    for _ in 0..36 {
        fleet.pass(25 * DAY);
        fleet.authority.keep_up().unwrap_or_else(|error| panic!("{error}"));
        let known = fleet.authority.recognise(&node.renewal()).unwrap();
        // what it knew suffices to find the control plane, without its own certificate
        assert_eq!(fleet.sees(&node, false).await, Ok(None));
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let certificates = fleet.authority.admit(&known.node, &csr(&key)).unwrap();
        changes += usize::from(certificates.authorities != node.certificates.authorities);
        node = Node { key, certificates };
        assert_eq!(fleet.sees(&node, true).await, Ok(Some("edge-1".to_owned())));
    }
    assert!(changes >= 2 && fleet.authority.fingerprint() != first);
    assert_eq!(open(&fleet.folder, &fleet.seconds).fingerprint(), fleet.authority.fingerprint(), "kept");
}

#[test]
fn certificates_say_when_they_were_made() {
    let fleet = Fleet::new();
    let node = fleet.node("edge-1");
    let credential = Credential::of(&CertificateDer::from(node.certificates.chain[0].clone())).unwrap();
    assert_eq!(credential.made_ms, 1_800_000_000_000);
    assert_eq!(credential.ends.as_second(), 1_800_000_000 + DAY);
}
