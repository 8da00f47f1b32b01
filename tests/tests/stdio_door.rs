//! MCP on stdin and stdout: the same path as over HTTP, without a port, and nothing left at its end.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sluice_tests::door::Door;
use sluice_tests::gateway::Start;
use sluice_tests::message::{self, LEGACY, MODERN, SUBSCRIPTION_KEY};
use sluice_tests::peer::Peer;
use sluice_tests::upstream::{Answer, Legacy, Modern};
use sluice_tests::{process, until};

fn open(server: &Value) -> Door {
    Door::open(Start::new(json!({ "servers": { "one": server } })))
}

fn initialize(door: &mut Door, capabilities: Value) -> Value {
    door.send(&message::initialize(LEGACY, capabilities));
    let (answer, before) = door.answer(&json!(0));
    assert!(before.is_empty(), "{before:?}");
    door.send(&message::notification("notifications/initialized", json!({})));
    answer["result"].clone()
}

#[tokio::test]
async fn a_legacy_client_works_and_no_port_is_opened() {
    let peer = Peer::new("legacy");
    let mut door = open(&peer.config());
    assert_eq!(initialize(&mut door, json!({}))["serverInfo"]["name"], "sluice");
    door.send(&message::call("one_echo", 1, json!({ "n": 1 })));
    assert_eq!(door.answer(&json!(1)).0["result"]["content"][0]["text"], r#"{"n":1}"#);
    assert_eq!(process::listening(door.pid()), [0; 0], "no TCP port");
    assert!(!peer.processes().is_empty());
    assert!(door.close().await.success());
    assert!(peer.processes().is_empty(), "children end with it: {:?}", peer.processes());
}

#[tokio::test]
async fn progress_comes_before_the_result_and_under_the_clients_token() {
    let peer = Peer::new("legacy");
    let mut door = open(&peer.config());
    initialize(&mut door, json!({}));
    let params = json!({ "name": "one_progress", "arguments": { "mark": 1 }, "_meta": { "progressToken": "tok" } });
    door.send(&message::request("tools/call", 5, params));
    let (_, before) = door.answer(&json!(5));
    let steps: Vec<_> = before
        .iter()
        .map(|note| (note["params"]["progressToken"].clone(), note["params"]["progress"].clone()))
        .collect();
    assert_eq!(steps, [(json!("tok"), json!(1)), (json!("tok"), json!(2)), (json!("tok"), json!(3))]);
}

#[tokio::test]
async fn a_cancelled_call_is_cancelled_at_the_server_and_never_answered() {
    for (era, server) in [("legacy", Peer::new("legacy")), ("modern", Peer::new("modern"))] {
        let mut door = open(&server.config());
        let call = |name: &str, id: i64| {
            let params = json!({ "name": format!("one_{name}"), "arguments": {} });
            if era == "modern" {
                message::modern("tools/call", id, params)
            } else {
                message::request("tools/call", id, params)
            }
        };
        if era == "legacy" {
            initialize(&mut door, json!({}));
        }
        door.send(&call("hang", 1));
        let hung = until("the call", || server.got("tools/call").pop()).await;
        door.send(&message::notification("notifications/cancelled", json!({ "requestId": 1 })));
        let cancelled = until("the cancellation", || server.got("notifications/cancelled").pop()).await;
        assert_eq!(cancelled["params"]["requestId"], hung["id"], "{era}");
        door.send(&call("echo", 2));
        let (_, before) = door.answer(&json!(2));
        assert!(before.is_empty(), "{era}: {before:?}");
    }
}

#[tokio::test]
async fn questions_of_the_server_are_asked_on_stdout() {
    let peer = Peer::new("legacy");
    let mut door = open(&peer.config());
    initialize(&mut door, json!({ "elicitation": {}, "roots": {} }));
    door.send(&message::call("one_ask", 1, json!({ "method": "roots/list", "params": {} })));
    let asked = door.message();
    assert_eq!(asked["method"], "roots/list");
    door.send(&message::response(&asked["id"], json!({ "roots": [{ "uri": "file:///r" }] })));
    let text = door.answer(&json!(1)).0["result"]["content"][0]["text"].as_str().unwrap().to_owned();
    assert!(text.contains("file:///r"), "{text}");
}

#[tokio::test]
async fn a_modern_client_works_against_stdio_and_http() {
    let (peer, server) = (Peer::new("modern"), Modern::start());
    for config in [peer.config(), server.config()] {
        let mut door = open(&config);
        door.send(&message::modern("server/discover", 1, json!({})));
        assert_eq!(door.answer(&json!(1)).0["result"]["supportedVersions"], json!([MODERN]));
        for name in ["echo", "héllo wörld"] {
            door.send(&message::modern(
                "tools/call",
                2,
                json!({ "name": format!("one_{name}"), "arguments": { "n": 1 } }),
            ));
            assert_eq!(door.answer(&json!(2)).0["result"]["content"][0]["text"], r#"{"n":1}"#, "{name}");
        }
    }
    assert_eq!(server.calls("héllo wörld").len(), 1, "headers were made from the body, encoded where they must be");
}

#[tokio::test]
async fn a_legacy_client_has_its_session_at_an_http_server() {
    let server = Legacy::start();
    let mut door = open(&server.config());
    initialize(&mut door, json!({}));
    door.send(&message::call("one_echo", 1, json!({})));
    assert!(door.answer(&json!(1)).0["result"].is_object());
    let pipe = server.stream().await;
    let changed = message::notification("notifications/tools/list_changed", json!({}));
    assert!(pipe.event(&changed).await);
    assert_eq!(door.message()["method"], "notifications/tools/list_changed");
    assert!(door.close().await.success());
    server.receives("DELETE", |received| received.verb == "DELETE").await;
}

#[tokio::test]
async fn eras_that_do_not_meet_are_told_here_too() {
    let (legacy, modern) = (Peer::new("legacy"), Peer::new("modern"));
    let mut door = open(&modern.config());
    door.send(&message::initialize(LEGACY, json!({})));
    assert_eq!(door.answer(&json!(0)).0["error"]["data"]["supported"], json!([MODERN]));
    let mut door = open(&legacy.config());
    door.send(&message::modern("server/discover", 1, json!({})));
    assert_eq!(door.answer(&json!(1)).0["error"]["code"], -32600);
    assert!(initialize(&mut door, json!({})).is_object(), "and the client falls back");
}

#[tokio::test]
async fn bad_lines_are_refused_and_the_next_one_is_served() {
    let peer = Peer::new("legacy");
    let mut door = open(&peer.config());
    initialize(&mut door, json!({}));
    let call = message::call("one_echo", 1, json!({})).to_string();
    let lines = [
        ("garbage", "this is no JSON".to_owned(), -32700),
        ("truncated", call[..30].to_owned(), -32700),
        ("batch", format!("[{call}]"), -32600),
        ("duplicate key", call.replace(r#""id":1"#, r#""id":1,"id":2"#), -32600),
        ("id null", call.replace(r#""id":1"#, r#""id":null"#), -32600),
        ("no id", call.replace(r#""id":1,"#, ""), -32600),
    ];
    for (what, line, code) in lines {
        door.write(&line);
        assert_eq!(door.message()["error"]["code"], code, "{what}");
    }
    door.write("");
    door.send(&message::call("one_echo", 2, json!({})));
    assert!(door.message()["result"].is_object());
    assert_eq!(peer.got("tools/call").len(), 1);
    assert!(door.silent(Duration::from_millis(100)));
}

#[tokio::test]
async fn a_line_over_the_limit_is_refused_without_keeping_it() {
    let peer = Peer::new("legacy");
    let mut door = open(&peer.config());
    initialize(&mut door, json!({}));
    door.send(&message::call("one_echo", 1, json!({ "x": "x".repeat(5 << 20) })));
    let refused = door.message();
    assert!(refused["error"]["code"].is_i64() && refused["id"] == 1, "{}", refused.to_string().len());
    let answer = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"x":"{}"}}}}"#, "x".repeat(5 << 20));
    let last = format!(r#"{{"jsonrpc":"2.0","method":"ping","params":{{"x":"{}"}},"id":1}}"#, "é".repeat(5 << 20));
    for line in [answer, last] {
        door.write(&line);
        assert_eq!(door.message()["id"], json!(null), "another's id, or none that was read");
    }
    door.send(&message::call("one_echo", 2, json!({})));
    assert!(door.answer(&json!(2)).0["result"].is_object());
    assert_eq!(peer.got("tools/call").len(), 1);
}

#[tokio::test]
async fn several_side_by_side_do_not_get_in_each_others_way() {
    let peer = Peer::new("legacy");
    let mut doors: Vec<Door> = (0..3).map(|_| open(&peer.config())).collect();
    for door in &mut doors {
        initialize(door, json!({}));
    }
    for door in &mut doors {
        assert!(door.close().await.success());
    }
    peer.gone().await;
}

#[tokio::test]
async fn calls_before_the_end_of_input_are_still_answered() {
    let peer = Peer::new("legacy");
    let mut door = open(&peer.config());
    initialize(&mut door, json!({}));
    door.send(&message::call("one_echo", 1, json!({ "last": true })));
    assert!(door.close().await.success());
    assert_eq!(door.answer(&json!(1)).0["result"]["content"][0]["text"], r#"{"last":true}"#);
}

#[tokio::test]
async fn the_end_of_input_ends_what_listens_with_its_result_and_at_once() {
    let server = Modern::scripted(|received| {
        let message = received.message();
        (message["method"] == "subscriptions/listen").then(|| {
            let (pipe, answer) = Answer::stream("text/event-stream");
            tokio::spawn(async move {
                pipe.event(&message::acknowledged(&message)).await;
                pipe.closed().await;
            });
            answer
        })
    });
    let mut door = open(&server.config());
    let filter = json!({ "notifications": { "toolsListChanged": true } });
    door.send(&message::modern("subscriptions/listen", 7, filter));
    assert_eq!(door.message()["method"], "notifications/subscriptions/acknowledged");
    door.send(&message::modern("tools/call", 8, json!({ "name": "one_echo", "arguments": { "n": 1 } })));
    let start = Instant::now();
    assert!(door.close().await.success());
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    let (call, before) = door.answer(&json!(8));
    assert!(call["result"].is_object() && before.is_empty(), "{before:?}");
    let result = door.answer(&json!(7)).0["result"].clone();
    assert_eq!(result["_meta"][SUBSCRIPTION_KEY], 7, "{result}");
}

#[tokio::test]
async fn stdout_carries_messages_only_and_stderr_the_log() {
    let peer = Peer::new("legacy").start("chatty");
    let config =
        json!({ "proxy": { "log_level": "trace", "transport": "stdio" }, "servers": { "one": peer.config() } });
    let mut door = Door::open(Start::new(config));
    initialize(&mut door, json!({}));
    door.send(&message::call("one_garbage", 1, json!({})));
    let (_, before) = door.answer(&json!(1));
    assert!(before.is_empty(), "{before:?}");
    until("the server's stderr in the log", || door.log().contains("hello from stderr").then_some(())).await;
}
