//! The keys of an issuer: fetched once for all who need them, rotated, kept, and never had from where they must not be.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sluice_tests::gateway::Start;
use sluice_tests::issuer::{Issuer, Key};
use sluice_tests::upstream::{Answer, Modern};
use sluice_tests::wait::within;
use sluice_tests::{Call, Gateway, Upstream, until, wait};

const PATH: &str = "/servers/one/mcp";
/// How often keys are fetched at most.
const PAUSE: Duration = Duration::from_secs(10);

fn echo() -> Call {
    Call::modern(PATH, "tools/call", 1, json!({ "name": "echo", "arguments": {} }))
}

fn config(issuer: &Issuer, server: &Modern, more: Value) -> Value {
    let mut more = more;
    more["audiences"] = json!(["mcp"]);
    json!({ "servers": { "one": server.config() }, "issuers": { "corp": issuer.config(more) } })
}

async fn status(gateway: &Gateway, token: &str) -> u16 {
    echo().key(token).send_patiently(gateway.port).await.status
}

#[tokio::test]
async fn a_new_key_is_seen_within_the_pause_and_a_withdrawn_one_is_good_no_longer() {
    let (server, issuer) = (Modern::start(), Issuer::start());
    let gateway = Start::new(config(&issuer, &server, json!({}))).ready().await;
    let old = issuer.token("mcp", json!({}));
    assert_eq!(status(&gateway, &old).await, 200);
    issuer.rotate("second");
    let new = issuer.token("mcp", json!({}));
    let ask = async || status(&gateway, &new).await;
    wait::becomes(PAUSE + Duration::from_secs(5), "the new key is seen", ask, |status| *status == 200).await;
    assert_eq!(issuer.fetches(), 2, "one at the start, one for the new key");
    assert_eq!(status(&gateway, &old).await, 401, "verified before, with a key that is none any more");
}

#[tokio::test]
async fn a_storm_of_unknown_keys_costs_one_fetch() {
    let (server, issuer) = (Modern::start(), Issuer::start());
    let gateway = Arc::new(Start::new(config(&issuer, &server, json!({}))).ready().await);
    assert_eq!(status(&gateway, &issuer.token("mcp", json!({}))).await, 200);
    let before = issuer.fetches();
    // beyond the pause after the first fetch, so that the storm may have one
    wait::pass(PAUSE).await;
    let began = Instant::now();
    let claims = issuer.claims("mcp", json!({})).to_string();
    let storm: Vec<_> = (0..1000)
        .map(|n| {
            let key = issuer.key();
            let token = key.sign(&json!({ "alg": "ES256", "kid": format!("random-{n}") }).to_string(), &claims);
            let gateway = Arc::clone(&gateway);
            tokio::spawn(async move { status(&gateway, &token).await })
        })
        .collect();
    for refused in storm {
        assert_eq!(refused.await.unwrap(), 401);
    }
    let pauses = (began.elapsed().as_secs() / PAUSE.as_secs()) as usize;
    assert!((before + 1..=before + 1 + pauses).contains(&issuer.fetches()), "{} fetches", issuer.fetches() - before);
    assert_eq!(status(&gateway, &issuer.token("mcp", json!({}))).await, 200);
}

#[tokio::test]
async fn requests_wait_for_the_first_keys_and_are_told_to_come_back_when_there_are_none() {
    let (server, issuer) = (Modern::start(), Issuer::start());
    let key = issuer.key();
    issuer.instead(|| None);
    let gateway = Start::new(config(&issuer, &server, json!({}))).ready().await;
    let token = issuer.token("mcp", json!({}));
    let began = Instant::now();
    let reply = echo().key(&token).send_patiently(gateway.port).await;
    assert_eq!(reply.status, 503, "{reply:?}");
    assert!(reply.header("retry-after").is_some() && reply.header("www-authenticate").is_none(), "{reply:?}");
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    let hasty = key.sign("{}", "{}");
    assert_eq!(status(&gateway, &hasty).await, 401, "what no key could save does not wait");
    issuer.recover();
    until_good(&gateway, &token).await;
    for broken in [Answer::empty(500), Answer::json("{\"keys\":[]}"), Answer::json("[")] {
        let broken = Arc::new(std::sync::Mutex::new(Some(broken)));
        issuer.instead(move || broken.lock().unwrap().take().or_else(|| Some(Answer::empty(500))));
        assert_eq!(status(&gateway, &token).await, 200, "the last good keys stay");
    }
}

async fn until_good(gateway: &Gateway, token: &str) {
    let ask = async || status(gateway, token).await;
    wait::becomes(Duration::from_secs(30), "the keys are had", ask, |status| *status == 200).await;
}

#[tokio::test]
async fn the_last_good_keys_are_kept_over_a_restart() {
    let (server, issuer) = (Modern::start(), Issuer::start());
    let state = tempfile::tempdir().unwrap();
    let start =
        || Start::new(config(&issuer, &server, json!({}))).arg("--state-dir").arg(state.path().to_str().unwrap());
    let first = start().ready().await;
    let token = issuer.token("mcp", json!({}));
    assert_eq!(status(&first, &token).await, 200);
    until("the keys are kept", || std::fs::read_dir(state.path().join("issuers")).ok()?.next()?.ok()).await;
    drop(first);
    issuer.instead(|| Some(Answer::empty(500)));
    let second = start().ready().await;
    assert_eq!(status(&second, &token).await, 200);
    let stranger = Key::new("first");
    let forged = stranger.sign(&stranger.header().to_string(), &issuer.claims("mcp", json!({})).to_string());
    assert_eq!(status(&second, &forged).await, 401);
}

#[tokio::test]
async fn keys_are_taken_within_bounds_and_from_where_they_may_be() {
    let (server, issuer) = (Modern::start(), Issuer::start());
    let inner = Upstream::always(|| Answer::json("{\"keys\":[]}"));
    let inside = format!("http://127.0.0.1:{}/jwks", inner.port);
    type Script = Box<dyn Fn() -> Option<Answer> + Send + Sync>;
    let one = Key::new("many");
    let many: Vec<Value> = (0..10_000).map(|n| one.jwk_named(&n.to_string())).collect();
    let many = json!({ "keys": many }).to_string();
    let scripts: Vec<(&str, &str, Script)> = vec![
        ("too many keys", "more than", Box::new(move || Some(Answer::json(many.clone())))),
        (
            "too many bytes",
            "bytes",
            Box::new(|| Some(Answer::json(format!("{{\"keys\":[],\"a\":\"{}\"}}", "x".repeat(4 << 20))))),
        ),
        ("a loop", "redirects", Box::new(|| Some(Answer::empty(302).header("location", "/jwks")))),
        ("the inner network", "inner network", {
            let inside = inside.replace("http:", "https:");
            Box::new(move || Some(Answer::empty(302).header("location", &inside)))
        }),
        ("no https", "https", Box::new(move || Some(Answer::empty(302).header("location", &inside)))),
        ("another scheme", "redirect", Box::new(|| Some(Answer::empty(302).header("location", "file:///etc/passwd")))),
    ];
    for (what, told, script) in scripts {
        issuer.instead(script);
        let gateway = Start::new(config(&issuer, &server, json!({}))).ready().await;
        gateway.logged("cannot be had").await;
        assert!(gateway.log().contains(told), "{what}: {}", gateway.log());
        assert_eq!(status(&gateway, &issuer.token("mcp", json!({}))).await, 503, "{what}");
    }
    assert!(inner.received().is_empty(), "nobody was sent there");
    let once = std::sync::atomic::AtomicBool::new(true);
    let jwk = json!({ "keys": [issuer.key().jwk()] });
    issuer.instead(move || {
        let first = once.swap(false, std::sync::atomic::Ordering::Relaxed);
        Some(if first { Answer::empty(307).header("location", "/jwks") } else { Answer::message(&jwk) })
    });
    let gateway = Start::new(config(&issuer, &server, json!({}))).ready().await;
    assert_eq!(status(&gateway, &issuer.token("mcp", json!({}))).await, 200, "a redirect at home is followed");
}

#[tokio::test]
async fn keys_in_a_file_are_read_again_when_it_changes() {
    let (server, issuer) = (Modern::start(), Issuer::start());
    let start = Start::new(config(&issuer, &server, json!({ "jwks_file": "keys.json" })));
    let write = |folder: &std::path::Path| {
        std::fs::write(folder.join("keys.json"), json!({ "keys": [issuer.key().jwk()] }).to_string()).unwrap();
    };
    write(start.folder());
    let gateway = start.ready().await;
    let old = issuer.token("mcp", json!({}));
    assert_eq!(status(&gateway, &old).await, 200);
    issuer.rotate("second");
    write(gateway.folder());
    let new = issuer.token("mcp", json!({}));
    until_good(&gateway, &new).await;
    assert_eq!((status(&gateway, &old).await, issuer.fetches()), (401, 0));
    within(PAUSE, "the keys are told", || gateway.log().contains("keys of the issuer").then_some(())).await;
}
