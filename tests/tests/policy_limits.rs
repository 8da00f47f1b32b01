//! Limits that policies set for each client and each tool: never more than that, and given back once.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use serde_json::{Value, json};
use sluice_tests::catalogue::Catalogue;
use sluice_tests::client::{Client, Era};
use sluice_tests::gateway::Start;
use sluice_tests::server::Server;
use sluice_tests::websocket::Socket;
use sluice_tests::{Call, Gateway, Reply, message, until, wait};

const ALICE: &str = "alice-key-0123456789abcdef";
const BOB: &str = "bob-key-0123456789abcdef";
/// Clients at a time.
const CLIENTS: i64 = 16;

async fn house(limit: Value) -> (Server, Gateway) {
    let offer = Catalogue::new("one").tools(2).tool("hang");
    let server = Server::start(Era::Modern, &offer);
    let config = json!({
        "servers": { "one": server.config() },
        "clients": { "alice": { "api_key": ALICE }, "bob": { "api_key": BOB } },
        "policies": { "all": { "who": ["client:*"], "allow": [{}], "limit": limit } },
    });
    (server, Start::new(config).ready().await)
}

fn call(door: &str, tool: &str, id: i64) -> Call {
    let prefix = if door == "/mcp" { "one_" } else { "" };
    Call::modern(door, "tools/call", id, json!({ "name": format!("{prefix}{tool}"), "arguments": {} }))
}

/// So many calls at once; their answers.
async fn storm(port: u16, calls: impl Iterator<Item = Call>) -> Vec<Reply> {
    let sent: Vec<_> = calls.map(|call| tokio::spawn(async move { call.send(port).await })).collect();
    let mut replies = Vec::new();
    for reply in sent {
        replies.push(reply.await.unwrap());
    }
    replies
}

const DOORS: [&str; 2] = ["/mcp", "/servers/one/mcp"];

#[tokio::test]
async fn a_minute_has_as_many_calls_as_it_says_and_the_rest_is_told_when_to_come_back() {
    for door in DOORS {
        let (server, gateway) = house(json!([{ "requests_per_minute": 5 }])).await;
        let mut sent = 0;
        for _ in 0..3 {
            let replies = storm(gateway.port, (0..CLIENTS).map(|id| call(door, "tool-000", id).key(ALICE))).await;
            sent += replies.iter().filter(|reply| reply.status == 200).count();
            for refused in replies.iter().filter(|reply| reply.status != 200) {
                assert_eq!(refused.status, 429, "{door}: {refused:?}");
                let seconds: u64 = refused.header("retry-after").unwrap().parse().unwrap();
                let wait = refused.rpc()["error"]["data"]["retryAfterMs"].as_u64().unwrap();
                // clocks of requests that came together differ by a little
                assert!((1..=13_000).contains(&wait) && seconds == wait.div_ceil(1_000), "{door}: {refused:?}");
            }
        }
        assert_eq!(sent, 5, "{door}: a slow machine gets no sixth in twelve seconds");
        assert_eq!(server.calls("tool-000").len(), 5);
        assert_eq!(call(door, "tool-000", 1).key(BOB).send(gateway.port).await.status, 200, "bob has his own");
        let list = Call::modern(door, "tools/list", 1, json!({})).key(ALICE).send(gateway.port).await;
        assert_eq!(list.status, 200, "only calls are counted");
        let denied = gateway.metric("sluice_policy_denials_total", &["reason=\"rate_limited\""]).await;
        assert_eq!(denied, (3 * CLIENTS - 5) as f64);
        gateway.logged("\"rule\":\"policies.all.limit[0]\"").await;
    }
}

#[tokio::test]
async fn each_tool_can_have_a_limit_of_its_own() {
    let (server, gateway) = house(json!([{ "tools": ["tool-*"], "per": "tool", "requests_per_minute": 2 }])).await;
    for tool in ["tool-000", "tool-001"] {
        let replies = storm(gateway.port, (0..CLIENTS).map(|id| call("/mcp", tool, id).key(ALICE))).await;
        assert_eq!(replies.iter().filter(|reply| reply.status == 200).count(), 2);
        assert_eq!(server.calls(tool).len(), 2);
    }
}

#[tokio::test]
async fn so_many_at_a_time_are_never_more_and_come_back_when_a_client_goes() {
    for door in DOORS {
        let (server, gateway) = house(json!([{ "concurrent_requests": 4 }])).await;
        let port = gateway.port;
        let waiting: Vec<_> = (0..CLIENTS)
            .map(|id| tokio::spawn(async move { call(door, "hang", id).key(ALICE).try_send(port).await }))
            .collect();
        // those that are refused are answered; the others wait for ever
        until("all but four are refused", || {
            (waiting.iter().filter(|task| task.is_finished()).count() == 12).then_some(())
        })
        .await;
        until("four are at the server", || (server.calls("hang").len() == 4).then_some(())).await;
        let other = call(door, "tool-000", 1).key(ALICE).send(port).await;
        assert_eq!(other.verdict(), (429, Some(-32603)), "{door}: {other:?}");
        assert!(other.header("retry-after").is_some());
        assert_eq!(call(door, "tool-000", 1).key(BOB).send(port).await.status, 200);
        let mut open = Vec::new();
        for task in waiting {
            if task.is_finished() {
                assert_eq!(task.await.unwrap().unwrap().status, 429);
            } else {
                open.push(task);
            }
        }
        // two clients go away: there are two places, not one more
        open.drain(..2).for_each(|task| task.abort());
        let status = async || call(door, "tool-000", 1).key(ALICE).send(port).await.status;
        let what = format!("{door}: the places are given back");
        wait::becomes(wait::SOON, &what, status, |status| *status == 200).await;
        let more: Vec<_> = (0..CLIENTS)
            .map(|id| tokio::spawn(async move { call(door, "hang", 100 + id).key(ALICE).try_send(port).await }))
            .collect();
        until("all but two are refused", || (more.iter().filter(|t| t.is_finished()).count() == 14).then_some(()))
            .await;
        until("six were at the server", || (server.calls("hang").len() == 6).then_some(())).await;
        more.iter().chain(&open).for_each(tokio::task::JoinHandle::abort);
        let start = std::time::Instant::now();
        loop {
            let replies = storm(port, (0..4).map(|id| call(door, "tool-001", id).key(ALICE))).await;
            if replies.iter().all(|reply| reply.status == 200) {
                break;
            }
            assert!(start.elapsed() < std::time::Duration::from_secs(10), "{door}: not all came back");
        }
    }
}

#[tokio::test]
async fn on_a_pipe_the_answer_alone_says_it() {
    let offer = Catalogue::new("one").tools(1);
    let server = Server::start(Era::Legacy, &offer);
    let config = json!({
        "servers": { "one": server.config() },
        "clients": { "alice": { "api_key": ALICE } },
        "policies": { "all": { "who": ["everybody"], "allow": [{}], "limit": [{ "requests_per_minute": 1 }] } },
    });
    let gateway = Start::new(config).ready().await;
    let mut socket = Socket::with(gateway.port, "/ws", &format!("Authorization: Bearer {ALICE}\r\n")).await;
    socket.initialize(json!({})).await;
    socket.send(&message::call("one_tool-000", 1, json!({}))).await;
    assert!(socket.answer(&json!(1)).await.0["result"].is_object());
    socket.send(&message::call("one_tool-000", 2, json!({}))).await;
    let refused = socket.answer(&json!(2)).await.0;
    assert!(refused["error"]["data"]["retryAfterMs"].as_u64().is_some_and(|wait| wait > 1_000), "{refused}");
    let client = Client::with(Era::Legacy, gateway.port, "/mcp", Some(ALICE)).await;
    assert_eq!(client.call("one_tool-000", json!({})).await.status, 429, "one count for all doors");
}
