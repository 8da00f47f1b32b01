//! Where clients come in changes while they are there: addresses, certificates, and what cannot be had of them.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::{Value, json};
use sluice_contract::v1;
use sluice_tests::catalogue::Catalogue;
use sluice_tests::client::Era;
use sluice_tests::control::messages;
use sluice_tests::gateway::Start;
use sluice_tests::node::{seen, status};
use sluice_tests::server::Server;
use sluice_tests::{Call, ControlPlane, Gateway, Node, Reply, port, until, wait};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

const PATH: &str = "/servers/one/mcp";
/// How long a change may take to be seen, applied and, where it was refused, tried again.
const SEEN: Duration = Duration::from_secs(20);
/// Between two calls: many more than things that could fail them, and time for others on the machine.
const PACE: Duration = Duration::from_millis(1);

fn serve() -> Server {
    Server::start(Era::Modern, &Catalogue::new("one").tools(1).ttl(600_000))
}

fn call() -> Call {
    Call::modern(PATH, "tools/call", 1, json!({ "name": "tool-000", "arguments": {} }))
}

/// Makes the server and where clients come in the whole configuration of a fleet.
async fn apply(control: &ControlPlane, server: &Server, proxy: &Value) -> u64 {
    let object = |kind: &str, name: &str, spec: &Value| v1::Object {
        kind: kind.into(),
        name: name.into(),
        spec_json: spec.to_string(),
        revision: 0,
    };
    let objects = vec![object("server", "one", &server.config()), object("proxy", "proxy", proxy)];
    let request = v1::ApplyRequest { objects, prune: true, ..v1::ApplyRequest::default() };
    let answer = control.admin().await.apply(request).await.unwrap();
    assert!(answer.faults.is_empty(), "{:?}", messages(&answer.faults));
    answer.revision
}

/// Writes a certificate for `gateway.example` in files of this name: how a configuration names them, and the certificate.
fn certify(folder: &Path, name: &str) -> (Value, CertificateDer<'static>) {
    let made = rcgen::generate_simple_self_signed(vec!["gateway.example".to_owned()]).unwrap();
    std::fs::write(folder.join(format!("{name}.key")), made.signing_key.serialize_pem()).unwrap();
    std::fs::write(folder.join(format!("{name}.pem")), made.cert.pem()).unwrap();
    (entry(folder, name), made.cert.der().clone())
}

fn entry(folder: &Path, name: &str) -> Value {
    json!({ "certificate": folder.join(format!("{name}.pem")), "key": folder.join(format!("{name}.key")) })
}

async fn connect(port: u16, known: &[&CertificateDer<'static>]) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = rustls::RootCertStore::empty();
    known.iter().for_each(|certificate| roots.add((*certificate).clone()).unwrap());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_root_certificates(roots).with_no_client_auth();
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("gateway.example").unwrap(), stream).await
}

/// Waits until a port shows a certificate.
async fn shows(port: u16, certificate: &CertificateDer<'static>) {
    wait::eventually_within(SEEN, "the certificate is shown", async || connect(port, &[certificate]).await.ok()).await;
}

/// A connection that stays open between calls.
struct Kept(hyper::client::conn::http1::SendRequest<http_body_util::Full<bytes::Bytes>>, u16);

impl Kept {
    async fn over(io: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static, port: u16) -> Self {
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(io)).await.unwrap();
        tokio::spawn(connection);
        Self(sender, port)
    }

    async fn to(port: u16) -> Self {
        Self::over(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap(), port).await
    }

    async fn call(&mut self) -> Reply {
        let request = call().request(&format!("127.0.0.1:{}", self.1));
        Reply::read(self.0.send_request(request).await.unwrap()).await.unwrap()
    }
}

/// Calls again and again over connections of their own, until it is asked how that went.
struct Traffic(Arc<AtomicBool>, tokio::task::JoinHandle<(u64, Vec<Option<u16>>)>);

impl Traffic {
    fn on(port: u16) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let calls = tokio::spawn(async move {
            let (mut good, mut bad) = (0, Vec::new());
            while !stopped.load(Ordering::Relaxed) {
                match call().try_send(port).await.map(|reply| reply.status) {
                    Some(200) => good += 1,
                    other => bad.push(other),
                }
                tokio::time::sleep(PACE).await;
            }
            (good, bad)
        });
        Self(stop, calls)
    }

    async fn was_well(self) {
        self.0.store(true, Ordering::Relaxed);
        let (good, bad) = self.1.await.unwrap();
        assert!(good > 0 && bad.is_empty(), "{good} calls were answered, and these were not: {bad:?}");
    }
}

async fn is_closed(port: u16) {
    until("the old port is closed", || {
        std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err().then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_node_refuses_certificates_it_cannot_use_says_why_and_takes_them_when_it_can() {
    let (control, server, folder) = (ControlPlane::empty().await, serve(), tempfile::tempdir().unwrap());
    let first = apply(&control, &server, &json!({})).await;
    let node = Node::of(&control, "edge", &[]).await.ready().await;
    node.runs(first).await;
    let traffic = Traffic::on(node.port);
    let missing = entry(folder.path(), "a");
    let second = apply(&control, &server, &json!({ "tls": [missing] })).await;
    seen(&control, "edge", "rejecting", |seen| seen.rejected_revision == second).await;
    let told = messages(&status(&control, "edge").await.unwrap().rejected);
    assert!(told.len() == 1 && told[0].starts_with("proxy.tls.0.certificate: "), "{told:?}");
    assert!(told[0].contains("a.pem") && told[0].contains("No such file"), "{told:?}");
    // a key of another certificate, and something that is none, in one snapshot: all of it is told
    let (a, own) = certify(folder.path(), "a");
    certify(folder.path(), "b");
    std::fs::copy(folder.path().join("b.key"), folder.path().join("a.key")).unwrap();
    std::fs::write(folder.path().join("b.pem"), "nonsense").unwrap();
    let third = apply(&control, &server, &json!({ "tls": [a, entry(folder.path(), "b")] })).await;
    seen(&control, "edge", "rejecting", |seen| seen.rejected_revision == third).await;
    let told = messages(&status(&control, "edge").await.unwrap().rejected);
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].starts_with("proxy.tls.0.key: ") && told[0].contains("not the key of the certificate"), "{told:?}");
    assert!(told[1].contains("b.pem"), "{told:?}");
    assert_eq!(node.revision().await, first, "the old plane goes on");
    traffic.was_well().await;
    // repaired on the node, it needs no new revision
    let (_, good) = certify(folder.path(), "a");
    certify(folder.path(), "b");
    node.runs(third).await;
    seen(&control, "edge", "current", |seen| seen.state() == v1::NodeState::Current).await;
    assert!(connect(node.port, &[&own]).await.is_err(), "the certificate of before is not shown");
    shows(node.port, &good).await;
}

#[tokio::test]
async fn a_changed_certificate_is_shown_to_who_connects_and_who_is_connected_goes_on() {
    let (control, server, folder) = (ControlPlane::empty().await, serve(), tempfile::tempdir().unwrap());
    let ((a, shown), (b, next)) = (certify(folder.path(), "a"), certify(folder.path(), "b"));
    apply(&control, &server, &json!({ "tls": [a], "allowed_hosts": ["127.0.0.1"] })).await;
    let mut node = Node::of(&control, "edge", &[]).await.ready().await;
    let mut kept = Kept::over(connect(node.port, &[&shown]).await.unwrap(), node.port).await;
    assert_eq!(kept.call().await.status, 200);
    // by the configuration
    let revision = apply(&control, &server, &json!({ "tls": [b], "allowed_hosts": ["127.0.0.1"] })).await;
    seen(&control, "edge", "current", |seen| seen.revision == revision).await;
    assert!(connect(node.port, &[&shown]).await.is_err());
    connect(node.port, &[&next]).await.unwrap();
    // by the file
    let (_, third) = certify(folder.path(), "b");
    shows(node.port, &third).await;
    assert_eq!(kept.call().await.status, 200, "the connection of before goes on");
    // a file that breaks while it is used keeps no other change from being run, and is told
    std::fs::write(folder.path().join("b.pem"), "nonsense").unwrap();
    node.logged("a changed certificate is not usable").await;
    let revision = apply(&control, &server, &json!({ "tls": [b], "allowed_hosts": ["127.0.0.1", "b.example"] })).await;
    seen(&control, "edge", "current", |seen| seen.revision == revision).await;
    connect(node.port, &[&third]).await.unwrap();
    // and a node that starts with it waits for it to be repaired
    node.kill().await;
    node.again();
    node.logged("what was run last cannot be run now").await;
    assert_eq!(node.readiness().await, Some(503));
    let (_, repaired) = certify(folder.path(), "b");
    node.is_ready().await;
    connect(node.port, &[&repaired]).await.unwrap();
    // without certificates, plain HTTP is spoken; whoever is connected goes on
    let mut kept = Kept::over(connect(node.port, &[&repaired]).await.unwrap(), node.port).await;
    let revision = apply(&control, &server, &json!({ "allowed_hosts": ["127.0.0.1"] })).await;
    seen(&control, "edge", "current", |seen| seen.revision == revision).await;
    assert_eq!((call().send(node.port).await.status, kept.call().await.status), (200, 200));
}

#[tokio::test]
async fn an_address_that_changes_is_open_before_the_old_one_is_closed_and_loses_no_request() {
    let (control, server) = (ControlPlane::empty().await, serve());
    let (before, after) = (port::free(), port::free());
    apply(&control, &server, &json!({ "port": before })).await;
    let _node = Node::of(&control, "edge", &[]).await.configured(before).ready().await;
    let mut kept = Kept::to(before).await;
    assert_eq!(kept.call().await.status, 200);
    let revision = apply(&control, &server, &json!({ "port": after })).await;
    seen(&control, "edge", "current", |seen| seen.revision == revision).await;
    assert_eq!(call().send(after).await.status, 200);
    is_closed(before).await;
    let last = kept.call().await;
    assert_eq!((last.status, last.header("connection")), (200, Some("close")), "who was in is let go with an answer");
    // what somebody else has cannot be had: told, and nothing has changed
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let foreign = taken.local_addr().unwrap().port();
    let traffic = Traffic::on(after);
    let refused = apply(&control, &server, &json!({ "port": foreign })).await;
    seen(&control, "edge", "rejecting", |seen| seen.rejected_revision == refused).await;
    let told = messages(&status(&control, "edge").await.unwrap().rejected);
    assert!(
        told.len() == 1 && told[0].contains(&format!("127.0.0.1:{foreign}")) && told[0].contains("in use"),
        "{told:?}"
    );
    // all interfaces and back, on the same port, under load
    for host in ["0.0.0.0", "127.0.0.1", "0.0.0.0"] {
        let proxy = json!({ "host": host, "port": after, "authentication": "none", "allowed_hosts": ["127.0.0.1"] });
        let revision = apply(&control, &server, &proxy).await;
        seen(&control, "edge", "current", |seen| seen.revision == revision).await;
        let listening = std::fs::read_to_string("/proc/net/tcp").unwrap();
        let address = if host == "0.0.0.0" { "00000000" } else { "0100007F" };
        let open: Vec<&str> =
            listening.lines().filter(|line| line.contains(&format!(":{after:04X} 00000000:0000 0A"))).collect();
        assert!(open.len() == 1 && open[0].contains(address), "{open:?}");
    }
    traffic.was_well().await;
}

#[tokio::test]
async fn what_a_door_of_all_interfaces_was_locked_with_is_not_taken_from_those_who_are_in() {
    let (control, server) = (ControlPlane::empty().await, serve());
    let port = port::free();
    apply(&control, &server, &json!({ "host": "0.0.0.0", "port": port, "authentication": "none" })).await;
    let _node = Node::of(&control, "edge", &[]).await.configured(port).ready().await;
    let mut kept = Kept::to(port).await;
    assert_eq!(kept.call().await.status, 200);
    let revision = apply(&control, &server, &json!({ "port": port })).await;
    seen(&control, "edge", "current", |seen| seen.revision == revision).await;
    until("who came in by a door that others reach has to leave", || kept.0.is_closed().then_some(())).await;
    assert_eq!(call().send(port).await.status, 200);
}

#[tokio::test]
async fn one_process_listens_where_its_file_says_by_then() {
    let server = serve();
    let (before, after) = (port::free(), port::free());
    let file = |proxy: Value| json!({ "proxy": proxy, "servers": { "one": server.config() } });
    let gateway = Start::new(file(json!({ "port": before }))).configured(before).await;
    let write = |proxy: Value| std::fs::write(gateway.file(), file(proxy).to_string()).unwrap();
    assert_eq!(call().send(before).await.status, 200);
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, after)).unwrap();
    write(json!({ "port": after }));
    gateway.logged("in use").await;
    assert_eq!(call().send(before).await.status, 200, "what cannot be had changes nothing");
    drop(taken);
    is_closed(before).await;
    assert_eq!(call().send(after).await.status, 200, "and is taken when it can be had");
    let missing = entry(gateway.folder(), "a");
    write(json!({ "port": after, "tls": [missing] }));
    gateway.logged("a.pem").await;
    assert_eq!(call().send(after).await.status, 200);
    let (_, shown) = certify(gateway.folder(), "a");
    shows(after, &shown).await;
    assert_told_once(&gateway);
}

/// A refusal is told once, however often it is tried again.
fn assert_told_once(gateway: &Gateway) {
    let log = gateway.log();
    let told = |what: &str| log.lines().filter(|line| line.contains("refused") && line.contains(what)).count();
    assert_eq!((told("in use"), told("a.pem")), (1, 1), "{log}");
}
