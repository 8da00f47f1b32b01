//! Cancellation: a message in the legacy era, a closed stream in the modern one. It ends the one call it is for.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::sync::{Arc, Mutex};

use serde_json::json;
use sluice_tests::message;
use sluice_tests::peer::Peer;
use sluice_tests::upstream::{Answer, Legacy, Modern, Pipe};
use sluice_tests::{Call, Gateway, Session, until};

const PATH: &str = "/servers/one/mcp";

#[tokio::test]
async fn a_legacy_cancellation_reaches_the_server_with_the_id_it_knows() {
    let server = Legacy::start();
    let gateway = Gateway::with(json!({ "one": server.config() })).await;
    let session = Session::open(gateway.port, PATH).await;
    let call =
        session.post(&json!({ "jsonrpc": "2.0", "id": "long", "method": "tools/call", "params": { "name": "hang" } }));
    let port = gateway.port;
    let waiting = tokio::spawn(async move { call.try_send(port).await });
    let called = server.receives("the call", |received| received.tool() == "hang").await;
    session.notify("notifications/cancelled", json!({ "requestId": "long", "reason": "bored" })).await;
    let cancelled = server.receives("the cancellation", |r| r.method() == "notifications/cancelled").await;
    assert_eq!(cancelled.message()["params"]["requestId"], called.message()["id"]);
    assert_eq!(cancelled.message()["params"]["reason"], "bored");
    assert_eq!(cancelled.header("mcp-session-id"), called.header("mcp-session-id"));
    waiting.abort();
    assert_eq!(session.call("echo", json!({})).await.status, 200);
}

#[tokio::test]
async fn a_cancellation_in_a_shared_child_ends_the_callers_own_request_only() {
    let peer = Peer::new("legacy");
    let gateway = Gateway::with(json!({ "one": peer.config() })).await;
    let (first, second) = (Session::open(gateway.port, PATH).await, Session::open(gateway.port, PATH).await);
    let hang = |session: &Session| session.post(&message::call("hang", 7, json!({})));
    let (one, two, port) = (hang(&first), hang(&second), gateway.port);
    let one = tokio::spawn(async move { one.try_send(port).await });
    until("the first call", || (peer.got("tools/call").len() == 1).then_some(())).await;
    let two = tokio::spawn(async move { two.send_patiently(port).await });
    until("the second call", || (peer.got("tools/call").len() == 2).then_some(())).await;
    first.notify("notifications/cancelled", json!({ "requestId": 7 })).await;
    let cancelled = until("the cancellation", || peer.got("notifications/cancelled").pop()).await;
    let calls = peer.got("tools/call");
    assert_eq!(cancelled["params"]["requestId"], calls[0]["id"]);
    assert_ne!(calls[0]["id"], calls[1]["id"], "both chose 7; the child must be able to tell them apart");
    // Somebody who cancels an id that is not theirs cancels nothing.
    second.notify("notifications/cancelled", json!({ "requestId": calls[1]["id"] })).await;
    first.notify("notifications/cancelled", json!({ "requestId": 7 })).await;
    assert_eq!(second.call("release", json!({})).await.status, 200);
    let reply = two.await.unwrap();
    assert_eq!(reply.result()["content"][0]["text"], "released");
    assert_eq!(reply.rpc()["id"], 7);
    one.abort();
}

async fn closes_upstream(kind: &'static str) {
    let pipes: Arc<Mutex<Vec<Pipe>>> = Arc::default();
    let kept = Arc::clone(&pipes);
    let server = Modern::scripted(move |received| {
        (received.tool() == "long").then(|| {
            let (pipe, answer) = Answer::stream(kind);
            let started = pipe.clone();
            if kind == "text/event-stream" {
                tokio::spawn(async move {
                    started.event(&message::notification("notifications/progress", json!({}))).await
                });
            }
            kept.lock().unwrap().push(pipe);
            answer
        })
    });
    let gateway = Gateway::with(json!({ "one": server.config() })).await;
    let call = Call::modern(PATH, "tools/call", 1, json!({ "name": "long", "arguments": {} }));
    let (stays, goes, port) = (call.clone(), call, gateway.port);
    let stays = tokio::spawn(async move { stays.try_send(port).await });
    until("the first call", || (pipes.lock().unwrap().len() == 1).then_some(())).await;
    let goes = tokio::spawn(async move { goes.try_send(port).await });
    until("the second call", || (pipes.lock().unwrap().len() == 2).then_some(())).await;
    goes.abort();
    until("the server's stream is closed", || pipes.lock().unwrap()[1].is_closed().then_some(())).await;
    assert!(!pipes.lock().unwrap()[0].is_closed(), "the other call goes on");
    stays.abort();
    until("the other stream is closed", || pipes.lock().unwrap()[0].is_closed().then_some(())).await;
    assert!(server.got("notifications/cancelled").is_empty(), "closing is the cancellation");
}

#[tokio::test]
async fn closing_a_modern_event_stream_closes_the_servers() {
    closes_upstream("text/event-stream").await;
}

#[tokio::test]
async fn closing_a_modern_call_that_waits_for_json_closes_the_servers() {
    closes_upstream("application/json").await;
}

#[tokio::test]
async fn closing_a_modern_call_becomes_a_cancellation_for_a_stdio_server() {
    let peer = Peer::new("modern");
    let gateway = Gateway::with(json!({ "one": peer.config() })).await;
    let call = Call::modern(PATH, "tools/call", 5, json!({ "name": "hang", "arguments": {} }));
    let port = gateway.port;
    let waiting = tokio::spawn(async move { call.try_send(port).await });
    until("the call", || peer.got("tools/call").pop()).await;
    waiting.abort();
    let cancelled = until("the cancellation", || peer.got("notifications/cancelled").pop()).await;
    assert_eq!(cancelled["params"]["requestId"], peer.got("tools/call")[0]["id"]);
    let echo = Call::modern(PATH, "tools/call", 6, json!({ "name": "echo", "arguments": {} }));
    assert_eq!(echo.send(gateway.port).await.status, 200);
    assert_eq!(peer.starts(), 1, "the process is not harmed");
}

#[tokio::test]
async fn a_legacy_client_that_leaves_does_not_cancel_in_a_stdio_server() {
    let peer = Peer::new("legacy");
    let gateway = Gateway::with(json!({ "one": peer.config() })).await;
    let session = Session::open(gateway.port, PATH).await;
    let call = session.post(&message::call("hang", 1, json!({})));
    let port = gateway.port;
    let waiting = tokio::spawn(async move { call.try_send(port).await });
    until("the call", || peer.got("tools/call").pop()).await;
    waiting.abort();
    until("the gateway sees that its client left", || {
        gateway.log().lines().any(|line| line.contains(r#""name":"hang""#) && line.contains("abandoned")).then_some(())
    })
    .await;
    // behind whatever was said because of it: a child reads one message after the other
    assert_eq!(session.call("release", json!({})).await.status, 200);
    assert!(peer.got("notifications/cancelled").is_empty(), "a disconnection is no cancellation");
}
