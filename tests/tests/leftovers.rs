//! No process of a stdio server is left behind, however the gateway ends, and whatever the server started itself.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;
use sluice_tests::peer::Peer;
use sluice_tests::wait::within;
use sluice_tests::{Call, Gateway, Session, process, until};

const PATH: &str = "/servers/one/mcp";

/// A gateway with a shared child, a child of its own for one session, and a grandchild that ignores SIGTERM.
async fn family(peer: &Peer) -> (Gateway, Session) {
    let gateway = Gateway::with(json!({ "one": peer.config() })).await;
    let shared = Session::open(gateway.port, PATH).await;
    let own = Session::with(gateway.port, PATH, json!({ "roots": {} }), None).await;
    for session in [&shared, &own] {
        let reply = session.call("grandchild", json!({})).await;
        let pid = reply.result()["content"][0]["text"].as_str().unwrap().parse().unwrap();
        assert!(process::lives(pid));
    }
    // A process shows its command line a moment after it was started.
    until("two children and two grandchildren", || (peer.processes().len() >= 4).then_some(())).await;
    (gateway, own)
}

#[tokio::test]
async fn sigterm_leaves_no_process() {
    let peer = Peer::new("legacy");
    let (mut gateway, _session) = family(&peer).await;
    let start = Instant::now();
    gateway.signal(Signal::TERM);
    assert!(gateway.ended().await.success());
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    assert!(peer.processes().is_empty(), "left at the end: {:?}", peer.processes());
}

#[tokio::test]
async fn sigint_leaves_no_process() {
    let peer = Peer::new("legacy");
    let (mut gateway, _session) = family(&peer).await;
    gateway.signal(Signal::INT);
    assert!(gateway.ended().await.success());
    assert!(peer.processes().is_empty(), "left at the end: {:?}", peer.processes());
}

#[tokio::test]
async fn sigkill_leaves_no_process() {
    let peer = Peer::new("legacy");
    let (mut gateway, _session) = family(&peer).await;
    let own = gateway.file().to_str().unwrap().to_owned();
    gateway.signal(Signal::KILL);
    gateway.ended().await;
    within(Duration::from_secs(15), "all processes end with the gateway", || peer.processes().is_empty().then_some(()))
        .await;
    assert!(process::marked(&own).is_empty());
}

#[tokio::test]
async fn the_end_of_a_session_takes_its_grandchildren_along() {
    let peer = Peer::new("legacy");
    let (_gateway, session) = family(&peer).await;
    let before = peer.processes().len();
    session.delete().await;
    until("the process of the session and its child end", || (peer.processes().len() <= before - 2).then_some(()))
        .await;
}

#[tokio::test]
async fn a_crash_takes_the_grandchildren_along() {
    let peer = Peer::new("legacy");
    let gateway = Gateway::with(json!({ "one": peer.config() })).await;
    let session = Session::open(gateway.port, PATH).await;
    session.call("grandchild", json!({})).await;
    assert_eq!(session.call("crash", json!({})).await.status, 502);
    peer.gone().await;
}

#[tokio::test]
async fn a_process_that_hangs_at_its_start_is_ended_with_the_gateway() {
    let peer = Peer::new("legacy").start("mute").start("stubborn");
    let mut gateway = Gateway::with(json!({ "one": peer.config_with(json!({ "protocol": "legacy" })) })).await;
    let call = Call::post(PATH, sluice_tests::message::initialize("2025-11-25", json!({})).to_string());
    let port = gateway.port;
    let waiting = tokio::spawn(async move { call.try_send(port).await });
    until("it was started", || (peer.processes().len() >= 2).then_some(())).await;
    let start = Instant::now();
    gateway.signal(Signal::TERM);
    gateway.ended().await;
    // The call in flight has its 20 s, the process a few more.
    assert!(start.elapsed() < Duration::from_secs(28), "{:?}", start.elapsed());
    assert!(peer.processes().is_empty(), "{:?}", peer.processes());
    waiting.abort();
}

#[tokio::test]
async fn clients_that_come_and_go_leave_no_processes() {
    let peer = Peer::new("legacy");
    let gateway = Gateway::with(json!({ "one": peer.config() })).await;
    for _ in 0..20 {
        let session = Session::with(gateway.port, PATH, json!({ "roots": {} }), None).await;
        session.delete().await;
    }
    until("all processes of ended sessions are gone", || peer.processes().is_empty().then_some(())).await;
    assert!(gateway.metric("sluice_children", &[]).await.abs() < f64::EPSILON);
}
