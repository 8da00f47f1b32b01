//! Who knows all that another client was given (session, event, task, cursor, question, request and progress token) gets nothing by
//! it on any node, and changes nothing: the owner goes on untouched.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::time::Duration;

use serde_json::{Value, json};
use sluice_tests::catalogue::Catalogue;
use sluice_tests::client::Era;
use sluice_tests::events::Events;
use sluice_tests::fleet::{Fleet, object};
use sluice_tests::message::{self, LEGACY};
use sluice_tests::server::Server;
use sluice_tests::upstream::{Answer, Pipe, Received};
use sluice_tests::{Call, Redis, Reply, Session};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

const NAMES: [&str; 3] = ["edge-1", "edge-2", "edge-3"];
const ALICE: &str = "alice-key-0123456789abcdef";
const BOB: &str = "bob-key-0123456789abcdef0";
const TASK: &str = "task-of-the-server";
/// Said by the owner, and by whoever pretends to be.
const REQUEST: i64 = 77;
const TOKEN: &str = "token-of-alice";
/// For what must not come.
const PAUSE: Duration = Duration::from_millis(200);

fn note(number: usize) -> Value {
    message::notification("notifications/message", json!({ "level": "info", "data": number }))
}

/// Tasks, a page of them, a stream to resume, and a call that ends when the test wants it to.
fn script(received: &Received, calls: &UnboundedSender<(Value, Pipe)>) -> Option<Answer> {
    let message = received.message();
    let (id, params) = (&message["id"], &message["params"]);
    let task = json!({ "taskId": TASK, "status": "working", "createdAt": "2026-01-01T00:00:00Z" });
    if received.verb == "GET" && received.header("last-event-id").is_some() {
        return Some(Answer::events(format!("id: mine-2\ndata: {}\n\n", note(2))));
    }
    let result = match (message["method"].as_str()?, received.tool().as_str()) {
        ("tools/call", "poll") => return Some(Answer::events(format!("id: mine-1\ndata: {}\n\n", note(1)))),
        ("tools/call", "wait") => {
            let (pipe, answer) = Answer::stream("text/event-stream");
            calls.send((id.clone(), pipe)).unwrap();
            return Some(answer);
        }
        ("tools/call", _) if params["task"].is_object() => json!({ "task": task }),
        ("tasks/get" | "tasks/cancel" | "tasks/result", _) if params["taskId"] != TASK => {
            return Some(Answer::message(&message::error(id, -32602, "no such task")));
        }
        ("tasks/get" | "tasks/cancel" | "tasks/result", _) => task,
        ("tasks/list", _) if params.get("cursor").is_some() => json!({ "tasks": [] }),
        ("tasks/list", _) => json!({ "tasks": [task], "nextCursor": "more-of-alice" }),
        _ => return None,
    };
    Some(Answer::message(&message::response(id, result)))
}

/// What alice has at a door, and bob knows.
struct Owned {
    session: Session,
    standing: Events,
    waiting: Events,
    asking: Events,
    question: Value,
    /// Where what one server numbers is passed on as it is.
    event: Option<String>,
    task: String,
    /// Where lists have pages.
    cursor: Option<String>,
}

/// Alice, with everything open that a client can have open. `prefix`: of names at the door.
async fn owner(port: u16, path: &str, prefix: &str) -> Owned {
    let asks = json!({ "elicitation": { "form": {} }, "tasks": { "list": {}, "cancel": {} } });
    let session = Session::with(port, path, asks, Some(ALICE)).await;
    let name = |tool: &str| format!("{prefix}{tool}");
    let event = session.stream(&name("poll"), json!({})).await.next().await.id;
    assert!(event.is_some() || !prefix.is_empty(), "of a server's own door");
    let started = json!({ "name": name("run"), "arguments": {}, "task": { "ttl": 60_000 } });
    let task = session.request("tools/call", started).await.result()["task"]["taskId"].as_str().unwrap().to_owned();
    let tasks = session.request("tasks/list", json!({})).await.result();
    let cursor = tasks["nextCursor"].as_str().map(str::to_owned);
    assert!(cursor.is_some() || !prefix.is_empty(), "of a server's own door");
    let standing = session.listen(None).await;
    let params = json!({ "name": name("wait"), "arguments": {}, "_meta": { "progressToken": TOKEN } });
    let waiting = session.post(&message::request("tools/call", REQUEST, params)).open(port).await;
    let question = json!({ "id": "ask-1", "method": "elicitation/create", "params": { "message": "?" } });
    let mut asking = session.stream(&name("ask"), question).await;
    let question = asking.message().await["id"].clone();
    assert_eq!((standing.status, waiting.status), (200, 200));
    Owned { session, standing, waiting, asking, question, event, task, cursor }
}

fn as_of(session: &str, call: Call) -> Call {
    call.header("mcp-session-id", session).header("mcp-protocol-version", LEGACY).key(BOB)
}

/// In alice's session, with bob's key: as in a session that there never was.
async fn her_session_is_unknown(port: u16, path: &str, owned: &Owned) {
    let post = |body: Value| Call::post(path, body.to_string());
    for call in [
        post(message::request("tools/list", 1, json!({}))),
        post(message::response(&owned.question, json!({ "action": "accept" }))),
        post(message::notification("notifications/cancelled", json!({ "requestId": REQUEST }))),
        Call::get(path),
        Call::get(path).header("last-event-id", owned.event.as_deref().unwrap_or("1")),
        Call::delete(path),
    ] {
        let reply = as_of(&owned.session.id, call.clone()).send(port).await;
        let unknown = as_of(&owned.session.id.to_lowercase(), call).send(port).await;
        assert_eq!(reply.verdict(), (404, Some(-32600)), "{reply:?}");
        assert_eq!(reply.text(), unknown.text(), "told apart from a session that does not exist");
    }
}

/// In a session of bob's own: as with what nobody was ever given.
async fn her_handles_are_worthless(bob: &Session, port: u16, owned: &Owned) {
    let bob = bob.at(port);
    let same = |method: &'static str, reply: Reply, unknown: Reply| {
        assert!(reply.code().is_some(), "{method}: {reply:?}");
        assert_eq!((reply.verdict(), reply.text()), (unknown.verdict(), unknown.text()), "{method}");
    };
    let get = |event: &str| bob.dressed(Call::get(bob.path())).header("last-event-id", event);
    if let Some(event) = &owned.event {
        same("resumption", get(event).send(port).await, get(&event.to_lowercase()).send(port).await);
    }
    let ask = async |method: &'static str, key: &'static str, value: String| {
        bob.post(&message::request(method, 5, json!({ key: value }))).send(port).await
    };
    for method in ["tasks/get", "tasks/cancel", "tasks/result"] {
        let (known, unknown) = (owned.task.clone(), owned.task.to_lowercase());
        same(method, ask(method, "taskId", known).await, ask(method, "taskId", unknown).await);
    }
    if let Some(cursor) = &owned.cursor {
        let (known, unknown) = (cursor.clone(), cursor.to_lowercase());
        same("tasks/list", ask("tasks/list", "cursor", known).await, ask("tasks/list", "cursor", unknown).await);
    }
    // what is not answered: taken or not, it has to do with his own session only
    let progress = json!({ "progressToken": TOKEN, "progress": 1 });
    for said in [
        message::response(&owned.question, json!({ "action": "accept", "content": { "by": "bob" } })),
        message::notification("notifications/cancelled", json!({ "requestId": REQUEST })),
        message::notification("notifications/progress", progress),
    ] {
        let reply = bob.post(&said).send(port).await;
        assert!(reply.status < 500, "{reply:?}");
    }
}

/// The owner's calls, streams and handles are as they were.
async fn goes_on(owned: Owned, ports: &[u16], calls: &mut UnboundedReceiver<(Value, Pipe)>, server: &Server) {
    let Owned { session, mut standing, mut waiting, mut asking, question, event, task, .. } = owned;
    assert!(standing.quiet(PAUSE).await && waiting.quiet(PAUSE).await && asking.quiet(PAUSE).await, "nothing was told");
    server.announce("tools").await;
    assert_eq!(standing.message().await["method"], "notifications/tools/list_changed");
    let (id, pipe) = calls.recv().await.unwrap();
    pipe.event(&message::response(&id, message::text("hers"))).await;
    assert_eq!(waiting.message().await["result"]["content"][0]["text"], "hers");
    session.answer(&question, json!({ "action": "accept", "content": { "by": "alice" } })).await;
    let answered = asking.message().await["result"]["content"][0]["text"].as_str().unwrap().to_owned();
    assert!(answered.contains("alice") && !answered.contains("bob"), "{answered}");
    for port in ports {
        let session = session.at(*port);
        assert_eq!(session.request("tasks/get", json!({ "taskId": task })).await.result()["taskId"], task.as_str());
    }
    if let Some(event) = &event {
        assert_eq!(session.listen(Some(event)).await.message().await["params"]["data"], 2);
    }
    assert_eq!(session.delete().await.status, 200);
}

#[tokio::test]
async fn what_another_client_was_given_is_good_for_nobody_else_on_any_node() {
    let (sender, mut calls) = unbounded_channel();
    let offer = ["poll", "run", "wait", "ask"].into_iter().fold(Catalogue::new("one"), Catalogue::tool);
    let tasks = json!({ "list": {}, "cancel": {}, "requests": { "tools": { "call": {} } } });
    let offer = offer.capability("tasks", tasks).capability("tools", json!({ "listChanged": true }));
    let server = Server::scripted(Era::Legacy, &offer, move |received| script(received, &sender));
    let redis = Redis::start().await;
    let client = |name, key| object("client", name, &json!({ "api_key": key }));
    let objects = vec![object("server", "one", &server.config()), client("alice", ALICE), client("bob", BOB)];
    let fleet = Fleet::keeping(&redis, &NAMES, objects).await;
    let ports: Vec<u16> = fleet.nodes.iter().map(|node| node.port).collect();
    for (path, prefix) in [("/servers/one/mcp", ""), ("/mcp", "one_")] {
        let owned = owner(ports[0], path, prefix).await;
        let hers = server.sessions();
        let bob = Session::with(ports[1], path, json!({ "elicitation": { "form": {} } }), Some(BOB)).await;
        assert_eq!(bob.request("tools/list", json!({})).await.status, 200);
        let before = server.received().len();
        for port in &ports {
            her_session_is_unknown(*port, path, &owned).await;
            her_handles_are_worthless(&bob, *port, &owned).await;
        }
        for sent in &server.received()[before..] {
            let session = sent.header("mcp-session-id").unwrap_or_default().to_owned();
            assert!(!hers.contains(&session), "{path}: {} {} in her session", sent.verb, sent.method());
            assert_ne!(sent.message()["params"]["taskId"], TASK, "{path}: her task was named");
        }
        goes_on(owned, &ports, &mut calls, &server).await;
        assert_eq!(bob.delete().await.status, 200);
    }
}
