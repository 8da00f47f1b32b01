//! Access tokens at the door: which let somebody in, which do not, and whose what then is.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use aws_lc_rs::hmac;
use serde_json::{Value, json};
use sluice_tests::gateway::Start;
use sluice_tests::issuer::{Issuer, Key, encoded, now};
use sluice_tests::message::{self, LEGACY};
use sluice_tests::upstream::{Legacy, Modern};
use sluice_tests::{Call, Gateway, Reply, Session};

const PATH: &str = "/servers/one/mcp";
const KEY: &str = "alice-key-0123456789abcdef";

fn echo() -> Call {
    Call::modern(PATH, "tools/call", 1, json!({ "name": "echo", "arguments": {} }))
}

async fn gateway(issuer: &Issuer, one: Value, more: Value) -> Gateway {
    let mut config = json!({ "servers": { "one": one }, "issuers": { "corp": issuer.config(more) } });
    config["clients"] = json!({ "machine": { "api_key": KEY } });
    Start::new(config).ready().await
}

fn audience(gateway: &Gateway) -> String {
    format!("http://127.0.0.1:{}{PATH}", gateway.port)
}

fn assert_refused(reply: &Reply, what: &str) {
    assert_eq!(reply.verdict(), (401, Some(-32600)), "{what}: {reply:?}");
    let challenge = reply.header("www-authenticate").unwrap_or_else(|| panic!("{what}: {reply:?}"));
    assert!(challenge.starts_with("Bearer error=\"invalid_token\""), "{what}: {challenge}");
}

#[tokio::test]
async fn a_good_token_lets_its_holder_in_and_goes_no_further() {
    let (server, issuer) = (Modern::start(), Issuer::start());
    let gateway = gateway(&issuer, server.config(), json!({})).await;
    let audience = audience(&gateway);
    let origin = format!("http://127.0.0.1:{}", gateway.port);
    for (audience, other) in [
        (&*audience, json!({})),
        (&origin, json!({})),
        ("", json!({ "aud": ["https://other.example", audience] })),
        (&audience, json!({ "nbf": now() + 30, "exp": now() - 30 })),
        (&audience, json!({ "iat": null, "client_id": null, "azp": "app" })),
    ] {
        let token = issuer.token(audience, other.clone());
        assert_eq!(echo().key(&token).send(gateway.port).await.status, 200, "{other}");
        assert_eq!(echo().key(&token).send(gateway.port).await.status, 200, "verified before");
        let signature = token.rsplit('.').next().unwrap();
        for received in server.received() {
            assert!(received.header("authorization").is_none() && received.header("x-api-key").is_none());
            assert!(!format!("{:?}", received.headers).contains(signature) && !format!("{received:?}").contains(KEY));
        }
    }
    assert_eq!(echo().key(KEY).send(gateway.port).await.status, 200, "keys do as well");
    assert!(!server.received().iter().any(|received| format!("{:?}", received.headers).contains(KEY)));
    assert!(gateway.log().contains("corp/alice"), "the access log says who");
    assert!(!gateway.log().contains("eyJ"), "and never the token");
}

#[tokio::test]
async fn what_is_forged_or_meant_for_others_is_refused() {
    let (server, issuer) = (Modern::start(), Issuer::start());
    let gateway = gateway(&issuer, server.config(), json!({})).await;
    let audience = audience(&gateway);
    assert_eq!(echo().key(&issuer.token(&audience, json!({}))).send(gateway.port).await.status, 200);
    let key = issuer.key();
    let claims = issuer.claims(&audience, json!({})).to_string();
    let with = |header: Value| key.sign(&header.to_string(), &claims);
    let unsigned = |header: Value| format!("{}.{}.", encoded(header.to_string()), encoded(&claims));
    let hmac_of = |secret: &[u8]| {
        let signed = format!("{}.{}", encoded(json!({"alg": "HS256", "kid": key.kid}).to_string()), encoded(&claims));
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), signed.as_bytes());
        format!("{signed}.{}", encoded(tag))
    };
    let good = with(key.header());
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let stranger = Key::new(&key.kid);
    for (what, token) in [
        ("alg none", unsigned(json!({"alg": "none"}))),
        ("alg none with its kid", unsigned(json!({"alg": "none", "kid": key.kid}))),
        ("alg nOnE", unsigned(json!({"alg": "nOnE"}))),
        ("no signature", format!("{signed}.")),
        ("HMAC with the public key", hmac_of(key.public())),
        ("HMAC with the public key as it is published", hmac_of(key.jwk().to_string().as_bytes())),
        ("HMAC with nothing", hmac_of(b"")),
        ("another's key by that name", stranger.sign(&key.header().to_string(), &claims)),
        (
            "its own key in the header",
            stranger.sign(&json!({"alg": "ES256", "jwk": stranger.jwk()}).to_string(), &claims),
        ),
        (
            "its own keys at a URL",
            stranger.sign(&json!({"alg": "ES256", "jku": "http://127.0.0.1:1/jwks", "kid": "x"}).to_string(), &claims),
        ),
        ("another algorithm", with(json!({"alg": "ES384", "kid": key.kid}))),
        ("a path as kid", with(json!({"alg": "ES256", "kid": "../../../../dev/null"}))),
        ("a query as kid", with(json!({"alg": "ES256", "kid": "' OR 1=1 --"}))),
        ("a list as kid", with(json!({"alg": "ES256", "kid": [key.kid]}))),
        ("what must be understood", with(json!({"alg": "ES256", "kid": key.kid, "crit": ["b64"], "b64": false}))),
        ("another type", with(json!({"alg": "ES256", "kid": key.kid, "typ": "dpop+jwt"}))),
        ("claims changed", {
            let other = issuer.claims(&audience, json!({"sub": "root"})).to_string();
            format!("{}.{}.{signature}", signed.split('.').next().unwrap(), encoded(other))
        }),
        ("a claim twice", key.sign(&key.header().to_string(), &claims.replacen('{', "{\"sub\":\"root\",", 1))),
        ("a header twice", key.sign(&key.header().to_string().replacen('{', "{\"alg\":\"none\",", 1), &claims)),
        ("another issuer", issuer.token(&audience, json!({"iss": "https://evil.example"}))),
        ("the issuer with a slash", issuer.token(&audience, json!({"iss": format!("{}/", issuer.url())}))),
        ("no issuer", issuer.token(&audience, json!({"iss": null}))),
        ("another audience", issuer.token("https://other.example/mcp", json!({}))),
        ("another door", issuer.token(&format!("http://127.0.0.1:{}/mcp", gateway.port), json!({}))),
        ("another port", issuer.token(&format!("http://127.0.0.1:{}{PATH}", gateway.port + 1), json!({}))),
        ("no audience", issuer.token(&audience, json!({"aud": null}))),
        ("an object as audience", issuer.token(&audience, json!({"aud": {audience.clone(): 1}}))),
        ("expired", issuer.token(&audience, json!({"exp": now() - 61}))),
        ("never expires", issuer.token(&audience, json!({"exp": null}))),
        ("expires as text", issuer.token(&audience, json!({"exp": (now() + 600).to_string()}))),
        ("not yet valid", issuer.token(&audience, json!({"nbf": now() + 120}))),
        ("issued later", issuer.token(&audience, json!({"iat": now() + 120}))),
        ("nobody's", issuer.token(&audience, json!({"sub": null}))),
        ("an ID token", issuer.token(&audience, json!({"nonce": "n-0S6_WzA2Mj"}))),
        (
            "bound to a key",
            issuer.token(&audience, json!({"cnf": {"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}})),
        ),
        ("larger than the limit", issuer.token(&audience, json!({"groups": "g".repeat(20_000)}))),
        (
            "deep",
            key.sign(
                &key.header().to_string(),
                &format!("{{\"iss\":\"{}\",\"a\":{}}}", issuer.url(), "[".repeat(4000)),
            ),
        ),
        ("no JSON", key.sign("{", "}")),
    ] {
        assert_refused(&echo().key(&token).send(gateway.port).await, what);
    }
    let calls = server.received().len();
    assert_eq!(echo().key(&good).send(gateway.port).await.status, 200, "and good tokens go on");
    assert_eq!(server.received().len(), calls + 1, "no refused call was passed on");
    for spoofed in ["evil.example", &format!("127.0.0.1:{}", gateway.port + 1)] {
        let token = issuer.token(&format!("http://{spoofed}{PATH}"), json!({}));
        let reply = echo().key(&token).header("host", spoofed).send(gateway.port).await;
        assert!(matches!(reply.status, 401 | 403), "a Host chooses no audience: {reply:?}");
    }
}

#[tokio::test]
async fn what_the_configuration_asks_for_a_token_must_have() {
    let (server, issuer) = (Modern::start(), Issuer::start());
    let more = json!({
        "audiences": ["mcp"], "claims": { "tenant": "acme" }, "required_scopes": ["mcp:use"], "scopes": { "mcp:admin": ["mcp:use"] },
    });
    let gateway = gateway(&issuer, server.config(), more).await;
    let good = json!({ "tenant": "acme", "scope": "mcp:use other" });
    let call = |claim: &str, value: Value| {
        let mut claims = good.clone();
        claims[claim] = value;
        let call = echo().key(&issuer.token("mcp", claims));
        let port = gateway.port;
        async move { call.send(port).await }
    };
    assert_eq!(call("x", json!(1)).await.status, 200);
    assert_eq!(call("scope", json!("mcp:admin")).await.status, 200, "what includes it will do");
    assert_refused(&call("tenant", json!("evil")).await, "another tenant");
    assert_refused(&call("aud", json!(audience(&gateway))).await, "configured audiences replace the door's");
    for lacking in [json!("other"), json!(null), json!(["mcp:user"])] {
        let reply = call("scope", lacking.clone()).await;
        assert_eq!(reply.verdict(), (403, Some(-32600)), "{lacking}: {reply:?}");
        let challenge = reply.header("www-authenticate").unwrap();
        assert!(challenge.starts_with("Bearer error=\"insufficient_scope\""), "{challenge}");
        assert!(
            challenge.contains("scope=\"mcp:use\"") && challenge.contains("resource_metadata=\"http://"),
            "{challenge}"
        );
    }
}

#[tokio::test]
async fn a_session_is_its_subjects_and_goes_on_with_a_refreshed_token() {
    let (server, issuer) = (Legacy::start(), Issuer::start());
    let gateway = gateway(&issuer, server.config(), json!({})).await;
    let audience = audience(&gateway);
    let token = |other: Value| issuer.token(&audience, other);
    let session = Session::with(gateway.port, PATH, json!({}), Some(&token(json!({})))).await;
    let call = |token: &str| {
        let call = session.post(&message::call("echo", session.next_id(), json!({}))).key(token);
        let port = gateway.port;
        async move { call.send(port).await }
    };
    assert_eq!(call(&token(json!({ "jti": "refreshed", "scope": "more" }))).await.status, 200);
    for (what, other) in [
        ("another subject", json!({ "sub": "bob" })),
        ("another client", json!({ "client_id": "other" })),
        ("no client", json!({ "client_id": null })),
    ] {
        assert_eq!(call(&token(other)).await.status, 404, "{what}");
    }
    assert_eq!(call(KEY).await.status, 404, "an API key");
    assert_refused(&call(&token(json!({ "exp": now() - 100 }))).await, "expired");
    assert_eq!(call(&token(json!({}))).await.status, 200, "it is still alice's");
}

#[tokio::test]
async fn a_request_with_several_credentials_speaks_for_nobody() {
    let (server, issuer) = (Modern::start(), Issuer::start());
    let gateway = gateway(&issuer, server.config(), json!({})).await;
    let token = issuer.token(&audience(&gateway), json!({}));
    for call in [
        echo().key(&token).header("x-api-key", KEY),
        echo().key(&token).also("authorization", &format!("Bearer {KEY}")),
        echo().key(&token).also("authorization", &format!("Bearer {token}")),
    ] {
        let reply = call.send(gateway.port).await;
        assert_eq!(reply.status, 400, "{reply:?}");
        assert!(reply.header("www-authenticate").unwrap().contains("invalid_request"), "{reply:?}");
    }
    assert!(server.received().is_empty());
}

#[tokio::test]
async fn a_removed_issuer_and_an_expired_key_let_nobody_in_any_more() {
    let (server, issuer) = (Legacy::start(), Issuer::start());
    let config = |issuers: Value, expires: &str| {
        let clients = json!({ "machine": { "api_key": KEY, "expires": expires } });
        json!({ "servers": { "one": server.config() }, "issuers": issuers, "clients": clients })
    };
    let issuers = json!({ "corp": issuer.config(json!({})) });
    let gateway = Start::new(config(issuers, "2099-01-01T00:00:00Z")).ready().await;
    let token = issuer.token(&audience(&gateway), json!({}));
    let initialize = |key: &str| Call::post(PATH, message::initialize(LEGACY, json!({})).to_string()).key(key);
    assert_eq!(initialize(KEY).send(gateway.port).await.status, 200);
    let session = Session::with(gateway.port, PATH, json!({}), Some(&token)).await;
    let mut stream = session.listen(None).await;
    assert_eq!(stream.status, 200);
    std::fs::write(gateway.file(), config(json!({}), "2020-01-01T00:00:00Z").to_string()).unwrap();
    gateway.logged("configuration adopted").await;
    stream.rest().await;
    assert_refused(&initialize(&token).send(gateway.port).await, "the issuer is gone");
    let reply = initialize(KEY).send(gateway.port).await;
    assert_refused(&reply, "the key has expired");
    assert!(reply.text().contains("expired"), "{reply:?}");
}
