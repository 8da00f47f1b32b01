//! Streams of the merged door that break: resumed at the one server they came from, for their own session only, and what
//! is resumed is rewritten as it would have been.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::time::Duration;

use serde_json::{Value, json};
use sluice_tests::catalogue::Catalogue;
use sluice_tests::client::Era;
use sluice_tests::message;
use sluice_tests::server::Server;
use sluice_tests::upstream::{Answer, Received};
use sluice_tests::{Call, Gateway, Session, until, wait};

fn note(n: usize) -> Value {
    message::notification("notifications/message", json!({ "level": "info", "data": n }))
}

/// A tool whose stream ends after one numbered message; the result, a link, comes on resumption.
fn breaks(name: &'static str) -> impl Fn(&Received) -> Option<Answer> + Send + Sync + 'static {
    move |received| {
        if received.tool() == "poll" {
            return Some(Answer::events(format!(
                "id: {name}-0\nretry: 77\ndata: \n\nid: {name}-1\ndata: {}\n\n",
                note(1)
            )));
        }
        (received.verb == "GET" && received.header("last-event-id").is_some_and(|id| id.starts_with(name))).then(|| {
            let link = json!({ "content": [{ "type": "resource_link", "uri": "file:///r000", "name": name }] });
            let result = message::response(&json!(1), link);
            Answer::events(format!("id: {name}-2\ndata: {}\n\nid: {name}-3\ndata: {result}\n\n", note(2)))
        })
    }
}

async fn two() -> (Gateway, [Server; 2]) {
    let offer = |name| Catalogue::new(name).tool("poll").tool("echo").resources(1);
    let servers = ["left", "right"].map(|name| Server::scripted(Era::Legacy, &offer(name), breaks(name)));
    let entries = json!({ "left": servers[0].config(), "right": servers[1].config() });
    (Gateway::with(entries).await, servers)
}

#[tokio::test]
async fn a_broken_call_is_resumed_at_its_own_server() {
    let (gateway, servers) = two().await;
    for (at, name) in ["left", "right"].into_iter().enumerate() {
        let session = Session::open(gateway.port, "/mcp").await;
        let mut stream = session.stream(&format!("{name}_poll"), json!({})).await;
        let first = stream.next().await;
        let id = first.id.expect("a resumable event has an id");
        assert!(!id.contains(&format!("{name}-1")), "sealed: {id}");
        assert!(stream.event().await.is_none());
        let other = Session::open(gateway.port, "/mcp").await;
        let stolen = other.dressed(Call::get("/mcp")).header("last-event-id", &id).send(gateway.port).await;
        assert_eq!(stolen.verdict(), (400, Some(-32600)), "{stolen:?}");
        let mut resumed = session.listen(Some(&id)).await;
        assert_eq!(resumed.status, 200);
        assert_eq!(resumed.message().await["params"]["data"], 2);
        let last = resumed.message().await;
        assert_eq!(last["id"], 1, "{last}");
        let link = last["result"]["content"][0]["uri"].as_str().unwrap().to_owned();
        let read = session.request("resources/read", json!({ "uri": link })).await.result();
        assert!(read["contents"][0]["text"].as_str().unwrap().contains(name), "{name}: {link} leads to {read}");
        let asked = |n: usize| {
            servers[n].received().iter().any(|r| r.header("last-event-id").is_some_and(|id| id == format!("{name}-1")))
        };
        assert!(asked(at) && !asked(1 - at), "the server it came from, and only it");
    }
}

/// As a direct client would: some servers answer on whichever stream of the session is open.
#[tokio::test]
async fn an_answer_on_the_standing_stream_reaches_the_client_whose_request_its_server_has() {
    let (gateway, servers) = two().await;
    let session = Session::with(gateway.port, "/mcp", json!({ "roots": {} }), None).await;
    let mut standing = session.listen(None).await;
    for name in ["left", "right"] {
        assert_eq!(session.call(&format!("{name}_echo"), json!({})).await.status, 200);
    }
    let parts = servers.each_ref().map(|s| s.calls("echo").pop().unwrap().header("mcp-session-id").unwrap().to_owned());
    let mut broken = session.stream("left_poll", json!({})).await;
    broken.next().await;
    assert!(broken.event().await.is_none(), "the call goes on elsewhere");
    let id = servers[0].calls("poll").pop().unwrap().message()["id"].clone();
    let part = |n: usize| {
        let (server, part) = (&servers[n], &parts[n]);
        until("the part's stream", move || server.listeners().into_iter().rfind(|l| l.session == *part))
    };
    let (left, right) = (part(0).await, part(1).await);
    let result = |text: &str| json!({ "content": [{ "type": "text", "text": text }] });
    // nobody asked the right server for this, and nobody asked anything under the other id
    assert!(right.pipe.event(&message::response(&id, result("of another"))).await);
    assert!(right.pipe.event(&message::response(&json!(4711), result("of nobody"))).await);
    assert!(right.pipe.event(&note(1)).await);
    assert_eq!(standing.message().await["params"]["data"], 1, "what is not owed is not passed on");
    assert!(left.pipe.event(&message::response(&id, result("late"))).await);
    let answer = standing.message().await;
    assert_eq!((&answer["id"], &answer["result"]["content"][0]["text"]), (&id, &json!("late")));
    // once
    assert!(left.pipe.event(&message::response(&id, result("again"))).await);
    assert!(left.pipe.event(&note(2)).await);
    assert_eq!(standing.message().await["params"]["data"], 2);
}

#[tokio::test]
async fn a_standing_stream_that_is_opened_again_goes_on_with_all_servers() {
    let (gateway, servers) = two().await;
    let session = Session::with(gateway.port, "/mcp", json!({ "roots": {} }), None).await;
    for name in ["left", "right"] {
        assert_eq!(session.call(&format!("{name}_echo"), json!({})).await.status, 200);
    }
    let parts = servers.each_ref().map(|s| s.calls("echo").pop().unwrap().header("mcp-session-id").unwrap().to_owned());
    for round in 0..3 {
        let mut stream = session.listen(None).await;
        assert_eq!(stream.status, 200, "round {round}");
        for (n, (server, part)) in servers.iter().zip(&parts).enumerate() {
            let own = until("the stream of the part", || server.listeners().into_iter().rfind(|l| l.session == *part));
            assert!(own.await.pipe.event(&note(n)).await);
            assert_eq!(stream.message().await["params"]["data"], n, "round {round}");
        }
        drop(stream);
        for (server, part) in servers.iter().zip(&parts) {
            until("the part's stream is closed with the client's", || {
                (!server.listeners().iter().any(|l| l.session == *part)).then_some(())
            })
            .await;
        }
    }
}

#[tokio::test]
async fn a_part_whose_stream_breaks_joins_again_and_the_other_is_not_interrupted() {
    let (gateway, servers) = two().await;
    let session = Session::with(gateway.port, "/mcp", json!({ "roots": {} }), None).await;
    for name in ["left", "right"] {
        assert_eq!(session.call(&format!("{name}_echo"), json!({})).await.status, 200);
    }
    let mut stream = session.listen(None).await;
    let parts = servers.each_ref().map(|s| s.calls("echo").pop().unwrap().header("mcp-session-id").unwrap().to_owned());
    let part = |n: usize| servers[n].listeners().into_iter().rfind(|l| l.session == parts[n]);
    let (left, right) = (until("left", || part(0)).await, until("right", || part(1)).await);
    left.pipe.cut().await;
    drop(left);
    assert!(right.pipe.event(&note(7)).await);
    assert_eq!(stream.message().await["params"]["data"], 7);
    let again = until("the stream is opened again", || part(0)).await;
    assert!(again.pipe.event(&note(8)).await);
    assert_eq!(stream.message().await["params"]["data"], 8);
}

#[tokio::test]
async fn messages_of_a_part_wait_for_a_reader_that_is_slow_and_none_is_lost() {
    let (gateway, servers) = two().await;
    let session = Session::with(gateway.port, "/mcp", json!({ "roots": {} }), None).await;
    for name in ["left", "right"] {
        assert_eq!(session.call(&format!("{name}_echo"), json!({})).await.status, 200);
    }
    let mut stream = session.listen(None).await;
    let parts = servers.each_ref().map(|s| s.calls("echo").pop().unwrap().header("mcp-session-id").unwrap().to_owned());
    let mut senders = Vec::new();
    for (n, server) in servers.iter().enumerate() {
        let own = until("the part's stream", || server.listeners().into_iter().rfind(|l| l.session == parts[n])).await;
        senders.push(tokio::spawn(async move {
            let filler = "z".repeat(10_000);
            for count in 0..500 {
                let params = json!({ "level": "info", "logger": n.to_string(), "data": [count, filler] });
                assert!(own.pipe.event(&message::notification("notifications/message", params)).await);
            }
        }));
    }
    wait::pass(Duration::from_millis(500)).await;
    let mut next = [0, 0];
    while next != [500, 500] {
        let got = stream.message().await;
        let n: usize = got["params"]["logger"].as_str().unwrap().parse().unwrap();
        assert_eq!(got["params"]["data"][0], next[n], "in order, none missing");
        next[n] += 1;
    }
    for sender in senders {
        sender.await.unwrap();
    }
}
