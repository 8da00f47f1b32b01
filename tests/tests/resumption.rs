//! Streams that break are resumed by asking the server, with its own event ids; the client only ever sees ours.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use serde_json::{Value, json};
use sluice_tests::gateway::Start;
use sluice_tests::message;
use sluice_tests::upstream::{Answer, Legacy, Received};
use sluice_tests::{Call, Gateway, Session};

const PATH: &str = "/servers/one/mcp";

fn note(n: usize) -> Value {
    message::notification("notifications/message", json!({ "level": "info", "data": n }))
}

/// A tool that primes, sends one numbered message, and loses the connection; the rest comes on resumption.
fn script(received: &Received) -> Option<Answer> {
    let id = &received.message()["id"];
    if received.tool() == "poll" {
        return Some(Answer::events(format!("id: srv-0\nretry: 77\ndata: \n\nid: srv-1\ndata: {}\n\n", note(1))));
    }
    if received.tool() == "numbered" {
        let result = message::response(id, message::text("done"));
        return Some(Answer::events(format!("id: num-1\ndata: {}\n\nid: num-2\ndata: {result}\n\n", note(1))));
    }
    (received.verb == "GET" && received.header("last-event-id").is_some()).then(|| {
        let result = message::response(&json!(1), message::text("resumed"));
        Answer::events(format!("id: srv-2\ndata: {}\n\nid: srv-3\ndata: {result}\n\n", note(2)))
    })
}

#[tokio::test]
async fn a_broken_call_is_resumed_from_the_servers_own_event() {
    let server = Legacy::scripted(script);
    let gateway = Gateway::with(json!({ "one": server.config() })).await;
    let session = Session::open(gateway.port, PATH).await;
    let mut stream = session.stream("poll", json!({})).await;
    let primed = stream.event().await.unwrap();
    assert_eq!(primed.retry.as_deref(), Some("77"), "{primed:?}");
    assert_eq!(primed.data.as_deref(), Some(""), "{primed:?}");
    let first = stream.next().await;
    assert_eq!(first.message()["params"]["data"], 1);
    for event in [&primed, &first] {
        let id = event.id.as_deref().expect("a resumable event has an id");
        assert!(!id.contains("srv-"), "{id}");
    }
    assert!(stream.event().await.is_none(), "a polled stream ends without an error of ours");
    let mut stream = session.listen(first.id.as_deref()).await;
    assert_eq!(stream.status, 200);
    let second = stream.next().await;
    assert_eq!(second.message()["params"]["data"], 2);
    let last = stream.next().await;
    assert_eq!(
        (&last.message()["id"], &last.message()["result"]["content"][0]["text"]),
        (&json!(1), &json!("resumed"))
    );
    let asked = server.verbs("GET");
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].header("last-event-id"), Some("srv-1"));
    assert_eq!(asked[0].header("mcp-session-id"), Some("upstream-session-0"));
}

#[tokio::test]
async fn event_ids_are_good_in_their_own_session_only() {
    let server = Legacy::scripted(script);
    let clients =
        json!({ "alice": { "api_key": "alice-0123456789abcdef" }, "bob": { "api_key": "bob-0123456789abcdef" } });
    let config = json!({ "servers": { "one": server.config() }, "clients": clients });
    let gateway = Start::new(config).ready().await;
    let alice = Session::with(gateway.port, PATH, json!({}), Some("alice-0123456789abcdef")).await;
    let also = Session::with(gateway.port, PATH, json!({}), Some("alice-0123456789abcdef")).await;
    let bob = Session::with(gateway.port, PATH, json!({}), Some("bob-0123456789abcdef")).await;
    let id = alice.stream("numbered", json!({})).await.next().await.id.unwrap();
    let mut forged = id.clone();
    forged.replace_range(4..5, if &id[4..5] == "A" { "B" } else { "A" });
    for (who, session, last) in [
        ("another session", &also, id.as_str()),
        ("another principal", &bob, &id),
        ("forged", &alice, &forged),
        ("the server's", &alice, "num-1"),
        ("garbage", &alice, "%%%"),
        ("long", &alice, &"x".repeat(4000)),
    ] {
        let call = session.dressed(Call::get(PATH)).header("last-event-id", last);
        let reply = call.send(gateway.port).await;
        assert_eq!(reply.verdict(), (400, Some(-32600)), "{who}: {reply:?}");
    }
    assert!(server.verbs("GET").is_empty(), "{:?}", server.verbs("GET"));
    assert_eq!(alice.listen(Some(&id)).await.status, 200);
}

#[tokio::test]
async fn ids_on_the_get_stream_are_ours_and_lead_back_to_the_servers() {
    let server = Legacy::start();
    let gateway = Gateway::with(json!({ "one": server.config() })).await;
    let session = Session::open(gateway.port, PATH).await;
    let mut stream = session.listen(None).await;
    let pipe = server.stream().await;
    for n in 1..=3 {
        assert!(pipe.numbered(&format!("of-the-server-{n}"), &note(n)).await);
    }
    let mut ids = Vec::new();
    for n in 1..=3 {
        let event = stream.next().await;
        assert_eq!(event.message()["params"]["data"], n);
        ids.push(event.id.unwrap());
    }
    drop(stream);
    ids.dedup();
    assert_eq!(ids.len(), 3);
    assert!(ids.iter().all(|id| !id.contains("of-the-server")));
    let _resumed = session.listen(Some(&ids[1])).await;
    server
        .receives("its own event id", |r| r.verb == "GET" && r.header("last-event-id") == Some("of-the-server-2"))
        .await;
}

#[tokio::test]
async fn a_client_that_leaves_a_legacy_call_cancels_nothing() {
    let server = Legacy::scripted(|received| {
        (received.tool() == "long").then(|| {
            let (pipe, answer) = Answer::stream("text/event-stream");
            tokio::spawn(async move {
                pipe.numbered("long-1", &note(1)).await;
                pipe.closed().await;
            });
            answer
        })
    });
    let gateway = Gateway::with(json!({ "one": server.config() })).await;
    let session = Session::open(gateway.port, PATH).await;
    let mut stream = session.stream("long", json!({})).await;
    let id = stream.next().await.id.unwrap();
    drop(stream);
    let _resumed = session.listen(Some(&id)).await;
    server.receives("the resumption", |r| r.verb == "GET" && r.header("last-event-id") == Some("long-1")).await;
    assert!(server.got("notifications/cancelled").is_empty());
}
