//! Who may come in: the loopback rule, API keys, limits of each client, and web pages.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::time::Duration;

use serde_json::{Value, json};
use sluice_tests::gateway::Start;
use sluice_tests::message::{self, LEGACY};
use sluice_tests::upstream::{Legacy, Modern};
use sluice_tests::{Call, Gateway, Reply, Session, port, wait};

const PATH: &str = "/servers/one/mcp";
const ALICE: &str = "alice-key-0123456789abcdef";
const BOB: &str = "bob-key-0123456789abcdef";

fn echo() -> Call {
    Call::modern(PATH, "tools/call", 1, json!({ "name": "echo", "arguments": {} }))
}

fn initialize() -> Call {
    Call::post(PATH, message::initialize(LEGACY, json!({})).to_string())
}

fn assert_unauthenticated(reply: &Reply, what: &str) {
    assert_eq!(reply.verdict(), (401, Some(-32600)), "{what}: {reply:?}");
    assert!(reply.header("www-authenticate").is_some_and(|value| value.starts_with("Bearer")), "{what}: {reply:?}");
    assert!(reply.header("mcp-session-id").is_none(), "{what}");
}

#[tokio::test]
async fn an_address_beyond_loopback_needs_authentication_or_the_word_that_there_is_none() {
    let server = Modern::start();
    let config = |proxy: Value| json!({ "proxy": proxy, "servers": { "one": server.config() } });
    for proxy in [json!({ "host": "0.0.0.0", "port": port::free() }), json!({ "host": "::", "port": port::free() })] {
        let (status, text) = Start::new(config(proxy)).refused();
        assert!(!status.success());
        assert!(text.contains("authentication: none") && text.contains("other machines"), "{text}");
    }
    let port = port::free();
    let (status, _) = Start::new(config(json!({}))).arg("--listen").arg(&format!("0.0.0.0:{port}")).refused();
    assert!(!status.success(), "the flag is no way around");
    let open = Start::new(config(json!({ "authentication": "none" }))).ready().await;
    assert_eq!(echo().send(open.port).await.status, 200);
}

#[tokio::test]
async fn requests_without_a_good_key_are_refused_at_every_door() {
    let (server, legacy) = (Modern::start(), Legacy::start());
    let clients = json!({ "alice": { "api_key": ALICE } });
    let config = json!({ "servers": { "one": server.config(), "legacy": legacy.config() }, "clients": clients });
    let gateway = Start::new(config).ready().await;
    let calls = |path: &str| {
        let initialize = Call::post(path, message::initialize(LEGACY, json!({})).to_string());
        let modern = Call::modern(path, "tools/list", 1, json!({}));
        [initialize, modern, Call::post(path, "garbage"), Call::get(path), Call::delete(path)]
    };
    for path in [PATH, "/servers/legacy/mcp", "/servers/unknown/mcp", "/mcp", "/mcp/"] {
        for call in calls(path) {
            for (what, call) in [
                ("no key", call.clone()),
                ("wrong key", call.clone().key("wrong-key-0123456789abcdef")),
                ("prefix of the key", call.clone().key(&ALICE[..10])),
                ("empty", call.clone().header("authorization", "Bearer ")),
                ("other scheme", call.clone().header("authorization", &format!("Basic {ALICE}"))),
                ("wrong X-API-Key", call.clone().header("x-api-key", "wrong")),
                ("key in the query", Call::post(&format!("{path}?api_key={ALICE}"), "{}")),
            ] {
                assert_unauthenticated(&call.send(gateway.port).await, &format!("{path} {what}"));
            }
            // a request speaks for one (RFC 6750 section 3.1, invalid_request)
            for call in [
                call.clone().key("wrong-key").also("authorization", &format!("Bearer {ALICE}")),
                call.clone().key(ALICE).header("x-api-key", ALICE),
            ] {
                let reply = call.send(gateway.port).await;
                assert_eq!(reply.status, 400, "{path} two keys: {reply:?}");
                assert!(reply.header("www-authenticate").unwrap().contains("error=\"invalid_request\""), "{reply:?}");
            }
        }
    }
    assert!(server.received().is_empty() && legacy.received().is_empty());
    for call in [
        echo().key(ALICE),
        echo().header("authorization", &format!("bearer {ALICE}")),
        echo().header("x-api-key", ALICE),
    ] {
        assert_eq!(call.send(gateway.port).await.status, 200);
    }
}

#[tokio::test]
async fn an_open_gateway_on_loopback_does_not_mind_a_credential_it_does_not_need() {
    let server = Modern::start();
    let gateway = Gateway::with(json!({ "one": server.config() })).await;
    assert_eq!(echo().key("stale-token-of-a-client").send(gateway.port).await.status, 200);
    assert!(server.calls("echo").iter().all(|got| got.header("authorization").is_none()));
}

#[tokio::test]
async fn keys_are_made_and_revoked_without_a_restart() {
    let server = Legacy::start();
    let clients = json!({ "alice": { "api_key": ALICE } });
    let gateway = Start::new(json!({ "servers": { "one": server.config() }, "clients": clients })).ready().await;
    let made = gateway.run(&["token", "create", "carol"]);
    assert!(made.status.success(), "{made:?}");
    let key = String::from_utf8(made.stdout).unwrap().trim().to_owned();
    let key = key.lines().last().unwrap().to_owned();
    let open = async || initialize().key(&key).send(gateway.port).await.status;
    wait::becomes(Duration::from_secs(5), "the new key is taken", open, |status| *status == 200).await;
    let session = Session::with(gateway.port, PATH, json!({}), Some(&key)).await;
    let mut stream = session.listen(None).await;
    assert_eq!(session.call("echo", json!({})).await.status, 200);
    assert!(String::from_utf8(gateway.run(&["token", "list"]).stdout).unwrap().contains("carol"));
    assert!(gateway.run(&["token", "revoke", "carol"]).status.success());
    let call = async || session.call("echo", json!({})).await.status;
    wait::becomes(Duration::from_millis(1500), "a revoked key is refused", call, |status| *status != 200).await;
    assert_unauthenticated(&session.call("echo", json!({})).await, "revoked");
    stream.rest().await;
    assert_eq!(initialize().key(ALICE).send(gateway.port).await.status, 200, "others stay");
}

#[tokio::test]
async fn a_key_is_made_when_authentication_is_wanted_and_nobody_could_come_in() {
    let server = Modern::start();
    let config = json!({ "servers": { "one": server.config() }, "features": { "authentication": true } });
    let gateway = Start::new(config).ready().await;
    assert_unauthenticated(&echo().send(gateway.port).await, "no key");
    let log = gateway.log();
    let path = log.split_whitespace().find(|word| word.contains("api-key")).expect("stderr tells the path");
    let key = std::fs::read_to_string(path.trim_matches('"')).unwrap();
    assert!(!log.contains(key.trim()), "the key itself is told on a terminal only");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(path).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(echo().key(key.trim()).send(gateway.port).await.status, 200);
}

#[tokio::test]
async fn requests_per_minute_are_counted_per_client() {
    let server = Modern::start();
    let config = json!({
        "servers": { "one": server.config() },
        "clients": { "alice": { "api_key": ALICE }, "bob": { "api_key": BOB } },
        "features": { "rate_limiting": { "requests_per_minute": 30 } },
    });
    let gateway = Start::new(config).ready().await;
    let mut refused = None;
    for n in 0..100 {
        let reply = echo().key(ALICE).send(gateway.port).await;
        if reply.status != 200 {
            refused = Some((n, reply));
            break;
        }
    }
    let (n, reply) = refused.expect("a limit");
    assert!((1..=31).contains(&n), "refused after {n}");
    assert_eq!(reply.verdict(), (429, Some(-32600)), "{reply:?}");
    let wait: u64 = reply.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
    assert_eq!(server.calls("echo").len(), n);
    assert_eq!(echo().key(BOB).send(gateway.port).await.status, 200, "another client has its own");
    let reply = Call::get("/health").bare().send(gateway.port).await;
    assert_eq!(reply.status, 200, "{reply:?}");
}

#[tokio::test]
async fn requests_at_a_time_are_limited_per_client() {
    let server = Modern::start();
    let config = json!({
        "proxy": { "limits": { "concurrent_requests": 3 } },
        "servers": { "one": server.config() },
        "clients": { "alice": { "api_key": ALICE }, "bob": { "api_key": BOB } },
    });
    let gateway = Start::new(config).ready().await;
    let hang = Call::modern(PATH, "tools/call", 1, json!({ "name": "hang", "arguments": {} })).key(ALICE);
    let port = gateway.port;
    let waiting: Vec<_> =
        (0..3).map(|_| hang.clone()).map(|call| tokio::spawn(async move { call.try_send(port).await })).collect();
    sluice_tests::until("three calls at the server", || (server.calls("hang").len() == 3).then_some(())).await;
    let reply = echo().key(ALICE).send(port).await;
    assert_eq!(reply.status, 429, "{reply:?}");
    assert!(reply.header("retry-after").is_some());
    assert_eq!(echo().key(BOB).send(port).await.status, 200);
    waiting.into_iter().for_each(|call| call.abort());
    let call = async || echo().key(ALICE).send(port).await.status;
    wait::becomes(Duration::from_secs(5), "the places become free", call, |status| *status == 200).await;
}
