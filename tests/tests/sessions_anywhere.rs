//! What goes on inside a session does not care which gateway it goes through: resumption, questions, cancellation, answers.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use redis::cmd;
use rustix::process::Signal;
use serde_json::{Value, json};
use sluice_tests::catalogue::Catalogue;
use sluice_tests::client::Era;
use sluice_tests::message;
use sluice_tests::server::Server;
use sluice_tests::upstream::{Answer, Legacy, Received};
use sluice_tests::{ControlPlane, Gateway, Node, Redis, Session, until, wait};

const PATH: &str = "/servers/one/mcp";

async fn two(redis: &Redis, servers: Value) -> [Gateway; 2] {
    let config = json!({ "servers": servers });
    [redis.gateway(&config).await, redis.gateway(&config).await]
}

fn everything() -> Value {
    json!({ "sampling": {}, "elicitation": { "form": {}, "url": {} }, "roots": { "listChanged": true } })
}

/// A tool that sends one numbered message and loses the connection; the rest comes on resumption.
fn numbered(received: &Received) -> Option<Answer> {
    let note = |n: usize| message::notification("notifications/message", json!({ "level": "info", "data": n }));
    if received.tool() == "poll" {
        return Some(Answer::events(format!("id: srv-0\nretry: 77\ndata: \n\nid: srv-1\ndata: {}\n\n", note(1))));
    }
    (received.verb == "GET" && received.header("last-event-id").is_some()).then(|| {
        let result = message::response(&json!(1), message::text("resumed"));
        Answer::events(format!("id: srv-2\ndata: {}\n\nid: srv-3\ndata: {result}\n\n", note(2)))
    })
}

#[tokio::test]
async fn a_stream_is_resumed_at_another_gateway_after_its_own_was_killed() {
    let (server, redis) = (Legacy::scripted(numbered), Redis::start().await);
    let [mut here, there] = two(&redis, json!({ "one": server.config() })).await;
    let session = Session::open(here.port, PATH).await;
    let mut stream = session.stream("poll", json!({})).await;
    assert_eq!(stream.event().await.unwrap().data.as_deref(), Some(""), "primed");
    let first = stream.next().await;
    assert_eq!(first.message()["params"]["data"], 1);
    here.signal(Signal::KILL);
    here.ended().await;
    let mut stream = session.at(there.port).listen(first.id.as_deref()).await;
    assert_eq!((stream.status, stream.next().await.message()["params"]["data"].clone()), (200, json!(2)));
    assert_eq!(stream.next().await.message()["result"]["content"][0]["text"], "resumed");
    assert_eq!(server.verbs("GET")[0].header("last-event-id"), Some("srv-1"));
    let mut forged = first.id.unwrap();
    forged.replace_range(4..5, if &forged[4..5] == "A" { "B" } else { "A" });
    assert_eq!(session.at(there.port).listen(Some(&forged)).await.status, 400);
}

#[tokio::test]
async fn a_question_is_answered_through_another_gateway() {
    let offer = |name| Catalogue::new(name).tool("ask").tool("echo");
    let servers = ["left", "right"].map(|name| Server::start(Era::Legacy, &offer(name)));
    let redis = Redis::start().await;
    let [here, there] = two(&redis, json!({ "left": servers[0].config(), "right": servers[1].config() })).await;
    for (path, tools) in [("/mcp", ["left_ask", "right_ask"]), ("/servers/left/mcp", ["ask", "ask"])] {
        let session = Session::with(here.port, path, everything(), None).await;
        let other = session.at(there.port);
        let ask = json!({ "id": 1, "method": "elicitation/create", "params": { "message": "m", "maxTokens": 1 } });
        for tool in tools {
            let mut stream = session.stream(tool, ask.clone()).await;
            let question = stream.message().await;
            assert_eq!(question["method"], "elicitation/create", "{path} {question}");
            other.answer(&question["id"], json!({ "for": tool })).await;
            let said = stream.message().await["result"]["content"][0]["text"].as_str().unwrap().to_owned();
            assert_eq!(serde_json::from_str::<Value>(&said).unwrap()["answer"], json!({ "for": tool }), "{path}");
        }
    }
}

#[tokio::test]
async fn a_cancellation_reaches_the_server_through_another_gateway() {
    let servers = ["left", "right"].map(|name| Server::start(Era::Legacy, &Catalogue::new(name).tool("hang")));
    let redis = Redis::start().await;
    let [here, there] = two(&redis, json!({ "left": servers[0].config(), "right": servers[1].config() })).await;
    for (path, tool) in [("/mcp", "left_hang"), ("/servers/left/mcp", "hang")] {
        let session = Session::open(here.port, path).await;
        let call = json!({ "jsonrpc": "2.0", "id": path, "method": "tools/call", "params": { "name": tool } });
        let (call, port) = (session.post(&call), here.port);
        let waiting = tokio::spawn(async move { call.try_send(port).await });
        let is_it = |received: &Received| received.tool() == "hang" && received.message()["id"] == path;
        let called = servers[0].receives("the call", is_it).await;
        let other = session.at(there.port);
        other.notify("notifications/cancelled", json!({ "requestId": path, "reason": "bored" })).await;
        let is_it =
            |r: &Received| r.method() == "notifications/cancelled" && r.message()["params"]["requestId"] == path;
        let cancelled = servers[0].receives("the cancellation", is_it).await;
        assert_eq!(cancelled.header("mcp-session-id"), called.header("mcp-session-id"), "{path}");
        waiting.abort();
    }
}

#[tokio::test]
async fn answers_are_not_crossed_though_all_clients_use_the_same_id() {
    let (server, redis) = (Legacy::start(), Redis::start().await);
    let gateways = two(&redis, json!({ "one": server.config() })).await;
    let sessions = join_all((0..100).map(|n| Session::open(gateways[n % 2].port, PATH))).await;
    for round in 0..4 {
        let calls = sessions.iter().enumerate().map(|(n, session)| {
            let (mark, port) = (format!("{round}-{n}"), gateways[(n + round) % 2].port);
            let call = session.post(&message::call("echo", 1, json!({ "mark": mark })));
            async move { (call.send(port).await, json!({ "mark": mark }).to_string()) }
        });
        for (reply, mark) in join_all(calls).await {
            assert_eq!(reply.result()["content"][0]["text"], mark, "{reply:?}");
        }
    }
}

#[tokio::test]
async fn open_streams_are_open_again_within_two_seconds_of_a_kill() {
    let (server, redis) = (Legacy::start(), Redis::start().await);
    let [mut here, there] = two(&redis, json!({ "one": server.config() })).await;
    let sessions = join_all((0..100).map(|_| Session::open(here.port, PATH))).await;
    let mut streams = join_all(sessions.iter().map(|session| session.listen(None))).await;
    assert!(streams.iter().all(|stream| stream.status == 200));
    here.signal(Signal::KILL);
    let killed = Instant::now();
    join_all(streams.iter_mut().map(async |stream| while stream.bytes().await.is_some() {})).await;
    let again = sessions.iter().map(|session| session.at(there.port)).collect::<Vec<_>>();
    let opened = join_all(again.iter().map(|session| session.listen(None))).await;
    assert!(opened.iter().all(|stream| stream.status == 200));
    assert!(killed.elapsed() < Duration::from_secs(2), "{:?}", killed.elapsed());
    here.ended().await;
}

#[tokio::test]
async fn nodes_of_a_fleet_share_sessions_and_the_configuration_says_where() {
    let (server, redis) = (Legacy::start(), Redis::start().await);
    let control = ControlPlane::empty().await;
    let apply = |config: Value| {
        let output = control.sluice_fed(&config.to_string(), &["apply", "-f", "-"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let config = |sessions: Value| json!({ "servers": { "one": server.config() }, "proxy": { "sessions": sessions } });
    apply(config(json!({ "store": "redis", "url": redis.url() })));
    let mut nodes = Vec::new();
    for name in ["a", "b"] {
        // with the session keys that their control plane gives them
        nodes.push(Node::of(&control, name, &[]).await.ready().await);
    }
    let sessions = join_all((0..50).map(|_| Session::open(nodes[0].port, PATH))).await;
    nodes[0].kill().await;
    let there = sessions.iter().map(|session| session.at(nodes[1].port)).collect::<Vec<_>>();
    let replies = join_all(there.iter().map(|session| session.call("echo", json!({})))).await;
    assert!(replies.iter().all(|reply| reply.status == 200), "{replies:?}");
    assert_eq!(server.got("initialize").len(), 50);
    nodes[0].again();
    nodes[0].is_ready().await;
    assert_eq!(sessions[0].call("echo", json!({})).await.status, 200, "and again at the first");
    // a user who may touch nothing but what is ours
    let mut user = cmd("ACL");
    let rights = ["on", ">canary-password", "~sluice:*", "+@connection", "+@read", "+@write", "+eval"];
    user.arg("SETUSER").arg("sluice").arg(&rights);
    redis.ask::<String>(&user).await;
    let url = format!("redis://sluice:canary-password@127.0.0.1:{}", redis.port);
    apply(config(json!({ "store": "redis", "url": url })));
    for node in &mut nodes {
        let name = format!("\"node\":\"{}\"", node.name);
        let is_told = |line: &str| line.contains(&name) && line.contains("when the node is started again");
        until("it is told", || control.log().lines().any(is_told).then_some(())).await;
        node.kill().await;
        node.again();
        node.is_ready().await;
        let session = sessions[1].at(node.port);
        wait::becomes(wait::SOON, "sessions", async || session.call("echo", json!({})).await.status, |s| *s == 200)
            .await;
        assert!(!node.log().contains("canary"), "{}", node.log());
    }
    until("nothing was opened again", || (server.got("initialize").len() == 50).then_some(())).await;
}

#[tokio::test]
async fn that_lists_may_have_changed_is_told_by_whichever_gateway_opens_the_next_stream_and_once() {
    let (server, redis) = (Server::start(Era::Legacy, &Catalogue::new("one").tools(2)), Redis::start().await);
    let [here, there] = two(&redis, json!({ "one": server.config() })).await;
    for (path, tool) in [(PATH, "tool-000"), ("/mcp", "one_tool-000")] {
        let session = Session::open(here.port, path).await;
        assert_eq!(session.call(tool, json!({})).await.status, 200);
        server.forget();
        // renewed here, or there; told there, or here
        for (renewed_at, opened_at) in [(&here, &there), (&there, &here), (&here, &here)] {
            server.forget();
            assert_eq!(session.at(renewed_at.port).call(tool, json!({})).await.status, 200, "{path}");
            let mut stream = session.at(opened_at.port).listen(None).await;
            assert_eq!(stream.message().await["method"], "notifications/tools/list_changed", "{path}");
        }
        let mut stream = session.at(there.port).listen(None).await;
        let said = json!({ "level": "info", "data": path });
        // until the stream is open at the server as well
        let speaking = wait::throughout(wait::SOON, Duration::from_millis(50), async || {
            server.tell("notifications/message", said.clone(), |_| true).await;
        });
        let first = tokio::select! { first = stream.message() => first, () = speaking => Value::Null };
        assert_eq!(first["method"], "notifications/message", "{path}");
        session.delete().await;
    }
}
