//! Streams end when the credential does that opened them, and go on with another.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use serde_json::{Value, json};
use sluice_tests::gateway::Start;
use sluice_tests::issuer::{Issuer, now};
use sluice_tests::message;
use sluice_tests::sse::Sse;
use sluice_tests::upstream::{Legacy, Modern};
use sluice_tests::websocket::Socket;
use sluice_tests::{Call, Gateway, Session, until};

const PATH: &str = "/servers/one/mcp";
/// How long the tokens of these tests are good.
const LIFE: u64 = 3;

async fn gateway(issuer: &Issuer, one: Value) -> Gateway {
    let corp = issuer.config(json!({ "audiences": ["mcp"], "leeway_seconds": 0 }));
    Start::new(json!({ "servers": { "one": one }, "issuers": { "corp": corp } })).ready().await
}

/// A token that is good for some seconds, and until when.
fn short(issuer: &Issuer) -> (String, u64) {
    let exp = now() + LIFE;
    (issuer.token("mcp", json!({ "exp": exp })), exp)
}

fn assert_in_time(exp: u64) {
    let late = now().saturating_sub(exp);
    assert!(now() >= exp && late < 5, "{late} s after its end");
}

#[tokio::test]
async fn a_get_stream_ends_with_when_to_come_back_and_goes_on_with_a_new_token() {
    let (server, issuer) = (Legacy::start(), Issuer::start());
    let gateway = gateway(&issuer, server.config()).await;
    let (token, exp) = short(&issuer);
    let session = Session::with(gateway.port, PATH, json!({}), Some(&token)).await;
    let mut stream = session.listen(None).await;
    assert_eq!(stream.status, 200);
    let pipe = server.stream().await;
    pipe.numbered("e1", &message::notification("notifications/message", json!({ "level": "info", "data": 1 }))).await;
    let first = stream.next().await;
    let last = first.id.expect("it can be resumed");
    let mut retry = None;
    while let Some(event) = stream.event().await {
        retry = event.retry.or(retry);
    }
    assert_in_time(exp);
    assert!(retry.is_some(), "it says when to come back");
    assert_eq!(session.call("echo", json!({})).await.status, 401, "the old token is good for nothing");
    let fresh = issuer.token("mcp", json!({}));
    let again = session.dressed(Call::get(PATH)).key(&fresh).header("last-event-id", &last).open(gateway.port).await;
    assert_eq!(again.status, 200, "resumed where it was");
}

#[tokio::test]
async fn a_listen_stream_gets_its_result() {
    let (server, issuer) = (Modern::start(), Issuer::start());
    let gateway = gateway(&issuer, server.config()).await;
    let (token, exp) = short(&issuer);
    let listen =
        Call::modern("/mcp", "subscriptions/listen", 1, json!({ "notifications": { "toolsListChanged": true } }));
    let mut stream = listen.key(&token).open(gateway.port).await;
    assert_eq!(stream.status, 200);
    let messages = stream.rest().await;
    assert_in_time(exp);
    assert_eq!(messages.last().unwrap()["result"]["resultType"], "complete", "{messages:?}");
}

#[tokio::test]
async fn a_websocket_is_closed_with_the_reason() {
    let (server, issuer) = (Legacy::start(), Issuer::start());
    let gateway = gateway(&issuer, server.config()).await;
    let (token, exp) = short(&issuer);
    let headers = format!("Authorization: Bearer {token}\r\nSec-WebSocket-Protocol: mcp\r\n");
    let mut socket = Socket::with(gateway.port, "/servers/one/ws", &headers).await;
    let (code, reason, _) = socket.closed().await;
    assert_in_time(exp);
    assert_eq!(code, 1008);
    assert!(reason.contains("expired"), "{reason}");
}

#[tokio::test]
async fn an_event_stream_goes_on_with_the_newest_token_that_its_messages_bring() {
    let (server, issuer) = (Legacy::start(), Issuer::start());
    let gateway = gateway(&issuer, server.config()).await;
    let (token, exp) = short(&issuer);
    let mut stream = Sse::with(gateway.port, "/servers/one/sse", Some(&token)).await;
    stream.initialize(json!({})).await;
    let fresh = issuer.token("mcp", json!({}));
    let ping = stream.post(&message::request("ping", 7, json!({}))).key(&fresh);
    assert_eq!(ping.send(gateway.port).await.status, 202);
    assert_eq!(stream.message().await["id"], 7);
    until("the first token ends", || (now() > exp + 1).then_some(())).await;
    let stranger = issuer.token("mcp", json!({ "sub": "bob" }));
    let foreign = stream.post(&message::request("ping", 8, json!({}))).key(&stranger);
    assert_eq!(foreign.send(gateway.port).await.status, 404, "to others it does not exist");
    assert_eq!(stream.post(&message::request("ping", 9, json!({}))).key(&token).send(gateway.port).await.status, 401);
    let ping = stream.post(&message::request("ping", 10, json!({}))).key(&fresh);
    assert_eq!(ping.send(gateway.port).await.status, 202);
    assert_eq!(stream.message().await["id"], 10, "the stream outlived the token that opened it");
}
