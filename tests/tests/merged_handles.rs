//! Handles on the merged door: request states, task ids and cursors lead back to the server that gave them, for whom they
//! were given to, and for nobody else.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use sluice_tests::catalogue::Catalogue;
use sluice_tests::client::{Client, ERAS, Era};
use sluice_tests::gateway::Start;
use sluice_tests::message::{self, CAPABILITIES_KEY};
use sluice_tests::server::Server;
use sluice_tests::upstream::{Answer, Received};
use sluice_tests::{Gateway, Session};

const ALICE: &str = "alice-key-0123456789abcdef";
const BOB: &str = "bob-key-0123456789abcdef";
const STATE: &str = "state of the server";
const TASK: &str = "task-of-the-server";

/// Both servers use the same state; each says who it is.
fn asks(name: &'static str) -> impl Fn(&Received) -> Option<Answer> + Send + Sync + 'static {
    move |received| {
        let message = received.message();
        let params = &message["params"];
        let result = match (message["method"].as_str()?, params["name"].as_str(), params["uri"].as_str()) {
            ("tools/call" | "prompts/get", Some("ask"), _) | ("resources/read", _, Some("file:///ask")) => {
                if params.get("requestState").is_none() {
                    let question = json!({ "method": "roots/list", "params": {} });
                    json!({ "resultType": "input_required", "inputRequests": { "q": question }, "requestState": STATE })
                } else {
                    let said = format!("{name} {} {}", params["requestState"], params["inputResponses"]);
                    json!({ "resultType": "complete", "content": [{ "type": "text", "text": said }],
                        "messages": [], "contents": [], "ttlMs": 0, "cacheScope": "private", "_meta": { "said": said } })
                }
            }
            _ => return None,
        };
        Some(Answer::message(&message::response(&message["id"], result)))
    }
}

async fn gateway(servers: &[Server; 2]) -> Gateway {
    let clients = json!({ "alice": { "api_key": ALICE }, "bob": { "api_key": BOB } });
    let entries = json!({ "left": servers[0].config(), "right": servers[1].config() });
    Start::new(json!({ "servers": entries, "clients": clients })).ready().await
}

fn tampered(handle: &str) -> Vec<String> {
    let flipped = |at: usize| {
        let other = if &handle[at..=at] == "A" { "B" } else { "A" };
        format!("{}{other}{}", &handle[..at], &handle[at + 1..])
    };
    let mut all =
        vec![flipped(0), flipped(handle.len() / 2), format!("{handle}AAAA"), handle[..handle.len() - 4].into()];
    all.extend(["", "AAAA", STATE, TASK].map(str::to_owned));
    all
}

#[tokio::test]
async fn a_question_in_a_result_goes_back_to_the_server_that_asked() {
    let offer = |name: &str| {
        let offer = Catalogue::new(name).tool("ask").tool("other").resources(1);
        offer.change(|lists| {
            lists.prompts = vec![json!({ "name": "ask" })];
            lists.resources.push(json!({ "uri": "file:///ask", "name": "ask" }));
        });
        offer
    };
    let servers = ["left", "right"].map(|name| Server::scripted(Era::Modern, &offer(name), asks(name)));
    let gateway = gateway(&servers).await;
    let alice = Client::with(Era::Modern, gateway.port, "/mcp", Some(ALICE)).await;
    let bob = Client::with(Era::Modern, gateway.port, "/mcp", Some(BOB)).await;
    let uris = alice.names("resources/list").await;
    let answers = json!({ "q": { "roots": [{ "uri": "file:///home" }] } });
    for (name, other) in [("left", "right"), ("right", "left")] {
        let uri = uris.iter().find(|uri| uri.contains(name) && uri.ends_with("ask")).unwrap();
        let cases = [
            ("tools/call", json!({ "name": format!("{name}_ask"), "arguments": { "a": 1 } })),
            ("prompts/get", json!({ "name": format!("{name}_ask"), "arguments": { "a": "1" } })),
            ("resources/read", json!({ "uri": uri })),
        ];
        for (method, params) in cases {
            let asked = alice.request(method, params.clone()).await.result();
            assert_eq!(
                (&asked["resultType"], &asked["inputRequests"]["q"]["method"]),
                (&json!("input_required"), &json!("roots/list"))
            );
            let state = asked["requestState"].as_str().unwrap().to_owned();
            assert!(!state.contains("server"), "{state}");
            let retried = |state: &str, params: &Value| {
                let mut params = params.clone();
                params["requestState"] = json!(state);
                params["inputResponses"] = answers.clone();
                params
            };
            let count = || servers.iter().map(|server| server.got(method).len()).sum::<usize>();
            let before = count();
            let mut wrong = vec![(&bob, retried(&state, &params))];
            wrong.extend(tampered(&state).iter().map(|state| (&alice, retried(state, &params))));
            if method != "resources/read" {
                let mut elsewhere = params.clone();
                elsewhere["name"] = json!(format!("{other}_ask"));
                wrong.push((&alice, retried(&state, &elsewhere)));
            }
            for (who, params) in wrong {
                let reply = who.request(method, params.clone()).await;
                assert_eq!(reply.verdict(), (200, Some(-32602)), "{method} {params}: {reply:?}");
            }
            assert_eq!(count(), before, "{method}: no server was asked");
            let ended = alice.request(method, retried(&state, &params)).await.result();
            let said = ended["_meta"]["said"].as_str().unwrap();
            assert_eq!(said, format!("{name} {STATE:?} {answers}"));
        }
    }
}

/// A server of either era with one task.
fn with_task(
    name: &'static str,
    lists: &'static AtomicUsize,
) -> impl Fn(&Received) -> Option<Answer> + Send + Sync + 'static {
    move |received| {
        let message = received.message();
        let (id, params) = (&message["id"], &message["params"]);
        let modern = params["_meta"]["io.modelcontextprotocol/protocolVersion"].is_string();
        let asked = &params["taskId"];
        if asked.is_string() && asked != TASK {
            return Some(Answer::message(&message::error(id, -32602, "no such task")));
        }
        let task = json!({ "taskId": TASK, "status": "working", "statusMessage": name, "createdAt": "2026-01-01T00:00:00Z",
            "lastUpdatedAt": "2026-01-01T00:00:00Z", "ttl": 60_000, "ttlMs": 60_000 });
        let related = json!({ "io.modelcontextprotocol/related-task": { "taskId": TASK } });
        let mut result = match message["method"].as_str()? {
            "initialize" | "server/discover" => return None,
            "tools/call" if modern => {
                json!({ "resultType": "task", "taskId": TASK, "status": "working", "statusMessage": name, "ttlMs": 60_000 })
            }
            "tools/call" if params["task"].is_object() => json!({ "task": task }),
            "tasks/get" | "tasks/cancel" | "tasks/update" => task,
            "tasks/result" => json!({ "content": [{ "type": "text", "text": name }], "_meta": related }),
            "tasks/list" => {
                lists.fetch_add(1, Ordering::SeqCst);
                let second = json!({ "taskId": format!("{TASK}-2"), "status": "completed", "statusMessage": name });
                if params.get("cursor").is_some() {
                    json!({ "tasks": [second] })
                } else {
                    json!({ "tasks": [task], "nextCursor": "more" })
                }
            }
            _ => return None,
        };
        if result.get("resultType").is_none() {
            result["resultType"] = json!("complete");
        }
        Some(Answer::message(&message::response(id, result)))
    }
}

#[tokio::test]
async fn a_task_is_asked_about_at_the_server_that_runs_it() {
    static LISTS: AtomicUsize = AtomicUsize::new(0);
    for era in ERAS {
        let servers = ["left", "right"]
            .map(|name| Server::scripted(era, &Catalogue::new(name).tool("run"), with_task(name, &LISTS)));
        let gateway = gateway(&servers).await;
        let alice = Client::with(era, gateway.port, "/mcp", Some(ALICE)).await;
        let bob = Client::with(era, gateway.port, "/mcp", Some(BOB)).await;
        let methods: &[&str] = match era {
            Era::Legacy => &["tasks/get", "tasks/cancel", "tasks/result"],
            Era::Modern => &["tasks/get", "tasks/cancel", "tasks/update"],
        };
        for (at, name) in ["left", "right"].into_iter().enumerate() {
            let with_tasks = json!({ CAPABILITIES_KEY: { "extensions": { "io.modelcontextprotocol/tasks": {} } } });
            let params = json!({ "name": format!("{name}_run"), "arguments": {}, "task": { "ttl": 60_000 }, "_meta": with_tasks });
            let asked = |id: &str| json!({ "taskId": id, "inputResponses": {}, "_meta": with_tasks });
            let created = alice.request("tools/call", params).await.result();
            let task = created["taskId"].as_str().or(created["task"]["taskId"].as_str()).unwrap().to_owned();
            assert!(!task.contains("server"), "{created}");
            for method in methods {
                let reply = alice.request(method, asked(&task)).await;
                assert!(reply.text().contains(&task) && !reply.text().contains(TASK), "{era:?} {method}: {reply:?}");
                assert!(reply.text().contains(name), "{era:?} {method}: {reply:?}");
                assert_eq!(servers[at].got(method).pop().unwrap().message()["params"]["taskId"], TASK);
                let named = || {
                    let asked = servers.iter().flat_map(|server| server.got(method));
                    asked.filter(|asked| asked.message()["params"]["taskId"] == TASK).count()
                };
                let before = named();
                for (who, id) in [(&bob, task.as_str()), (&bob, TASK)] {
                    let reply = who.request(method, asked(id)).await;
                    assert_eq!(reply.verdict(), (200, Some(-32602)), "{era:?} {method} {id}: {reply:?}");
                }
                for id in &tampered(&task) {
                    let reply = alice.request(method, asked(id)).await;
                    assert_eq!(reply.verdict(), (200, Some(-32602)), "{era:?} {method} {id}: {reply:?}");
                }
                assert_eq!(named(), before, "{era:?} {method}: the task is not named to any server");
            }
        }
    }
}

/// The tasks a client is shown, over all pages, and the text of the last page.
async fn all_tasks(session: &Session) -> (Vec<Value>, String) {
    let mut page = session.request("tasks/list", json!({})).await;
    let mut tasks = page.result()["tasks"].as_array().unwrap().clone();
    while let Some(cursor) = page.result().get("nextCursor").cloned() {
        assert!(tasks.len() < 100, "pages without end");
        page = session.request("tasks/list", json!({ "cursor": cursor })).await;
        tasks.extend(page.result()["tasks"].as_array().unwrap().clone());
    }
    (tasks, page.text())
}

#[tokio::test]
async fn the_tasks_of_all_servers_are_one_list_for_each_client() {
    static LISTS: AtomicUsize = AtomicUsize::new(0);
    let servers = ["left", "right"].map(|name| {
        let tasks = json!({ "list": {}, "cancel": {}, "requests": { "tools": { "call": {} } } });
        let offer = Catalogue::new(name).tool("run").capability("tasks", tasks);
        Server::scripted(Era::Legacy, &offer, with_task(name, &LISTS))
    });
    let gateway = gateway(&servers).await;
    let alice = Session::with(gateway.port, "/mcp", json!({ "roots": {} }), Some(ALICE)).await;
    let bob = Session::with(gateway.port, "/mcp", json!({ "roots": {} }), Some(BOB)).await;
    assert!(alice.opened["capabilities"]["tasks"]["list"].is_object(), "{}", alice.opened);
    let mut started = Vec::new();
    for name in ["left", "right"] {
        let params = json!({ "name": format!("{name}_run"), "arguments": {}, "task": { "ttl": 60_000 } });
        started.push(alice.request("tools/call", params).await.result()["task"]["taskId"].as_str().unwrap().to_owned());
    }
    let (tasks, text) = all_tasks(&alice).await;
    let ids: Vec<_> = tasks.iter().map(|task| task["taskId"].as_str().unwrap().to_owned()).collect();
    assert!(started.iter().all(|id| ids.contains(id)), "one task, one id: {tasks:?}");
    assert!(!text.contains(TASK) && !tasks.iter().any(|task| task.to_string().contains(TASK)), "{tasks:?}");
    assert_eq!(tasks.len(), 4, "every page of every server: {tasks:?}");
    // A client that lost its session asks again in a new one.
    let again = Session::with(gateway.port, "/mcp", json!({ "roots": {} }), Some(ALICE)).await;
    let (tasks, _) = all_tasks(&again).await;
    assert!(started.iter().all(|id| tasks.iter().any(|task| task["taskId"] == id.as_str())), "{tasks:?}");
    let (theirs, _) = all_tasks(&bob).await;
    for task in theirs {
        assert!(!ids.contains(&task["taskId"].as_str().unwrap().to_owned()), "never the id of another: {task}");
    }
}

#[tokio::test]
async fn cursors_are_bound_to_who_got_them_and_to_their_list() {
    for era in ERAS {
        let offer = Catalogue::new("big").prompts(1);
        // Above what one page of the gateway holds, whatever that is up to 9 MB.
        offer.change(|lists| {
            let long = "d".repeat(8 << 10);
            let tool =
                |n| json!({ "name": format!("t{n:05}"), "description": long, "inputSchema": { "type": "object" } });
            lists.tools = (0..1150).map(tool).collect();
            lists.page = 100;
            lists.ttl = 60_000;
        });
        let servers = [Server::start(era, &offer), Server::start(era, &Catalogue::new("small").tools(3))];
        let gateway = gateway(&servers).await;
        let alice = Client::with(era, gateway.port, "/mcp", Some(ALICE)).await;
        let bob = Client::with(era, gateway.port, "/mcp", Some(BOB)).await;
        let names = alice.names("tools/list").await;
        let distinct: std::collections::BTreeSet<_> = names.iter().collect();
        assert_eq!((names.len(), distinct.len()), (1153, 1153), "{era:?}");
        let page = alice.request("tools/list", json!({})).await.result();
        let Some(cursor) = page["nextCursor"].as_str() else { panic!("9 MB in one answer") };
        let again = alice.request("tools/list", json!({ "cursor": cursor })).await.result();
        assert!(!again["tools"].as_array().unwrap().is_empty());
        let reply = bob.request("tools/list", json!({ "cursor": cursor })).await;
        assert_eq!(reply.verdict(), (200, Some(-32602)), "{era:?}: another principal");
        let reply = alice.request("prompts/list", json!({ "cursor": cursor })).await;
        assert_eq!(reply.verdict(), (200, Some(-32602)), "{era:?}: another list");
        for cursor in tampered(cursor) {
            let reply = alice.request("tools/list", json!({ "cursor": cursor })).await;
            assert_eq!(reply.verdict(), (200, Some(-32602)), "{era:?} {cursor:?}: {reply:?}");
        }
        assert_eq!(bob.names("tools/list").await.len(), 1153);
    }
}
