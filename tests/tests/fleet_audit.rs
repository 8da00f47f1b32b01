//! Who is refused on a node is in the audit log of the control plane: who, what, where and why, whatever becomes of either.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};
use sluice_contract::v1;
use sluice_tests::catalogue::Catalogue;
use sluice_tests::client::{Client, Era};
use sluice_tests::node::seen;
use sluice_tests::server::Server;
use sluice_tests::{Call, ControlPlane, Node, wait};

const ALICE: &str = "alice-key-0123456789abcdef";
/// Nodes tell every few seconds.
const TOLD: Duration = Duration::from_secs(20);

struct House {
    control: ControlPlane,
    node: Node,
    _server: Server,
}

/// A node where alice may call one of three tools, and one of the others is forbidden to everybody.
async fn house() -> House {
    let server = Server::start(Era::Modern, &Catalogue::new("one").tools(3).ttl(600_000));
    let control = ControlPlane::empty().await;
    let policy = json!({
        "who": ["client:alice"], "allow": [{ "tools": ["tool-000", "tool-002"] }], "deny": [{ "tools": ["tool-002"] }],
    });
    let object = |kind: &str, name: &str, spec: Value| v1::Object {
        kind: kind.into(),
        name: name.into(),
        spec_json: spec.to_string(),
        revision: 0,
    };
    let objects = vec![
        object("server", "one", server.config()),
        object("client", "alice", json!({ "api_key": ALICE })),
        object("policy", "few", policy),
    ];
    let request = v1::ApplyRequest { objects, ..v1::ApplyRequest::default() };
    assert!(control.admin().await.apply(request).await.unwrap().faults.is_empty());
    let node = Node::of(&control, "edge", &[]).await.ready().await;
    seen(&control, "edge", "current", |seen| seen.state() == v1::NodeState::Current).await;
    House { control, node, _server: server }
}

impl House {
    async fn call(&self, tool: &str) -> Option<i64> {
        let client = Client::with(Era::Modern, self.node.port, "/servers/one/mcp", Some(ALICE)).await;
        client.call(tool, json!({})).await.code()
    }

    /// What `sluice audit` says of refusals of a tool.
    fn refusals(&self, tool: &str) -> Vec<Value> {
        let told = self.control.sluice(&["audit", "-o", "json"]);
        let entries: Vec<Value> = serde_json::from_slice(&told.stdout).unwrap();
        let about = |entry: &Value| entry["action"] == "denied" && entry["object"] == format!("one/{tool}");
        entries.into_iter().filter(about).collect()
    }

    /// Waits until there are.
    async fn told(&self, tool: &str) -> Vec<Value> {
        let ask = async || self.refusals(tool);
        wait::becomes(TOLD, &format!("{tool} is in the audit log"), ask, |entries| !entries.is_empty()).await
    }

    fn is_whole(&self) {
        let verified = self.control.sluice(&["audit", "verify"]);
        assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
    }
}

#[tokio::test]
async fn a_refusal_is_told_with_who_what_and_why() {
    let house = house().await;
    assert_eq!(house.call("tool-000").await, None);
    for _ in 0..3 {
        assert_eq!(house.call("tool-001").await, Some(-32602));
    }
    assert_eq!(house.call("tool-002").await, Some(-32602));
    for (tool, why) in [("tool-001", "policies"), ("tool-002", "policies.few.deny[0]")] {
        let entries = house.told(tool).await;
        let detail = entries[0]["detail"].as_str().unwrap();
        assert!(entries[0]["actor"] == "client:alice" && detail.starts_with("tools/call: "), "{entries:?}");
        assert!(detail.contains(&format!("by {why}, at ")) && detail.ends_with("on node edge"), "{detail}");
    }
    assert!(house.refusals("tool-000").is_empty());
    let typed = house.control.sluice(&["audit", "list", "--denials", "-o", "json"]);
    let denials: Vec<Value> = serde_json::from_slice(&typed.stdout).unwrap();
    let (_, asked) = house.control.rest("GET", "/audit?denials=true", Value::Null).await;
    assert_eq!(asked["entries"].as_array().unwrap().len(), denials.len());
    assert!(denials.len() == 2 && denials.iter().all(|entry| entry["action"] == "denied"), "{denials:?}");
    house.is_whole();
}

#[tokio::test]
async fn a_flood_of_refusals_costs_few_entries_and_none_is_lost_from_the_count() {
    const FLOOD: u64 = 300;
    let mut house = house().await;
    for _ in 0..FLOOD {
        assert_eq!(house.call("tool-001").await, Some(-32602));
    }
    // a node that ends tells what it counted
    house.node.signal(Signal::TERM);
    assert_eq!(house.node.ended().await.code(), Some(0));
    let counted = || {
        let told = house.refusals("tool-001");
        (told.iter().map(times).sum::<u64>(), told.len())
    };
    let (_, entries) = wait::becomes(TOLD, "all are counted", async || counted(), |(times, _)| *times == FLOOD).await;
    // the first, and a sum each minute
    assert!(entries <= 4, "{entries} entries");
    house.is_whole();
}

/// How many refusals an entry stands for.
fn times(entry: &Value) -> u64 {
    let detail = entry["detail"].as_str().unwrap();
    let (_, times) = detail.rsplit_once(", ").unwrap();
    times.split_once(" times until").map_or(1, |(times, _)| times.parse().unwrap())
}

#[tokio::test]
async fn who_does_not_come_in_is_told_once_however_often_the_node_comes_back() {
    let mut house = house().await;
    let call = Call::modern("/servers/one/mcp", "tools/call", 1, json!({ "name": "tool-000", "arguments": {} }));
    assert_eq!(call.clone().key("wrong-key-0123456789abcdef").send(house.node.port).await.status, 401);
    let strangers = |house: &House| {
        let told = house.control.sluice(&["audit", "--denials", "-o", "json"]);
        let entries: Vec<Value> = serde_json::from_slice(&told.stdout).unwrap();
        entries.into_iter().filter(|entry| entry["actor"] == "127.0.0.1").collect::<Vec<_>>()
    };
    wait::becomes(TOLD, "it is told", async || strangers(&house), |told| !told.is_empty()).await;
    for _ in 0..2 {
        house.control.signal(Signal::KILL);
        house.control.again().await;
        seen(&house.control, "edge", "back", |seen| seen.connected && seen.ready).await;
    }
    // told after what was said again, if it was
    assert_eq!(house.call("tool-001").await, Some(-32602));
    house.told("tool-001").await;
    assert_eq!(strangers(&house).len(), 1, "{:?}", strangers(&house));
    house.is_whole();
}

#[tokio::test]
async fn a_refusal_is_told_when_there_is_somebody_to_tell() {
    let mut house = house().await;
    house.control.signal(Signal::KILL);
    house.control.ended().await;
    assert_eq!(house.call("tool-001").await, Some(-32602));
    house.node.logged("not connected to the control plane").await;
    house.control.again().await;
    house.told("tool-001").await;
    house.is_whole();
}

#[tokio::test]
async fn a_node_that_ends_tells_its_last_refusals_first() {
    let mut house = house().await;
    assert_eq!(house.call("tool-002").await, Some(-32602));
    house.node.signal(Signal::TERM);
    assert_eq!(house.node.ended().await.code(), Some(0));
    house.told("tool-002").await;
    house.is_whole();
}
