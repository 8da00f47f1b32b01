//! Task ids of both eras: sealed like all handles, and of no use to anybody but who started the task.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use serde_json::{Value, json};
use sluice_tests::gateway::Start;
use sluice_tests::message;
use sluice_tests::upstream::{Answer, Legacy, Modern, Received};
use sluice_tests::{Call, Gateway, Reply, Session};

const PATH: &str = "/servers/one/mcp";
const ALICE: &str = "alice-key-0123456789abcdef";
const BOB: &str = "bob-key-0123456789abcdef";
const CURSOR: &str = "cursor of the server";
const TASK: &str = "task-of-the-server";
const INVALID_PARAMS: (u16, Option<i64>) = (200, Some(-32602));

/// A modern server with one task.
fn script(received: &Received) -> Option<Answer> {
    let message = received.message();
    let (id, params) = (&message["id"], &message["params"]);
    let result = match message["method"].as_str()? {
        "tools/call" => {
            json!({ "resultType": "task", "taskId": TASK, "status": "working", "ttlMs": 60_000, "pollIntervalMs": 100 })
        }
        "tasks/get" | "tasks/cancel" | "tasks/update" if params["taskId"] != TASK => {
            return Some(Answer::message(&message::error(id, -32602, "no such task")));
        }
        "tasks/get" | "tasks/cancel" | "tasks/update" => {
            json!({ "resultType": "complete", "taskId": params["taskId"], "status": "completed", "result": {} })
        }
        _ => return None,
    };
    Some(Answer::message(&message::response(id, result)))
}

async fn two_clients(server: &Value) -> Gateway {
    let clients = json!({ "alice": { "api_key": ALICE }, "bob": { "api_key": BOB } });
    Start::new(json!({ "servers": { "one": server }, "clients": clients })).ready().await
}

async fn send(gateway: &Gateway, key: &str, method: &str, params: Value) -> Reply {
    Call::modern(PATH, method, 1, params).key(key).send(gateway.port).await
}

fn tampered(handle: &str) -> Vec<String> {
    let flipped = |at: usize| {
        let other = if &handle[at..=at] == "A" { "B" } else { "A" };
        format!("{}{other}{}", &handle[..at], &handle[at + 1..])
    };
    let mut all =
        vec![flipped(0), flipped(handle.len() / 2), format!("{handle}AAAA"), handle[..handle.len() - 4].to_owned()];
    all.extend(["", "AAAA", "\u{0}\n", TASK].map(str::to_owned));
    all
}

#[tokio::test]
async fn modern_task_ids_belong_to_who_got_them() {
    let server = Modern::scripted(script);
    let gateway = two_clients(&server.config()).await;
    let created = send(&gateway, ALICE, "tools/call", json!({ "name": "task", "arguments": {} })).await.result();
    let task = created["taskId"].as_str().unwrap();
    assert!(!task.contains("server"), "{task}");
    for method in ["tasks/get", "tasks/cancel", "tasks/update"] {
        let reply = send(&gateway, ALICE, method, json!({ "taskId": task, "inputResponses": {} })).await;
        assert_eq!(reply.result()["taskId"], task, "{method}: one task, one id");
        let asked = server.got(method).pop().unwrap();
        assert_eq!(asked.message()["params"]["taskId"], TASK);
        assert_eq!(asked.header("mcp-name"), Some(TASK), "the header mirrors the body");
        let known = || server.got(method).iter().filter(|got| got.message()["params"]["taskId"] == TASK).count();
        let before = known();
        let reply = send(&gateway, BOB, method, json!({ "taskId": task, "inputResponses": {} })).await;
        assert_eq!(reply.verdict(), INVALID_PARAMS, "{method}: {reply:?}");
        for task in tampered(task) {
            let body = message::modern(method, 1, json!({ "taskId": task, "inputResponses": {} }));
            let name = format!("=?base64?{}?=", base64::Engine::encode(&base64::prelude::BASE64_STANDARD, &task));
            let call = Call::modern(PATH, method, 1, json!({})).key(ALICE).header("mcp-name", &name);
            let reply = call.body(body.to_string()).send(gateway.port).await;
            assert_eq!(reply.verdict(), INVALID_PARAMS, "{method} {task:?}: {reply:?}");
        }
        assert_eq!(known(), before, "{method}: the server's task is never named");
    }
}

#[tokio::test]
async fn legacy_tasks_and_cursors_are_sealed_too() {
    let server = Legacy::scripted(|received| {
        let message = received.message();
        let (id, task) =
            (&message["id"], json!({ "taskId": TASK, "status": "working", "createdAt": "2026-01-01T00:00:00Z" }));
        let asked = &message["params"]["taskId"];
        if asked.is_string() && asked != TASK {
            return Some(Answer::message(&message::error(id, -32602, "no such task")));
        }
        let result = match message["method"].as_str()? {
            "tools/call" => json!({ "task": task }),
            "tasks/get" | "tasks/cancel" => json!({ "taskId": message["params"]["taskId"], "status": "completed" }),
            "tasks/list" => json!({ "tasks": [task], "nextCursor": CURSOR }),
            "tasks/result" => {
                let related =
                    json!({ "io.modelcontextprotocol/related-task": { "taskId": message["params"]["taskId"] } });
                json!({ "content": [], "_meta": related })
            }
            _ => return None,
        };
        Some(Answer::message(&message::response(id, result)))
    });
    let gateway = two_clients(&server.config()).await;
    let alice = Session::with(gateway.port, PATH, json!({}), Some(ALICE)).await;
    let bob = Session::with(gateway.port, PATH, json!({}), Some(BOB)).await;
    let created = alice.request("tools/call", json!({ "name": "any", "task": { "ttl": 1000 } })).await.result();
    let task = created["task"]["taskId"].as_str().unwrap().to_owned();
    assert!(!task.contains("server"), "{created}");
    for method in ["tasks/get", "tasks/cancel", "tasks/result"] {
        let reply = alice.request(method, json!({ "taskId": task })).await;
        assert_eq!(server.got(method).pop().unwrap().message()["params"]["taskId"], TASK);
        assert!(reply.text().contains(&task) && !reply.text().contains(TASK), "{method}: {reply:?}");
        let known = || server.got(method).iter().filter(|got| got.message()["params"]["taskId"] == TASK).count();
        let count = known();
        for (who, id) in [(&bob, task.as_str()), (&bob, TASK), (&alice, TASK), (&alice, "nonsense")] {
            let reply = who.request(method, json!({ "taskId": id })).await;
            assert_eq!(reply.code(), Some(-32602), "{method} {id}: {reply:?}");
        }
        assert_eq!(known(), count, "{method}: the server's task is never named");
    }
    let listed = alice.request("tasks/list", json!({})).await;
    assert_eq!(listed.result()["tasks"][0]["taskId"], task.as_str(), "one task, one id");
    assert!(!listed.text().contains(CURSOR), "{listed:?}");
}
