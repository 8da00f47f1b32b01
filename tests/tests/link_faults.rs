//! Links between nodes when something is gone: a node, the control plane, the trust in a node, the keys and certificates of before.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;
use sluice_contract::v1;
use sluice_tests::events::Events;
use sluice_tests::fleet::{Fleet, apply, object};
use sluice_tests::node::{join_token, seen};
use sluice_tests::peer::Peer;
use sluice_tests::upstream::Legacy;
use sluice_tests::{Call, Node, Reply, Session, message, wait};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const NAMES: [&str; 3] = ["edge-1", "edge-2", "edge-3"];
const HTTP: &str = "/servers/http/mcp";
const PIPE: &str = "/servers/pipe/mcp";
/// Within this, whoever asks has a verdict, however a node went. The bound is 2 s; the rest is for slow machines.
const VERDICT: Duration = Duration::from_secs(4);

fn ping(session: &Session) -> Call {
    session.post(&message::request("ping", session.next_id(), json!({})))
}

/// Waits for the end of a stream.
async fn ends(stream: &mut Events) {
    wait::soon("the end of a stream", async { while stream.event().await.is_some() {} }).await;
}

/// An answer, and that it came in time.
async fn verdict(call: Call, port: u16) -> Reply {
    let since = Instant::now();
    let reply = call.send(port).await;
    assert!(since.elapsed() < VERDICT, "{:?}: {reply:?}", since.elapsed());
    reply
}

#[tokio::test]
async fn sessions_of_a_node_that_is_killed_are_over_at_once_and_those_of_others_go_on() {
    let http = Legacy::start();
    let mut fleet = Fleet::of(&NAMES, &[("http", http.config())]).await;
    let held = Session::open(fleet.nodes[0].port, HTTP).await;
    let other = Session::open(fleet.nodes[1].port, HTTP).await;
    let third = fleet.nodes[2].port;
    assert_eq!(ping(&held).send(third).await.status, 200);
    fleet.node("edge-1").kill().await;
    for port in [third, fleet.nodes[1].port] {
        wait::eventually("it is known to be gone", async || {
            (verdict(ping(&held), port).await.status == 404).then_some(())
        })
        .await;
        assert_eq!(ping(&other).send(port).await.status, 200);
    }
    // it lives again, and that is another life
    fleet.node("edge-1").again();
    fleet.node("edge-1").is_ready().await;
    let again = Session::open(fleet.nodes[0].port, HTTP).await;
    wait::eventually("it is linked again", async || (ping(&again).send(third).await.status == 200).then_some(())).await;
    assert_eq!(verdict(ping(&held), third).await.status, 404);
    assert_eq!(verdict(ping(&held), fleet.nodes[0].port).await.status, 404);
}

#[tokio::test]
async fn a_node_that_joins_is_ready_when_sessions_go_on_there_and_its_own_everywhere() {
    let http = Legacy::start();
    let fleet = Fleet::of(&NAMES[..2], &[("http", http.config())]).await;
    let held = Session::open(fleet.nodes[0].port, HTTP).await;
    let new = Node::of(&fleet.control, NAMES[2], &[]).await.linked().start();
    new.is_ready().await;
    assert_eq!(ping(&held).send(new.port).await.status, 200, "that of another node");
    let its = Session::open(new.port, HTTP).await;
    for node in &fleet.nodes {
        assert_eq!(ping(&its).send(node.port).await.status, 200, "its own at {}", node.name);
    }
}

#[tokio::test]
async fn a_node_that_stands_still_gives_a_verdict_in_time_and_its_sessions_are_not_given_up() {
    let (http, pipe) = (Legacy::start(), Peer::new("legacy"));
    let fleet = Fleet::of(&NAMES, &[("http", http.config()), ("pipe", pipe.config())]).await;
    let (held, hung) = (Session::open(fleet.nodes[0].port, HTTP).await, Session::open(fleet.nodes[0].port, PIPE).await);
    let other = Session::open(fleet.nodes[1].port, HTTP).await;
    let third = fleet.nodes[2].port;
    assert_eq!(ping(&held).send(third).await.status, 200);
    let mut stream = held.listen(None).await;
    drop(stream);
    stream = held.dressed(Call::get(HTTP)).open(third).await;
    assert_eq!(stream.status, 200);
    let call = hung.post(&message::call("hang", 70, json!({})));
    let call = tokio::spawn(async move { call.send(third).await });
    sluice_tests::until("the call at the server", || (!pipe.got("tools/call").is_empty()).then_some(())).await;
    fleet.nodes[0].signal(Signal::STOP);
    let since = Instant::now();
    let cut = call.await.unwrap();
    assert_eq!((cut.status, since.elapsed() < VERDICT), (502, true), "{cut:?} after {:?}", since.elapsed());
    assert!(cut.text().contains("may have run"), "{cut:?}");
    ends(&mut stream).await;
    for port in [third, fleet.nodes[1].port] {
        let told = verdict(ping(&held), port).await;
        assert_eq!((told.status, told.header("retry-after")), (503, Some("1")), "not a word that it is over: {told:?}");
        assert_eq!(ping(&other).send(port).await.status, 200, "others do not notice");
    }
    fleet.nodes[0].signal(Signal::CONT);
    wait::eventually("it goes on", async || (ping(&held).send(third).await.status == 200).then_some(())).await;
}

#[tokio::test]
async fn without_a_control_plane_nodes_find_each_other_also_after_restarts() {
    let http = Legacy::start();
    let mut fleet = Fleet::of(&NAMES, &[("http", http.config())]).await;
    let held = Session::open(fleet.nodes[0].port, HTTP).await;
    let lost = Session::open(fleet.nodes[2].port, HTTP).await;
    assert_eq!(ping(&lost).send(fleet.nodes[0].port).await.status, 200);
    fleet.control.signal(Signal::KILL);
    fleet.control.ended().await;
    for name in ["edge-2", "edge-3"] {
        fleet.node(name).kill().await;
        fleet.node(name).again();
        fleet.node(name).is_ready().await;
    }
    for node in &fleet.nodes {
        assert_eq!(ping(&held).send(node.port).await.status, 200, "{}", node.name);
        assert_eq!(verdict(ping(&lost), node.port).await.status, 404, "{}: of a life that is over", node.name);
    }
    let new = Session::open(fleet.nodes[2].port, HTTP).await;
    for node in &fleet.nodes {
        assert_eq!(ping(&new).send(node.port).await.status, 200, "{}", node.name);
    }
}

#[tokio::test]
async fn sessions_that_are_kept_in_a_file_are_waited_for_until_their_node_is_back() {
    let http = Legacy::start();
    let mut fleet = Fleet::of(&NAMES, &[("http", http.config())]).await;
    let revision =
        apply(&fleet.control, vec![object("proxy", "proxy", &json!({ "sessions": { "store": "sqlite" } }))]).await;
    for name in NAMES {
        // where sessions are kept is chosen at the start
        seen(&fleet.control, name, "current", |seen| seen.revision == revision).await;
        fleet.node(name).kill().await;
        fleet.node(name).again();
        fleet.node(name).is_ready().await;
    }
    let held = Session::open(fleet.nodes[0].port, HTTP).await;
    let third = fleet.nodes[2].port;
    assert_eq!(ping(&held).send(third).await.status, 200);
    fleet.node("edge-1").kill().await;
    wait::eventually("it is waited for", async || {
        let told = verdict(ping(&held), third).await;
        assert_ne!(told.status, 404, "{told:?}");
        (told.status == 503).then_some(())
    })
    .await;
    fleet.node("edge-1").again();
    fleet.node("edge-1").is_ready().await;
    wait::eventually("it goes on", async || (ping(&held).send(third).await.status == 200).then_some(())).await;
}

#[tokio::test]
async fn a_node_that_is_told_to_end_finishes_what_came_in_elsewhere() {
    let pipe = Peer::new("legacy");
    let mut fleet = Fleet::of(&NAMES, &[("pipe", pipe.config())]).await;
    let held = Session::open(fleet.nodes[0].port, PIPE).await;
    let third = fleet.nodes[2].port;
    let mut stream = held.dressed(Call::get(PIPE)).open(third).await;
    let call = held.post(&message::call("hang", 70, json!({})));
    let call = tokio::spawn(async move { call.send_patiently(third).await });
    sluice_tests::until("the call at the server", || (!pipe.got("tools/call").is_empty()).then_some(())).await;
    fleet.nodes[0].signal(Signal::TERM);
    fleet.nodes[0].logged("stopping").await;
    ends(&mut stream).await;
    // its doors are closed by now, and what it holds is still reached
    wait::eventually("its door is closed", async || {
        std::net::TcpStream::connect(("127.0.0.1", fleet.nodes[0].port)).is_err().then_some(())
    })
    .await;
    let released = held.post(&message::call("release", 71, json!({}))).send(third).await;
    assert_eq!(released.status, 200, "{released:?}");
    let finished = call.await.unwrap();
    assert!(finished.text().contains("released"), "{finished:?}");
    fleet.node("edge-1").ended().await;
    wait::eventually("it is over", async || (verdict(ping(&held), third).await.status == 404).then_some(())).await;
}

#[tokio::test]
async fn a_revoked_node_is_cut_off_and_refused_until_it_joins_again() {
    let http = Legacy::start();
    let mut fleet = Fleet::of(&NAMES, &[("http", http.config())]).await;
    let (first, third) = (fleet.nodes[0].port, fleet.nodes[2].port);
    let (its, ours) = (Session::open(third, HTTP).await, Session::open(first, HTTP).await);
    let mut at_it = ours.dressed(Call::get(HTTP)).open(third).await;
    let mut of_it = its.dressed(Call::get(HTTP)).open(first).await;
    assert_eq!((at_it.status, of_it.status), (200, 200));
    let done = fleet.control.sluice(&["node", "revoke", "edge-3"]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let since = Instant::now();
    ends(&mut at_it).await;
    ends(&mut of_it).await;
    assert!(since.elapsed() < VERDICT, "its links are cut: {:?}", since.elapsed());
    assert_eq!(verdict(ping(&its), first).await.status, 404, "who it is, nobody knows any more");
    assert_eq!(verdict(ping(&ours), third).await.status, 503, "it is refused");
    fleet.nodes[0].logged("is no node of the fleet, or was revoked").await;
    assert_eq!(ping(&ours).send(fleet.nodes[1].port).await.status, 200, "others do not notice");
    // sent away, it comes back as a new process with a new token
    let token = join_token(&fleet.control, "edge-3").await;
    fleet.node("edge-3").kill().await;
    fleet.node("edge-3").give(&token);
    fleet.node("edge-3").again();
    seen(&fleet.control, "edge-3", "back", |seen| seen.connected && seen.state() == v1::NodeState::Current).await;
    wait::eventually("it is linked again", async || (ping(&ours).send(third).await.status == 200).then_some(())).await;
}

#[tokio::test]
async fn certificates_authorities_and_keys_are_exchanged_while_streams_go_on() {
    let http = Legacy::start();
    let fleet = Fleet::of(&NAMES, &[("http", http.config())]).await;
    let held = Session::open(fleet.nodes[0].port, HTTP).await;
    let mut stream = held.dressed(Call::get(HTTP)).open(fleet.nodes[1].port).await;
    assert_eq!(stream.status, 200);
    let server = http.stream().await;
    let control = &fleet.control;
    let sluice = |args: &[&str]| {
        let done = control.sluice(args);
        assert!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
    };
    sluice(&["authority", "rotate"]);
    for name in NAMES {
        fleet.nodes.iter().find(|node| node.name == name).unwrap().logged("was renewed").await;
    }
    wait::eventually("all have the new one", async || {
        control.sluice(&["authority", "withdraw"]).status.success().then_some(())
    })
    .await;
    sluice(&["secret", "rotate-key", "--sessions"]);
    let new = Session::open(fleet.nodes[2].port, HTTP).await;
    for node in &fleet.nodes {
        wait::eventually("sessions of before and of now", async || {
            let (before, now) = (ping(&held).send(node.port).await.status, ping(&new).send(node.port).await.status);
            ((before, now) == (200, 200)).then_some(())
        })
        .await;
    }
    assert!(server.event(&message::notification("notifications/message", json!({ "n": 1 }))).await);
    assert_eq!(stream.message().await["params"]["n"], 1, "the stream was not cut");
    // links that were made before went on; these are made with the new certificates
    let shown = String::from_utf8(control.sluice(&["status"]).stdout).unwrap();
    let link = fleet.nodes[0].link.unwrap();
    assert!(shown.contains(&format!("127.0.0.1:{link}")), "{shown}");
}

#[tokio::test]
async fn strangers_get_nothing_at_the_port_for_links() {
    let http = Legacy::start();
    let fleet = Fleet::of(&["edge-1", "edge-2"], &[("http", http.config())]).await;
    let link = fleet.nodes[0].link.unwrap();
    for said in ["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "GET /sluice-home HTTP/1.1\r\nHost: x\r\n\r\n"] {
        let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", link)).await.unwrap();
        stream.write_all(said.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let _ = wait::soon("it is closed", stream.read_to_end(&mut answer)).await;
        assert!(!String::from_utf8_lossy(&answer).contains("HTTP"), "{answer:?}");
    }
    // a node of another fleet, whose name is the same
    let elsewhere = Fleet::of(&["edge-1", "edge-2"], &[("http", http.config())]).await;
    let session = Session::open(elsewhere.nodes[0].port, HTTP).await;
    assert_eq!(ping(&session).send(fleet.nodes[1].port).await.status, 404, "its keys are others");
}
