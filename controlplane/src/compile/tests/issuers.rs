//! Authorization servers, scopes and certificates of clients.

use sluice_snapshot::model::{Algorithm, KeySource};

use super::{compiled, compiled_for, faults};
use crate::compile::{Node, needs_first_key};

#[test]
fn an_issuer_needs_little_and_the_rest_has_a_default() {
    let snapshot = compiled("issuers: {corp: {issuer: 'https://login.example.com/tenant'}}\n");
    assert!(snapshot.access.required, "whoever says who issues tokens wants them");
    let issuer = &snapshot.access.issuers[0];
    let KeySource::Metadata(places) = &issuer.keys else { panic!("{:?}", issuer.keys) };
    assert_eq!(
        places.iter().map(|place| &*place.path).collect::<Vec<_>>(),
        [
            "/.well-known/oauth-authorization-server/tenant",
            "/.well-known/openid-configuration/tenant",
            "/tenant/.well-known/openid-configuration"
        ]
    );
    assert_eq!(issuer.algorithms, Algorithm::ALL);
    assert_eq!((&*issuer.scopes_claim, issuer.roles_claim.as_deref()), ("scope", None));
    assert_eq!((issuer.leeway.as_secs(), &*issuer.authorization_servers[0]), (60, "https://login.example.com/tenant"));
    let (config, _) = super::config("issuers: {corp: {issuer: 'https://login.example.com'}}\n");
    assert!(!needs_first_key(&config), "there is a way in");
}

#[test]
fn every_word_of_an_issuer_has_its_effect() {
    let text =
        "issuers: {corp: {issuer: 'https://a.example', audiences: [mcp], jwks_file: keys.json, algorithms: [ES256],
      roles_claim: realm.roles, scopes_claim: scp, claims: {tenant: acme, verified: true}, leeway_seconds: 5,
      authorization_servers: ['https://b.example'], required_scopes: [z, a], scopes_supported: [m],
      scopes: {admin: [write], write: [read]}}}
";
    let node = Node { folder: "/etc/sluice".into(), ..Node::default() };
    let snapshot = compiled_for(text, &[], &node).0;
    let issuer = &snapshot.access.issuers[0];
    assert_eq!(issuer.keys, KeySource::File("/etc/sluice/keys.json".into()));
    assert_eq!(issuer.claims, [("tenant".into(), "\"acme\"".into()), ("verified".into(), "true".into())]);
    let names = |scopes: &[std::sync::Arc<str>]| scopes.join(" ");
    assert_eq!((names(&issuer.required_scopes), names(&issuer.scopes_supported)), ("a z".into(), "a m z".into()));
    assert_eq!(names(&issuer.scopes.with_included(["admin", "x"].into_iter())), "admin read write x");
}

#[test]
fn what_would_let_others_in_is_refused() {
    for (text, fault) in [
        ("issuers: {a: {issuer: 'http://a.example'}}\n", "issuers.a.issuer: does not begin with `https://`"),
        ("issuers: {a: {issuer: 'https://a.example', algorithms: [HS256]}}\n", "algorithms[0]: is not one of RS256"),
        ("issuers: {a: {issuer: 'https://a.example', algorithms: [none]}}\n", "algorithms[0]: is not one of RS256"),
        (
            "issuers: {a: {issuer: 'https://a.example', jwks_uri: 'https://a.example/k', jwks_file: k}}\n",
            "jwks_file: stands beside `jwks_uri`",
        ),
        (
            "issuers: {a: {issuer: 'https://a.example'}, b: {issuer: 'https://a.example'}}\n",
            "issuers.b.issuer: is another issuer's already",
        ),
        (
            "proxy: {host: 0.0.0.0}\nissuers: {a: {issuer: 'https://a.example'}}\n",
            "issuers.a: is empty, and what clients",
        ),
        (
            "issuers: {a: {issuer: 'https://a.example', scopes: {a: [b], b: [a]}}}\n",
            "issuers.a.scopes.a: includes itself",
        ),
        ("issuers: {a: {issuer: 'https://a.example', scopes: {a: ['b c']}}}\n", "issuers.a.scopes: is no scope"),
        ("proxy: {public_url: 'https://a.example/mcp'}\n", "proxy.public_url: is not a URL without a path"),
        ("proxy: {tls_clients: {authorities: [ca.pem]}}\n", "proxy.tls_clients: needs TLS"),
        ("proxy: {tls: [{certificate: c, key: k}], tls_clients: {}}\n", "proxy.tls_clients.authorities: is empty"),
    ] {
        let found = faults(text);
        assert!(found.iter().any(|found| found.contains(fault)), "{text}{found:?}");
    }
    for text in [
        "issuers: {a: {issuer: 'http://127.0.0.1:9'}}\n",
        "proxy: {host: 0.0.0.0, public_url: 'https://mcp.example.com'}\nissuers: {a: {issuer: 'https://a.example'}}\n",
        "proxy: {host: 0.0.0.0, allowed_hosts: [a.example]}\nissuers: {a: {issuer: 'https://a.example'}}\n",
        "proxy: {host: 0.0.0.0}\nissuers: {a: {issuer: 'https://a.example', audiences: [mcp]}}\n",
    ] {
        assert_eq!(faults(text), [""; 0], "{text}");
    }
}

#[test]
fn certificates_of_clients_have_names_and_roles() {
    let text = "proxy: {tls: [{certificate: c, key: k}], tls_clients: {authorities: [ca.pem], revocations: [crl.pem],
      required: true, names: {'spiffe://example.org/*': [agent], ci.example.com: []}}}\n";
    let snapshot = compiled(text);
    assert!(snapshot.access.required);
    let certificates = snapshot.listener.client_certificates.unwrap();
    assert!(certificates.required && certificates.names[0].0.matches("spiffe://example.org/a/b"));
    assert_eq!((certificates.names[0].1.len(), certificates.names[1].1.len()), (1, 0));
    assert_eq!(certificates.revocations, [std::path::PathBuf::from("crl.pem")]);
}
