//! A changed configuration and the calls that are under way: each is answered by the server it began with, which is let go of
//! afterwards.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use sluice_tests::catalogue::Catalogue;
use sluice_tests::client::Era;
use sluice_tests::events::Events;
use sluice_tests::message;
use sluice_tests::peer::Peer;
use sluice_tests::server::Server;
use sluice_tests::upstream::{Answer, Pipe, Received};
use sluice_tests::websocket::Socket;
use sluice_tests::{Gateway, Session, until, wait};

/// How long a changed file may take to be applied, and what is gone to be let go of.
const SEEN: Duration = Duration::from_secs(10);

/// Calls of `wait` that a server has not answered, by its session. As servers made with the SDKs do, it lets go of them when their
/// session is ended.
type Waiting = Arc<Mutex<HashMap<String, (Value, Pipe)>>>;

fn serve() -> (Server, Waiting) {
    let waiting = Waiting::default();
    let held = Arc::clone(&waiting);
    let script = move |received: &Received| {
        let session = received.header("mcp-session-id").unwrap_or_default().to_owned();
        if received.verb == "DELETE" {
            held.lock().unwrap().remove(&session);
        }
        (received.tool() == "wait").then(|| {
            let (pipe, answer) = Answer::stream("text/event-stream");
            let (first, id) = (pipe.clone(), received.message()["id"].clone());
            held.lock().unwrap().insert(session, (id, pipe));
            tokio::spawn(async move { first.event(&note()).await });
            answer
        })
    };
    (Server::scripted(Era::Legacy, &Catalogue::new("slow").tool("wait").tool("quick"), script), waiting)
}

fn note() -> Value {
    message::notification("notifications/message", json!({ "level": "info", "data": "working" }))
}

/// Answers what waits, unless the server has let go of it.
async fn answer(waiting: &Waiting) {
    let answered = std::mem::take(&mut *waiting.lock().unwrap());
    for (id, pipe) in answered.into_values() {
        pipe.event(&message::response(&id, message::text("waited"))).await;
    }
}

/// Changes the file, and waits until it is what the gateway runs.
async fn apply(gateway: &Gateway, servers: &Value) {
    let revision = async || {
        let config: Value = serde_json::from_str(&gateway.admin("/config").await.text()).unwrap();
        config["generation"].as_u64().unwrap()
    };
    let before = revision().await;
    std::fs::write(gateway.file(), json!({ "servers": servers }).to_string()).unwrap();
    wait::becomes(SEEN, "the file is applied", revision, |now| *now > before).await;
}

/// Sees to it that nobody is let go of for a while.
async fn stays<T: PartialEq + std::fmt::Debug>(look: impl Fn() -> T, expected: &T) {
    let stays = async || assert_eq!(look(), *expected, "while a call is under way");
    wait::throughout(Duration::from_millis(400), Duration::from_millis(20), stays).await;
}

/// The answer to a call whose stream has begun.
async fn waited(stream: &mut Events) -> String {
    let last = stream.rest().await.pop().expect("an answer");
    last["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{last}")).to_owned()
}

#[tokio::test]
async fn a_call_is_answered_whatever_becomes_of_its_server() {
    let other = Server::start(Era::Legacy, &Catalogue::new("other").tool("wait"));
    let keep = json!({ "url": other.url() });
    for door in ["/servers/slow/mcp", "/mcp"] {
        for case in ["auth", "url", "removed"] {
            let (server, waiting) = serve();
            let gateway = Gateway::with(json!({ "slow": server.config(), "keep": keep })).await;
            let session = Session::open(gateway.port, door).await;
            let tool = if door == "/mcp" { "slow_wait" } else { "wait" };
            let mut call = session.stream(tool, json!({})).await;
            assert_eq!(call.message().await["method"], "notifications/message");
            let sessions = server.sessions();
            let changed = match case {
                "auth" => json!({ "slow": { "url": server.url(), "headers": { "x-key": "new" } }, "keep": keep }),
                "url" => json!({ "slow": { "url": other.url() }, "keep": keep }),
                _ => json!({ "keep": keep }),
            };
            apply(&gateway, &changed).await;
            stays(|| server.sessions(), &sessions).await;
            answer(&waiting).await;
            assert_eq!(waited(&mut call).await, "waited", "{case} at {door}");
            until("the server's session is ended", || server.sessions().is_empty().then_some(())).await;
        }
    }
}

#[tokio::test]
async fn a_timeout_changes_no_session() {
    for door in ["/servers/slow/mcp", "/mcp"] {
        let (server, waiting) = serve();
        let (peer, mut entry) = (Peer::new("legacy"), server.config());
        let gateway = Gateway::with(json!({ "slow": entry, "stdio": peer.config() })).await;
        let session = Session::open(gateway.port, door).await;
        let prefix = if door == "/mcp" { "slow_" } else { "" };
        let child = match door {
            "/mcp" => Some(session.call("stdio_pid", json!({})).await.result()["content"][0]["text"].clone()),
            _ => None,
        };
        let mut standing = session.listen(None).await;
        let mut call = session.stream(&format!("{prefix}wait"), json!({})).await;
        assert_eq!(call.message().await["method"], "notifications/message");
        let sessions = server.sessions();
        entry["timeout"] = json!(2);
        apply(&gateway, &json!({ "slow": entry, "stdio": peer.config_with(json!({ "timeout": 2 })) })).await;
        answer(&waiting).await;
        assert_eq!(waited(&mut call).await, "waited", "{door}");
        assert_eq!(server.sessions(), sessions, "{door}");
        // the stream that stands was not ended: it tells what the server says
        server.announce("tools").await;
        assert_eq!(standing.message().await["method"], "notifications/tools/list_changed", "{door}");
        if let Some(child) = child {
            assert_eq!(session.call("stdio_pid", json!({})).await.result()["content"][0]["text"], child);
        }
        // and the next call is waited for as long as is said now
        let mut late = session.stream(&format!("{prefix}wait"), json!({})).await;
        let last = late.rest().await.pop().expect("an answer");
        assert_eq!(last["error"]["code"], -32603, "{last}");
    }
}

#[tokio::test]
async fn a_process_answers_what_it_was_asked_before_it_is_ended() {
    let other = Server::start(Era::Legacy, &Catalogue::new("other").tool("wait"));
    let keep = json!({ "url": other.url() });
    for (door, prefix) in [("/servers/peer/mcp", ""), ("/mcp", "peer_")] {
        for (case, capabilities) in [("env", json!({})), ("removed", json!({})), ("env", json!({ "sampling": {} }))] {
            let (peer, folder) = (Peer::new("legacy"), tempfile::tempdir().unwrap());
            let file = folder.path().join("go");
            let gateway = Gateway::with(json!({ "peer": peer.config(), "keep": keep })).await;
            let session = Session::with(gateway.port, door, capabilities, None).await;
            let before = session.call(&format!("{prefix}pid"), json!({})).await.result()["content"][0]["text"].clone();
            let tool = format!("{prefix}until");
            let call = session.call(&tool, json!({ "file": file }));
            let change = async {
                until("the call is there", || peer.got("tools/call").get(1).map(drop)).await;
                let changed = match case {
                    "env" => json!({ "peer": peer.config_with(json!({ "env": { "NEW": "1" } })), "keep": keep }),
                    _ => json!({ "keep": keep }),
                };
                let processes = peer.processes();
                apply(&gateway, &changed).await;
                stays(|| peer.processes(), &processes).await;
                std::fs::write(&file, "").unwrap();
            };
            let (reply, ()) = tokio::join!(call, change);
            assert_eq!(reply.result()["content"][0]["text"], before, "{case} at {door}");
            peer.gone().await;
        }
    }
}

#[tokio::test]
async fn a_connection_is_closed_when_its_last_call_is_answered() {
    let (server, waiting) = serve();
    let gateway = Gateway::with(json!({ "slow": server.config() })).await;
    let mut socket = Socket::open(gateway.port, "/servers/slow/ws").await;
    socket.initialize(json!({})).await;
    socket.send(&message::call("wait", 7, json!({}))).await;
    assert_eq!(socket.message().await["method"], "notifications/message");
    apply(&gateway, &json!({ "slow": { "url": server.url(), "headers": { "x-key": "new" } } })).await;
    // what comes now would be for another server, of which the connection knows nothing
    socket.send(&message::call("quick", 8, json!({}))).await;
    let (refused, _) = socket.answer(&json!(8)).await;
    assert!(refused["error"].is_object(), "{refused}");
    answer(&waiting).await;
    let (code, _, before) = socket.closed().await;
    assert_eq!(before.last().unwrap()["result"]["content"][0]["text"], "waited", "{before:?}");
    assert_eq!(code, 1008);
}
