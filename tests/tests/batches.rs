//! Several messages in one body, as 2025-03-26 has it: each is one call, and no server hears of batches.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sluice_tests::catalogue::Catalogue;
use sluice_tests::client::Era;
use sluice_tests::door::Door;
use sluice_tests::fleet::Fleet;
use sluice_tests::gateway::Start;
use sluice_tests::peer::Peer;
use sluice_tests::server::Server;
use sluice_tests::upstream::{Answer, Legacy};
use sluice_tests::{Call, Gateway, message, wait};

const OWN: &str = "/servers/one/mcp";
const BATCHING: &str = "2025-03-26";

/// A session of a client that asked for a revision.
async fn session(port: u16, path: &str, version: &str) -> String {
    let opened = Call::post(path, message::initialize(version, json!({})).to_string()).send(port).await;
    let id = opened.header("mcp-session-id").unwrap_or_else(|| panic!("{opened:?}")).to_owned();
    let initialized = message::notification("notifications/initialized", json!({}));
    let noted = Call::post(path, initialized.to_string()).header("mcp-session-id", &id).send(port).await;
    assert_eq!(noted.status, 202, "{noted:?}");
    id
}

fn batch(path: &str, session: &str, messages: &Value) -> Call {
    Call::post(path, messages.to_string()).header("mcp-session-id", session)
}

/// What came, by the raw id it answers; what answers nothing under "".
fn by_id(messages: &[Value]) -> BTreeMap<String, &Value> {
    messages.iter().map(|said| (said.get("id").map(Value::to_string).unwrap_or_default(), said)).collect()
}

#[tokio::test]
async fn each_message_of_a_batch_is_answered_as_if_it_had_come_alone() {
    let server = Server::start(Era::Legacy, &Catalogue::new("one").tools(3));
    let gateway = Gateway::with(json!({ "one": server.config() })).await;
    for (path, tool) in [(OWN, "tool-000"), ("/mcp", "one_tool-000")] {
        let session = session(gateway.port, path, BATCHING).await;
        let before = server.received().len();
        let messages = json!([
            message::call(tool, 1, json!({ "n": 1 })),
            message::notification("notifications/roots/list_changed", json!({})),
            { "jsonrpc": "2.0", "id": "two", "method": "tools/call", "params": { "name": tool, "arguments": { "n": 2 } } },
            message::request("tools/list", 3, json!({})),
            message::call("nothing-of-that-name", 4, json!({})),
            { "jsonrpc": "2.0", "id": 5 },
            17,
        ]);
        let said = batch(path, &session, &messages).open(gateway.port).await;
        assert_eq!(said.status, 200);
        let said = { said }.rest().await;
        let answers = by_id(&said);
        assert_eq!(answers.keys().collect::<Vec<_>>(), ["\"two\"", "1", "3", "4", "5", "null"], "{path}: {said:?}");
        for (id, n) in [("1", 1), ("\"two\"", 2)] {
            let text = answers[id]["result"]["content"][0]["text"].as_str().unwrap();
            assert!(text.contains(&format!(r#"{{"n":{n}}}"#)), "{path}: {said:?}");
        }
        assert_eq!(answers["3"]["result"]["tools"].as_array().unwrap().len(), 3, "{path}: {said:?}");
        assert!(answers["4"].get("error").is_some(), "{path}: {said:?}");
        assert_eq!(
            (&answers["5"]["error"]["code"], &answers["null"]["error"]["code"]),
            (&json!(-32600), &json!(-32600))
        );
        assert!(
            server.received()[before..].iter().all(|received| !received.body.starts_with(b"[")),
            "no server hears of it"
        );
    }
}

#[tokio::test]
async fn a_batch_without_requests_is_accepted() {
    let server = Legacy::start();
    let gateway = Gateway::with(json!({ "one": server.config() })).await;
    let session = session(gateway.port, OWN, BATCHING).await;
    let progress = |n| message::notification("notifications/progress", json!({ "progressToken": "t", "progress": n }));
    let reply = batch(OWN, &session, &json!([progress(1), progress(2)])).send(gateway.port).await;
    assert_eq!((reply.status, reply.body.len()), (202, 0), "{reply:?}");
    assert_eq!(server.got("notifications/progress").len(), 2);
}

#[tokio::test]
async fn what_servers_say_on_their_way_to_an_answer_is_passed_on() {
    let server = Legacy::scripted(|received| {
        let message = received.message();
        let breaks = received.tool() == "breaks";
        (breaks || received.tool() == "slow").then(|| {
            let (pipe, answer) = Answer::stream("text/event-stream");
            tokio::spawn(async move {
                let token = message["params"]["_meta"]["progressToken"].clone();
                let progress = json!({ "progressToken": token, "progress": 1 });
                pipe.event(&message::notification("notifications/progress", progress)).await;
                if !breaks {
                    pipe.event(&message::response(&message["id"], message::text("slow"))).await;
                }
            });
            answer
        })
    });
    let gateway = Gateway::with(json!({ "one": server.config() })).await;
    let session = session(gateway.port, OWN, BATCHING).await;
    let call = |tool: &str, id: i64| {
        let params = json!({ "name": tool, "arguments": {}, "_meta": { "progressToken": id } });
        message::request("tools/call", id, params)
    };
    let calls = json!([call("slow", 1), call("breaks", 3), call("slow", 2)]);
    let said = batch(OWN, &session, &calls).open(gateway.port).await.rest().await;
    for id in [1, 2] {
        let at = |is: &dyn Fn(&Value) -> bool| said.iter().position(is).unwrap_or_else(|| panic!("{id}: {said:?}"));
        let progress = at(&|said| said["params"]["progressToken"] == id);
        let answer = at(&|said| said["id"] == id && said["result"]["content"][0]["text"] == "slow");
        assert!(progress < answer, "{said:?}");
    }
    let broken: Vec<_> = said.iter().filter(|said| said["id"] == 3).collect();
    assert!(broken.len() == 1 && broken[0]["error"]["code"].is_i64(), "answered once: {said:?}");
    assert_eq!(said.len(), 6, "{said:?}");
}

#[tokio::test]
async fn where_there_are_no_batches_nothing_of_one_is_run() {
    let server = Legacy::start();
    let gateway = Gateway::with(json!({ "one": server.config() })).await;
    let (old, later) = (session(gateway.port, OWN, BATCHING).await, session(gateway.port, OWN, "2025-06-18").await);
    let ping = |id: i64| message::call("echo", id, json!({}));
    let two = json!([ping(1), ping(2)]);
    let many: Vec<_> = (0..51).map(ping).collect();
    let opening = json!([ping(1), message::initialize(BATCHING, json!({}))]);
    for (what, call) in [
        ("a later revision", batch(OWN, &later, &two)),
        ("a header of a later revision", batch(OWN, &old, &two).header("mcp-protocol-version", "2025-06-18")),
        ("a header of the modern era", batch(OWN, &old, &two).header("mcp-protocol-version", message::MODERN)),
        ("no session", Call::post(OWN, two.to_string())),
        ("too many", batch(OWN, &old, &json!(many))),
        ("none", batch(OWN, &old, &json!([]))),
        ("one that opens", batch(OWN, &old, &opening)),
        ("one in another", batch(OWN, &old, &json!([[ping(1)], ping(2)]))),
        ("what is cut off", Call::post(OWN, format!("[{}", ping(1))).header("mcp-session-id", &old)),
    ] {
        let reply = call.send(gateway.port).await;
        assert_eq!(reply.status, 400, "{what}: {reply:?}");
        assert!(matches!(reply.code(), Some(-32600 | -32700)), "{what}: {reply:?}");
    }
    for (what, messages) in [("more than 50", json!(many)), ("empty", json!([]))] {
        let reply = batch(OWN, &old, &messages).send(gateway.port).await;
        assert_eq!(reply.verdict(), (400, Some(-32600)), "{reply:?}");
        assert!(reply.text().contains(what), "{reply:?}");
    }
    let unknown = batch(OWN, &format!("{}x", old), &two).send(gateway.port).await;
    assert_eq!(unknown.status, 404, "{unknown:?}");
    assert!(server.calls("echo").is_empty(), "nothing was run");
}

#[tokio::test]
async fn each_message_of_a_batch_counts_as_a_request_of_its_client() {
    let server = Legacy::start();
    let limits = json!({ "limits": { "concurrent_requests": 3 } });
    let gateway = Start::new(json!({ "proxy": limits, "servers": { "one": server.config() } })).ready().await;
    let session = session(gateway.port, OWN, BATCHING).await;
    let reply = batch(OWN, &session, &calls(4)).send(gateway.port).await;
    assert_eq!(reply.status, 429, "{reply:?}");
    assert!(server.calls("echo").is_empty(), "all or none");
    let said = batch(OWN, &session, &calls(3)).open(gateway.port).await.rest().await;
    assert_eq!(said.len(), 3, "{said:?}");
    let ok = ["server=\"one\"", "method=\"tools/call\"", "outcome=\"ok\""];
    let counted = async || gateway.metric("sluice_requests_total", &ok).await;
    wait::becomes(wait::SOON, "all are counted", counted, |count| *count == 3.0).await;
}

#[tokio::test]
async fn a_batch_that_is_too_much_for_a_minute_takes_nothing_of_it() {
    let server = Legacy::start();
    let features = json!({ "rate_limiting": { "requests_per_minute": 12 } });
    let gateway = Start::new(json!({ "features": features, "servers": { "one": server.config() } })).ready().await;
    // two of the twelve
    let session = session(gateway.port, OWN, BATCHING).await;
    // whoever is refused has asked once
    let never = batch(OWN, &session, &calls(14)).send(gateway.port).await;
    assert_eq!((never.status, never.header("retry-after")), (400, None), "{never:?}");
    let later = batch(OWN, &session, &calls(11)).send(gateway.port).await;
    assert_eq!(later.status, 429, "{later:?}");
    assert!(later.header("retry-after").is_some() && server.calls("echo").is_empty(), "{later:?}");
    let said = batch(OWN, &session, &calls(8)).open(gateway.port).await.rest().await;
    assert_eq!((said.len(), server.calls("echo").len()), (8, 8), "{said:?}");
}

fn calls(count: i64) -> Value {
    (1..=count).map(|id| message::call("echo", id, json!({}))).collect()
}

#[tokio::test]
async fn a_batch_on_stdin_is_answered_message_by_message() {
    let peer = Peer::new("legacy");
    for (version, takes) in [(BATCHING, true), (message::LEGACY, false)] {
        let mut door = Door::open(Start::new(json!({ "servers": { "one": peer.config() } })));
        door.send(&message::initialize(version, json!({})));
        assert!(door.answer(&json!(0)).0.get("result").is_some());
        door.send(&message::notification("notifications/initialized", json!({})));
        door.send(&json!([message::call("one_echo", 1, json!({})), message::request("ping", 2, json!({}))]));
        if takes {
            let mut ids = [door.message()["id"].clone(), door.message()["id"].clone()];
            ids.sort_by_key(|id| id.as_i64());
            assert_eq!(ids, [json!(1), json!(2)]);
        } else {
            let refused = door.message();
            assert_eq!((&refused["id"], &refused["error"]["code"]), (&Value::Null, &json!(-32600)), "{refused}");
        }
        assert!(door.close().await.success());
    }
}

#[tokio::test]
async fn a_batch_finds_its_session_at_another_node() {
    let peer = Peer::new("legacy");
    let fleet = Fleet::of(&["edge-1", "edge-2"], &[("one", peer.config())]).await;
    // its process is where it began, and every other connection leads elsewhere
    let session = session(fleet.port(), OWN, BATCHING).await;
    for _ in 0..4 {
        let calls = json!([message::call("pid", 1, json!({})), message::call("pid", 2, json!({}))]);
        let said = batch(OWN, &session, &calls).open(fleet.port()).await.rest().await;
        let answers = by_id(&said);
        assert_eq!(answers.keys().collect::<Vec<_>>(), ["1", "2"], "{said:?}");
        assert_eq!(answers["1"]["result"], answers["2"]["result"], "the one process of the session");
    }
}
