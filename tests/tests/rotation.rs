//! What nodes and control plane know each other by, and what secrets are sealed with, exchanged while traffic goes on.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::process::Signal;
use serde_json::{Value, json};
use sluice_contract::v1;
use sluice_tests::catalogue::Catalogue;
use sluice_tests::client::Era;
use sluice_tests::node::{join_token, seen};
use sluice_tests::server::Server;
use sluice_tests::{Call, ControlPlane, Node, Session, gateway};

fn serve() -> Server {
    Server::start(Era::Modern, &Catalogue::new("one").tools(1).ttl(600_000))
}

/// Between two calls: many more than things that could fail them, and time for others on the machine.
const PACE: Duration = Duration::from_millis(1);

type Answered = (u64, Vec<Option<u16>>);

/// Calls again and again over connections of their own, on a thread of its own, until it is asked how that went.
struct Traffic(Arc<AtomicBool>, std::thread::JoinHandle<Answered>);

impl Traffic {
    fn on(port: u16) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self(stop, std::thread::spawn(move || runtime.block_on(calls(port, &stopped))))
    }

    fn was_well(self) {
        self.0.store(true, Ordering::Relaxed);
        let (good, bad) = self.1.join().unwrap();
        assert!(good > 0 && bad.is_empty(), "{good} calls were answered, and these were not: {bad:?}");
    }
}

async fn calls(port: u16, stopped: &AtomicBool) -> Answered {
    let call = Call::modern("/servers/one/mcp", "tools/call", 1, json!({ "name": "tool-000", "arguments": {} }));
    let (mut good, mut bad) = (0, Vec::new());
    loop {
        match call.try_send(port).await.map(|reply| reply.status) {
            Some(200) => good += 1,
            other => bad.push(other),
        }
        if stopped.load(Ordering::Relaxed) {
            return (good, bad);
        }
        tokio::time::sleep(PACE).await;
    }
}

fn sluice(control: &ControlPlane, args: &[&str]) -> (bool, String) {
    let Output { status, stdout, stderr } = control.sluice(args);
    (status.success(), format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr)))
}

async fn authorities(control: &ControlPlane) -> v1::Authorities {
    let admin = control.admin().await;
    admin.client().list_authorities(admin.with(v1::ListAuthoritiesRequest {})).await.unwrap().into_inner()
}

/// Waits until these nodes have no certificate of the authority that signs.
async fn behind(control: &ControlPlane, expected: &[&str]) {
    sluice_tests::wait::eventually(&format!("{expected:?} are behind"), async || {
        (authorities(control).await.behind == expected).then_some(())
    })
    .await;
}

async fn apply(control: &ControlPlane, name: &str, server: &Server) -> u64 {
    control.admin().await.servers(&[(name, &server.config().to_string())]).await.revision
}

#[tokio::test]
async fn the_authority_is_exchanged_without_a_failed_call_and_nodes_that_were_away_come_back_or_say_how() {
    let (mut control, server) = (ControlPlane::empty().await, serve());
    apply(&control, "one", &server).await;
    let steady = Node::of(&control, "steady", &[]).await.ready().await;
    let mut back = Node::of(&control, "back", &[]).await.ready().await;
    let mut gone = Node::of(&control, "gone", &[]).await.ready().await;
    for name in ["steady", "back", "gone"] {
        seen(&control, name, "current", |seen| seen.state() == v1::NodeState::Current).await;
    }
    let first = authorities(&control).await;
    assert!(first.authorities.len() == 1 && first.behind.is_empty() && first.authorities[0].nodes.len() == 3);
    let (done, told) = sluice(&control, &["authority", "withdraw"]);
    assert!(!done && told.contains("no authority before"), "{told}");

    let traffic = Traffic::on(steady.port);
    back.kill().await;
    gone.kill().await;
    let (done, told) = sluice(&control, &["authority", "rotate"]);
    assert!(done && told.contains("1 node has a certificate") && told.contains("not yet: back gone"), "{told}");
    let both = authorities(&control).await;
    assert_eq!(both.authorities.iter().map(|one| one.signs).collect::<Vec<_>>(), [false, true]);
    assert_eq!(both.authorities[1].nodes, ["steady"]);
    let (done, told) = sluice(&control, &["authority", "withdraw"]);
    assert!(!done && told.contains("back, gone"), "who would be lost is named: {told}");

    // both are trusted: whoever knows the old one is known, and learns of the new one; also after a crash in between
    control.signal(Signal::KILL);
    control.again().await;
    back.again();
    back.is_ready().await;
    behind(&control, &["gone"]).await;

    let (done, told) = sluice(&control, &["authority", "withdraw", "--force"]);
    assert!(done && told.contains("join again") && told.contains("gone"), "{told}");
    let one = authorities(&control).await;
    assert!(one.authorities.len() == 1 && one.authorities[0].fingerprint == both.authorities[1].fingerprint);
    let second = apply(&control, "two", &server).await;
    for node in [&steady, &back] {
        node.runs(second).await;
        seen(&control, &node.name, "current", |seen| seen.connected && seen.revision == second).await;
    }

    // what it ran it serves, and what would bring it back is in its log
    gone.again();
    gone.is_ready().await;
    gone.logged("a new join token brings the node back").await;
    assert!(gone.revision().await < second);
    gone.give(&join_token(&control, "gone").await);
    gone.runs(second).await;

    // what is trusted now is what is on the disk
    control.signal(Signal::KILL);
    control.again().await;
    let third = apply(&control, "three", &server).await;
    for node in [&steady, &back, &gone] {
        node.runs(third).await;
    }
    behind(&control, &[]).await;
    traffic.was_well();
    let audit = control.sluice(&["audit", "-o", "json"]).stdout;
    let audit = String::from_utf8_lossy(&audit);
    assert!(audit.contains("authority.rotate") && audit.contains("authority.withdraw"), "{audit}");
    assert!(control.admin().await.audited().await.intact);
}

#[tokio::test]
async fn a_new_key_of_the_ring_seals_everything_and_the_old_one_can_go() {
    let (mut control, server) = (ControlPlane::empty().await, serve());
    let mut config = server.config();
    config["auth"] = json!({ "type": "bearer", "token": { "secret": "token" } });
    let (admin, value) = (control.admin().await, b"t0ken-of-the-server".to_vec());
    let set = v1::SetSecretRequest { name: "token".into(), value };
    admin.client().set_secret(admin.with(set)).await.unwrap();
    let first = admin.servers(&[("one", &config.to_string())]).await.revision;
    let node = Node::of(&control, "edge", &[]).await.ready().await;
    node.runs(first).await;
    let traffic = Traffic::on(node.port);
    let ring = control.state().join("secret.keys");
    let old = std::fs::read_to_string(&ring).unwrap();
    let new = format!("k2:{}\n", "B".repeat(42) + "A=");
    // without the key that everything is sealed with, nothing is sealed anew, and nothing is lost
    std::fs::write(&ring, &new).unwrap();
    let (done, told) = sluice(&control, &["secret", "rotate-key"]);
    assert!(!done && told.contains("nothing has changed") && told.contains("not in the key ring"), "{told}");
    let third = apply(&control, "three", &server).await;
    node.runs(third).await;
    std::fs::write(&ring, format!("{old}{new}")).unwrap();
    let (done, told) = sluice(&control, &["secret", "rotate-key"]);
    assert!(done && told.contains("with key k2"), "{told}");
    std::fs::write(&ring, new).unwrap();
    control.signal(Signal::KILL);
    control.again().await;
    // the secret opens, and the authority, whose key the ring seals, too: a new node gets both
    let second = apply(&control, "two", &server).await;
    let late = Node::of(&control, "late", &[]).await.ready().await;
    for node in [&node, &late] {
        node.runs(second).await;
    }
    Traffic::on(late.port).was_well();
    traffic.was_well();
    let shown: Value = serde_json::from_slice(&control.sluice(&["secret", "list", "-o", "json"]).stdout).unwrap();
    assert_eq!(shown[0]["key"], "k2");
}

fn line(number: u8) -> String {
    format!("{number}:{}\n", STANDARD.encode([number; 32]))
}

#[tokio::test]
async fn session_keys_are_exchanged_while_sessions_go_on() {
    let (modern, legacy) = (serve(), Server::start(Era::Legacy, &Catalogue::new("two").tools(1)));
    let servers = json!({ "one": modern.config(), "two": legacy.config() });
    let start = gateway::Start::new(json!({ "servers": servers }));
    let state = start.folder().join("state");
    let gateway = start.arg("--state-dir").arg(state.to_str().unwrap()).ready().await;
    let path = state.join("session.key");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    let works = async |session: &Session| session.call("tool-000", json!({})).await.status;
    let (old, traffic) = (Session::open(gateway.port, "/servers/two/mcp").await, Traffic::on(gateway.port));
    let first = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, first + &line(2)).unwrap();
    gateway.logged("keys read again").await;
    let new = Session::open(gateway.port, "/servers/two/mcp").await;
    assert_eq!((works(&old).await, works(&new).await), (200, 200), "both keys open");
    // what is no ring changes nothing
    std::fs::write(&path, "nonsense").unwrap();
    gateway.logged("changed keys are not usable").await;
    assert_eq!((works(&old).await, works(&new).await), (200, 200));
    std::fs::write(&path, line(2)).unwrap();
    let is_out = async || (works(&old).await == 404).then_some(());
    sluice_tests::wait::eventually("what the key that is gone sealed is not known", is_out).await;
    assert_eq!(works(&new).await, 200);
    traffic.was_well();
}

#[tokio::test]
async fn the_key_of_the_ledger_is_exchanged_and_a_node_starts_from_it_without_a_control_plane() {
    let (mut control, server) = (ControlPlane::empty().await, serve());
    let revision = apply(&control, "one", &server).await;
    let mut node = Node::of(&control, "edge", &[]).await.ready().await;
    seen(&control, "edge", "current", |seen| seen.revision == revision).await;
    let (key, ledger) = (node.state().join("ledger.key"), node.state().join("ledger"));
    let (old, sealed) = (std::fs::read_to_string(&key).unwrap(), std::fs::read(&ledger).unwrap());
    let traffic = Traffic::on(node.port);
    std::fs::write(&key, old + &line(2)).unwrap();
    node.logged("the ledger is sealed with the newest key").await;
    assert!(std::fs::read(&ledger).unwrap() != sealed);
    traffic.was_well();
    std::fs::write(&key, line(2)).unwrap();
    control.signal(Signal::KILL);
    control.ended().await;
    node.kill().await;
    node.again();
    node.is_ready().await;
    assert_eq!(node.revision().await, revision);
}
