//! Sessions of the merged door: whose they are, what they hold open, and how they end.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sluice_tests::catalogue::{Catalogue, tool};
use sluice_tests::client::{Client, ERAS, Era};
use sluice_tests::gateway::Start;
use sluice_tests::message::{self, LEGACY, MODERN};
use sluice_tests::peer::Peer;
use sluice_tests::server::Server;
use sluice_tests::upstream::{Answer, Received, Upstream};
use sluice_tests::{Call, Gateway, Session, until, wait};

const ALICE: &str = "alice-key-0123456789abcdef";
const BOB: &str = "bob-key-0123456789abcdef0";

fn servers() -> [Server; 2] {
    ["left", "right"]
        .map(|name| Server::start(Era::Legacy, &Catalogue::new(name).tool("echo").tool("hang").resources(1)))
}

fn entries(servers: &[Server; 2]) -> Value {
    json!({ "left": servers[0].config(), "right": servers[1].config() })
}

#[tokio::test]
async fn a_session_belongs_to_who_opened_it() {
    let servers = servers();
    let clients = json!({ "alice": { "api_key": ALICE }, "bob": { "api_key": BOB } });
    let gateway = Start::new(json!({ "servers": entries(&servers), "clients": clients })).ready().await;
    let alice = Session::with(gateway.port, "/mcp", json!({}), Some(ALICE)).await;
    let before = servers[0].received().len();
    let body = message::call("left_echo", 1, json!({})).to_string();
    for (key, status) in [(Some(BOB), 404), (None, 401), (Some("nobody-0123456789abcdef"), 401)] {
        for call in [Call::post("/mcp", body.clone()), Call::get("/mcp"), Call::delete("/mcp")] {
            let call = call.header("mcp-session-id", &alice.id).header("mcp-protocol-version", LEGACY);
            let call = key.iter().fold(call, |call, key| call.key(key));
            assert_eq!(call.send(gateway.port).await.status, status, "{key:?}");
        }
    }
    assert_eq!(servers[0].received().len(), before);
    for forged in ["", "x", &alice.id[..alice.id.len() - 2], &format!("{}A", alice.id), "left-session-0"] {
        let reply = alice
            .post(&message::call("left_echo", 1, json!({})))
            .header("mcp-session-id", forged)
            .send(gateway.port)
            .await;
        assert!([400, 404].contains(&reply.status), "{forged:?}: {reply:?}");
    }
    assert_eq!(alice.call("left_echo", json!({})).await.status, 200);
}

#[tokio::test]
async fn the_end_of_a_session_ends_its_streams_and_calls() {
    let servers = servers();
    let gateway = Gateway::with(entries(&servers)).await;
    let session = Session::with(gateway.port, "/mcp", json!({ "roots": {} }), None).await;
    for name in ["left", "right"] {
        assert_eq!(session.call(&format!("{name}_echo"), json!({})).await.status, 200);
    }
    let parts = servers.each_ref().map(|s| s.calls("echo").pop().unwrap().header("mcp-session-id").unwrap().to_owned());
    let mut stream = session.listen(None).await;
    for (server, part) in servers.iter().zip(&parts) {
        until("the part's stream", || server.listeners().into_iter().find(|l| l.session == *part)).await;
    }
    let (call, port) = (session.post(&message::call("left_hang", 9, json!({}))), gateway.port);
    let waiting = tokio::spawn(async move { call.try_send(port).await });
    servers[0].receives("the call", |r| r.tool() == "hang").await;
    assert_eq!(session.delete().await.status / 100, 2);
    assert!(stream.rest().await.iter().all(|message| message.get("id").is_none()), "the stream ends");
    for (server, part) in servers.iter().zip(&parts) {
        until("the part is ended", || (!server.sessions().contains(part)).then_some(())).await;
        until("its stream is closed", || (!server.listeners().iter().any(|l| l.session == *part)).then_some(())).await;
    }
    waiting.abort();
    assert_eq!(Session::open(port, "/mcp").await.call("left_echo", json!({})).await.status, 200);
}

#[tokio::test]
async fn an_idle_session_ends_with_all_its_parts() {
    let (servers, peer) = (servers(), Peer::new("legacy"));
    let mut all = entries(&servers);
    all["peer"] = peer.config();
    let limits = json!({ "session_idle_seconds": 2 });
    let gateway = Start::new(json!({ "servers": all, "proxy": { "limits": limits } })).ready().await;
    let session = Session::with(gateway.port, "/mcp", json!({ "sampling": {} }), None).await;
    for tool in ["left_echo", "right_echo", "peer_pid"] {
        assert_eq!(session.call(tool, json!({})).await.status, 200);
    }
    let parts = servers.each_ref().map(|s| s.calls("echo").pop().unwrap().header("mcp-session-id").unwrap().to_owned());
    for (server, part) in servers.iter().zip(&parts) {
        until("the part is ended", || (!server.sessions().contains(part)).then_some(())).await;
    }
    assert_eq!(session.call("left_echo", json!({})).await.status, 404);
}

#[tokio::test]
async fn a_part_that_is_used_keeps_the_others() {
    let servers = servers();
    let limits = json!({ "session_idle_seconds": 3 });
    let gateway = Start::new(json!({ "servers": entries(&servers), "proxy": { "limits": limits } })).ready().await;
    let session = Session::with(gateway.port, "/mcp", json!({ "roots": {} }), None).await;
    assert_eq!(session.call("right_echo", json!({})).await.status, 200);
    let part = servers[1].calls("echo").pop().unwrap().header("mcp-session-id").unwrap().to_owned();
    wait::throughout(Duration::from_secs(6), Duration::from_millis(300), async || {
        assert_eq!(session.call("left_echo", json!({})).await.status, 200);
    })
    .await;
    assert_eq!(session.call("right_echo", json!({})).await.status, 200);
    let now = servers[1].calls("echo").pop().unwrap().header("mcp-session-id").unwrap().to_owned();
    assert_eq!(now, part, "the state a server keeps for a session lives as long as the session");
}

#[tokio::test]
async fn handles_of_one_door_lead_nowhere_else_on_another() {
    let page = |name: &'static str| {
        let offer = Catalogue::new(name).tools(5).page(2);
        Server::scripted(Era::Modern, &offer, move |received| {
            let message = received.message();
            let params = &message["params"];
            (received.tool() == "tool-001").then(|| {
                let result = if params.get("requestState").is_none() {
                    json!({ "resultType": "input_required", "inputRequests": {}, "requestState": "s" })
                } else {
                    message::text(name)
                };
                Answer::message(&message::response(&message["id"], result))
            })
        })
    };
    let servers = [page("left"), page("right")];
    let gateway = Gateway::with(entries(&servers)).await;
    let ask = |door: &'static str, name: &'static str, state: Option<String>| {
        let mut params = json!({ "name": name, "arguments": {} });
        if let Some(state) = state {
            params["requestState"] = json!(state);
            params["inputResponses"] = json!({});
        }
        Call::modern(door, "tools/call", 1, params)
    };
    let doors = [
        ("/mcp", "left_tool-001"),
        ("/servers/left/mcp", "tool-001"),
        ("/servers/right/mcp", "tool-001"),
        ("/mcp", "right_tool-001"),
    ];
    for (door, name) in doors {
        let asked = ask(door, name, None).send(gateway.port).await.result();
        let state = asked["requestState"].as_str().unwrap().to_owned();
        let before = servers.each_ref().map(|s| s.calls("tool-001").len());
        for (other, theirs) in doors.into_iter().filter(|other| *other != (door, name)) {
            let reply = ask(other, theirs, Some(state.clone())).send(gateway.port).await;
            let own = other.contains("left") || theirs.contains("left");
            let same = own == (door.contains("left") || name.contains("left"));
            assert!(reply.code() == Some(-32602) || same && reply.status == 200, "{door} {name} at {other}: {reply:?}");
        }
        let after = servers.each_ref().map(|s| s.calls("tool-001").len());
        let foreign = usize::from(door.contains("left") || name.contains("left"));
        assert_eq!(after[foreign], before[foreign], "{door} {name}: the other server is never shown a state");
    }
    let cursor =
        Call::modern("/servers/left/mcp", "tools/list", 1, json!({})).send(gateway.port).await.result()["nextCursor"]
            .clone();
    for door in ["/mcp", "/servers/right/mcp"] {
        let reply = Call::modern(door, "tools/list", 1, json!({ "cursor": cursor })).send(gateway.port).await;
        assert_eq!(reply.code(), Some(-32602), "{door}: {reply:?}");
    }
}

#[tokio::test]
async fn whatever_a_server_says_of_itself_the_door_opens() {
    let oddities = [
        json!({ "capabilities": null }),
        json!({ "capabilities": {} }),
        json!({ "capabilities": { "tools": true } }),
        json!({ "capabilities": { "tools": { "listChanged": "yes" }, "resources": [] } }),
        json!({ "capabilities": [] }),
        json!({ "capabilities": { "tools": {} }, "instructions": 7 }),
        json!({ "capabilities": { "tools": {} }, "instructions": "i".repeat(300_000) }),
        json!({ "capabilities": { "tools": {}, "experimental": { "x": [1] }, "vendor": 1 }, "serverInfo": "me" }),
        json!({}),
    ];
    for era in ERAS {
        let odd = |oddity: &Value| {
            let oddity = oddity.clone();
            Upstream::start(move |received| std::future::ready(introduced(era, &received, &oddity)))
        };
        let all: Vec<_> = oddities.iter().map(odd).collect();
        let good = Server::start(era, &Catalogue::new("good").tools(2));
        let mut servers = json!({ "good": good.config() });
        for (n, server) in all.iter().enumerate() {
            servers[format!("odd-{n}")] = server.config();
        }
        let gateway = Gateway::with(servers).await;
        let client = Client::open(era, gateway.port, "/mcp").await;
        let names = client.names("tools/list").await;
        assert!(names.contains(&"good_tool-001".to_owned()), "{era:?}: {names:?}");
        for n in [5, 6, 7] {
            assert!(names.contains(&format!("odd-{n}_tool")), "{era:?}: {names:?}");
        }
        assert_eq!(client.said("good_tool-001", json!({})).await["server"], "good");
        assert_eq!(client.call("odd-7_tool", json!({})).await.status, 200, "{era:?}");
    }
}

/// A server with one tool and without sessions, that says `oddity` of itself.
fn introduced(era: Era, received: &Received, oddity: &Value) -> Answer {
    let message = received.message();
    let mut result = match (era, message["method"].as_str()) {
        (Era::Modern, Some("server/discover")) => {
            json!({ "resultType": "complete", "supportedVersions": [MODERN], "ttlMs": 0, "cacheScope": "public" })
        }
        (Era::Legacy, Some("initialize")) => {
            json!({ "protocolVersion": LEGACY, "serverInfo": { "name": "x", "version": "1" } })
        }
        (_, Some("tools/list")) => {
            let result =
                json!({ "resultType": "complete", "tools": [tool("tool")], "ttlMs": 0, "cacheScope": "public" });
            return Answer::message(&message::response(&message["id"], result));
        }
        (_, Some("tools/call")) => return Answer::message(&message::response(&message["id"], message::text("odd"))),
        (Era::Legacy, None) => return Answer::empty(405),
        _ if message["id"].is_null() => return Answer::accepted(),
        _ => return Answer::message(&message::error(&message["id"], -32601, "Method not found")),
    };
    result.as_object_mut().unwrap().extend(oddity.as_object().unwrap().clone());
    Answer::message(&message::response(&message["id"], result))
}

#[tokio::test]
async fn two_hundred_servers_are_one_door() {
    for era in ERAS {
        let server = Server::start(era, &Catalogue::new("same").tools(10).ttl(600_000));
        let mut servers = json!({});
        for n in 0..200 {
            servers[format!("s{n:03}")] = server.config();
        }
        let gateway = Gateway::with(servers).await;
        let start = Instant::now();
        let client = Client::open(era, gateway.port, "/mcp").await;
        assert!(start.elapsed() < Duration::from_secs(7), "{era:?}: opening took {:?}", start.elapsed());
        let first = client.prepare("tools/list", json!({})).send_patiently(gateway.port).await;
        assert_eq!(
            first.result()["tools"].as_array().unwrap().len(),
            2000,
            "{era:?}, first after {:?}",
            start.elapsed()
        );
        let start = Instant::now();
        assert_eq!(client.prepare("tools/list", json!({})).send_patiently(gateway.port).await.status, 200);
        let warm = start.elapsed();
        assert!(warm < Duration::from_secs(1), "{era:?}: {warm:?}");
        for n in [0, 99, 199] {
            assert_eq!(client.said(&format!("s{n:03}_tool-009"), json!({})).await["tool"], "tool-009");
        }
        let peak = sluice_tests::process::peak_kib(gateway.pid());
        assert!(peak < 192 << 10, "{era:?}: {} MiB", peak >> 10);
    }
}
