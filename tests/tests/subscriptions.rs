//! Notifications that nobody's call caused: list changes, updates of resources, and the streams that carry them.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use sluice_tests::message::{self, SUBSCRIPTION_KEY};
use sluice_tests::peer::Peer;
use sluice_tests::upstream::{Answer, Legacy, Modern, Pipe};
use sluice_tests::{Call, Gateway, Session, until};

const PATH: &str = "/servers/one/mcp";

#[tokio::test]
async fn updates_of_a_subscribed_resource_come_on_the_get_stream_once() {
    let server = Legacy::start();
    let gateway = Gateway::with(json!({ "one": server.config() })).await;
    let session = Session::open(gateway.port, PATH).await;
    let mut stream = session.listen(None).await;
    assert_eq!(session.request("resources/subscribe", json!({ "uri": "file:///a" })).await.status, 200);
    let pipe = server.stream().await;
    let updated = message::notification("notifications/resources/updated", json!({ "uri": "file:///a" }));
    let changed = message::notification("notifications/resources/list_changed", json!({}));
    assert!(pipe.event(&updated).await && pipe.event(&changed).await);
    assert_eq!(stream.message().await, updated);
    assert_eq!(stream.message().await, changed);
    drop(pipe);
    assert_eq!(server.got("resources/subscribe").len(), 1);
}

#[tokio::test]
async fn notifications_of_a_stdio_server_reach_everybody_who_shares_it_and_listens() {
    let peer = Peer::new("legacy");
    let gateway = Gateway::with(json!({ "one": peer.config() })).await;
    let (first, second) = (Session::open(gateway.port, PATH).await, Session::open(gateway.port, PATH).await);
    let (mut one, mut two) = (first.listen(None).await, second.listen(None).await);
    assert_eq!((one.status, two.status), (200, 200));
    assert_eq!(first.call("changed", json!({})).await.status, 200);
    assert_eq!(one.message().await["method"], "notifications/tools/list_changed");
    assert_eq!(two.message().await["method"], "notifications/tools/list_changed");
    assert_eq!(peer.starts(), 1);
}

#[tokio::test]
async fn a_notification_waits_for_a_session_whose_stream_opens_a_little_later() {
    let peer = Peer::new("legacy");
    let gateway = Gateway::with(json!({ "one": peer.config() })).await;
    let session = Session::open(gateway.port, PATH).await;
    assert_eq!(session.call("changed", json!({})).await.status, 200);
    let mut stream = session.listen(None).await;
    assert_eq!(stream.message().await["method"], "notifications/tools/list_changed", "nothing is silently dropped");
}

fn listen(id: i64) -> Call {
    let filter = json!({ "toolsListChanged": true, "resourceSubscriptions": ["file:///a"] });
    Call::modern(PATH, "subscriptions/listen", id, json!({ "notifications": filter }))
}

#[tokio::test]
async fn a_modern_subscription_is_acknowledged_fed_and_ended_by_either_side() {
    let pipes: Arc<Mutex<Vec<(Value, Pipe)>>> = Arc::default();
    let kept = Arc::clone(&pipes);
    let server = Modern::scripted(move |received| {
        (received.method() == "subscriptions/listen").then(|| {
            let message = received.message();
            let (pipe, answer) = Answer::stream("text/event-stream");
            let own = pipe.clone();
            tokio::spawn(async move { own.event(&message::acknowledged(&message)).await });
            kept.lock().unwrap().push((received.message()["id"].clone(), pipe));
            answer
        })
    });
    let gateway = Gateway::with(json!({ "one": server.config() })).await;
    let (mut one, mut two) = (listen(1).open(gateway.port).await, listen(1).open(gateway.port).await);
    for stream in [&mut one, &mut two] {
        assert_eq!(stream.status, 200);
        let acknowledged = stream.message().await;
        assert_eq!(acknowledged["method"], "notifications/subscriptions/acknowledged");
        assert_eq!(acknowledged["params"]["_meta"][SUBSCRIPTION_KEY], 1);
        assert_eq!(acknowledged["params"]["notifications"]["resourceSubscriptions"], json!(["file:///a"]));
    }
    let opened = pipes.lock().unwrap().clone();
    let meta = |id: &Value| json!({ SUBSCRIPTION_KEY: id });
    let changed = message::notification("notifications/tools/list_changed", json!({ "_meta": meta(&opened[0].0) }));
    assert!(opened[0].1.event(&changed).await);
    let got = one.message().await;
    assert_eq!((&got["method"], &got["params"]["_meta"][SUBSCRIPTION_KEY]), (&changed["method"], &json!(1)));
    // The server ends one gracefully, the client the other.
    let (id, pipe) = opened[0].clone();
    let done = message::response(&id, json!({ "resultType": "complete", "_meta": meta(&id) }));
    assert!(pipe.event(&done).await);
    let last = one.message().await;
    assert_eq!((&last["id"], &last["result"]["resultType"]), (&json!(1), &json!("complete")));
    drop(two);
    until("the server's stream is closed", || opened[1].1.is_closed().then_some(())).await;
}

#[tokio::test]
async fn a_modern_stdio_server_is_subscribed_to_under_ids_of_its_own() {
    let peer = Peer::new("modern");
    let gateway = Gateway::with(json!({ "one": peer.config() })).await;
    let (mut one, mut two) = (listen(1).open(gateway.port).await, listen(1).open(gateway.port).await);
    for stream in [&mut one, &mut two] {
        let acknowledged = stream.message().await;
        assert_eq!(acknowledged["method"], "notifications/subscriptions/acknowledged");
        assert_eq!(acknowledged["params"]["_meta"][SUBSCRIPTION_KEY], 1, "the client's own id");
    }
    let asked = peer.got("subscriptions/listen");
    assert_ne!(asked[0]["id"], asked[1]["id"], "the server must be able to tell them apart");
    drop(one);
    let cancelled = until("the cancellation", || peer.got("notifications/cancelled").pop()).await;
    assert!(asked.iter().any(|request| request["id"] == cancelled["params"]["requestId"]));
    assert_eq!(peer.got("notifications/cancelled").len(), 1);
}
