//! What is limited for a fleet is limited for all its nodes together: each holds its share of those that live, and keeps it while nobody
//! tells.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};
use sluice_contract::v1;
use sluice_tests::catalogue::Catalogue;
use sluice_tests::client::Era;
use sluice_tests::fleet::{Fleet, apply, object};
use sluice_tests::server::Server;
use sluice_tests::upstream::Legacy;
use sluice_tests::{Call, ControlPlane, Node, Session, message, until, wait};
use tokio::task::JoinHandle;

const NAMES: [&str; 3] = ["edge-1", "edge-2", "edge-3"];
const ALICE: &str = "alice-key-0123456789abcdef";
/// A node that was killed is waited for as long as one that starts again; on a slow machine, twice.
const DEAD: Duration = Duration::from_secs(45);

fn server() -> Server {
    Server::start(Era::Modern, &Catalogue::new("one").tools(2).tool("hang").ttl(600_000))
}

/// A server, a client who may do everything there within a limit, and what else is said.
fn objects(server: &Value, limit: &Value, more: Vec<v1::Object>) -> Vec<v1::Object> {
    let policy = json!({ "who": ["client:*"], "allow": [{}], "limit": [limit] });
    let mut objects = vec![
        object("server", "one", server),
        object("client", "alice", &json!({ "api_key": ALICE })),
        object("policy", "all", &policy),
    ];
    objects.extend(more);
    objects
}

/// Among how many a node shares, as it said last.
fn among(node: &Node) -> Option<u64> {
    let lines = node.log();
    let told = lines.lines().rev().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    told.filter_map(|line| line["among"].as_u64()).next()
}

/// Waits until a node shares with so many, itself included.
async fn shares(node: &Node, nodes: u64) {
    let what = format!("{} shares among {nodes}", node.name);
    wait::becomes(DEAD, &what, async || among(node), |among| *among == Some(nodes)).await;
}

fn hang(port: u16, id: i64) -> JoinHandle<Option<u16>> {
    let call =
        Call::modern("/servers/one/mcp", "tools/call", id, json!({ "name": "hang", "arguments": {} })).key(ALICE);
    tokio::spawn(async move { call.try_send(port).await.map(|reply| reply.status) })
}

/// Waits until a node lets in so many calls at a time that never end, and no more; those of before have to be given back first.
async fn lets_in(node: &Node, server: &Server, most: usize) {
    let start = Instant::now();
    loop {
        let before = server.calls("hang").len();
        let mut calls: Vec<_> = (0..12).map(|id| hang(node.port, id)).collect();
        let mut waiting = 0;
        until("each call is at the server or refused", || {
            waiting = calls.iter().filter(|call| !call.is_finished()).count();
            (server.calls("hang").len() - before == waiting).then_some(())
        })
        .await;
        calls.iter().for_each(JoinHandle::abort);
        for call in calls.drain(..) {
            if let Ok(status) = call.await {
                assert_eq!(status, Some(429));
            }
        }
        if waiting == most {
            return;
        }
        assert!(waiting < most && start.elapsed() < DEAD, "{} let in {waiting} instead of {most}", node.name);
    }
}

#[tokio::test]
async fn each_node_holds_its_share_of_those_that_live() {
    let server = server();
    let limit = json!({ "tools": ["hang"], "concurrent_requests": 7 });
    let mut fleet = Fleet::running(&NAMES, objects(&server.config(), &limit, Vec::new())).await;
    for (node, share) in fleet.nodes.iter().zip([3, 2, 2]) {
        shares(node, 3).await;
        lets_in(node, &server, share).await;
    }
    // one dies, and its share goes to the others
    fleet.node("edge-3").kill().await;
    for (node, share) in fleet.nodes.iter().take(2).zip([4, 3]) {
        shares(node, 2).await;
        lets_in(node, &server, share).await;
    }
    // it is back; then one ends as it should, and is not waited for
    fleet.node("edge-3").again();
    shares(&fleet.nodes[0], 3).await;
    lets_in(&fleet.nodes[0], &server, 3).await;
    let ends = fleet.node("edge-2");
    ends.signal(Signal::TERM);
    ends.ended().await;
    shares(&fleet.nodes[0], 2).await;
    lets_in(&fleet.nodes[0], &server, 4).await;
    // without a control plane everything stays, restarts included
    fleet.control.signal(Signal::KILL);
    fleet.control.ended().await;
    let node = fleet.node("edge-1");
    node.kill().await;
    node.again();
    node.is_ready().await;
    shares(node, 2).await;
    lets_in(node, &server, 4).await;
}

#[tokio::test]
async fn whoever_comes_by_all_nodes_has_what_was_written_and_whoever_stays_with_one_has_its_share() {
    let server = server();
    let limit = json!({ "tools": ["tool-000"], "requests_per_minute": 9 });
    let fleet = Fleet::running(&NAMES, objects(&server.config(), &limit, Vec::new())).await;
    for node in &fleet.nodes {
        shares(node, 3).await;
    }
    let call =
        |id| Call::modern("/mcp", "tools/call", id, json!({ "name": "one_tool-000", "arguments": {} })).key(ALICE);
    let start = Instant::now();
    let mut statuses = Vec::new();
    for id in 0..18 {
        statuses.push(call(id).send(fleet.port()).await.status);
    }
    assert_eq!(statuses[..9], [200; 9]);
    let passed = statuses[9..].iter().filter(|status| **status == 200).count() as u64;
    // each node has one more after twenty seconds, which a slow machine may take
    assert!(passed <= 3 * (start.elapsed().as_secs() / 20), "{statuses:?}");
    // each tool has a count of its own, so that this one is fresh
    let limit = json!({ "tools": ["tool-001"], "requests_per_minute": 9 });
    let revision = apply(&fleet.control, objects(&server.config(), &limit, Vec::new())).await;
    let node = &fleet.nodes[1];
    node.runs(revision).await;
    let fresh = json!({ "name": "tool-001", "arguments": {} });
    let (start, mut passed) = (Instant::now(), 0);
    for id in 0..9 {
        let call = Call::modern("/servers/one/mcp", "tools/call", id, fresh.clone()).key(ALICE);
        passed += u64::from(call.send(node.port).await.status == 200);
    }
    assert!(passed <= 3 + start.elapsed().as_secs() / 20, "{passed}");
}

#[tokio::test]
async fn a_session_that_one_node_holds_has_what_was_written_by_way_of_all() {
    let server = Legacy::start();
    let limit = json!({ "requests_per_minute": 9 });
    let fleet = Fleet::running(&NAMES, objects(&server.config(), &limit, Vec::new())).await;
    for node in &fleet.nodes {
        shares(node, 3).await;
    }
    let session = Session::with(fleet.port(), "/servers/one/mcp", json!({}), Some(ALICE)).await;
    for _ in 0..9 {
        assert_eq!(session.call("echo", json!({})).await.status, 200);
    }
    let start = Instant::now();
    wait::becomes(
        DEAD,
        "there is a limit",
        async || session.call("echo", json!({})).await.status,
        |status| *status == 429,
    )
    .await;
    assert!(start.elapsed() < DEAD);
}

#[tokio::test]
async fn sessions_are_shared_too_and_none_of_it_where_each_node_is_to_have_the_whole() {
    let server = Legacy::start();
    let proxy =
        |scope: &str| object("proxy", "proxy", &json!({ "limits": { "sessions_per_principal": 4, "scope": scope } }));
    let limit = json!({ "requests_per_minute": 1_000 });
    let fleet = Fleet::running(&NAMES[..2], objects(&server.config(), &limit, vec![proxy("fleet")])).await;
    let opened = async |node: &Node| {
        let mut opened = 0;
        for _ in 0..6 {
            let body = message::initialize(message::LEGACY, json!({})).to_string();
            let status = Call::post("/servers/one/mcp", body).key(ALICE).send(node.port).await.status;
            assert!([200, 429].contains(&status), "{status}");
            opened += u64::from(status == 200);
        }
        opened
    };
    for node in &fleet.nodes {
        shares(node, 2).await;
        assert_eq!(opened(node).await, 2);
    }
    let revision = apply(&fleet.control, vec![proxy("node")]).await;
    for node in &fleet.nodes {
        node.runs(revision).await;
        assert_eq!(opened(node).await, 2, "the other two of four");
    }
    let shown = explained(&fleet.control, "edge-1");
    assert!(shown.contains("1000 calls a minute") && !shown.contains("this node holds"), "{shown}");
}

#[tokio::test]
async fn explain_tells_the_share_of_those_that_the_limit_is_pushed_to() {
    let control = ControlPlane::empty().await;
    let server = server();
    let eu = json!({ "who": ["client:*"], "allow": [{}], "limit": [{ "requests_per_minute": 7 }], "nodes": { "region": "eu" } });
    let features = json!({ "rate_limiting": { "requests_per_minute": 90 } });
    let more = vec![object("policy", "eu", &eu), object("features", "features", &features)];
    apply(&control, objects(&server.config(), &json!({ "requests_per_minute": 30 }), more)).await;
    let mut nodes = Vec::new();
    for (name, region) in [("eu-1", "region=eu"), ("eu-2", "region=eu"), ("us-1", "region=us")] {
        nodes.push(Node::of(&control, name, &[region]).await.ready().await);
    }
    for node in &nodes {
        shares(node, 3).await;
    }
    let shown = explained(&control, "eu-2");
    for told in [
        "90 requests a minute of one principal; this node holds 30 of them, being one of 3",
        "30 calls a minute of one principal, counted together for all that the limit covers; this node holds 10 of them, being one of 3",
        "7 calls a minute of one principal, counted together for all that the limit covers; this node holds 3 of them, being one of 2",
    ] {
        assert!(shown.contains(told), "{told}: {shown}");
    }
}

/// What is said of a call of Alice's, as so many lines as there are steps.
fn explained(control: &ControlPlane, node: &str) -> String {
    let asked = ["explain", "call", "one/tool-000", "--as", "client:alice", "--node", node, "-o", "json"];
    let output = control.sluice(&asked);
    assert!(output.status.success(), "{output:?}");
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    let steps = answer["steps"].as_array().unwrap().iter();
    steps.filter_map(|step| step["value"].as_str()).collect::<Vec<_>>().join("\n")
}
