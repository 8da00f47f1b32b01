//! What goes wrong between a control plane and its nodes: processes killed at bad moments, networks that swallow, nodes that are
//! not welcome any more.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;
use sluice_contract::v1;
use sluice_tests::catalogue::Catalogue;
use sluice_tests::client::{Client, Era};
use sluice_tests::node::{Start, join_token, seen, status};
use sluice_tests::server::Server;
use sluice_tests::{ControlPlane, Node, until, wait};

async fn apply(control: &ControlPlane, name: &str, server: &Server) -> u64 {
    control.admin().await.servers(&[(name, &server.config().to_string())]).await.revision
}

fn serve() -> Server {
    Server::start(Era::Modern, &Catalogue::new("one").tools(1).ttl(600_000))
}

async fn works(node: &Node, server: &str) -> bool {
    let client = Client::open(Era::Modern, node.port, &format!("/servers/{server}/mcp")).await;
    client.call("tool-000", json!({})).await.status == 200
}

#[tokio::test]
async fn a_node_killed_between_the_swap_and_the_ledger_starts_with_what_it_had_and_catches_up() {
    let (control, server) = (ControlPlane::empty().await, serve());
    let first = apply(&control, "one", &server).await;
    let mut node = Node::of(&control, "edge", &[]).await.ready().await;
    seen(&control, "edge", "current", |seen| seen.revision == first).await;
    // a pipe that nobody reads, in the place of the file that becomes the ledger: writing it never begins
    let pipe = node.state().join("ledger.new");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let second = apply(&control, "two", &server).await;
    node.runs(second).await;
    // each worker takes it up when it gets to it
    wait::becomes(wait::SOON, "it is served", async || works(&node, "two").await, |works| *works).await;
    assert_eq!(status(&control, "edge").await.unwrap().revision, first, "but it is not told before it is kept");
    node.kill().await;
    std::fs::remove_file(&pipe).unwrap();
    node.again();
    node.is_ready().await;
    assert!(node.log().contains("starting with what was run last"));
    node.runs(second).await;
    seen(&control, "edge", "current", |seen| seen.revision == second).await;
}

#[tokio::test]
async fn what_a_node_runs_counts_although_it_is_not_kept_yet_and_nobody_knows() {
    let (mut control, server) = (ControlPlane::empty().await, serve());
    let first = apply(&control, "one", &server).await;
    let mut node = Node::of(&control, "edge", &[]).await.ready().await;
    seen(&control, "edge", "current", |seen| seen.revision == first).await;
    control.signal(Signal::TERM);
    control.ended().await;
    let backup = control.backup();
    control.again().await;
    control.logged("a node runs the configuration").await;
    let pipe = node.state().join("ledger.new");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    node.runs(apply(&control, "two", &server).await).await;
    let generation = node.generation().await;
    // a control plane that knows nothing of it sends what it has, above what the node runs
    control.signal(Signal::KILL);
    control.ended().await;
    control.restore(&backup);
    control.again().await;
    let runs = async || (node.revision().await, node.generation().await);
    wait::becomes(wait::SOON, "what is meant now", runs, |runs| runs.0 == first && runs.1 > generation).await;
    // the disk is back: what was run before is not kept over what is run now
    let reader = std::fs::File::open(&pipe).unwrap();
    std::fs::remove_file(&pipe).unwrap();
    drop(reader);
    seen(&control, "edge", "current", |seen| seen.state() == v1::NodeState::Current).await;
    control.signal(Signal::KILL);
    node.kill().await;
    node.again();
    node.is_ready().await;
    assert_eq!(node.revision().await, first);
}

#[tokio::test]
async fn a_ledger_that_is_damaged_or_another_s_is_set_aside() {
    let (control, server) = (ControlPlane::empty().await, serve());
    let first = apply(&control, "one", &server).await;
    let mut node = Node::of(&control, "edge", &[]).await.ready().await;
    let other = Node::of(&control, "other", &[]).await.ready().await;
    for name in ["edge", "other"] {
        seen(&control, name, "current", |seen| seen.revision == first).await;
    }
    for bad in [std::fs::read(other.state().join("ledger")).unwrap(), b"sluice ledger 1\nnonsense".to_vec()] {
        node.kill().await;
        std::fs::write(node.state().join("ledger"), bad).unwrap();
        node.again();
        node.is_ready().await;
        assert!(node.log().contains("the ledger is not used"), "{}", node.log());
        node.runs(first).await;
        seen(&control, "edge", "current", |seen| seen.connected && seen.revision == first).await;
    }
}

#[tokio::test]
async fn a_ledger_that_cannot_be_written_is_told_until_a_later_one_is() {
    let (control, server) = (ControlPlane::empty().await, serve());
    let first = apply(&control, "one", &server).await;
    let node = Node::of(&control, "edge", &[]).await.ready().await;
    let well = |revision| move |seen: &v1::NodeStatus| seen.revision == revision && seen.faults.is_empty();
    seen(&control, "edge", "current", well(first)).await;
    // no file takes the place of a folder
    let blocked = node.state().join("ledger.new");
    std::fs::create_dir(&blocked).unwrap();
    let second = apply(&control, "two", &server).await;
    let told = |seen: &v1::NodeStatus| {
        let fault = seen.faults.iter().find(|fault| fault.path == ["ledger"]);
        seen.revision == second && fault.is_some_and(|fault| fault.message.contains("cannot be written"))
    };
    seen(&control, "edge", "current", told).await;
    assert!(works(&node, "two").await, "it is served all the same");
    std::fs::remove_dir(&blocked).unwrap();
    let third = apply(&control, "three", &server).await;
    seen(&control, "edge", "current", well(third)).await;
}

#[tokio::test]
async fn a_node_whose_identity_is_damaged_serves_what_it_ran_and_says_what_to_do() {
    let (control, server) = (ControlPlane::empty().await, serve());
    let first = apply(&control, "one", &server).await;
    let mut node = Node::of(&control, "edge", &[]).await.ready().await;
    let (identity, aside) = (node.state().join("identity.pem"), node.state().join("identity.pem.damaged"));
    for half in [true, false] {
        seen(&control, "edge", "current", |seen| seen.connected && seen.revision == first).await;
        node.kill().await;
        let good = std::fs::read(&identity).unwrap();
        let bad = if half { &good[..good.len() / 2] } else { &[] };
        std::fs::write(&identity, bad).unwrap();
        node.again();
        node.is_ready().await;
        assert!(works(&node, "one").await);
        node.logged("the identity of this node is damaged and was set aside").await;
        assert_eq!(std::fs::read(&aside).unwrap(), bad);
        node.give(&join_token(&control, "edge").await);
        until("it joins again", || identity.exists().then_some(())).await;
    }
    seen(&control, "edge", "current", |seen| seen.connected && seen.revision == first).await;
}

#[tokio::test]
async fn a_node_whose_identity_is_gone_serves_what_it_ran_and_says_what_to_do() {
    let (control, server) = (ControlPlane::empty().await, serve());
    let first = apply(&control, "one", &server).await;
    let mut node = Node::of(&control, "edge", &[]).await.ready().await;
    seen(&control, "edge", "current", |seen| seen.connected && seen.revision == first).await;
    node.kill().await;
    std::fs::remove_file(node.state().join("identity.pem")).unwrap();
    node.again();
    node.is_ready().await;
    assert!(works(&node, "one").await);
    node.logged("the identity of this node is missing").await;
    node.logged("sluice token create edge --join").await;
    node.give(&join_token(&control, "edge").await);
    seen(&control, "edge", "current", |seen| seen.connected && seen.revision == first).await;
}

#[tokio::test]
async fn a_node_does_not_start_with_a_broken_key_file_and_leaves_its_ledger_as_it_is() {
    let (control, server) = (ControlPlane::empty().await, serve());
    let first = apply(&control, "one", &server).await;
    let mut node = Node::of(&control, "edge", &[]).await.ready().await;
    seen(&control, "edge", "current", |seen| seen.connected && seen.revision == first).await;
    node.kill().await;
    let (ledger, keys) = (node.state().join("ledger"), node.state().join("ledger.key"));
    let (kept, good) = (std::fs::read(&ledger).unwrap(), std::fs::read_to_string(&keys).unwrap());
    std::fs::write(&keys, format!("{good}2:nonsense\n")).unwrap();
    node.again();
    assert!(!node.ended().await.success());
    assert!(node.log().contains("ledger.key: line 2 is not `NUMBER:KEY`"), "{}", node.log());
    assert_eq!(std::fs::read(&ledger).unwrap(), kept);
    std::fs::write(&keys, good).unwrap();
    node.again();
    node.is_ready().await;
    assert!(works(&node, "one").await);
}

/// Forwards bytes to a port, until it is told to swallow them.
struct Wire {
    port: u16,
    swallows: Arc<AtomicBool>,
}

impl Wire {
    fn to(port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let wire = Self { port: listener.local_addr().unwrap().port(), swallows: Arc::default() };
        let swallows = Arc::clone(&wire.swallows);
        std::thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                let far = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
                for (from, to) in [(&near, &far), (&far, &near)] {
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    // those that come later are forwarded: only what was open is lost
                    let swallows =
                        if swallows.load(Ordering::Relaxed) { Arc::default() } else { Arc::clone(&swallows) };
                    std::thread::spawn(move || forward(from, to, &swallows));
                }
            }
        });
        wire
    }
}

fn forward(mut from: TcpStream, mut to: TcpStream, swallows: &AtomicBool) {
    let mut bytes = [0; 16 << 10];
    while let Ok(read @ 1..) = from.read(&mut bytes) {
        if !swallows.load(Ordering::Relaxed) && to.write_all(&bytes[..read]).is_err() {
            break;
        }
    }
    if !swallows.load(Ordering::Relaxed) {
        let _ = to.shutdown(Shutdown::Write);
    }
}

#[tokio::test]
async fn a_half_open_stream_is_noticed_on_both_sides_within_20_seconds() {
    let (control, server) = (ControlPlane::empty().await, serve());
    let wire = Wire::to(control.grpc);
    let node = Start::new("edge", wire.port, &join_token(&control, "edge").await).start();
    let first = apply(&control, "one", &server).await;
    node.runs(first).await;
    seen(&control, "edge", "current", |seen| seen.revision == first).await;
    wire.swallows.store(true, Ordering::Relaxed);
    let start = Instant::now();
    node.logged("not connected to the control plane").await;
    assert!(start.elapsed() < Duration::from_secs(20), "the node took {:?}", start.elapsed());
    // it comes again by itself, and its new stream replaces the one that is half open
    let second = apply(&control, "two", &server).await;
    node.runs(second).await;
    assert!(start.elapsed() < Duration::from_secs(25), "it took {:?}", start.elapsed());
}

#[tokio::test]
async fn a_control_plane_notices_a_node_that_has_gone_silent() {
    let (control, server) = (ControlPlane::empty().await, serve());
    let first = apply(&control, "one", &server).await;
    let node = Node::of(&control, "edge", &[]).await.ready().await;
    seen(&control, "edge", "current", |seen| seen.revision == first).await;
    sluice_tests::process::signal(node.pid(), Signal::STOP);
    let start = Instant::now();
    seen(&control, "edge", "stale", |seen| seen.state() == v1::NodeState::Stale).await;
    let took = start.elapsed();
    sluice_tests::process::signal(node.pid(), Signal::CONT);
    assert!(took < Duration::from_secs(20), "it took {took:?}");
    seen(&control, "edge", "back", |seen| seen.connected).await;
}

#[tokio::test]
async fn a_join_token_counts_once_and_is_shown_to_its_own_control_plane_only() {
    let (control, stranger) = (ControlPlane::empty().await, ControlPlane::empty().await);
    let token = join_token(&control, "edge").await;
    // whoever listens there instead does not get to see it
    let misled = Start::new("edge", stranger.grpc, &token).start();
    misled.logged("not connected to the control plane").await;
    assert!(!misled.log().contains("joined"), "{}", misled.log());
    let node = Start::new("edge", control.grpc, &token).start();
    node.logged("connected to the control plane").await;
    let late = Start::new("edge", control.grpc, &token).start();
    late.logged("the join token is unknown, used, expired").await;
    let unused = join_token(&control, "edge").await;
    let impostor = Start::new("other", control.grpc, &unused).start();
    impostor.logged("for another node").await;
    let secret = token.split('.').next().unwrap();
    for log in [node.log(), late.log(), misled.log(), impostor.log(), control.log(), stranger.log()] {
        assert!(!log.contains(secret), "the token is in a log");
    }
}

#[tokio::test]
async fn a_revoked_node_is_sent_away_serves_on_and_comes_back_with_a_new_token() {
    let (control, server) = (ControlPlane::empty().await, serve());
    let first = apply(&control, "one", &server).await;
    let mut node = Node::of(&control, "edge", &[]).await.ready().await;
    seen(&control, "edge", "current", |seen| seen.revision == first).await;
    let admin = control.admin().await;
    let request = v1::RevokeNodeRequest { node: "edge".into() };
    admin.client().revoke_node(admin.with(request)).await.unwrap();
    node.logged("sent away by the control plane").await;
    assert!(works(&node, "one").await, "what it has it serves");
    assert!(status(&control, "edge").await.is_none(), "forgotten");
    let second = apply(&control, "two", &server).await;
    node.kill().await;
    node.again();
    node.is_ready().await;
    node.logged("has to join again").await;
    assert_eq!(node.revision().await, first, "nothing new for it");
    node.give(&join_token(&control, "edge").await);
    node.runs(second).await;
    seen(&control, "edge", "current", |seen| seen.revision == second).await;
    assert!(admin.audited().await.intact);
}
