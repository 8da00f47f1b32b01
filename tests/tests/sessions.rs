//! Legacy sessions: their ids are ours, they end everywhere or nowhere, and there are not endlessly many.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::collections::HashSet;
use std::time::Duration;

use serde_json::json;
use sluice_tests::gateway::Start;
use sluice_tests::message::{self, LEGACY};
use sluice_tests::upstream::{Answer, Legacy};
use sluice_tests::works::Works;
use sluice_tests::{Call, Gateway, Session, until, wait};

const PATH: &str = "/servers/one/mcp";

fn initialize() -> Call {
    Call::post(PATH, message::initialize(LEGACY, json!({})).to_string())
}

#[tokio::test]
async fn session_ids_are_our_own_and_the_servers_stay_behind() {
    let server = Legacy::start();
    let gateway = Gateway::with(json!({ "one": server.config() })).await;
    let mut ids = HashSet::new();
    for _ in 0..50 {
        let session = Session::open(gateway.port, PATH).await;
        let reply = session.call("echo", json!({})).await;
        assert!(!format!("{reply:?}").contains("upstream-session"), "{reply:?}");
        assert!(
            session.id.len() >= 22 && session.id.bytes().all(|byte| (0x21..=0x7e).contains(&byte)),
            "{}",
            session.id
        );
        assert!(!session.id.contains("upstream"), "{}", session.id);
        assert!(ids.insert(session.id));
    }
    for received in server.received() {
        let id = received.header("mcp-session-id");
        assert!(id.is_none_or(|id| id.starts_with("upstream-session-")), "{received:?}");
    }
    let shared = ids.iter().map(|id| &id[..8]).collect::<HashSet<_>>().len();
    assert!(shared > 45, "ids share their beginnings: {shared} of 50 differ");
}

#[tokio::test]
async fn delete_reaches_the_server_and_ends_the_session() {
    let server = Legacy::start();
    let gateway = Gateway::with(json!({ "one": server.config() })).await;
    let session = Session::open(gateway.port, PATH).await;
    assert_eq!(session.call("echo", json!({})).await.status, 200);
    let mut stream = session.listen(None).await;
    server.stream().await;
    let reply = session.delete().await;
    assert!([200, 202, 204].contains(&reply.status), "{reply:?}");
    server.receives("DELETE", |received| received.verb == "DELETE").await;
    assert_eq!(server.verbs("DELETE").len(), 1);
    assert_eq!(server.verbs("DELETE")[0].header("mcp-session-id"), Some("upstream-session-0"));
    assert!(stream.rest().await.is_empty(), "the session's stream ends with it");
    let before = server.received().len();
    for call in [
        session.post(&message::call("echo", 9, json!({}))),
        session.dressed(Call::get(PATH)),
        session.dressed(Call::delete(PATH)),
    ] {
        assert_eq!(call.send(gateway.port).await.verdict(), (404, Some(-32600)));
    }
    assert_eq!(server.received().len(), before);
    assert!(gateway.metric("sluice_sessions", &[]).await.abs() < f64::EPSILON);
}

#[tokio::test]
async fn an_idle_session_expires_and_the_server_is_told() {
    let server = Legacy::start();
    let limits = json!({ "limits": { "session_idle_seconds": 1 } });
    let gateway = Start::new(json!({ "proxy": limits, "servers": { "one": server.config() } })).ready().await;
    let idle = Session::open(gateway.port, PATH).await;
    let busy = Session::open(gateway.port, PATH).await;
    let listening = Session::open(gateway.port, PATH).await;
    let mut stream = listening.listen(None).await;
    assert_eq!(idle.call("echo", json!({})).await.status, 200);
    let use_one = async || {
        assert_eq!(busy.call("echo", json!({})).await.status, 200, "a session in use does not expire");
        server.verbs("DELETE").len()
    };
    wait::becomes(wait::SOON, "the idle session ends", use_one, |ended| *ended > 0).await;
    assert_eq!(server.verbs("DELETE")[0].header("mcp-session-id"), Some("upstream-session-0"));
    assert_eq!(idle.call("echo", json!({})).await.verdict(), (404, Some(-32600)));
    assert_eq!(busy.call("echo", json!({})).await.status, 200);
    assert!(stream.quiet(Duration::from_millis(100)).await, "a session with an open stream is in use");
    assert_eq!(listening.call("echo", json!({})).await.status, 200);
}

#[tokio::test]
async fn a_call_in_flight_keeps_its_session() {
    let works = Works::json();
    let limits = json!({ "limits": { "session_idle_seconds": 1 } });
    let gateway = Start::new(json!({ "proxy": limits, "servers": { "one": works.server.config() } })).ready().await;
    let session = Session::open(gateway.port, PATH).await;
    let finish = async {
        let (id, pipe) = works.call().await;
        // another one, begun after the call, was idle for longer than it may be
        Session::open(gateway.port, PATH).await;
        works.server.receives("its end", |received| received.verb == "DELETE").await;
        pipe.send(message::response(&id, message::text("worked")).to_string()).await;
    };
    let (reply, ()) = tokio::join!(session.call("work", json!({})), finish);
    assert_eq!(reply.result()["content"][0]["text"], "worked");
    assert_eq!(session.call("echo", json!({})).await.status, 200);
}

#[tokio::test]
async fn a_principal_has_a_limited_number_of_sessions() {
    let server = Legacy::start();
    let limits = json!({ "limits": { "sessions_per_principal": 3 } });
    let gateway = Start::new(json!({ "proxy": limits, "servers": { "one": server.config() } })).ready().await;
    let mut sessions = Vec::new();
    for _ in 0..3 {
        sessions.push(Session::open(gateway.port, PATH).await);
    }
    let reply = initialize().send(gateway.port).await;
    assert_eq!(reply.status, 429, "{reply:?}");
    assert!(reply.header("retry-after").is_some() && reply.header("mcp-session-id").is_none(), "{reply:?}");
    assert_eq!(server.got("initialize").len(), 3, "a refused session is not opened at the server");
    assert_eq!(sessions[0].call("echo", json!({})).await.status, 200);
    sessions.pop().unwrap().delete().await;
    assert_eq!(initialize().send(gateway.port).await.status, 200);
}

#[tokio::test]
async fn initialize_passes_both_ways_as_it_is() {
    let server = Legacy::start();
    let gateway = Gateway::with(json!({ "one": server.config() })).await;
    for version in ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"] {
        let body = message::initialize(version, json!({ "sampling": { "tools": {} }, "x": 1 })).to_string();
        let reply = Call::post(PATH, body.clone()).send(gateway.port).await;
        assert_eq!(reply.result()["protocolVersion"], version);
        assert_eq!(reply.result()["serverInfo"]["name"], "scripted");
        assert_eq!(server.got("initialize").last().unwrap().body, body.as_bytes(), "nothing is added, nothing lost");
    }
}

#[tokio::test]
async fn a_refused_initialize_opens_no_session() {
    let server = Legacy::scripted(|received| {
        let message = received.message();
        let refuse = message["method"] == "initialize" && message["params"]["clientInfo"]["name"] == "test-client";
        refuse.then(|| Answer::message(&message::error(&message["id"], -32602, "not you")))
    });
    let gateway = Gateway::with(json!({ "one": server.config() })).await;
    let reply = initialize().send(gateway.port).await;
    assert_eq!(reply.code(), Some(-32602), "{reply:?}");
    assert!(reply.text().contains("not you") && reply.header("mcp-session-id").is_none(), "{reply:?}");
    assert!(gateway.metric("sluice_sessions", &[]).await.abs() < f64::EPSILON);
}

#[tokio::test]
async fn a_server_without_session_ids_is_served_too() {
    let server = sluice_tests::Upstream::start(|received| async move {
        let message = received.message();
        let id = &message["id"];
        match message["method"].as_str() {
            Some("initialize") => {
                let info = json!({ "name": "stateless", "version": "1" });
                let result = json!({ "protocolVersion": LEGACY, "capabilities": {}, "serverInfo": info });
                Answer::message(&message::response(id, result))
            }
            Some("tools/call") => Answer::message(&message::response(id, message::text("fine"))),
            Some(_) if !id.is_null() => Answer::new(400, "text/plain", "what?"),
            _ => Answer::accepted(),
        }
    });
    let gateway = Gateway::with(json!({ "one": server.config() })).await;
    let call = Call::post(PATH, message::initialize(LEGACY, json!({})).to_string());
    let opened = call.send(gateway.port).await;
    assert_eq!(opened.status, 200, "{opened:?}");
    let call = Call::post(PATH, message::call("any", 1, json!({})).to_string()).header("mcp-protocol-version", LEGACY);
    let call = opened.header("mcp-session-id").iter().fold(call, |call, id| call.header("mcp-session-id", id));
    assert_eq!(call.send(gateway.port).await.result()["content"][0]["text"], "fine");
    assert!(server.received().iter().all(|received| received.header("mcp-session-id").is_none()));
}

#[tokio::test]
async fn quiet_streams_carry_comments_so_that_balancers_keep_them() {
    let server = Legacy::start();
    let gateway = Gateway::with(json!({ "one": server.config() })).await;
    let session = Session::open(gateway.port, PATH).await;
    let mut stream = session.listen(None).await;
    let comment = async {
        loop {
            let event = stream.event().await.expect("the stream is open");
            // before that it was told how to come back
            if event.id.is_none() {
                return event;
            }
        }
    };
    let event = tokio::time::timeout(Duration::from_secs(25), comment).await.expect("a comment in 25 s");
    assert!(event.raw.starts_with(':') && event.data.is_none(), "{event:?}");
}

#[tokio::test]
async fn streams_are_counted_while_they_are_open() {
    let server = Legacy::start();
    let gateway = Gateway::with(json!({ "one": server.config() })).await;
    let session = Session::open(gateway.port, PATH).await;
    let stream = session.listen(None).await;
    let pipe = server.stream().await;
    assert!((gateway.metric("sluice_streams", &[]).await - 1.0).abs() < f64::EPSILON);
    drop(stream);
    until("the server's stream ends with the client's", || pipe.is_closed().then_some(())).await;
    let streams = async || gateway.metric("sluice_streams", &[]).await;
    wait::becomes(wait::SOON, "no stream is left", streams, |left| *left == 0.0).await;
}
