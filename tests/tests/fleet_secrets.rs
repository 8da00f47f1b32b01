//! Secrets of a fleet: a node gets those that its servers use and no others, and a new value as soon as it is set.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sluice_contract::v1;
use sluice_tests::canary::Canaries;
use sluice_tests::node::seen;
use sluice_tests::traffic::{Caller, Traffic};
use sluice_tests::upstream::Modern;
use sluice_tests::{Call, ControlPlane, Node, process};

const EAST: &str = "c4nary+east/bearer-0123456789";
const WEST: &str = "c4nary+west/bearer-0123456789";
const NEXT: &str = "c4nary+next/bearer-0123456789";

fn set(control: &ControlPlane, name: &str, value: &str) {
    let done = control.sluice_fed(value, &["secret", "set", name]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

/// A server that shows a bearer token, for nodes of a region.
fn object(server: &Modern, name: &str) -> v1::Object {
    let auth = json!({ "type": "bearer", "token": { "secret": name } });
    let spec = json!({ "url": server.url(), "nodes": { "region": name }, "auth": auth });
    v1::Object { kind: "server".into(), name: name.into(), spec_json: spec.to_string(), revision: 0 }
}

fn caller(node: &Node, server: &str) -> Caller {
    let params = json!({ "name": "echo", "arguments": {} });
    Caller::new(node.port, Call::modern(&format!("/servers/{server}/mcp"), "tools/call", 1, params))
}

fn shown(server: &Modern) -> Option<String> {
    server.received().last()?.header("authorization").map(str::to_owned)
}

/// All that a node says of itself, and what it keeps.
async fn sightings(canaries: Canaries<'_>, node: &Node) -> Vec<String> {
    let mut seen = canaries.sightings("the log", node.log().as_bytes());
    for path in ["/config", "/metrics", "/servers", "/readyz"] {
        seen.extend(canaries.sightings(path, &node.admin(path).await.body));
    }
    seen.extend(canaries.sightings_in_files(&node.state(), &[]));
    seen
}

#[tokio::test]
async fn each_node_has_the_secrets_that_it_uses_and_no_others() {
    let (control, east, west) = (ControlPlane::empty().await, Modern::start(), Modern::start());
    set(&control, "east", &format!("{EAST}\n"));
    set(&control, "west", WEST);
    let objects = vec![object(&east, "east"), object(&west, "west")];
    let request = v1::ApplyRequest { objects, ..v1::ApplyRequest::default() };
    let revision = control.admin().await.apply(request).await.unwrap().revision;
    for (name, server, own, other) in [("east", &east, EAST, WEST), ("west", &west, WEST, EAST)] {
        let node = Node::of(&control, name, &[&format!("region={name}")]).await.env("RUST_LOG", "trace").ready().await;
        seen(&control, name, "current", |seen| seen.revision == revision).await;
        let traffic = Traffic::of([caller(&node, name)]);
        traffic.goes_on(20).await;
        traffic.was_well().await;
        assert_eq!(shown(server), Some(format!("Bearer {own}")));
        assert!(process::remembers(node.pid(), own.as_bytes()), "what a node uses can be found where it is used");
        assert!(!process::remembers(node.pid(), other.as_bytes()), "{name} has the other's");
        assert_eq!(sightings(Canaries(&[own, other]), &node).await, Vec::<String>::new());
        let config: Value = serde_json::from_slice(&node.admin("/config").await.body).unwrap();
        assert_eq!(config["servers"].as_object().unwrap().keys().collect::<Vec<_>>(), [name]);
    }
}

#[tokio::test]
async fn a_new_value_is_shown_to_the_server_within_a_second_and_no_call_fails() {
    let (control, server) = (ControlPlane::empty().await, Modern::start());
    set(&control, "east", EAST);
    let request = v1::ApplyRequest { objects: vec![object(&server, "east")], ..v1::ApplyRequest::default() };
    control.admin().await.apply(request).await.unwrap();
    let node = Node::of(&control, "edge", &["region=east"]).await.ready().await;
    let traffic = Traffic::of([caller(&node, "east").pausing(Duration::from_millis(5))]);
    traffic.goes_on(20).await;
    set(&control, "east", NEXT);
    let start = Instant::now();
    sluice_tests::until("the new value", || (shown(&server)? == format!("Bearer {NEXT}")).then_some(())).await;
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    traffic.goes_on(20).await;
    assert_eq!(shown(&server), Some(format!("Bearer {NEXT}")), "and not the old one again");
    traffic.was_well().await;
    assert_eq!(sightings(Canaries(&[EAST, NEXT]), &node).await, Vec::<String>::new());
}
