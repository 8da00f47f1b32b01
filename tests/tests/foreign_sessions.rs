//! A session belongs to whoever opened it, and its id is said once and in one way.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::time::Duration;

use serde_json::{Value, json};
use sluice_tests::gateway::Start;
use sluice_tests::message::{self, LEGACY};
use sluice_tests::upstream::Legacy;
use sluice_tests::{Call, Gateway, Session};

const PATH: &str = "/servers/one/mcp";
const ALICE: &str = "alice-key-0123456789abcdef";
const BOB: &str = "bob-key-0123456789abcdef";

async fn two_clients(server: &Legacy) -> Gateway {
    let clients = json!({ "alice": { "api_key": ALICE }, "bob": { "api_key": BOB } });
    Start::new(json!({ "servers": { "one": server.config() }, "clients": clients })).ready().await
}

fn calls(id: &str) -> Vec<(&'static str, Call)> {
    let post = |body: Value| Call::post(PATH, body.to_string());
    let calls = vec![
        ("POST", post(message::call("echo", 1, json!({})))),
        ("notification", post(message::notification("notifications/cancelled", json!({ "requestId": 1 })))),
        ("response", post(message::response(&json!(1), json!({})))),
        ("GET", Call::get(PATH)),
        ("resumption", Call::get(PATH).header("last-event-id", "1")),
        ("DELETE", Call::delete(PATH)),
    ];
    let dressed =
        |(what, call): (_, Call)| (what, call.header("mcp-session-id", id).header("mcp-protocol-version", LEGACY));
    calls.into_iter().map(dressed).collect()
}

#[tokio::test]
async fn another_principals_session_is_as_if_it_did_not_exist() {
    let server = Legacy::start();
    let gateway = two_clients(&server).await;
    let alice = Session::with(gateway.port, PATH, json!({}), Some(ALICE)).await;
    let mut stream = alice.listen(None).await;
    assert_eq!(stream.status, 200);
    let pipe = server.stream().await;
    let before = server.received().len();
    for (what, call) in calls(&alice.id) {
        let reply = call.clone().key(BOB).send(gateway.port).await;
        assert_eq!(reply.verdict(), (404, Some(-32600)), "{what}: {reply:?}");
        assert!(reply.header("mcp-session-id").is_none(), "{what}");
        let unknown = call.header("mcp-session-id", "no-such-session").key(BOB).send(gateway.port).await;
        assert_eq!(unknown.text(), reply.text(), "{what}: told apart from a session that does not exist");
    }
    assert_eq!(server.received().len(), before, "{:?}", server.received().last());
    assert!(pipe.event(&message::notification("notifications/tools/list_changed", json!({}))).await);
    assert_eq!(stream.message().await["method"], "notifications/tools/list_changed", "the owner's stream goes on");
    assert_eq!(alice.call("echo", json!({})).await.status, 200);
}

#[tokio::test]
async fn unknown_and_forged_session_ids_are_404() {
    let server = Legacy::start();
    let gateway = Gateway::with(json!({ "one": server.config() })).await;
    let session = Session::open(gateway.port, PATH).await;
    let before = server.received().len();
    let mut flipped = session.id.clone().into_bytes();
    let last = flipped.len() - 2;
    flipped[last] = if flipped[last] == b'A' { b'B' } else { b'A' };
    let longer = format!("{}A", session.id);
    let upper = session.id.to_ascii_uppercase();
    let forged = [
        "no-such-session",
        "upstream-session-0",
        "00000000-0000-0000-0000-000000000000",
        "../../etc/passwd",
        "';DROP-TABLE",
        std::str::from_utf8(&flipped).unwrap(),
        &session.id[..session.id.len() - 1],
        &longer,
        &upper,
    ];
    for id in forged.into_iter().filter(|id| *id != session.id) {
        for (what, call) in calls(id) {
            let reply = call.send(gateway.port).await;
            assert_eq!(reply.verdict(), (404, Some(-32600)), "{what} with {id}: {reply:?}");
        }
    }
    assert_eq!(server.received().len(), before);
}

#[tokio::test]
async fn a_session_header_that_is_missing_empty_or_said_twice_is_400() {
    let server = Legacy::start();
    let gateway = Gateway::with(json!({ "one": server.config() })).await;
    let session = Session::open(gateway.port, PATH).await;
    let before = server.received().len();
    for (what, call) in calls(&session.id) {
        let bare = call.clone().without("mcp-session-id");
        let variants = [
            ("missing", bare.clone()),
            ("empty", bare.clone().header("mcp-session-id", "")),
            ("repeated", call.clone().also("mcp-session-id", &session.id)),
            ("two of them", call.clone().also("mcp-session-id", "other")),
            ("comma-joined", bare.clone().header("mcp-session-id", &format!("{},other", session.id))),
            ("comma-joined, same", bare.header("mcp-session-id", &format!("{0}, {0}", session.id))),
        ];
        for (variant, call) in variants {
            let reply = call.send(gateway.port).await;
            assert_eq!(reply.verdict(), (400, Some(-32600)), "{what}, {variant}: {reply:?}");
        }
    }
    assert_eq!(server.received().len(), before);
}

#[tokio::test]
async fn a_session_of_one_server_is_unknown_at_another() {
    let (one, two) = (Legacy::start(), Legacy::start());
    let gateway = Gateway::with(json!({ "one": one.config(), "two": two.config() })).await;
    let session = Session::open(gateway.port, PATH).await;
    let before = two.received().len();
    for (what, call) in [
        ("POST", Call::post("/servers/two/mcp", message::call("echo", 1, json!({})).to_string())),
        ("GET", Call::get("/servers/two/mcp")),
        ("DELETE", Call::delete("/servers/two/mcp")),
    ] {
        let reply = session.dressed(call).send(gateway.port).await;
        assert_eq!(reply.status, 404, "{what}: {reply:?}");
    }
    assert_eq!(two.received().len(), before);
    assert_eq!(session.call("echo", json!({})).await.status, 200);
}

#[tokio::test]
async fn initialize_with_a_session_opens_no_second_one_in_its_place() {
    let server = Legacy::start();
    let gateway = two_clients(&server).await;
    let alice = Session::with(gateway.port, PATH, json!({}), Some(ALICE)).await;
    let call = Call::post(PATH, message::initialize(LEGACY, json!({ "sampling": {} })).to_string());
    let reply = call.header("mcp-session-id", &alice.id).key(BOB).send(gateway.port).await;
    assert_ne!(reply.header("mcp-session-id"), Some(alice.id.as_str()), "{reply:?}");
    assert_eq!(alice.call("echo", json!({})).await.status, 200, "the owner's session is as it was");
}

#[tokio::test]
async fn the_owners_stream_outlives_another_principals_attempts_to_take_it() {
    let server = Legacy::start();
    let gateway = two_clients(&server).await;
    let alice = Session::with(gateway.port, PATH, json!({}), Some(ALICE)).await;
    let mut stream = alice.listen(None).await;
    server.stream().await;
    for _ in 0..20 {
        let reply = Call::get(PATH).header("mcp-session-id", &alice.id).key(BOB).send(gateway.port).await;
        assert_eq!(reply.status, 404);
    }
    assert!(stream.quiet(Duration::from_millis(200)).await, "the stream is open and silent");
}
