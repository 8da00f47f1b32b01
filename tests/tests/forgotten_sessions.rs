//! A server that no longer knows its session: it is initialised again behind the client's back, once, and nothing the
//! client had set is lost.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use serde_json::{Value, json};
use sluice_tests::message::{self, LEGACY};
use sluice_tests::upstream::{Answer, Legacy};
use sluice_tests::{Call, Gateway, Session};

const PATH: &str = "/servers/one/mcp";

#[tokio::test]
async fn a_forgotten_session_is_opened_again_and_the_call_repeated() {
    for status in [404, 400] {
        let server = Legacy::start();
        let gateway = Gateway::with(json!({ "one": server.config() })).await;
        let session = Session::open(gateway.port, PATH).await;
        assert_eq!(session.call("echo", json!({ "n": 1 })).await.status, 200);
        server.forget(status);
        let reply = session.call("echo", json!({ "n": 2 })).await;
        assert_eq!(reply.result()["content"][0]["text"], r#"{"n":2}"#, "{status}");
        assert_ne!(reply.header("mcp-session-id"), Some("upstream-session-1"));
        assert_eq!(server.got("initialize").len(), 2, "{status}");
        assert_eq!(server.got("notifications/initialized").len(), 2, "{status}");
        assert_eq!(server.sessions(), ["upstream-session-1"]);
        assert_eq!(session.call("echo", json!({ "n": 3 })).await.status, 200);
        assert_eq!(server.got("initialize").len(), 2, "{status}: once is enough");
    }
}

#[tokio::test]
async fn the_clients_own_initialize_is_sent_again_byte_for_byte() {
    let server = Legacy::start();
    let gateway = Gateway::with(json!({ "one": server.config() })).await;
    let body = r#"{ "id":0,"jsonrpc":"2.0", "method":"initialize","params":{"clientInfo":{"version":"9","name":"odd\u0041"},
        "protocolVersion":"2025-11-25","capabilities":{"x-vendor":{"n":1.0e2},"sampling":{}},"unknown":[1e0, 18446744073709551617]}}"#;
    let reply = Call::post(PATH, body).send(gateway.port).await;
    let id = reply.header("mcp-session-id").unwrap().to_owned();
    server.forget(404);
    let call = Call::post(PATH, message::call("echo", 1, json!({})).to_string());
    let reply = call.header("mcp-session-id", &id).header("mcp-protocol-version", LEGACY).send(gateway.port).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let sent = server.got("initialize");
    assert_eq!(sent.len(), 2);
    for received in sent {
        assert_eq!(std::str::from_utf8(&received.body).unwrap(), body);
    }
}

#[tokio::test]
async fn log_level_and_subscriptions_are_restored_before_the_call() {
    let server = Legacy::start();
    let gateway = Gateway::with(json!({ "one": server.config() })).await;
    let session = Session::open(gateway.port, PATH).await;
    assert_eq!(session.request("logging/setLevel", json!({ "level": "warning" })).await.status, 200);
    for uri in ["file:///a", "file:///b", "file:///c"] {
        assert_eq!(session.request("resources/subscribe", json!({ "uri": uri })).await.status, 200);
    }
    assert_eq!(session.request("resources/unsubscribe", json!({ "uri": "file:///b" })).await.status, 200);
    server.forget(404);
    let before = server.received().len();
    assert_eq!(session.call("echo", json!({})).await.status, 200);
    server
        .receives("the subscriptions of the new session", |received| {
            let message = received.message();
            received.header("mcp-session-id") == Some("upstream-session-1") && message["params"]["uri"] == "file:///c"
        })
        .await;
    let after: Vec<Value> = server.received()[before..].iter().map(|received| received.message()).collect();
    let levels: Vec<_> = after.iter().filter(|message| message["method"] == "logging/setLevel").collect();
    assert_eq!(levels.len(), 1, "{after:?}");
    assert_eq!(levels[0]["params"]["level"], "warning");
    let mut uris: Vec<_> = after
        .iter()
        .filter(|message| message["method"] == "resources/subscribe")
        .map(|message| message["params"]["uri"].as_str().unwrap())
        .collect();
    uris.sort_unstable();
    assert_eq!(uris, ["file:///a", "file:///c"]);
}

#[tokio::test]
async fn the_client_learns_on_its_next_get_stream_that_lists_may_have_changed() {
    let server = Legacy::start();
    let gateway = Gateway::with(json!({ "one": server.config() })).await;
    let session = Session::open(gateway.port, PATH).await;
    assert_eq!(session.call("echo", json!({})).await.status, 200);
    server.forget(404);
    assert_eq!(session.call("echo", json!({})).await.status, 200);
    let mut stream = session.listen(None).await;
    assert_eq!(stream.message().await["method"], "notifications/tools/list_changed");
}

#[tokio::test]
async fn calls_at_the_same_time_open_one_new_session() {
    let server = Legacy::start();
    let gateway = Gateway::with(json!({ "one": server.config() })).await;
    let session = Session::open(gateway.port, PATH).await;
    assert_eq!(session.call("echo", json!({})).await.status, 200);
    server.forget(404);
    let calls = (0..20).map(|n| session.call("echo", json!({ "n": n })));
    for (n, reply) in futures_util::future::join_all(calls).await.into_iter().enumerate() {
        assert_eq!(reply.result()["content"][0]["text"], format!(r#"{{"n":{n}}}"#));
    }
    assert_eq!(server.sessions().len(), 1, "a second new session is deleted by whoever lost: {:?}", server.sessions());
}

#[tokio::test]
async fn a_server_that_keeps_forgetting_ends_in_an_error_and_no_loop() {
    let server = Legacy::scripted(|received| {
        (received.tool() == "echo").then(|| {
            let error = message::error(&Value::Null, -32001, "Session not found");
            Answer::new(404, "application/json", error.to_string())
        })
    });
    let gateway = Gateway::with(json!({ "one": server.config() })).await;
    let session = Session::open(gateway.port, PATH).await;
    let reply = session.call("echo", json!({})).await;
    assert!([404, 502].contains(&reply.status), "{reply:?}");
    assert!(server.calls("echo").len() <= 2, "{} attempts", server.calls("echo").len());
    assert!(server.got("initialize").len() <= 2);
    assert_eq!(session.request("ping", json!({})).await.status, 200);
}
