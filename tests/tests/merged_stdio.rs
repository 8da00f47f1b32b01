//! Several stdio servers on the merged door: each call, question and crash stays with the child it belongs to.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sluice_tests::client::{Client, Era};
use sluice_tests::message;
use sluice_tests::peer::Peer;
use sluice_tests::{Gateway, Session, until, wait};

fn entries(peers: &[Peer]) -> Value {
    let entries = peers.iter().enumerate().map(|(n, peer)| (format!("p{n}"), peer.config()));
    Value::Object(entries.collect())
}

fn text(message: &Value) -> String {
    message["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{message}")).to_owned()
}

#[tokio::test]
async fn five_stdio_servers_are_one_list_and_each_is_called() {
    for era in ["legacy", "modern", "both"] {
        let peers: Vec<_> = (0..5).map(|_| Peer::new(era)).collect();
        let gateway = Gateway::with(entries(&peers)).await;
        for client in [Era::Legacy, Era::Modern] {
            if era == "legacy" && client == Era::Modern || era == "modern" && client == Era::Legacy {
                continue;
            }
            let client = Client::open(client, gateway.port, "/mcp").await;
            assert_eq!(
                client.names("tools/list").await,
                ["p0_echo", "p1_echo", "p2_echo", "p3_echo", "p4_echo"],
                "{era}"
            );
            for (n, peer) in peers.iter().enumerate() {
                let pid = text(&client.call(&format!("p{n}_pid"), json!({})).await.rpc());
                assert!(peer.processes().contains(&pid.parse().unwrap()), "{era} p{n}: {pid}");
            }
        }
    }
}

#[tokio::test]
async fn children_that_ask_with_the_same_id_get_their_own_answers() {
    let peers: Vec<_> = (0..3).map(|_| Peer::new("legacy")).collect();
    let gateway = Gateway::with(entries(&peers)).await;
    let sessions = [
        Session::with(gateway.port, "/mcp", json!({ "sampling": {}, "roots": {} }), None).await,
        Session::with(gateway.port, "/mcp", json!({ "sampling": {}, "roots": {} }), None).await,
    ];
    let mut waiting = Vec::new();
    for (s, session) in sessions.iter().enumerate() {
        for n in 0..3 {
            let arguments = json!({ "method": "roots/list", "params": { "mark": [s, n] } });
            waiting.push((s, n, session.stream(&format!("p{n}_ask"), arguments).await));
        }
    }
    let mut asked = Vec::new();
    for (s, n, stream) in &mut waiting {
        let question = stream.message().await;
        assert_eq!(question["params"]["mark"], json!([s, n]));
        asked.push((*s, *n, question["id"].clone()));
    }
    for (s, n, id) in asked.iter().rev() {
        sessions[*s].answer(id, json!({ "roots": [], "for": [s, n] })).await;
    }
    for (s, n, mut stream) in waiting {
        let ended: Value = serde_json::from_str(&text(&stream.message().await)).unwrap();
        assert_eq!(ended["for"], json!([s, n]));
    }
}

#[tokio::test]
async fn hundreds_of_calls_at_once_get_their_own_answers() {
    let peers: Vec<_> = (0..3).map(|_| Peer::new("legacy")).collect();
    let gateway = Gateway::with(entries(&peers)).await;
    let port = gateway.port;
    let mut waiting = Vec::new();
    for client in 0..10 {
        let session = Session::open(port, "/mcp").await;
        waiting.push(tokio::spawn(async move {
            let mut calls = Vec::new();
            for id in 0..30 {
                let mark = json!({ "client": client, "id": id });
                // The same ids and tokens in every session.
                let params = json!({ "name": format!("p{}_progress", id % 3), "arguments": { "mark": mark }, "_meta": { "progressToken": id } });
                let call = session.post(&message::request("tools/call", id, params));
                calls.push((mark, tokio::spawn(async move { call.send_patiently(port).await })));
            }
            for (id, (mark, call)) in calls.into_iter().enumerate() {
                let messages = sluice_tests::events::messages(&call.await.unwrap().text());
                let (last, progress) = messages.split_last().unwrap();
                assert_eq!(last["id"], id);
                assert_eq!(serde_json::from_str::<Value>(&text(last)).unwrap()["mark"], mark);
                assert!(progress.iter().all(|p| p["params"]["mark"] == mark && p["params"]["progressToken"] == id), "{progress:?}");
                assert_eq!(progress.len(), 3, "{mark}");
            }
        }));
    }
    for client in waiting {
        client.await.unwrap();
    }
}

#[tokio::test]
async fn the_crash_of_one_child_is_felt_by_its_own_callers_only() {
    let peers: Vec<_> = (0..3).map(|_| Peer::new("legacy")).collect();
    let gateway = Gateway::with(entries(&peers)).await;
    let session = Session::open(gateway.port, "/mcp").await;
    assert_eq!(session.request("tools/list", json!({})).await.status, 200);
    let port = gateway.port;
    let hang =
        |n: usize| session.post(&message::call(&format!("p{n}_hang"), 100 + i64::try_from(n).unwrap(), json!({})));
    let waiting: Vec<_> =
        [0, 1].map(hang).into_iter().map(|call| tokio::spawn(async move { call.send_patiently(port).await })).collect();
    until("both calls", || (peers[0].got("tools/call").len() + peers[1].got("tools/call").len() == 2).then_some(()))
        .await;
    let crashed = session.call("p0_crash", json!({})).await;
    assert!(crashed.rpc()["error"]["message"].is_string(), "{crashed:?}");
    let mut waiting = waiting.into_iter();
    let first = waiting.next().unwrap().await.unwrap();
    let said = first.rpc()["error"]["message"].as_str().unwrap().to_owned();
    assert!(said.contains("may have"), "that it may have run: {said}");
    assert_eq!(session.call("p1_release", json!({})).await.status, 200);
    assert_eq!(text(&waiting.next().unwrap().await.unwrap().rpc()), "released");
    let listed = session.request("tools/list", json!({})).await.result();
    assert_eq!(listed["tools"].as_array().unwrap().len(), 3, "{listed}");
    let call = async || session.call("p0_pid", json!({})).await.rpc();
    wait::becomes(wait::SOON, "the killed one is back", call, |answer| answer.get("result").is_some()).await;
    assert_eq!((peers[1].starts(), peers[2].starts()), (1, 1));
}

/// A client that knows the modern era only ends where `server/discover` says that the door is not modern.
#[tokio::test]
async fn discovery_waits_for_a_modern_server_that_takes_its_time_to_start() {
    let peers = [Peer::new("modern").start("late"), Peer::new("modern")];
    let gateway = Gateway::with(entries(&peers)).await;
    let client = Client::open(Era::Modern, gateway.port, "/mcp").await;
    let found = client.prepare("server/discover", json!({})).send_patiently(gateway.port).await;
    assert_eq!(found.result()["supportedVersions"], json!(["2026-07-28"]));
    assert_eq!(client.names("tools/list").await, ["p0_echo", "p1_echo"]);
}

#[tokio::test]
async fn a_mute_child_and_a_missing_program_hold_nobody_up() {
    let (mute, fine) = (Peer::new("legacy").start("mute"), Peer::new("legacy"));
    let servers =
        json!({ "a-mute": mute.config(), "b-missing": { "command": "/no/such/program" }, "fine": fine.config() });
    let gateway = Gateway::with(servers).await;
    let port = gateway.port;
    let start = Instant::now();
    let session = Session::open(port, "/mcp").await;
    assert!(start.elapsed() < Duration::from_secs(7), "opening took {:?}", start.elapsed());
    let list = |session: &Session| session.post(&message::request("tools/list", session.next_id(), json!({})));
    let first = list(&session);
    let waiting = tokio::spawn(async move { first.send_patiently(port).await });
    let start = Instant::now();
    assert_eq!(session.call("fine_pid", json!({})).await.status, 200);
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    let names =
        |listed: Value| listed["tools"].as_array().unwrap().iter().map(|t| t["name"].clone()).collect::<Vec<_>>();
    assert_eq!(names(waiting.await.unwrap().result()), ["fine_echo"]);
    for round in 0..3 {
        let start = Instant::now();
        assert_eq!(names(list(&session).send_patiently(port).await.result()), ["fine_echo"]);
        assert!(start.elapsed() < Duration::from_secs(1), "round {round}: {:?}", start.elapsed());
        let start = Instant::now();
        let reply = session.post(&message::call("b-missing_x", 50, json!({}))).send_patiently(port).await;
        assert!(reply.rpc()["error"]["message"].is_string() && start.elapsed() < Duration::from_secs(1), "{reply:?}");
    }
    assert!(mute.starts() <= 3, "{}", mute.starts());
}
