//! Clients of the merged door that do not read, read twice, or are asked more than they answer.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sluice_tests::catalogue::Catalogue;
use sluice_tests::client::{Client, Era};
use sluice_tests::message;
use sluice_tests::raw::Raw;
use sluice_tests::server::Server;
use sluice_tests::upstream::Answer;
use sluice_tests::wait::within;
use sluice_tests::{Gateway, Session, until};

#[tokio::test]
async fn many_who_ask_for_a_large_list_and_do_not_read_it_share_it() {
    let offer = Catalogue::new("big").ttl(600_000).page(100);
    offer.change(|lists| {
        let text = "d".repeat(8 << 10);
        let tool = |n| json!({ "name": format!("t{n}"), "description": text, "inputSchema": { "type": "object" } });
        lists.tools = (0..900).map(tool).collect();
    });
    let server = Server::start(Era::Modern, &offer);
    let gateway = Gateway::with(json!({ "big": server.config() })).await;
    let client = Client::open(Era::Modern, gateway.port, "/mcp").await;
    assert_eq!(client.names("tools/list").await.len(), 900);
    let before = sluice_tests::process::peak_kib(gateway.pid());
    let body = message::modern("tools/list", 1, json!({})).to_string();
    let head = format!(
        "POST /mcp HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream\r\n\
         MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/list\r\nContent-Length: {}\r\n\r\n{body}",
        gateway.port,
        body.len()
    );
    let mut stalled = Vec::new();
    for _ in 0..40 {
        let mut raw = Raw::send(gateway.port, &head).await;
        raw.reads("HTTP/1.1 200").await;
        stalled.push(raw);
    }
    let start = Instant::now();
    assert_eq!(client.names("tools/list").await.len(), 900);
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    let after = sluice_tests::process::peak_kib(gateway.pid());
    assert!(after < before + (48 << 10), "40 readers of 7 MB: {before} KiB, then {after} KiB");
}

#[tokio::test]
async fn a_message_comes_on_one_of_two_standing_streams() {
    let servers = ["one", "two"].map(|name| Server::start(Era::Legacy, &Catalogue::new(name).tool("echo")));
    let gateway = Gateway::with(json!({ "one": servers[0].config(), "two": servers[1].config() })).await;
    let session = Session::with(gateway.port, "/mcp", json!({ "roots": {} }), None).await;
    for server in ["one", "two"] {
        assert_eq!(session.call(&format!("{server}_echo"), json!({})).await.status, 200);
    }
    let part = servers[0].calls("echo").pop().unwrap().header("mcp-session-id").unwrap().to_owned();
    let mut first = session.listen(None).await;
    let of_part = || servers[0].listeners().into_iter().find(|l| l.session == part);
    let of_first = until("the part's stream", of_part).await;
    let mut second = session.listen(None).await;
    // the newest has the part's stream, in the place of the first
    until("the first lets go", || of_first.pipe.is_closed().then_some(())).await;
    let own = until("the part's stream for the second", of_part).await;
    let note = |n: usize| message::notification("notifications/message", json!({ "level": "info", "data": n }));
    for n in 0..5 {
        assert!(own.pipe.event(&note(n)).await);
    }
    let mut seen = Vec::new();
    let start = Instant::now();
    while seen.len() < 5 && start.elapsed() < Duration::from_secs(5) {
        for stream in [&mut first, &mut second] {
            if stream.status == 200
                && let Ok(Some(event)) = tokio::time::timeout(Duration::from_millis(50), stream.event()).await
                && let Some(n) = event.message()["params"]["data"].as_u64()
            {
                seen.push(n);
            }
        }
    }
    seen.sort_unstable();
    assert_eq!(seen, [0, 1, 2, 3, 4], "each once (Transports: a message is never sent on two streams)");
}

#[tokio::test]
async fn more_questions_than_a_client_answers_are_bounded_and_each_is_answered() {
    const QUESTIONS: usize = 400;
    let server = Server::scripted(Era::Legacy, &Catalogue::new("one").tool("curious").tool("echo"), |received| {
        (received.tool() == "curious").then(|| {
            let (pipe, answer) = Answer::stream("text/event-stream");
            let id = received.message()["id"].clone();
            tokio::spawn(async move {
                for n in 0..QUESTIONS {
                    pipe.event(&json!({ "jsonrpc": "2.0", "id": n, "method": "roots/list", "params": {} })).await;
                }
                pipe.event(&message::response(&id, message::text("asked"))).await;
            });
            answer
        })
    });
    let other = Server::start(Era::Legacy, &Catalogue::new("two").tool("echo"));
    let gateway = Gateway::with(json!({ "one": server.config(), "two": other.config() })).await;
    let session = Session::with(gateway.port, "/mcp", json!({ "roots": {} }), None).await;
    let mut asked = Vec::new();
    let mut stream = session.stream("one_curious", json!({})).await;
    loop {
        let message: Value = stream.message().await;
        if message.get("result").is_some() {
            break;
        }
        asked.push(message["id"].clone());
    }
    assert_eq!(session.call("two_echo", json!({})).await.status, 200);
    let distinct: std::collections::BTreeSet<_> = asked.iter().map(Value::to_string).collect();
    assert_eq!(distinct.len(), asked.len(), "every question under an id of its own");
    for id in &asked {
        let reply = session.post(&message::response(id, json!({ "roots": [] }))).send(gateway.port).await;
        assert!([202, 400].contains(&reply.status), "{reply:?}");
    }
    let answers = || {
        let messages = server.received().into_iter().map(|r| r.message());
        messages
            .filter(|m| m.get("method").is_none() && (m.get("result").is_some() || m.get("error").is_some()))
            .count()
    };
    within(Duration::from_secs(10), "every question is answered, by the client or for it", || {
        (answers() == QUESTIONS).then_some(())
    })
    .await;
}
