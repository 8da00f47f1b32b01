//! A thousand clients that all choose the same ids: nobody gets what is somebody else's.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use serde_json::{Value, json};
use sluice_tests::gateway::Start;
use sluice_tests::message;
use sluice_tests::peer::Peer;
use sluice_tests::upstream::{Legacy, Modern};
use sluice_tests::{Call, Gateway, Session};

const CLIENTS: usize = 1000;
const PATH: &str = "/servers/one/mcp";

/// The ids everybody uses. Servers and clients must be able to tell a number from a string.
fn id(n: usize) -> Value {
    [json!(1), json!("1"), json!(9_007_199_254_740_992_i64)][n % 3].clone()
}

fn body(n: usize, tool: &str, modern: bool) -> Value {
    let mut params = json!({ "name": tool, "arguments": { "mark": n }, "_meta": { "progressToken": 1 } });
    if modern {
        params["_meta"].as_object_mut().unwrap().extend(message::meta().as_object().unwrap().clone());
    }
    json!({ "jsonrpc": "2.0", "id": id(n), "method": "tools/call", "params": params })
}

/// Sends all of them at once; every answer must be the sender's own.
async fn nobody_gets_anothers(gateway: &Gateway, calls: Vec<Call>) {
    let mut answers: FuturesUnordered<_> =
        calls.iter().enumerate().map(|(n, call)| async move { (n, call.send_patiently(gateway.port).await) }).collect();
    let mut count = 0;
    while let Some((n, reply)) = answers.next().await {
        assert_eq!(reply.status, 200, "{n}: {reply:?}");
        let answer = reply.rpc();
        assert_eq!(answer["id"], id(n), "{n}");
        let own: Value = serde_json::from_str(answer["result"]["content"][0]["text"].as_str().unwrap()).unwrap();
        assert_eq!(own["mark"], n, "an answer of another client");
        for progress in sluice_tests::events::messages(&reply.text()) {
            if progress["method"] == "notifications/progress" {
                assert_eq!(progress["params"]["mark"], n, "progress of another client");
                assert_eq!(progress["params"]["progressToken"], 1, "a token the client knows");
            }
        }
        count += 1;
    }
    assert_eq!(count, calls.len());
}

fn modern(n: usize, tool: &str) -> Call {
    let call = Call::modern(PATH, "tools/call", 1, json!({ "name": tool }));
    call.body(body(n, tool, true).to_string())
}

#[tokio::test]
async fn answers_of_a_modern_http_server_are_not_crossed() {
    let server = Modern::start();
    let gateway = Gateway::with(json!({ "one": server.config() })).await;
    nobody_gets_anothers(&gateway, (0..CLIENTS).map(|n| modern(n, "echo")).collect()).await;
}

#[tokio::test]
async fn answers_of_a_legacy_http_server_are_not_crossed() {
    let server = Legacy::start();
    let gateway = Gateway::with(json!({ "one": server.config() })).await;
    let mut sessions = Vec::new();
    for _ in 0..50 {
        sessions.push(Session::open(gateway.port, PATH).await);
    }
    let calls = (0..CLIENTS).map(|n| sessions[n % sessions.len()].post(&body(n, "echo", false)));
    // Within a session ids in flight must differ; here each session has its twenty calls one after the other.
    for round in calls.collect::<Vec<_>>().chunks(sessions.len()) {
        let marks: Vec<Call> = round.to_vec();
        let answers = futures_util::future::join_all(marks.iter().map(|call| call.send_patiently(gateway.port))).await;
        let texts: Vec<_> =
            answers.iter().map(|reply| reply.result()["content"][0]["text"].as_str().unwrap().to_owned()).collect();
        let first: Value = serde_json::from_str(&texts[0]).unwrap();
        for (n, text) in texts.iter().enumerate() {
            let own: Value = serde_json::from_str(text).unwrap();
            assert_eq!(own["mark"].as_u64().unwrap(), first["mark"].as_u64().unwrap() + n as u64);
        }
    }
}

#[tokio::test]
async fn answers_and_progress_of_a_shared_modern_child_are_not_crossed() {
    let peer = Peer::new("modern");
    let gateway = Gateway::with(json!({ "one": peer.config() })).await;
    nobody_gets_anothers(&gateway, (0..CLIENTS).map(|n| modern(n, "progress")).collect()).await;
    assert_eq!(peer.starts(), 1);
    assert_eq!(peer.got("tools/call").len(), CLIENTS);
}

#[tokio::test]
async fn answers_and_progress_of_a_shared_legacy_child_are_not_crossed() {
    let peer = Peer::new("legacy");
    let config = json!({ "servers": { "one": peer.config() }, "features": {} });
    let gateway = Start::new(config).ready().await;
    let mut sessions = Vec::new();
    for _ in 0..300 {
        sessions.push(Session::open(gateway.port, PATH).await);
    }
    let calls = sessions.iter().enumerate().map(|(n, session)| session.post(&body(n, "progress", false))).collect();
    nobody_gets_anothers(&gateway, calls).await;
    assert_eq!(peer.starts(), 1, "one child for all");
}
