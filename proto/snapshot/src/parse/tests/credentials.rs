//! Values that may be credentials: where they come from, and what is refused without being quoted.

use v1::client_credentials::{Authentication, Endpoint};
use v1::credential::Kind;
use v1::sensitive::Source;

use super::*;
use crate::model::{ClientAuthentication, CredentialKind, Sensitive, TokenEndpoint};

fn secret(name: &str) -> v1::Secret {
    v1::Secret { name: name.to_owned(), version: 3, chunk: vec![9; 32], value: b"s3cret".to_vec() }
}

fn grant() -> v1::ClientCredentials {
    v1::ClientCredentials {
        endpoint: Some(Endpoint::TokenUrl("https://login.example/token".to_owned())),
        client_id: "gateway".to_owned(),
        authentication: Some(Authentication::SecretBasic(from(Source::Secret("crm".to_owned())).unwrap())),
        scopes: vec!["read".to_owned(), "write".to_owned()],
        resource: "https://example.com/mcp".to_owned(),
    }
}

/// A snapshot whose one server shows this credential.
fn shows(kind: Kind) -> v1::Snapshot {
    let mut wire = good();
    wire.servers.truncate(1);
    endpoint(&mut wire.servers[0]).headers.clear();
    endpoint(&mut wire.servers[0]).credential = Some(v1::Credential { name: "crm".to_owned(), kind: Some(kind) });
    wire
}

fn refused(wire: &v1::Snapshot) -> Vec<String> {
    parse(wire).err().unwrap_or_default().iter().map(ToString::to_string).collect()
}

#[test]
fn credentials_and_their_sources_are_parsed() {
    let mut wire = shows(Kind::ClientCredentials(grant()));
    wire.secrets = vec![secret("crm")];
    let environment = from(Source::Environment("X_KEY".to_owned()));
    endpoint(&mut wire.servers[0]).headers = vec![v1::Header { name: "X-Key".into(), value: environment }];
    let snapshot = parse(&wire).unwrap();
    assert_eq!(snapshot.secrets["crm"].version, 3);
    assert_eq!(snapshot.secrets["crm"].value.expose(), "s3cret");
    let http = snapshot.servers[0].transport.endpoint().unwrap();
    assert_eq!(http.headers, [("x-key".to_owned(), Sensitive::Environment("X_KEY".into()))]);
    let credential = http.credential.as_ref().unwrap();
    assert_eq!((credential.name.as_deref(), credential.kind.header()), (Some("crm"), "authorization"));
    let CredentialKind::ClientCredentials(grant) = &credential.kind else { panic!("another kind") };
    assert_eq!(grant.endpoint, TokenEndpoint::Url("https://login.example/token".to_owned()));
    assert_eq!(grant.authentication, ClientAuthentication::SecretBasic(Sensitive::Secret("crm".into())));
    assert_eq!(
        (grant.scope.as_deref(), grant.resource.as_deref()),
        (Some("read write"), Some("https://example.com/mcp"))
    );
    let places: Vec<String> = snapshot.servers[0].sensitive().into_iter().map(|(place, _)| place).collect();
    assert_eq!(places, ["http.headers[0].value", "http.credential.client_credentials.secret_basic"]);
    let shown = format!("{snapshot:?}");
    assert!(!shown.contains("s3cret"), "{shown}");
}

#[test]
fn a_reference_needs_its_secret_and_a_secret_its_reference() {
    let by_name = || from(Source::Secret("crm".to_owned())).unwrap();
    let mut wire = shows(Kind::Bearer(by_name()));
    assert_eq!(refused(&wire), ["servers[0].http.credential.bearer: there is no secret `crm`"]);
    wire.secrets = vec![secret("crm")];
    assert_eq!(refused(&wire), [""; 0]);
    wire.secrets.push(secret("other"));
    assert_eq!(refused(&wire), ["secrets: `other` is used by no server; a node gets no more than it needs"]);
    wire.secrets =
        vec![secret("crm"), v1::Secret { chunk: vec![1], value: vec![0xff], ..secret("crm") }, secret("a b")];
    assert_eq!(
        refused(&wire),
        [
            "secrets[1].chunk: is not a name of 32 bytes",
            "secrets[1].value: is not UTF-8 text",
            "secrets[2].name: is not 1 to 64 letters, digits and `.-_`"
        ]
    );
}

#[test]
fn what_cannot_be_a_credential_is_refused_without_being_quoted() {
    let file = |path: &str| Kind::Bearer(from(Source::File(path.to_owned())).unwrap());
    for (kind, expected) in [
        (
            Kind::Bearer(v1::Sensitive { source: None }),
            "bearer: is missing, or from a source this version does not know",
        ),
        (Kind::Bearer(said("").unwrap()), "bearer: is empty"),
        (
            Kind::Bearer(said("s3cret\n").unwrap()),
            "bearer: has a character that no header may have, such as a line break",
        ),
        (Kind::Bearer(said(&"s3cret".repeat(20_000)).unwrap()), "bearer: is longer than 64 KiB"),
        (Kind::Basic(said("s3cret").unwrap()), "basic: is not of the form `user:password`"),
        (file("run/s3cret"), "bearer: is not an absolute path such as `/run/secrets/token`"),
        (
            Kind::Bearer(from(Source::Secret("s3 cret".to_owned())).unwrap()),
            "bearer: is not the name of a secret: 1 to 64 letters, digits and `.-_`",
        ),
        (
            Kind::Bearer(from(Source::Environment("A=s3cret".to_owned())).unwrap()),
            "bearer: is not the name of an environment variable",
        ),
        (
            Kind::Header(v1::Header { name: "Host".to_owned(), value: said("s3cret") }),
            "header.name: `host` is set by the gateway on every request",
        ),
    ] {
        let found = refused(&shows(kind));
        assert_eq!(found, [format!("servers[0].http.credential.{expected}")]);
    }
    let mut twice = shows(Kind::Bearer(said("s3cret").unwrap()));
    endpoint(&mut twice.servers[0]).headers =
        vec![v1::Header { name: "authorization".to_owned(), value: said("s3cret") }];
    let sent = "servers[0].http.credential: is sent in `authorization`, which is a configured header as well";
    assert_eq!(refused(&twice), [sent]);
}

#[test]
fn a_grant_that_cannot_be_asked_for_is_refused() {
    let url = |url: &str| Some(Endpoint::TokenUrl(url.to_owned()));
    let issuer = |url: &str| Some(Endpoint::Issuer(url.to_owned()));
    let clear = "is not `https://`, and a secret would go there in the clear";
    for (edit, expected) in [
        (
            v1::ClientCredentials { endpoint: None, ..grant() },
            ": names neither a token endpoint nor an issuer".to_owned(),
        ),
        (
            v1::ClientCredentials { endpoint: url("http://login.example/token"), ..grant() },
            format!(".token_url: {clear}"),
        ),
        (v1::ClientCredentials { endpoint: issuer("http://10.0.0.1"), ..grant() }, format!(".issuer: {clear}")),
        (
            v1::ClientCredentials { endpoint: issuer("https://a/?s3cret"), ..grant() },
            ".issuer: has a query, and no issuer has one".to_owned(),
        ),
        (
            v1::ClientCredentials { authentication: None, ..grant() },
            ": does not say how the client proves itself".to_owned(),
        ),
        (
            v1::ClientCredentials { client_id: String::new(), ..grant() },
            ".client_id: is not 1 to 2048 printable ASCII characters".to_owned(),
        ),
        (
            v1::ClientCredentials { scopes: vec!["a b".to_owned()], ..grant() },
            ".scopes[0]: is not a scope: printable ASCII without spaces, `\"` and `\\`".to_owned(),
        ),
        (
            v1::ClientCredentials { resource: "x".to_owned(), ..grant() },
            ".resource: is not an absolute URI without a fragment".to_owned(),
        ),
    ] {
        let mut wire = shows(Kind::ClientCredentials(edit));
        wire.secrets = vec![secret("crm")];
        let found: Vec<_> = refused(&wire).into_iter().filter(|fault| !fault.starts_with("secrets")).collect();
        assert_eq!(found, [format!("servers[0].http.credential.client_credentials{expected}")]);
    }
    for url in ["http://localhost:1/token", "http://127.0.0.1/token", "http://[::1]:5/token"] {
        let grant = v1::ClientCredentials { endpoint: Some(Endpoint::TokenUrl(url.to_owned())), ..grant() };
        let mut wire = shows(Kind::ClientCredentials(grant));
        wire.secrets = vec![secret("crm")];
        assert_eq!(refused(&wire), [""; 0], "{url}");
    }
}
