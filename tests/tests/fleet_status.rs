//! What is said of a node is what it does: since when it runs what it runs, and how much it logs.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};
use sluice_contract::v1;
use sluice_tests::control::messages;
use sluice_tests::node::{self, seen};
use sluice_tests::{Answer, Call, ControlPlane, Node, Upstream, wait};

/// Nodes report every few seconds, and come back within as many.
const SOON: Duration = Duration::from_secs(30);

async fn apply(control: &ControlPlane, objects: &[(&str, &str, Value)]) -> u64 {
    let object = |(kind, name, spec): &(&str, &str, Value)| v1::Object {
        kind: (*kind).into(),
        name: (*name).into(),
        spec_json: spec.to_string(),
        revision: 0,
    };
    let request = v1::ApplyRequest { objects: objects.iter().map(object).collect(), ..v1::ApplyRequest::default() };
    let answer = control.admin().await.apply(request).await.unwrap();
    assert!(answer.faults.is_empty(), "{:?}", messages(&answer.faults));
    answer.revision
}

/// Since when a node is said to run a revision, once it reported.
async fn since(control: &ControlPlane, revision: u64) -> u64 {
    seen(control, "edge", "reporting", |seen| seen.connected && seen.ready && seen.revision == revision).await;
    node::status(control, "edge").await.unwrap().since_ms
}

#[tokio::test]
async fn a_node_runs_its_revision_since_it_began_to_whoever_comes_and_goes() {
    let mut control = ControlPlane::empty().await;
    let first = apply(&control, &[("server", "one", json!({ "url": "http://127.0.0.1:9/mcp" }))]).await;
    let mut node = Node::of(&control, "edge", &[]).await.ready().await;
    let began = since(&control, first).await;
    for _ in 0..2 {
        let generation = node.generation().await;
        control.signal(Signal::KILL);
        control.again().await;
        seen(&control, "edge", "back", |seen| seen.connected && seen.ready).await;
        // what it runs was pushed to it once more
        wait::becomes(SOON, "it was pushed", async || node.generation().await, |now| *now > generation).await;
        assert_eq!(since(&control, first).await, began);
    }
    let second = apply(&control, &[("server", "two", json!({ "url": "http://127.0.0.1:9/mcp" }))]).await;
    node.runs(second).await;
    let changed = since(&control, second).await;
    assert!(changed > began);
    node.kill().await;
    node.again();
    node.is_ready().await;
    wait::becomes(SOON, "another process", async || since(&control, second).await, |since| *since > changed).await;
}

#[tokio::test]
async fn the_log_level_is_pushed_and_what_the_node_was_started_with_counts_more() {
    let control = ControlPlane::empty().await;
    let server = |name: &'static str| ("server", name, json!({ "url": "http://127.0.0.1:9/mcp" }));
    apply(&control, &[server("one")]).await;
    let node = Node::of(&control, "edge", &[]).await.ready().await;
    let told = Node::of(&control, "told", &[]).await.env("RUST_LOG", "error").ready().await;
    let flag = Node::of(&control, "flag", &[]).await.env("SLUICE_LOG_LEVEL", "warn").ready().await;
    let adopted = |log: &str, revision: u64| {
        let told = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        told.filter(|line| line["message"] == "configuration adopted" && line["revision"] == revision).count()
    };
    for (level, server_name, tells) in [("info", "two", true), ("error", "three", false), ("debug", "four", true)] {
        apply(&control, &[("proxy", "proxy", json!({ "log_level": level }))]).await;
        let revision = apply(&control, &[server(server_name)]).await;
        for node in [&node, &told, &flag] {
            node.runs(revision).await;
        }
        if tells {
            node.logged(&format!("\"revision\":{revision}")).await;
        }
        assert_eq!(adopted(&node.log(), revision), usize::from(tells), "{level}: {}", node.log());
        assert_eq!(adopted(&told.log(), revision) + adopted(&flag.log(), revision), 0, "{level}");
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_server_is_told_with_its_cause() {
    let nobody = Upstream::always(|| Answer::new(404, "text/html", "<h1>Not Found</h1>"));
    let control = ControlPlane::empty().await;
    let revision = apply(&control, &[("server", "one", json!({ "url": nobody.url() }))]).await;
    let node = Node::of(&control, "edge", &[]).await.ready().await;
    node.runs(revision).await;
    let call = Call::modern("/servers/one/mcp", "tools/list", 1, json!({}));
    assert_eq!(call.send(node.port).await.status, 502);
    let told = |seen: &v1::NodeStatus| seen.servers.iter().any(|server| server.reason.starts_with("answers 404"));
    seen(&control, "edge", "the cause", told).await;
}
