//! A control plane and its nodes, all of them processes: what is applied is run, refused whole, or waited for.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};
use sluice_contract::v1;
use sluice_tests::catalogue::Catalogue;
use sluice_tests::client::{Client, Era};
use sluice_tests::fleet::object;
use sluice_tests::node::{Start, seen, status};
use sluice_tests::server::Server;
use sluice_tests::traffic::{Caller, Traffic};
use sluice_tests::{ControlPlane, Node, Session, wait};

/// Applies objects; with `prune`, they are all there is. The revision they are.
async fn apply(control: &ControlPlane, objects: Vec<v1::Object>, prune: bool) -> u64 {
    let request = v1::ApplyRequest { objects, prune, ..v1::ApplyRequest::default() };
    let answer = control.admin().await.apply(request).await.unwrap();
    assert!(answer.faults.is_empty(), "{:?}", sluice_tests::control::messages(&answer.faults));
    answer.revision
}

fn serve(name: &str) -> Server {
    Server::start(Era::Modern, &Catalogue::new(name).tools(1).ttl(600_000))
}

/// A server's configuration with more in it.
fn with(server: &Server, more: Value) -> Value {
    let mut config = server.config();
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    config
}

async fn works(node: &Node, server: &str) -> bool {
    let client = Client::open(Era::Modern, node.port, &format!("/servers/{server}/mcp")).await;
    client.call("tool-000", json!({})).await.status == 200
}

#[tokio::test]
async fn nodes_get_what_their_labels_choose_and_say_what_they_run() {
    let (control, all, eu) = (ControlPlane::empty().await, serve("all"), serve("eu"));
    let east = Node::of(&control, "east", &["region=eu", "tier=free"]).await.start();
    let west = Node::of(&control, "west", &["region=us"]).await.start();
    for node in [&east, &west] {
        node.logged("connected to the control plane").await;
        assert_eq!(node.readiness().await, Some(503), "nothing was applied yet");
    }
    let revision = apply(
        &control,
        vec![
            object("server", "all", &all.config()),
            object("server", "eu", &with(&eu, json!({ "nodes": { "region": "eu" } }))),
        ],
        false,
    )
    .await;
    for node in [&east, &west] {
        node.runs(revision).await;
        seen(&control, &node.name, "current", |seen| seen.state() == v1::NodeState::Current && seen.ready).await;
    }
    assert!(works(&east, "all").await && works(&west, "all").await && works(&east, "eu").await);
    assert!(!works(&west, "eu").await, "it is not for this node");
    east.logged(&format!("\"revision\":{revision},\"request\"")).await;
    let seen = status(&control, "east").await.unwrap();
    assert_eq!(seen.labels.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>(), ["region=eu", "tier=free"]);
    assert!(seen.certificate_expires_ms > seen.seen_ms, "it came with a certificate");
    assert_eq!(seen.addresses, [format!("127.0.0.1:{}", east.port)]);
    let shown = east.admin("/readyz").await.text();
    assert!(shown.contains(&format!("revision: {revision}")), "{shown}");
}

#[tokio::test]
async fn what_a_node_has_open_is_told_with_its_next_report() {
    let control = ControlPlane::empty().await;
    let server = Server::start(Era::Legacy, &Catalogue::new("one").tools(1));
    apply(&control, vec![object("server", "one", &server.config())], false).await;
    let node = Node::of(&control, "edge", &[]).await.ready().await;
    let session = Session::open(node.port, "/servers/one/mcp").await;
    let stream = session.listen(None).await;
    seen(&control, "edge", "open", |seen| (seen.sessions, seen.streams) == (1, 1)).await;
    let shown = String::from_utf8(control.sluice(&["status"]).stdout).unwrap();
    let row: Vec<_> = shown.lines().find(|line| line.starts_with("edge")).unwrap().split_whitespace().collect();
    assert!(row.windows(2).any(|two| two == ["1", "1"]), "{shown}");
    drop(stream);
    seen(&control, "edge", "closed", |seen| seen.streams == 0).await;
}

#[tokio::test]
async fn a_snapshot_that_a_node_cannot_run_changes_nothing_and_is_told_whole() {
    let (control, server) = (ControlPlane::empty().await, serve("one"));
    let open = object("proxy", "proxy", &json!({ "authentication": "none" }));
    let one = object("server", "one", &server.config());
    let first = apply(&control, vec![open.clone(), one.clone()], true).await;
    // everybody on the network reaches it, and it was said that this is meant
    let node = Node::of(&control, "edge", &[]).await.everywhere().ready().await;
    node.runs(first).await;
    let traffic = Traffic::of([Caller::of_server(node.port, "one")]);
    traffic.goes_on(20).await;
    // not said any more: fine for the control plane, which does not know where the node listens
    let second = apply(&control, vec![one.clone()], true).await;
    seen(&control, "edge", "rejecting", |seen| seen.state() == v1::NodeState::Rejected).await;
    let told = status(&control, "edge").await.unwrap();
    assert_eq!((told.revision, told.rejected_revision), (first, second));
    assert_eq!(sluice_tests::control::messages(&told.rejected).len(), 1);
    assert!(told.rejected[0].path == ["access"] && told.rejected[0].message.contains("other machines"));
    assert_eq!(node.revision().await, first);
    traffic.goes_on(20).await;
    let third = apply(&control, vec![open, one], true).await;
    node.runs(third).await;
    traffic.goes_on(20).await;
    traffic.was_well().await;
}

#[tokio::test]
async fn without_a_control_plane_traffic_goes_on_and_nodes_start_from_their_ledgers() {
    let (mut control, server) = (ControlPlane::empty().await, serve("one"));
    let first = apply(&control, vec![object("server", "one", &server.config())], false).await;
    let steady = Node::of(&control, "steady", &[]).await.ready().await;
    let mut restarted = Node::of(&control, "restarted", &[]).await.ready().await;
    for node in [&steady, &restarted] {
        // it is in the ledger before it is told
        seen(&control, &node.name, "current", |seen| seen.revision == first).await;
    }
    let traffic = Traffic::of([Caller::of_server(steady.port, "one")]);
    traffic.goes_on(20).await;
    control.signal(Signal::KILL);
    control.ended().await;
    restarted.kill().await;
    restarted.again();
    restarted.is_ready().await;
    assert!(restarted.log().contains("starting with what was run last"));
    assert_eq!(restarted.revision().await, first);
    let after = Traffic::of([Caller::of_server(restarted.port, "one")]);
    after.goes_on(50).await;
    traffic.goes_on(50).await;
    // and what is new comes as soon as there is somebody to say it
    let generation = restarted.generation().await;
    control.again().await;
    let second = apply(&control, vec![object("server", "two", &server.config())], false).await;
    steady.runs(second).await;
    restarted.runs(second).await;
    assert!(restarted.generation().await > generation);
    traffic.was_well().await;
    after.was_well().await;
}

#[tokio::test]
async fn a_control_plane_that_was_restored_goes_on_above_what_its_nodes_have() {
    let (mut control, server) = (ControlPlane::empty().await, serve("one"));
    let first = apply(&control, vec![object("server", "one", &server.config())], false).await;
    let node = Node::of(&control, "edge", &[]).await.ready().await;
    seen(&control, "edge", "current", |seen| seen.revision == first).await;
    control.signal(Signal::TERM);
    control.ended().await;
    let backup = control.backup();
    control.again().await;
    for name in ["two", "three", "four"] {
        let revision = apply(&control, vec![object("server", name, &server.config())], false).await;
        node.runs(revision).await;
    }
    let generation = node.generation().await;
    control.signal(Signal::KILL);
    control.ended().await;
    control.restore(&backup);
    control.again().await;
    // the old revision by a newer generation: what is meant now counts
    let runs = async || (node.generation().await, node.revision().await);
    wait::becomes(wait::SOON, "what counts now", runs, |runs| runs.0 > generation && runs.1 == first).await;
    seen(&control, "edge", "back", |seen| seen.connected && seen.revision == first).await;
    assert!(control.log().contains("newer generation than was recorded"), "{}", control.log());
}

#[tokio::test]
async fn without_anything_to_serve_a_node_is_not_ready_and_says_why() {
    let server = serve("one");
    let nobody = sluice_tests::port::free();
    let token = format!("sluice_join_x.{}", "0".repeat(64));
    let node = Start::new("edge", nobody, &token).start();
    wait::within(Duration::from_secs(30), "the admin port", || {
        std::net::TcpStream::connect(("127.0.0.1", node.admin)).is_ok().then_some(())
    })
    .await;
    node.logged("not connected to the control plane").await;
    let ready = node.admin("/readyz").await;
    assert_eq!((ready.status, ready.text().contains(&nobody.to_string())), (503, true), "{}", ready.text());
    assert_eq!(node.admin("/healthz").await.status, 200);
    let reply = sluice_tests::Call::modern("/mcp", "tools/list", 1, json!({})).send(node.port).await;
    assert_eq!((reply.status, reply.header("retry-after")), (503, Some("5")));
    drop(server);
}
