//! Starting and stopping: what is in flight finishes, balancers are warned, ports that are taken are named.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;
use sluice_tests::gateway::Start;
use sluice_tests::message;
use sluice_tests::upstream::Legacy;
use sluice_tests::wait::soon;
use sluice_tests::works::Works;
use sluice_tests::{Call, Gateway, Session, until, wait};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const PATH: &str = "/servers/one/mcp";

#[tokio::test]
async fn sigterm_lets_calls_finish_warns_balancers_first_and_exits_with_0() {
    let works = Works::json();
    let server = &works.server;
    let mut gateway = Gateway::with(json!({ "one": server.config() })).await;
    let session = Session::open(gateway.port, PATH).await;
    let mut stream = session.listen(None).await;
    let call = session.post(&message::call("work", 1, json!({})));
    let (port, admin) = (gateway.port, gateway.admin);
    let waiting = tokio::spawn(async move { call.send_patiently(port).await });
    let (id, pipe) = works.call().await;
    let start = Instant::now();
    gateway.signal(Signal::TERM);
    let probe = Call::get("/readyz").bare();
    let ready = || probe.try_send(admin);
    while ready().await.is_some_and(|reply| reply.status == 200) {
        assert!(start.elapsed() < Duration::from_secs(1), "still ready");
    }
    assert_eq!(soon("readiness", ready()).await.map(|reply| reply.status), Some(503), "live, and not ready");
    if start.elapsed() < Duration::from_millis(250) {
        let health = Call::get("/health").bare().try_send(port).await;
        assert!(health.is_some(), "readiness leads: for a moment connections are still taken");
    }
    let is_open = async || tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok();
    wait::becomes(Duration::from_millis(1500), "the listener closes", is_open, |open| !open).await;
    assert!(!waiting.is_finished(), "closed before the call is over");
    pipe.send(message::response(&id, message::text("worked")).to_string()).await;
    drop(pipe);
    assert_eq!(waiting.await.unwrap().result()["content"][0]["text"], "worked");
    stream.rest().await;
    assert_eq!(gateway.ended().await.code(), Some(0));
    server.receives("the end of its session", |received| received.verb == "DELETE").await;
}

#[tokio::test]
async fn who_is_connected_to_a_gateway_that_stops_is_answered() {
    let server = Legacy::start();
    let mut gateway = Gateway::with(json!({ "one": server.config() })).await;
    let port = gateway.port;
    let answered: Vec<Arc<AtomicUsize>> = (0..32).map(|_| Arc::default()).collect();
    let asking: Vec<_> =
        answered.iter().map(|answered| tokio::spawn(ask_until_refused(port, answered.clone()))).collect();
    let all_ask = || answered.iter().all(|answered| answered.load(Ordering::Relaxed) > 8).then_some(());
    until("all ask, over and over", all_ask).await;
    gateway.signal(Signal::TERM);
    for one in asking {
        soon("the listener closes", one).await.unwrap();
    }
    assert_eq!(gateway.ended().await.code(), Some(0));
}

/// Asks on one new connection after the other until no more are to be had, and counts the answers.
async fn ask_until_refused(port: u16, answered: Arc<AtomicUsize>) {
    while let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)).await {
        let mut answer = Vec::new();
        stream.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await.unwrap();
        stream.read_to_end(&mut answer).await.unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 200 "), "connected, and not answered: {}", answer.escape_ascii());
        answered.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn drain_on_the_admin_port_does_the_same() {
    let works = Works::json();
    let server = &works.server;
    let mut gateway = Gateway::with(json!({ "one": server.config() })).await;
    let session = Session::open(gateway.port, PATH).await;
    let call = session.post(&message::call("work", 1, json!({})));
    let port = gateway.port;
    let waiting = tokio::spawn(async move { call.send_patiently(port).await });
    let (id, pipe) = works.call().await;
    assert_eq!(Call::get("/drain").bare().send(gateway.admin).await.status, 405, "a GET changes nothing");
    assert_eq!(gateway.admin("/readyz").await.status, 200);
    assert_eq!(Call::get("/drain").method("POST").bare().send(gateway.admin).await.status, 202);
    assert_eq!(gateway.admin("/readyz").await.status, 503);
    assert!(!waiting.is_finished());
    pipe.send(message::response(&id, message::text("worked")).to_string()).await;
    drop(pipe);
    assert_eq!(waiting.await.unwrap().status, 200);
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.ended().await.code(), Some(0));
}

#[tokio::test]
async fn a_port_in_use_is_named_with_the_flag_that_changes_it() {
    let server = Legacy::start();
    let gateway = Gateway::with(json!({ "one": server.config() })).await;
    let config = || Start::new(json!({ "servers": { "one": server.config() } }));
    let free = sluice_tests::port::free();
    for (flag, taken, other) in [("--listen", gateway.port, "--admin"), ("--admin", gateway.admin, "--listen")] {
        let start = config().arg(flag).arg(&format!("127.0.0.1:{taken}")).arg(other).arg(&format!("127.0.0.1:{free}"));
        let (status, text) = start.refused();
        assert!(!status.success());
        assert!(text.contains(&taken.to_string()) && text.contains(flag), "{text}");
    }
    assert_eq!(gateway.admin("/readyz").await.status, 200, "the first one is not disturbed");
}

#[tokio::test]
async fn a_client_that_keeps_its_connection_open_does_not_hold_up_the_end() {
    let server = Legacy::start();
    let mut gateway = Gateway::with(json!({ "one": server.config() })).await;
    let _silent = tokio::net::TcpStream::connect(("127.0.0.1", gateway.port)).await.unwrap();
    let session = Session::open(gateway.port, PATH).await;
    let _stream = session.listen(None).await;
    server.stream().await;
    let start = Instant::now();
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.ended().await.code(), Some(0));
    assert!(start.elapsed() < Duration::from_secs(6), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_gateway_that_comes_back_takes_the_same_port_at_once() {
    let server = Legacy::start();
    let mut gateway = Gateway::with(json!({ "one": server.config() })).await;
    let session = Session::open(gateway.port, PATH).await;
    assert_eq!(session.call("echo", json!({})).await.status, 200);
    gateway.signal(Signal::TERM);
    gateway.ended().await;
    let listener = std::net::TcpListener::bind(("127.0.0.1", gateway.port));
    assert!(listener.is_ok(), "{listener:?}");
}
