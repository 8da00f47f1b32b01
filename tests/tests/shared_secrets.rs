//! One process, several principals: what one of them does there, the others neither see nor pay for.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use serde_json::{Value, json};
use sluice_tests::gateway::Start;
use sluice_tests::peer::Peer;
use sluice_tests::{Call, Gateway, Session, until, wait};

const PATH: &str = "/servers/one/mcp";
const ALICE: &str = "alice-alice-alice-alice-alice-alice-1234";
const BOB: &str = "bob-bob-bob-bob-bob-bob-bob-bob-bob-1234";

async fn two_clients(server: Value) -> (Gateway, Session, Session) {
    let clients = json!({ "alice": { "api_key": ALICE }, "bob": { "api_key": BOB } });
    let gateway = Start::new(json!({ "servers": { "one": server }, "clients": clients })).ready().await;
    let alice = Session::with(gateway.port, PATH, json!({}), Some(ALICE)).await;
    let bob = Session::with(gateway.port, PATH, json!({}), Some(BOB)).await;
    (gateway, alice, bob)
}

async fn listed(who: &Session) -> Vec<Value> {
    who.request("tasks/list", json!({})).await.result()["tasks"].as_array().unwrap().clone()
}

#[tokio::test]
async fn tasks_on_a_shared_process_are_seen_by_who_started_them_only() {
    let peer = Peer::new("legacy");
    let (_gateway, alice, bob) = two_clients(peer.config()).await;
    let arguments = json!({ "name": "any", "arguments": { "secret": "of alice" }, "task": {} });
    let created = alice.request("tools/call", arguments).await.result();
    let task = created["task"]["taskId"].as_str().unwrap().to_owned();
    assert_eq!(peer.starts(), 1, "they share the process");
    assert_eq!(listed(&bob).await, Vec::<Value>::new());
    assert_eq!(listed(&alice).await[0]["taskId"], task.as_str());
    for id in [task.as_str(), "task-0"] {
        let reply = bob.request("tasks/result", json!({ "taskId": id })).await;
        assert_eq!(reply.code(), Some(-32602), "{reply:?}");
    }
    let own = alice.request("tasks/result", json!({ "taskId": task })).await;
    assert!(own.text().contains("of alice"), "{own:?}");
}

#[tokio::test]
async fn a_server_that_crashed_for_one_client_serves_again_when_it_is_well() {
    // few places: if a failed start kept one, the second client would find none
    let peer = Peer::new("legacy").start("crash-once");
    let config = json!({ "servers": { "one": peer.config() }, "proxy": { "limits": { "children_per_server": 1 } } });
    let gateway = Start::new(config).ready().await;
    let initialize = |asks: bool| {
        let capabilities = if asks { json!({ "sampling": {} }) } else { json!({}) };
        let info = json!({ "name": "test", "version": "1" });
        let params = json!({ "protocolVersion": "2025-11-25", "capabilities": capabilities, "clientInfo": info });
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params });
        Call::post(PATH, body.to_string())
    };
    let refused = initialize(true).send(gateway.port).await;
    assert!(refused.status == 502 || refused.status == 503, "{refused:?}");
    assert_eq!(gateway.metric("sluice_children", &[]).await, 0.0);
    let open = async || {
        let reply = initialize(false).send(gateway.port).await;
        let held_back = reply.text().contains("tried again");
        assert!(reply.status == 200 || held_back, "held back, never out of places: {reply:?}");
        reply.status
    };
    wait::becomes(wait::SOON, "it comes back", open, |status| *status == 200).await;
    until("one process runs", || (peer.processes().len() == 1).then_some(())).await;
}
