//! The merged door on stdin and stdout: one client, many servers, one pipe.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use serde_json::{Value, json};
use sluice_tests::catalogue::{Catalogue, tool};
use sluice_tests::client::Era;
use sluice_tests::door::Door;
use sluice_tests::gateway::Start;
use sluice_tests::message::{self, LEGACY, SUBSCRIPTION_KEY};
use sluice_tests::peer::Peer;
use sluice_tests::server::Server;
use sluice_tests::until;

fn open(servers: Value) -> Door {
    Door::open(Start::new(json!({ "servers": servers })))
}

fn initialize(door: &mut Door, capabilities: Value) -> Value {
    door.send(&message::initialize(LEGACY, capabilities));
    let (answer, _) = door.answer(&json!(0));
    door.send(&message::notification("notifications/initialized", json!({})));
    answer["result"].clone()
}

fn names(answer: &Value) -> Vec<&str> {
    answer["result"]["tools"].as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn all_servers_are_there_whatever_they_are() {
    let http = Server::start(Era::Legacy, &Catalogue::new("http").tools(5).resources(1).page(2));
    let peer = Peer::new("legacy");
    let mut door = open(json!({ "http": http.config(), "pipe": peer.config() }));
    let opened = initialize(&mut door, json!({}));
    assert_eq!(opened["capabilities"]["tools"]["listChanged"], true, "{opened}");
    door.send(&message::request("tools/list", 1, json!({})));
    let listed = door.answer(&json!(1)).0;
    assert_eq!(names(&listed).len(), 6, "{listed}");
    for (id, tool) in [(2, "http_tool-004"), (3, "pipe_echo")] {
        door.send(&message::call(tool, id, json!({ "n": id })));
        let (answer, _) = door.answer(&json!(id));
        assert!(answer["result"]["content"][0]["text"].as_str().unwrap().contains(&id.to_string()), "{answer}");
    }
    door.send(&message::request("resources/read", 4, json!({ "uri": "http+file:///r000" })));
    assert_eq!(door.answer(&json!(4)).0["result"]["contents"][0]["uri"], "http+file:///r000");
    door.send(&message::call("nobody_x", 5, json!({})));
    assert_eq!(door.answer(&json!(5)).0["error"]["code"], -32602);
    assert!(door.close().await.success());
    assert!(peer.processes().is_empty());
    until("its sessions are ended", || http.sessions().is_empty().then_some(())).await;
}

#[tokio::test]
async fn questions_with_the_same_id_are_told_apart_on_one_pipe() {
    let peers = [Peer::new("legacy"), Peer::new("legacy")];
    let mut door = open(json!({ "one": peers[0].config(), "two": peers[1].config() }));
    initialize(&mut door, json!({ "roots": {}, "sampling": {} }));
    for (id, server) in [(1, "one"), (2, "two")] {
        let arguments = json!({ "method": "roots/list", "params": { "mark": server } });
        door.send(&message::call(&format!("{server}_ask"), id, arguments));
    }
    let asked = [door.message(), door.message()];
    assert_ne!(asked[0]["id"], asked[1]["id"]);
    for question in asked.iter().rev() {
        let answer = json!({ "roots": [], "for": question["params"]["mark"] });
        door.send(&message::response(&question["id"], answer));
    }
    for _ in 0..2 {
        let ended = door.message();
        let expected = if ended["id"] == 1 { "one" } else { "two" };
        assert!(ended["result"]["content"][0]["text"].as_str().unwrap().contains(expected), "{ended}");
    }
}

#[tokio::test]
async fn a_changed_list_is_told_without_anything_being_opened() {
    let offers = ["one", "two"].map(|name| Catalogue::new(name).tools(1).ttl(600_000));
    let servers = offers.each_ref().map(|offer| Server::start(Era::Legacy, offer));
    let mut door = open(json!({ "one": servers[0].config(), "two": servers[1].config() }));
    initialize(&mut door, json!({}));
    door.send(&message::request("tools/list", 1, json!({})));
    assert_eq!(names(&door.answer(&json!(1)).0).len(), 2);
    servers[1].listened().await;
    offers[1].change(|lists| lists.tools.push(tool("fresh")));
    servers[1].announce("tools").await;
    assert_eq!(door.message()["method"], "notifications/tools/list_changed");
    door.send(&message::request("tools/list", 2, json!({})));
    assert!(names(&door.answer(&json!(2)).0).contains(&"two_fresh"));
}

#[tokio::test]
async fn a_modern_client_subscribes_to_all_servers_on_one_pipe() {
    let servers = ["one", "two"].map(|name| Server::start(Era::Modern, &Catalogue::new(name).tools(1).resources(1)));
    let mut door = open(json!({ "one": servers[0].config(), "two": servers[1].config() }));
    let filter = json!({ "toolsListChanged": true, "resourceSubscriptions": ["two+file:///r000"] });
    door.send(&message::modern("subscriptions/listen", 7, json!({ "notifications": filter })));
    let acknowledged = door.message();
    assert_eq!(acknowledged["method"], "notifications/subscriptions/acknowledged");
    assert_eq!(acknowledged["params"]["_meta"][SUBSCRIPTION_KEY], 7);
    until("the subscription", || {
        servers[1].listeners().iter().any(|l| l.filter["resourceSubscriptions"][0].is_string()).then_some(())
    })
    .await;
    servers[1].updated("file:///r000").await;
    let updated = door.message();
    assert_eq!(updated["params"]["uri"], "two+file:///r000", "{updated}");
    assert_eq!(updated["params"]["_meta"][SUBSCRIPTION_KEY], 7);
    door.send(&message::modern("tools/call", 8, json!({ "name": "one_tool-000", "arguments": {} })));
    assert!(door.answer(&json!(8)).0["result"].is_object());
    door.send(&message::notification("notifications/cancelled", json!({ "requestId": 7 })));
    until("the servers' streams are closed", || servers[1].listeners().is_empty().then_some(())).await;
}

#[tokio::test]
async fn a_cancellation_reaches_the_one_child_that_has_the_request() {
    let peers = [Peer::new("legacy"), Peer::new("legacy")];
    let mut door = open(json!({ "one": peers[0].config(), "two": peers[1].config() }));
    initialize(&mut door, json!({}));
    door.send(&message::call("one_hang", 1, json!({})));
    door.send(&message::call("two_hang", 2, json!({})));
    until("both calls", || (peers.iter().map(|p| p.got("tools/call").len()).sum::<usize>() == 2).then_some(())).await;
    door.send(&message::notification("notifications/cancelled", json!({ "requestId": 2 })));
    let cancelled = until("the cancellation", || peers[1].got("notifications/cancelled").pop()).await;
    assert_eq!(cancelled["params"]["requestId"], peers[1].got("tools/call")[0]["id"]);
    door.send(&message::call("one_release", 3, json!({})));
    door.send(&message::call("two_release", 4, json!({})));
    let mut answered = vec![door.message()["id"].clone(), door.message()["id"].clone(), door.message()["id"].clone()];
    answered.sort_by_key(|id| id.as_i64());
    assert_eq!(answered, [1, 3, 4], "2 is never answered");
    assert!(peers[0].got("notifications/cancelled").is_empty());
}

#[tokio::test]
async fn initialize_after_modern_requests_is_refused_where_all_servers_are_modern() {
    let server = Server::start(Era::Modern, &Catalogue::new("one").tools(1));
    let mut door = open(json!({ "one": server.config() }));
    door.send(&message::modern("server/discover", 1, json!({})));
    assert!(door.answer(&json!(1)).0["result"].is_object());
    door.send(&message::initialize(LEGACY, json!({})));
    let (answer, _) = door.answer(&json!(0));
    assert_eq!(answer["error"]["code"], -32022, "{answer}");
    door.send(&message::request("tools/list", 2, json!({})));
    let (answer, _) = door.answer(&json!(2));
    let text = answer["error"]["message"].as_str().unwrap();
    assert!(text.contains("_meta") && !text.contains("header"), "what helps on a pipe: {answer}");
}
