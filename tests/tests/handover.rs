//! A process that takes the place of another on the same machine: nobody who connects meanwhile is refused, what is in flight
//! finishes, and a successor that fails changes nothing.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::os::unix::net::UnixStream;

use futures_util::future::join_all;
use rustix::process::Signal;
use serde_json::{Value, json};
use sluice_contract::v1;
use sluice_tests::catalogue::Catalogue;
use sluice_tests::client::Era;
use sluice_tests::fleet::{apply, object};
use sluice_tests::message;
use sluice_tests::server::Server;
use sluice_tests::traffic::{Caller, Traffic};
use sluice_tests::upstream::{Answer, Pipe};
use sluice_tests::{Call, ControlPlane, Node, Session, until};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// What the process that leaves writes when the other one serves.
const SUCCEEDED: &str = "another process serves in the place of this one";

/// A control plane and a node, which serves this as `one`; `more` is in the configuration, too.
async fn fleet(server: &Server, more: Vec<v1::Object>) -> (ControlPlane, Node) {
    let control = ControlPlane::empty().await;
    let objects = [vec![object("server", "one", &server.config())], more].concat();
    apply(&control, objects).await;
    let node = Node::of(&control, "edge", &[]).await.ready().await;
    (control, node)
}

/// A server that answers calls of `wait` when the test does: by their ids.
fn waiting() -> (Server, UnboundedReceiver<(Value, Pipe)>) {
    let (calls, called) = unbounded_channel();
    let server = Server::scripted(Era::Legacy, &Catalogue::new("one").tool("wait").tool("echo"), move |received| {
        (received.tool() == "wait").then(|| {
            let (pipe, answer) = Answer::stream("application/json");
            calls.send((received.message()["id"].clone(), pipe)).unwrap();
            answer
        })
    });
    (server, called)
}

/// Callers that keep their connections, and as many that connect for each call.
fn traffic(port: u16) -> Traffic {
    let params = json!({ "name": "tool-000", "arguments": {} });
    let call = Call::modern("/servers/one/mcp", "tools/call", 1, params).header("connection", "close");
    let once = Caller::new(port, call);
    Traffic::of([Caller::of_server(port, "one"), Caller::of_server(port, "one"), once.clone(), once])
}

#[tokio::test]
async fn no_connection_is_refused_or_reset_while_one_process_after_the_other_takes_over() {
    let server = Server::start(Era::Modern, &Catalogue::new("one").tools(1));
    let (_control, mut node) = fleet(&server, Vec::new()).await;
    let traffic = traffic(node.port);
    for round in 0..4 {
        traffic.goes_on(100).await;
        let mut before = node.succeed();
        assert_eq!(before.ended().await.code(), Some(0), "round {round}");
        assert!(before.log().contains(SUCCEEDED), "{}", before.log());
        // whoever is asked there now is the other one
        assert_eq!(node.readiness().await, Some(200), "round {round}");
    }
    traffic.goes_on(100).await;
    let records = traffic.was_well().await;
    assert!(records.iter().all(|record| record.connections > 1), "each of them had to connect again");
    node.logged("connected to the control plane").await;
}

#[tokio::test]
async fn what_is_in_flight_finishes_where_it_began_and_streams_say_when_to_come_back() {
    let (server, mut called) = waiting();
    let (_control, mut node) = fleet(&server, Vec::new()).await;
    let session = Session::open(node.port, "/servers/one/mcp").await;
    let mut stream = session.listen(None).await;
    let port = node.port;
    let call = session.post(&message::call("wait", 7, json!({})));
    let waiting = tokio::spawn(async move { call.send_patiently(port).await });
    let (id, pipe) = called.recv().await.unwrap();
    let mut before = node.succeed();
    before.logged(SUCCEEDED).await;
    let mut retry = None;
    while let Some(event) = stream.event().await {
        retry = event.retry.or(retry);
    }
    assert!(retry.is_some(), "it says when to come back");
    assert!(!waiting.is_finished());
    assert_eq!(node.readiness().await, Some(200));
    pipe.send(message::response(&id, message::text("waited")).to_string()).await;
    drop(pipe);
    assert_eq!(waiting.await.unwrap().result()["content"][0]["text"], "waited");
    assert_eq!(before.ended().await.code(), Some(0));
}

#[tokio::test]
async fn sessions_in_a_file_go_over_and_what_becomes_of_them_counts_for_both() {
    let (server, mut called) = waiting();
    let kept = object("proxy", "proxy", &json!({ "sessions": { "store": "sqlite" } }));
    let (_control, mut node) = fleet(&server, vec![kept]).await;
    let sessions = join_all((0..20).map(|_| Session::open(node.port, "/servers/one/mcp"))).await;
    let ended = Session::open(node.port, "/servers/one/mcp").await;
    for round in 0..3 {
        let port = node.port;
        let call = sessions[0].post(&message::call("wait", 100 + round, json!({})));
        let waiting = tokio::spawn(async move { call.send_patiently(port).await });
        let (id, pipe) = called.recv().await.unwrap();
        let mut before = node.succeed();
        before.logged(SUCCEEDED).await;
        // the one that leaves still has a call to answer
        let replies = join_all(sessions.iter().map(|session| session.call("echo", json!({})))).await;
        assert!(replies.iter().all(|reply| reply.status == 200), "round {round}: {replies:?}");
        if round == 0 {
            assert_eq!(ended.delete().await.status / 100, 2);
        }
        assert_eq!(ended.call("echo", json!({})).await.status, 404, "round {round}");
        pipe.send(message::response(&id, message::text("waited")).to_string()).await;
        drop(pipe);
        assert_eq!(waiting.await.unwrap().result()["content"][0]["text"], "waited");
        assert_eq!(before.ended().await.code(), Some(0), "round {round}");
    }
    assert_eq!(server.got("initialize").len(), 21, "nothing was opened again");
    assert_eq!(server.verbs("DELETE").len(), 1);
}

#[tokio::test]
async fn a_successor_that_comes_to_nothing_changes_nothing() {
    let server = Server::start(Era::Modern, &Catalogue::new("one").tools(1));
    let (mut control, mut node) = fleet(&server, Vec::new()).await;
    let traffic = traffic(node.port);
    // it hangs up
    drop(UnixStream::connect(node.state().join("handover.sock")).unwrap());
    node.logged("and did not").await;
    // it has nothing to start with, and is killed while it waits for that
    control.signal(Signal::KILL);
    control.ended().await;
    let ledger = node.state().join("ledger");
    // it serves as soon as it may, and writes down what then
    until("the ledger is there", || ledger.exists().then_some(())).await;
    std::fs::rename(&ledger, ledger.with_extension("away")).unwrap();
    let before = node.succeed();
    node.logged("not ready: waiting for a configuration").await;
    traffic.goes_on(100).await;
    assert_eq!(node.readiness().await, Some(200), "the process that serves is asked");
    node.signal(Signal::KILL);
    node.ended().await;
    until("the process that serves hears of it", || (before.log().matches("and did not").count() == 2).then_some(()))
        .await;
    std::fs::rename(ledger.with_extension("away"), &ledger).unwrap();
    // and now one that can
    drop(std::mem::replace(&mut *node, before));
    let mut before = node.succeed();
    assert_eq!(before.ended().await.code(), Some(0));
    traffic.goes_on(100).await;
    traffic.was_well().await;
}

#[tokio::test]
async fn where_there_is_nobody_to_take_over_from_it_starts_as_usual() {
    let server = Server::start(Era::Modern, &Catalogue::new("one").tools(1));
    let (_control, mut node) = fleet(&server, Vec::new()).await;
    node.kill().await;
    drop(node.succeed());
    node.is_ready().await;
    assert!(node.log().contains("there is nothing to take over"), "{}", node.log());
    let traffic = traffic(node.port);
    traffic.goes_on(20).await;
    traffic.was_well().await;
}

#[tokio::test]
async fn a_state_folder_is_one_process_s_until_it_ends_however_it_ends() {
    let server = Server::start(Era::Modern, &Catalogue::new("one").tools(1));
    let (_control, mut node) = fleet(&server, Vec::new()).await;
    for round in 0..2 {
        let mut second = node.beside();
        assert_eq!(second.ended().await.code(), Some(1), "round {round}: {}", second.log());
        let taken = format!("is in use by process {}: two nodes cannot share one", node.pid());
        assert!(second.log().contains(&taken), "{}", second.log());
        assert_eq!(node.readiness().await, Some(200));
        // the folder goes over with the sockets
        let mut before = node.succeed();
        assert_eq!(before.ended().await.code(), Some(0));
    }
    // nobody who was killed is in the way
    node.kill().await;
    node.again();
    node.is_ready().await;
}
