//! `deploy/examples/fleet`: a folder applied as one, of which each node gets its part.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::path::Path;
use std::process::Output;
use std::time::Duration;

use serde_json::Value;
use sluice_contract::v1;
use sluice_tests::{ControlPlane, Node, wait};

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/examples/fleet");
const SOON: Duration = Duration::from_secs(30);

fn talk(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

async fn secret(control: &ControlPlane, name: &str) {
    let admin = control.admin().await;
    let request = v1::SetSecretRequest { name: name.into(), value: b"canary-of-the-eu".to_vec() };
    admin.client().set_secret(admin.with(request)).await.unwrap();
}

async fn servers(node: &Node) -> Vec<String> {
    let told: Value = serde_json::from_slice(&node.admin("/servers").await.body).unwrap_or_default();
    let servers = told["servers"].as_array().into_iter().flatten();
    servers.map(|server| server["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn each_node_gets_its_part_of_a_folder() {
    let control = ControlPlane::empty().await;
    let refused = control.sluice(&["apply", "-f", EXAMPLE, "--no-wait"]);
    let told = talk(&refused);
    assert!(refused.status.code() == Some(2) && told.contains("`SUPPORT_KEY` is not set"), "no key is for all: {told}");
    control.credential("SUPPORT_KEY", "0123456789abcdef-of-the-test");
    let refused = control.sluice(&["apply", "-f", EXAMPLE, "--no-wait"]);
    let told = talk(&refused);
    assert!(refused.status.code() == Some(2) && told.contains("2-regions.yaml:9:"), "the secret is missing: {told}");
    secret(&control, "orders-eu").await;
    let eu = Node::of(&control, "eu-1", &["region=eu"]).await.ready().await;
    let us = Node::of(&control, "us-1", &["region=us"]).await.ready().await;
    let applied = control.sluice(&["apply", "-f", EXAMPLE]);
    let changes = String::from_utf8_lossy(&applied.stdout).into_owned();
    assert_eq!(changes.lines().filter(|line| line.ends_with("added")).count(), 7, "{changes}");
    // what a node lacks is told where the file asks for it
    let told = talk(&applied);
    assert!(applied.status.code() == Some(1) && told.contains("us-1 refused revision 2"), "{told}");
    assert!(told.contains("2-regions.yaml:14:") && told.contains("`ORDERS_TOKEN` is not set"), "{told}");
    wait::becomes(SOON, "eu-1", async || servers(&eu).await, |names| *names == ["demo", "orders-eu"]).await;
    let without = control.sluice(&["delete", "server", "orders-us"]);
    assert!(without.status.success(), "{}", talk(&without));
    wait::becomes(SOON, "us-1", async || servers(&us).await, |names| *names == ["demo"]).await;
    let again = control.sluice(&["diff", "-f", EXAMPLE, "--prune"]);
    assert_eq!(String::from_utf8_lossy(&again.stdout), "server/orders-us  added\n");
}

#[tokio::test]
async fn what_is_wrong_in_a_folder_is_told_by_file() {
    let control = ControlPlane::empty().await;
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    let shown = |path: &Path| path.display().to_string();
    let apply = || control.sluice(&["apply", "-f", &shown(folder.path()), "--no-wait"]);
    assert!(talk(&apply()).contains("holds no configuration: no *.yaml"));
    write("a.yaml", "servers: {one: {url: 'http://127.0.0.1:1/mcp'}}\n");
    write("b.yaml", "servers: {one: {url: 'http://127.0.0.1:2/mcp'}}\n");
    write("README.md", "of somebody else\n");
    write(".hidden.yaml", "of an editor\n");
    let twice = talk(&apply());
    assert!(
        twice.contains("server/one is in ") && twice.contains("a.yaml and in ") && twice.contains("b.yaml"),
        "{twice}"
    );
    write("b.yaml", "servers:\n  two:\n    tiemout: 3\n");
    write("c.yaml", "servers:\n  three:\n    url: ftp://x\n");
    let mistaken = talk(&apply());
    assert!(mistaken.contains("b.yaml:3:5") && mistaken.contains("did you mean `timeout`"), "{mistaken}");
    write("b.yaml", "servers:\n  two:\n    url: ftp://x\n");
    let judged = talk(&apply());
    assert!(judged.contains("b.yaml:3:10") && judged.contains("c.yaml:3:10"), "by the control plane: {judged}");
    let (_, history) = control.rest("GET", "/revisions", Value::Null).await;
    assert_eq!(history["revisions"], serde_json::json!([]), "nothing was changed");
}
