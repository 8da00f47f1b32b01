//! Who shares a process of a stdio server, how many there are, and what they see.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sluice_tests::gateway::Start;
use sluice_tests::message::{self, LEGACY};
use sluice_tests::peer::Peer;
use sluice_tests::{Call, Gateway, Reply, Session, until};

const PATH: &str = "/servers/one/mcp";
const INTERNAL: Option<i64> = Some(-32603);

fn text(reply: &Reply) -> String {
    reply.result()["content"][0]["text"].as_str().unwrap().to_owned()
}

async fn pid(session: &Session) -> String {
    text(&session.call("pid", json!({})).await)
}

#[tokio::test]
async fn clients_that_declare_nothing_share_a_process_and_the_others_get_their_own() {
    let peer = Peer::new("legacy");
    let gateway = Gateway::with(json!({ "one": peer.config() })).await;
    let open = |capabilities: Value| Session::with(gateway.port, PATH, capabilities, None);
    let (first, second) = (open(json!({})).await, open(json!({ "experimental": {} })).await);
    let shared = pid(&first).await;
    assert_eq!(pid(&second).await, shared);
    let mut own = vec![shared];
    let mut sessions = Vec::new();
    for capability in ["sampling", "elicitation", "roots", "roots"] {
        let session = open(json!({ capability: {} })).await;
        own.push(pid(&session).await);
        assert_eq!(pid(&session).await, *own.last().unwrap(), "one process for the whole session");
        sessions.push(session);
    }
    let all = own.len();
    own.sort();
    own.dedup();
    assert_eq!(own.len(), all, "a process was shared: {own:?}");
    for session in sessions {
        session.delete().await;
    }
    until("the processes of ended sessions end", || (peer.processes().len() == 1).then_some(())).await;
    assert_eq!(first.call("echo", json!({})).await.status, 200);
}

#[tokio::test]
async fn isolation_can_be_configured() {
    let (shared, per_session) = (Peer::new("legacy"), Peer::new("legacy"));
    let servers = json!({
        "shared": shared.config_with(json!({ "isolation": "shared" })),
        "one": per_session.config_with(json!({ "isolation": "per_session" })),
    });
    let gateway = Gateway::with(servers).await;
    let capable = json!({ "sampling": {} });
    let a = Session::with(gateway.port, "/servers/shared/mcp", capable, None).await;
    let b = Session::open(gateway.port, "/servers/shared/mcp").await;
    assert_eq!(pid(&a).await, pid(&b).await);
    let (c, d) = (Session::open(gateway.port, PATH).await, Session::open(gateway.port, PATH).await);
    assert_ne!(pid(&c).await, pid(&d).await);
}

#[tokio::test]
async fn a_process_sees_the_environment_that_is_configured_and_no_other() {
    let peer = Peer::new("legacy");
    let config = peer.config_with(json!({ "env": { "GIVEN": "yes", "FROM": "${OUTSIDE}" } }));
    let start = Start::new(json!({ "servers": { "one": config } }))
        .env("OUTSIDE", "expanded")
        .env("SECRET_OF_THE_GATEWAY", "x");
    let gateway = start.ready().await;
    let session = Session::open(gateway.port, PATH).await;
    let pairs: Vec<(String, String)> = serde_json::from_str(&text(&session.call("env", json!({})).await)).unwrap();
    let env: BTreeMap<_, _> = pairs.into_iter().collect();
    assert_eq!(env.get("GIVEN").map(String::as_str), Some("yes"));
    assert_eq!(env.get("FROM").map(String::as_str), Some("expanded"));
    assert!(env.contains_key("PATH") && env.contains_key("HOME"), "{env:?}");
    for name in ["SECRET_OF_THE_GATEWAY", "OUTSIDE", "RUST_BACKTRACE"] {
        assert!(!env.contains_key(name), "{name} was inherited");
    }
}

#[tokio::test]
async fn there_are_limits_of_processes_per_server_and_per_principal() {
    for (limits, places) in [(json!({ "children_per_server": 2 }), 2), (json!({ "children_per_principal": 1 }), 1)] {
        let peer = Peer::new("legacy");
        let config = json!({ "proxy": { "limits": limits }, "servers": { "one": peer.config() } });
        let gateway = Start::new(config).ready().await;
        let mut sessions = Vec::new();
        for _ in 0..places {
            sessions.push(Session::with(gateway.port, PATH, json!({ "roots": {} }), None).await);
        }
        let call = Call::post(PATH, message::initialize(LEGACY, json!({ "roots": {} })).to_string());
        let reply = call.send(gateway.port).await;
        assert_eq!(reply.verdict(), (503, INTERNAL), "{limits}: {reply:?}");
        assert!(reply.header("retry-after").is_some() && reply.text().contains("limit"), "{reply:?}");
        assert_eq!(sessions[0].call("echo", json!({})).await.status, 200);
        sessions.pop().unwrap().delete().await;
        until("a place is free", || (peer.processes().len() < places).then_some(())).await;
        let reply = call.send(gateway.port).await;
        assert_eq!(reply.status, 200, "{limits}: {reply:?}");
    }
}
