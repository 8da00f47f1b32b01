//! Tokens for servers by the client credentials grant: one request for all who wait, before expiry in the background, again after a
//! refusal, and a clear word when there is none to be had.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use sluice_tests::gateway::Start;
use sluice_tests::upstream::{Answer, Modern, Received, Upstream};
use sluice_tests::{Call, Gateway, Reply, until, wait};

const PATH: &str = "/servers/one/mcp";
const SECRET: &str = "s3cret/of the:client";

/// A token endpoint that numbers its tokens.
struct Issuer {
    upstream: Upstream,
}

impl Issuer {
    fn start(answer: impl Fn(usize) -> Answer + Send + Sync + 'static) -> Self {
        let count = AtomicUsize::new(0);
        let upstream = Upstream::start(move |received: Received| {
            let answer = match received.path.as_str() {
                "/token" => answer(count.fetch_add(1, Ordering::Relaxed) + 1),
                "/.well-known/oauth-authorization-server/tenant" => {
                    let host = received.header("host").unwrap();
                    let metadata = json!({
                        "issuer": format!("http://{host}/tenant"), "token_endpoint": format!("http://{host}/token"),
                    });
                    Answer::json(metadata.to_string())
                }
                _ => Answer::empty(404),
            };
            async move { answer }
        });
        Self { upstream }
    }

    /// Tokens that last so many seconds.
    fn lasting(seconds: f64) -> Self {
        Self::start(move |number| {
            let token =
                json!({ "access_token": format!("token-{number}"), "token_type": "Bearer", "expires_in": seconds });
            Answer::json(token.to_string())
        })
    }

    fn asked(&self) -> Vec<Received> {
        self.upstream.received().into_iter().filter(|received| received.path == "/token").collect()
    }

    fn auth(&self) -> Value {
        json!({
            "type": "oauth_client_credentials", "token_url": format!("http://127.0.0.1:{}/token", self.upstream.port),
            "client_id": "gateway", "client_secret": SECRET, "scopes": ["read", "write"],
        })
    }
}

async fn gateway(server: &Modern, auth: Value) -> Gateway {
    let servers = json!({ "one": { "url": server.url(), "auth": { "credential": "crm" } } });
    Start::new(json!({ "credentials": { "crm": auth }, "servers": servers })).ready().await
}

async fn call(gateway: &Gateway) -> Reply {
    Call::modern(PATH, "tools/call", 1, json!({ "name": "echo", "arguments": {} })).send_patiently(gateway.port).await
}

fn shown(server: &Modern) -> Vec<String> {
    server.calls("echo").iter().map(|got| got.header("authorization").unwrap_or_default().to_owned()).collect()
}

#[tokio::test]
async fn a_thousand_first_calls_cost_one_token() {
    let (issuer, server) = (Issuer::lasting(3600.0), Modern::start());
    let gateway = Arc::new(gateway(&server, issuer.auth()).await);
    let calls: Vec<_> = (0..1000)
        .map(|_| {
            let gateway = Arc::clone(&gateway);
            tokio::spawn(async move { call(&gateway).await.status })
        })
        .collect();
    for call in calls {
        assert_eq!(call.await.unwrap(), 200);
    }
    let asked = issuer.asked();
    assert_eq!(asked.len(), 1, "one request however many wait");
    assert!(shown(&server).iter().all(|token| token == "Bearer token-1"));
    let body = String::from_utf8(asked[0].body.to_vec()).unwrap();
    let resource = format!("http%3A%2F%2F127.0.0.1%3A{}%2Fmcp", server.port);
    assert_eq!(body, format!("grant_type=client_credentials&scope=read+write&resource={resource}"));
    assert_eq!(asked[0].header("content-type"), Some("application/x-www-form-urlencoded"));
    // gateway:s3cret%2Fof+the%3Aclient
    assert_eq!(asked[0].header("authorization"), Some("Basic Z2F0ZXdheTpzM2NyZXQlMkZvZit0aGUlM0FjbGllbnQ="));
}

#[tokio::test]
async fn a_token_is_asked_for_anew_before_it_expires_and_no_call_fails() {
    let (issuer, server) = (Issuer::lasting(4.0), Modern::start());
    let gateway = gateway(&server, issuer.auth()).await;
    let call_on = async || {
        let reply = call(&gateway).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        shown(&server).pop()
    };
    let third = |shown: &Option<String>| shown.as_deref() == Some("Bearer token-3");
    wait::becomes(std::time::Duration::from_secs(30), "a third token", call_on, third).await;
    assert!(issuer.asked().len() <= 4, "{} requests", issuer.asked().len());
}

#[tokio::test]
async fn a_refused_token_is_replaced_once_and_the_call_that_did_not_run_is_sent_again() {
    let issuer = Issuer::lasting(3600.0);
    let server = Modern::scripted(|received| {
        let stale = received.header("authorization") == Some("Bearer token-1");
        stale.then(|| Answer::empty(401).header("www-authenticate", "Bearer error=\"invalid_token\""))
    });
    let gateway = gateway(&server, issuer.auth()).await;
    let reply = call(&gateway).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(shown(&server), ["Bearer token-1", "Bearer token-2"]);
    assert_eq!(issuer.asked().len(), 2);
}

#[tokio::test]
async fn a_server_that_refuses_every_token_does_not_make_us_ask_for_more() {
    let issuer = Issuer::lasting(3600.0);
    let server = Modern::scripted(|received| (received.tool() == "echo").then(|| Answer::empty(401)));
    let gateway = gateway(&server, issuer.auth()).await;
    for _ in 0..10 {
        let reply = call(&gateway).await;
        assert_eq!(reply.status, 502, "{reply:?}");
        assert!(reply.text().contains("refused the gateway's credential"), "{reply:?}");
    }
    assert!(issuer.asked().len() <= 3, "{} requests", issuer.asked().len());
}

#[tokio::test]
async fn no_token_is_a_clear_word_without_a_secret_and_no_storm() {
    let issuer = Issuer::start(|_| {
        let error = json!({ "error": "invalid_client", "error_description": format!("no such secret: {SECRET}") });
        Answer::new(401, "application/json", error.to_string())
    });
    let server = Modern::start();
    let gateway = gateway(&server, issuer.auth()).await;
    let start = std::time::Instant::now();
    let mut calls = 0;
    while start.elapsed().as_millis() < 400 {
        let reply = call(&gateway).await;
        calls += 1;
        assert_eq!(reply.status, 502, "{reply:?}");
        assert!(reply.text().contains("credential `crm`"), "{reply:?}");
        assert!(!reply.text().contains("s3cret") && !reply.text().contains("127.0.0.1"), "{reply:?}");
    }
    let asked = issuer.asked().len();
    assert!(asked <= 2, "{asked} requests for {calls} calls");
    gateway.logged("the token endpoint refused with status 401: invalid_client").await;
    assert!(!gateway.log().contains("s3cret"));
    assert!(server.calls("echo").is_empty());
}

#[tokio::test]
async fn the_token_endpoint_is_found_by_the_issuer_s_metadata() {
    let (issuer, server) = (Issuer::lasting(3600.0), Modern::start());
    let auth = json!({
        "type": "oauth_client_credentials", "issuer": format!("http://127.0.0.1:{}/tenant", issuer.upstream.port),
        "client_id": "gateway", "client_secret": SECRET, "client_authentication": "post", "resource": "none",
    });
    let gateway = gateway(&server, auth).await;
    assert_eq!(call(&gateway).await.status, 200);
    let body = String::from_utf8(issuer.asked()[0].body.to_vec()).unwrap();
    let expected = "grant_type=client_credentials&client_id=gateway&client_secret=s3cret%2Fof+the%3Aclient";
    assert_eq!(body, expected);
    assert_eq!(issuer.asked()[0].header("authorization"), None);
    let config = gateway.admin("/config").await.text();
    assert!(config.contains("oauth_client_credentials") && !config.contains("s3cret"), "{config}");
    until("what the server was shown", || shown(&server).pop()).await;
}
