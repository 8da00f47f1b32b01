//! What is taken for a token, and what of a token is believed. Its signature is tried out over real sockets.

use std::sync::Arc;

use serde_json::json;
use sluice_snapshot::model::KeySource;

use super::*;

const NOW: u64 = 1_800_000_000;

fn encoded(value: &str) -> String {
    URL_SAFE_NO_PAD.encode(value)
}

fn text(header: Value, claims: &str) -> String {
    format!("{}.{}.{}", encoded(&header.to_string()), encoded(claims), encoded("signature"))
}

fn parse(header: Value, claims: &str) -> Result<Token, Objection> {
    Token::parse(text(header, claims).as_bytes())
}

fn issuer() -> Issuer {
    Issuer {
        name: "corp".into(),
        url: "https://a.example".into(),
        keys: KeySource::File("keys".into()),
        audiences: vec!["mcp".into()],
        algorithms: vec![Algorithm::Es256],
        roles_claim: Some("realm.roles".into()),
        scopes_claim: "scope".into(),
        claims: vec![("tenant".into(), "\"acme\"".into())],
        leeway: Duration::from_secs(60),
        authorization_servers: Vec::new(),
        required_scopes: Arc::default(),
        scopes_supported: Arc::default(),
        scopes: sluice_snapshot::model::Scopes([("admin".into(), Arc::from(["read".into()]))].into()),
    }
}

fn claims() -> Value {
    json!({
        "iss": "https://a.example", "aud": ["other", "mcp"], "sub": "alice", "client_id": "app", "exp": NOW + 10,
        "scope": "admin write", "realm": {"roles": ["b", "a"]}, "tenant": "acme",
    })
}

/// What is found of claims that differ in one.
fn grant(claim: &str, value: Value) -> Result<Granted, Objection> {
    let mut claims = claims();
    match value {
        Value::Null => drop(claims.as_object_mut().unwrap().remove(claim)),
        value => claims[claim] = value,
    }
    let token = parse(json!({"alg": "ES256", "typ": "at+jwt"}), &claims.to_string())?;
    token.grant(&issuer(), UNIX_EPOCH + Duration::from_secs(NOW))
}

#[test]
fn a_token_grants_what_it_says_and_what_follows() {
    let granted = grant("nothing", Value::Null).ok().unwrap();
    assert!(granted.audiences.is_none(), "they were checked");
    let grant = granted.grant;
    assert_eq!((&*grant.subject, &*grant.client), ("alice", "app"));
    assert_eq!((grant.roles.join(" "), grant.scopes.join(" ")), ("a b".into(), "admin read write".into()));
    assert_eq!(grant.expires, UNIX_EPOCH + Duration::from_secs(NOW + 70));
}

#[test]
fn what_is_not_for_us_or_not_now_grants_nothing() {
    for (claim, value) in [
        ("iss", json!("https://a.example/")),
        ("aud", json!("mcp2")),
        ("aud", json!([])),
        ("aud", json!(["mcp", 1])),
        ("aud", Value::Null),
        ("exp", json!(NOW - 60)),
        ("exp", json!("soon")),
        ("exp", json!(1e300)),
        ("exp", json!(-1)),
        ("exp", Value::Null),
        ("nbf", json!(NOW + 61)),
        ("iat", json!(NOW + 61)),
        ("sub", json!("")),
        ("sub", Value::Null),
        ("tenant", json!("evil")),
        ("tenant", Value::Null),
        ("nonce", json!("n")),
        ("at_hash", json!("h")),
        ("typ", json!("ID")),
        ("cnf", json!({"jkt": "x"})),
    ] {
        assert!(grant(claim, value.clone()).is_err(), "{claim}: {value}");
    }
    for (claim, value) in
        [("exp", json!(NOW - 59)), ("nbf", json!(NOW + 59)), ("aud", json!("mcp")), ("exp", json!(1.9e9))]
    {
        assert!(grant(claim, value.clone()).is_ok(), "{claim}: {value}");
    }
}

#[test]
fn what_is_no_access_token_is_not_taken_apart_further() {
    let good = claims().to_string();
    for header in [
        json!({"alg": "ES256"}),
        json!({"alg": "ES256", "typ": "JWT"}),
        json!({"alg": "ES256", "typ": "application/at+jwt", "kid": "a"}),
    ] {
        assert!(parse(header.clone(), &good).is_ok(), "{header}");
    }
    for header in [
        json!({"alg": "ES256", "typ": "dpop+jwt"}),
        json!({"alg": "ES256", "typ": "logout+jwt"}),
        json!({"alg": "ES256", "crit": ["exp"]}),
        json!({"alg": "ES256", "b64": false}),
        json!({"alg": "ES256", "kid": 1}),
        json!({"alg": "ES256", "kid": "k".repeat(300)}),
        json!({"alg": 1}),
        json!({}),
        json!([]),
    ] {
        assert!(parse(header.clone(), &good).is_err(), "{header}");
    }
    let twice = good.replacen("{", "{\"sub\":\"mallory\",", 1);
    assert!(parse(json!({"alg": "ES256"}), &twice).is_err(), "a claim twice");
    for text in ["", "a.b", "ey.ey.ey.ey", "ey!.ey.ey", &format!("{}.{}.", encoded("{}"), encoded("{}"))] {
        assert!(Token::parse(text.as_bytes()).is_err(), "{text}");
    }
    let large = text(json!({"alg": "ES256"}), &json!({"a": "x".repeat(limit::TOKEN_BYTES)}).to_string());
    assert!(Token::parse(large.as_bytes()).is_err());
}

#[test]
fn only_configured_algorithms_sign() {
    for name in ["none", "None", "HS256", "RS256", "ES384", "es256", ""] {
        let token = parse(json!({"alg": name}), &claims().to_string()).unwrap();
        assert!(token.algorithm(&issuer()).is_err(), "{name}");
    }
    let token = parse(json!({"alg": "ES256"}), &claims().to_string()).unwrap();
    assert_eq!(token.algorithm(&issuer()), Ok(Algorithm::Es256));
}
