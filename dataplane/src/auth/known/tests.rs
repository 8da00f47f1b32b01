//! Who comes in by keys, certificates and places; tokens are tried out over real sockets.

use std::net::Ipv4Addr;
use std::time::Duration;

use aws_lc_rs::digest;
use rustls_pki_types::CertificateDer;
use sluice_snapshot::model::{Client, Pattern};

use super::super::certificate::Issuers;
use super::super::principal::Grant;
use super::*;

const REMOTE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const HOUR: Duration = Duration::from_secs(3600);

fn known(required: bool) -> Known {
    Known {
        serial: 0,
        required,
        local: Principal::local(),
        anonymous: Principal::anonymous(),
        clients: HashMap::default(),
        issuers: Vec::new(),
        certificates: None,
        entitled: None,
        public_url: None,
        hosts_listed: false,
    }
}

/// With a client of this key.
fn with_key(required: bool, key: &str, expires: Option<SystemTime>) -> Known {
    let digest: [u8; 32] = digest::digest(&digest::SHA256, key.as_bytes()).as_ref().try_into().unwrap();
    let client = Client { name: "alice".into(), roles: Arc::from(["reader".into()]) };
    let clients = [(digest, Principal::client(&client, digest, expires))].into_iter().collect();
    Known { clients, ..known(required) }
}

fn with_names(names: &[(&str, &str)]) -> Known {
    let names = names.iter().map(|(name, role)| (Pattern::new(*name), Arc::from([Arc::from(*role)]))).collect();
    let certificates = ClientCertificates { authorities: Vec::new(), revocations: Vec::new(), required: false, names };
    Known { certificates: Some(certificates), ..known(true) }
}

fn comes_in(
    known: &Known,
    address: IpAddr,
    pairs: &[(&str, &str)],
    certificate: Option<&Certificate>,
) -> Result<Principal, Reason> {
    let mut headers = Fields::default();
    pairs.iter().for_each(|(name, value)| headers.push(name.as_bytes(), value.as_bytes()).unwrap());
    let approach = Approach { host: None, path: "/mcp", tls: false, loopback: false, port: 0 };
    let asking = Asking { headers: &headers, address, certificate, approach };
    known.authenticate(&Verified::default(), asking).map_err(|refused| match refused {
        Refused::No(reason) => reason,
        Refused::Unproven(_) => unreachable!("no issuer is configured"),
    })
}

#[test]
fn a_key_is_known_by_its_digest_in_either_header() {
    let known = with_key(true, "k1", None);
    for pair in [("authorization", "Bearer k1"), ("authorization", "bearer k1"), ("x-api-key", "k1")] {
        let principal = comes_in(&known, REMOTE, &[pair], None).unwrap();
        assert_eq!((&*principal.name, &*principal.roles[0]), ("alice", "reader"));
        assert!(known.again(&principal).is_some());
    }
}

#[test]
fn anything_else_is_refused_with_what_is_wrong() {
    let known = with_key(true, "k1", None);
    let bad: &[(&[(&str, &str)], Reason)] = &[
        (&[], Reason::Unauthenticated),
        (&[("authorization", "Basic k1")], Reason::Unauthenticated),
        (&[("authorization", "Bearer k2")], Reason::BadCredential(UNKNOWN)),
        (&[("authorization", "Bearer k1"), ("authorization", "Bearer k1")], Reason::ManyCredentials),
        (&[("authorization", "Bearer k1"), ("x-api-key", "k1")], Reason::ManyCredentials),
    ];
    for (pairs, reason) in bad {
        assert_eq!(comes_in(&known, LOOPBACK, pairs, None).err().as_ref(), Some(reason), "{pairs:?}");
    }
}

#[test]
fn a_key_is_refused_once_it_has_expired() {
    let now = SystemTime::now();
    let key = [("x-api-key", "k1")];
    let good = with_key(true, "k1", Some(now + HOUR));
    assert!(comes_in(&good, REMOTE, &key, None).is_ok());
    let expired = with_key(true, "k1", Some(now - HOUR));
    assert_eq!(comes_in(&expired, REMOTE, &key, None).err(), Some(Reason::BadCredential(EXPIRED_KEY)));
    let before = comes_in(&with_key(true, "k1", None), REMOTE, &key, None).unwrap();
    assert!(known(true).again(&before).is_none(), "revoked");
}

#[test]
fn without_a_credential_loopback_is_local_and_the_network_is_anonymous() {
    let open = known(false);
    let local = comes_in(&open, LOOPBACK, &[], None).unwrap();
    assert_eq!(&*local.name, "local");
    assert!(comes_in(&open, REMOTE, &[("authorization", "Bearer stale")], None).unwrap().anonymous);
    assert!(open.again(&local).is_some() && known(true).again(&local).is_none());
}

/// Finds every chain good.
#[derive(Debug)]
struct AnyIssuer;

impl Issuers for AnyIssuer {
    fn state(&self) -> u64 {
        1
    }

    fn verify(&self, _chain: &[CertificateDer<'static>]) -> bool {
        true
    }
}

#[test]
fn a_certificate_is_known_by_the_first_name_that_fits() {
    let made = |names: &[&str]| {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut parameters = rcgen::CertificateParams::new(Vec::new()).unwrap();
        parameters.subject_alt_names = names
            .iter()
            .map(|name| match name.contains("://") {
                true => rcgen::SanType::URI((*name).try_into().unwrap()),
                false => rcgen::SanType::DnsName((*name).try_into().unwrap()),
            })
            .collect();
        let chain = [parameters.self_signed(&key).unwrap().der().clone()];
        Certificate::read(&chain, Arc::new(AnyIssuer)).unwrap()
    };
    let certificate = made(&["ci.example.com", "spiffe://example.org/agent/7"]);
    let open = with_names(&[]);
    let principal = comes_in(&open, REMOTE, &[], Some(&certificate)).unwrap();
    assert_eq!((&*principal.name, principal.roles.len()), ("spiffe://example.org/agent/7", 0), "URIs come first");
    let named = with_names(&[("*.example.com", "build"), ("spiffe://example.org/*", "agent")]);
    let principal =
        comes_in(&named, REMOTE, &[], Some(&made(&["ci.example.com", "spiffe://example.org/agent/7"]))).unwrap();
    assert_eq!((&*principal.name, &*principal.roles[0]), ("ci.example.com", "build"));
    let roles = with_names(&[("ci.*", "other")]);
    assert_eq!(&*roles.again(&principal).unwrap().roles[0], "other", "what it is known as may change");
    for nobody in [made(&["evil.example"]), made(&[])] {
        assert_eq!(comes_in(&named, REMOTE, &[], Some(&nobody)).err(), Some(Reason::BadCredential(CERTIFICATE)));
    }
}

#[test]
fn whom_another_node_let_in_is_judged_by_what_is_known_here() {
    let there = comes_in(&with_key(true, "k1", None), REMOTE, &[("x-api-key", "k1")], None).unwrap();
    let told = there.voucher();
    let here = with_key(true, "k1", None).vouched(told.as_bytes()).unwrap();
    assert_eq!((here.id, &*here.roles[0]), (there.id, "reader"));
    assert!(known(true).vouched(told.as_bytes()).is_none(), "its key was revoked here");
    assert!(known(true).vouched(Principal::local().voucher().as_bytes()).is_none(), "a credential is required here");

    let issuer = Arc::new(Issuer {
        name: "corp".into(),
        url: "https://a.example".into(),
        keys: sluice_snapshot::model::KeySource::File("keys".into()),
        audiences: Vec::new(),
        algorithms: Vec::new(),
        roles_claim: None,
        scopes_claim: "scope".into(),
        claims: Vec::new(),
        leeway: Duration::ZERO,
        authorization_servers: Vec::new(),
        required_scopes: Arc::default(),
        scopes_supported: Arc::default(),
        scopes: Default::default(),
    });
    let grant = |expires| Grant {
        subject: "alice".into(),
        client: "app".into(),
        roles: Arc::from(["reader".into()]),
        scopes: Arc::from(["tools".into()]),
        expires,
    };
    let knows = Known { issuers: vec![Authority::new(&issuer)], ..known(true) };
    let there = Principal::token(&issuer, grant(SystemTime::now() + HOUR));
    let here = knows.vouched(there.voucher().as_bytes()).unwrap();
    assert_eq!((here.id, &*here.subject), (there.id, "jwt:corp:alice"));
    assert_eq!(here.scopes.as_deref(), there.scopes.as_deref());
    assert!(known(true).vouched(there.voucher().as_bytes()).is_none(), "nobody's tokens are taken here");
    let ended = Principal::token(&issuer, grant(SystemTime::now() - HOUR));
    assert!(knows.vouched(ended.voucher().as_bytes()).is_none(), "the token has ended");
}
