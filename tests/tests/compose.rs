//! `deploy/compose`: the commands of its services, run as processes. What an engine does beside that is done in small: a service
//! has an address of loopback for a network, and folders for volumes.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

#[path = "compose/dockerfile.rs"]
mod dockerfile;
#[path = "compose/engine.rs"]
mod engine;

use std::time::Duration;

use engine::Engine;
use serde_json::Value;
use sluice_tests::wait;

/// Two nodes start and join.
const SOON: Duration = Duration::from_secs(60);

#[tokio::test]
async fn the_fleet_of_the_compose_file_comes_up_and_serves() {
    let engine = Engine::new();
    let _samples = [engine.start("modern"), engine.start("legacy")];
    let control = engine.start("control-plane");
    let (code, talk) = engine.finished("setup");
    assert_eq!(code, 0, "{talk}");
    let _nodes = [engine.start("node-a"), engine.start("node-b")];
    let status = async || {
        let (_, told) = engine.run("sluice", &["status", "-o", "json"]);
        let status: Value = serde_json::from_str(&told).unwrap_or_else(|error| panic!("{error}: {told}"));
        let nodes = status["nodes"].as_array().unwrap().iter();
        nodes.map(|node| format!("{} {}", node["node"], node["state"])).collect::<Vec<_>>()
    };
    let both = [r#""node-a" "current""#, r#""node-b" "current""#];
    wait::becomes(SOON, "both nodes are current", status, |nodes| *nodes == both).await;

    let (code, key) = engine.run("sluice", &["token", "create", "alice"]);
    assert_eq!(code, 0, "{key}");
    let ask = |node, path, key| engine.ping(node, 8000, path, key);
    for (node, path) in
        [("node-a", "/servers/modern/mcp"), ("node-b", "/servers/modern/mcp"), ("node-a", "/servers/legacy/mcp")]
    {
        let what = format!("{path} of {node} with the key");
        wait::becomes(SOON, &what, async || ask(node, path, key.trim()).await, |status| *status == 200).await;
    }
    assert_eq!(ask("node-b", "/servers/legacy/mcp", key.trim()).await, 404, "it is of zone a");
    assert_eq!(ask("node-b", "/servers/modern/mcp", "nobody").await, 401);
    // they know each other
    let links = engine.run("sluice", &["status", "-o", "json"]).1;
    assert_eq!(links.matches(":9402\"").count(), 2, "{links}");
    // the same once more, after somebody changed something
    let (code, _) = engine.run("sluice", &["delete", "server", "legacy"]);
    assert_eq!(code, 0);
    let before = engine.run("sluice", &["history", "--limit", "1", "-o", "json"]).1;
    let (code, talk) = engine.finished("setup");
    assert_eq!(code, 0, "{talk}");
    assert_eq!(engine.run("sluice", &["history", "--limit", "1", "-o", "json"]).1, before, "nothing is applied again");
    let tokens = engine.run("sluice", &["token", "list", "-o", "json"]).1;
    assert!(!tokens.contains(r#""kind": "join""#), "who has joined needs no token: {tokens}");
    drop(control);
    assert_eq!(ask("node-a", "/servers/modern/mcp", key.trim()).await, 200, "without its control plane");
}

#[test]
fn every_service_is_an_image_that_the_dockerfile_makes_or_one_with_a_version() {
    let engine = Engine::new();
    for (name, service) in engine.services() {
        match service["build"]["target"].as_str() {
            Some(target) => assert!(engine.image(target).entrypoint[0].starts_with("/usr/bin/sluice"), "{name}"),
            None => assert!(service["image"].as_str().unwrap().contains(':'), "{name}"),
        }
        let ports = service["ports"].as_array().into_iter().flatten();
        assert!(ports.map(|port| port.as_str().unwrap()).all(|port| port.starts_with("127.0.0.1:")), "{name} is open");
    }
}
