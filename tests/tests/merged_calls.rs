//! What belongs to a call on the merged door: progress, cancellation, log messages. Each reaches the one server
//! concerned, and the one client.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use sluice_tests::catalogue::Catalogue;
use sluice_tests::client::{Client, ERAS, Era};
use sluice_tests::message;
use sluice_tests::peer::Peer;
use sluice_tests::server::Server;
use sluice_tests::upstream::{Answer, Pipe, Received};
use sluice_tests::{Gateway, Session, until};

/// Tells of progress when it is asked to, and logs a line, then answers.
fn chatty(name: &'static str) -> impl Fn(&Received) -> Option<Answer> + Send + Sync + 'static {
    move |received| {
        let message = received.message();
        (received.tool() == "progress").then(|| {
            let (pipe, answer) = Answer::stream("text/event-stream");
            let token = message["params"]["_meta"]["progressToken"].clone();
            tokio::spawn(async move {
                for step in 1..=3 {
                    let params = json!({ "progressToken": token, "progress": step, "total": 3, "message": name });
                    pipe.event(&message::notification("notifications/progress", params)).await;
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                let params = json!({ "level": "info", "logger": name, "data": { "progressToken": "no token" } });
                pipe.event(&message::notification("notifications/message", params)).await;
                pipe.event(&message::response(&message["id"], message::text(name))).await;
            });
            answer
        })
    }
}

async fn two(era: Era) -> (Gateway, [Server; 2]) {
    let offer = |name| Catalogue::new(name).tool("progress").tool("hang").tool("echo");
    let servers = ["left", "right"].map(|name| Server::scripted(era, &offer(name), chatty(name)));
    let entries = json!({ "left": servers[0].config(), "right": servers[1].config() });
    (Gateway::with(entries).await, servers)
}

#[tokio::test]
async fn progress_of_concurrent_calls_comes_with_the_token_of_each() {
    for era in ERAS {
        let (gateway, _servers) = two(era).await;
        let client = Client::open(era, gateway.port, "/mcp").await;
        let tokens = [json!(1), json!("1"), json!("left-1"), json!(0)];
        let mut streams = Vec::new();
        for (token, server) in tokens.iter().zip(["left", "right", "right", "left"]) {
            let params =
                json!({ "name": format!("{server}_progress"), "arguments": {}, "_meta": { "progressToken": token } });
            streams.push((token, server, client.prepare("tools/call", params).open(gateway.port).await));
        }
        for (token, server, mut stream) in streams {
            for step in 1..=3 {
                let got = stream.message().await;
                let expected = json!({ "progressToken": token, "progress": step, "total": 3, "message": server });
                assert_eq!(got["params"], expected, "{era:?}");
            }
            let logged = stream.message().await;
            assert_eq!(logged["params"]["logger"], server, "{era:?} {logged}");
            assert_eq!(logged["params"]["data"], json!({ "progressToken": "no token" }), "{era:?}");
            assert_eq!(stream.message().await["result"]["content"][0]["text"], server, "{era:?}");
        }
    }
}

#[tokio::test]
async fn a_cancellation_reaches_the_one_server_that_has_the_request() {
    let (gateway, servers) = two(Era::Legacy).await;
    let session = Session::open(gateway.port, "/mcp").await;
    let other = Session::open(gateway.port, "/mcp").await;
    let port = gateway.port;
    let mut waiting = Vec::new();
    // The same id in two sessions, and two ids in one.
    for (session, tool, id) in [(&session, "left_hang", 7), (&session, "right_hang", 8), (&other, "left_hang", 7)] {
        let call = session.post(&message::call(tool, id, json!({})));
        waiting.push(tokio::spawn(async move { call.try_send(port).await }));
    }
    until("the calls", || (servers[0].calls("hang").len() == 2 && servers[1].calls("hang").len() == 1).then_some(()))
        .await;
    session.notify("notifications/cancelled", json!({ "requestId": 7, "reason": "bored" })).await;
    let cancelled = servers[0].receives("the cancellation", |r| r.method() == "notifications/cancelled").await;
    let mine = cancelled.header("mcp-session-id").unwrap().to_owned();
    let called =
        servers[0].calls("hang").into_iter().find(|r| r.header("mcp-session-id") == Some(mine.as_str())).unwrap();
    assert_eq!(cancelled.message()["params"], json!({ "requestId": called.message()["id"], "reason": "bored" }));
    // An id that nobody uses, and one that is in use elsewhere, cancel nothing.
    session.notify("notifications/cancelled", json!({ "requestId": 99 })).await;
    other.notify("notifications/cancelled", json!({ "requestId": 8 })).await;
    assert_eq!(session.call("left_echo", json!({})).await.status, 200);
    assert_eq!(session.call("right_echo", json!({})).await.status, 200);
    let after = |server: &Server| server.got("notifications/cancelled").len();
    assert_eq!((after(&servers[0]), after(&servers[1])), (1, 0), "only the one");
    let first = waiting.remove(0);
    let answer = tokio::time::timeout(Duration::from_secs(5), first).await;
    if let Ok(Ok(Some(reply))) = &answer {
        assert!(!reply.text().contains("\"result\"") && !reply.text().contains("\"error\""), "no answer: {reply:?}");
    }
    assert!(waiting.iter().all(|call| !call.is_finished()), "the other calls go on");
    waiting.into_iter().for_each(|call| call.abort());
}

#[tokio::test]
async fn a_cancellation_among_stdio_servers_ends_one_request_of_one_child() {
    let peers = [Peer::new("legacy"), Peer::new("legacy")];
    let gateway = Gateway::with(json!({ "left": peers[0].config(), "right": peers[1].config() })).await;
    let sessions = [Session::open(gateway.port, "/mcp").await, Session::open(gateway.port, "/mcp").await];
    let port = gateway.port;
    let mut waiting = Vec::new();
    for (session, server) in [(0, "left"), (1, "left"), (0, "right")] {
        let call = sessions[session].post(&message::call(
            &format!("{server}_hang"),
            7 + i64::from(server == "right"),
            json!({}),
        ));
        waiting.push(tokio::spawn(async move { call.send_patiently(port).await }));
        until("the call", || {
            (peers.iter().map(|p| p.got("tools/call").len()).sum::<usize>() == waiting.len()).then_some(())
        })
        .await;
    }
    sessions[0].notify("notifications/cancelled", json!({ "requestId": 7 })).await;
    let cancelled = until("the cancellation", || peers[0].got("notifications/cancelled").pop()).await;
    assert_eq!(cancelled["params"]["requestId"], peers[0].got("tools/call")[0]["id"]);
    for server in ["left", "right"] {
        assert_eq!(sessions[1].call(&format!("{server}_release"), json!({})).await.status, 200);
    }
    for (call, id) in waiting.split_off(1).into_iter().zip([7, 8]) {
        let reply = call.await.unwrap();
        assert_eq!((&reply.rpc()["id"], &reply.result()["content"][0]["text"]), (&json!(id), &json!("released")));
    }
    assert!(peers[1].got("notifications/cancelled").is_empty());
    waiting.remove(0).abort();
}

#[tokio::test]
async fn leaving_a_modern_call_ends_it_at_its_server_only() {
    let pipes: Arc<Mutex<Vec<(&'static str, Pipe)>>> = Arc::default();
    let servers = ["left", "right"].map(|name| {
        let kept = Arc::clone(&pipes);
        Server::scripted(Era::Modern, &Catalogue::new(name).tool("long"), move |received| {
            (received.tool() == "long").then(|| {
                let (pipe, answer) = Answer::stream("text/event-stream");
                let started = pipe.clone();
                tokio::spawn(async move {
                    started.event(&message::notification("notifications/progress", json!({}))).await
                });
                kept.lock().unwrap().push((name, pipe));
                answer
            })
        })
    });
    let gateway = Gateway::with(json!({ "left": servers[0].config(), "right": servers[1].config() })).await;
    let client = Client::open(Era::Modern, gateway.port, "/mcp").await;
    let call = |name: &str| client.prepare("tools/call", json!({ "name": name, "arguments": {} }));
    let left = call("left_long").open(gateway.port).await;
    let _right = call("right_long").open(gateway.port).await;
    let pipe = |name: &str| pipes.lock().unwrap().iter().find(|(own, _)| *own == name).map(|(_, pipe)| pipe.clone());
    let (one, two) = (until("left", || pipe("left")).await, until("right", || pipe("right")).await);
    drop(left);
    until("the call is ended at its server", || one.is_closed().then_some(())).await;
    assert!(!two.is_closed(), "the other goes on");
}

#[tokio::test]
async fn the_log_level_is_told_to_open_servers_and_to_those_opened_later() {
    let (gateway, servers) = two(Era::Legacy).await;
    let session = Session::with(gateway.port, "/mcp", json!({ "roots": {} }), None).await;
    assert_eq!(session.call("left_echo", json!({})).await.status, 200);
    assert_eq!(session.request("logging/setLevel", json!({ "level": "debug" })).await.result(), json!({}));
    let part = |server: &Server| server.calls("echo").pop().unwrap().header("mcp-session-id").unwrap().to_owned();
    let told = |server: &Server, part: &str| {
        let all = server.got("logging/setLevel").into_iter().filter(|r| r.header("mcp-session-id") == Some(part));
        all.map(|r| r.message()["params"]["level"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(told(&servers[0], &part(&servers[0])), ["debug"]);
    assert_eq!(session.call("right_echo", json!({})).await.status, 200);
    let late = part(&servers[1]);
    until("the level is told to the server opened later", || (told(&servers[1], &late) == ["debug"]).then_some(()))
        .await;
    let wrong = session.request("logging/setLevel", json!({ "level": "shout" })).await;
    assert!(wrong.code().is_none_or(|code| code == -32602), "{wrong:?}");
}

#[tokio::test]
async fn log_messages_of_every_server_arrive_on_the_standing_stream() {
    let (gateway, servers) = two(Era::Legacy).await;
    let session = Session::with(gateway.port, "/mcp", json!({ "roots": {} }), None).await;
    let mut stream = session.listen(None).await;
    for (server, name) in servers.iter().zip(["left", "right"]) {
        assert_eq!(session.call(&format!("{name}_echo"), json!({})).await.status, 200);
        let part = server.calls("echo").pop().unwrap().header("mcp-session-id").unwrap().to_owned();
        let own = until("the stream of the part", || server.listeners().into_iter().find(|l| l.session == part)).await;
        let params = json!({ "level": "warning", "logger": name, "data": ["x", { "uri": "file:///a" }] });
        own.pipe.event(&message::notification("notifications/message", params.clone())).await;
        let got: Value = stream.message().await;
        assert_eq!((&got["method"], &got["params"]), (&json!("notifications/message"), &params));
    }
}
