//! HTTP+SSE of 2024-11-05, as clients of that revision use it: one event stream, and POSTs beside it.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use http_body_util::BodyExt as _;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustix::process::Signal;
use serde_json::{Value, json};
use sluice_tests::flood::Flood;
use sluice_tests::gateway::Start;
use sluice_tests::message::{self, LEGACY};
use sluice_tests::peer::Peer;
use sluice_tests::sse::Sse;
use sluice_tests::upstream::{Answer, Legacy};
use sluice_tests::wait::soon;
use sluice_tests::works::Works;
use sluice_tests::{Call, Gateway, Session, process, until, wait};

const PATH: &str = "/servers/one/sse";
const ALICE: &str = "alice-key-0123456789abcdef";
const BOB: &str = "bob-key-0123456789abcdef";

/// One gateway before one server, and an initialised client.
async fn ready(server: Value) -> (Gateway, Sse) {
    let gateway = Gateway::with(json!({ "one": server })).await;
    let mut client = Sse::open(gateway.port, PATH).await;
    client.initialize(json!({ "elicitation": {}, "sampling": {}, "roots": {} })).await;
    (gateway, client)
}

#[tokio::test]
async fn a_client_of_that_revision_initialises_lists_and_calls() {
    let (peer, server) = (Peer::new("legacy"), Legacy::start());
    for server in [peer.config(), server.config()] {
        let gateway = Gateway::with(json!({ "one": server })).await;
        for (path, endpoint) in [("/sse", "/messages?session_id="), (PATH, "/servers/one/messages?session_id=")] {
            let mut client = Sse::open(gateway.port, path).await;
            assert!(client.endpoint.starts_with(endpoint), "{}", client.endpoint);
            let opened = client.initialize(json!({})).await;
            assert_eq!(opened["protocolVersion"], "2024-11-05");
            client.send(&message::request("tools/list", 1, json!({}))).await;
            let listed = client.answer(&json!(1)).await.0["result"]["tools"][0]["name"].clone();
            assert_eq!(listed, if path == PATH { "echo" } else { "one_echo" });
            assert_eq!(client.call(listed.as_str().unwrap(), 2, json!({ "n": 1 })).await, r#"{"n":1}"#);
        }
    }
}

#[tokio::test]
async fn a_message_is_accepted_at_once_and_by_either_spelling_of_its_session() {
    let server = Legacy::start();
    let (gateway, mut client) = ready(server.config()).await;
    let reply = client.hand_in(&message::call("hang", 1, json!({}))).await;
    assert_eq!((reply.status, reply.text().as_str()), (202, "Accepted"), "before any answer");
    client.endpoint = client.endpoint.replace("session_id", "sessionId");
    assert_eq!(client.call("echo", 2, json!({})).await, "{}");
    client.endpoint = client.endpoint.replace("/messages?", "/messages/?");
    assert_eq!(client.call("echo", 3, json!({})).await, "{}");
    drop(gateway);
}

#[tokio::test]
async fn questions_of_a_server_are_asked_on_the_stream_and_answered_by_a_post() {
    let peer = Peer::new("legacy");
    let (_gateway, mut client) = ready(peer.config()).await;
    let params = json!({ "message": "name?", "requestedSchema": { "type": "object", "properties": {} } });
    client.send(&message::call("ask", 1, json!({ "method": "elicitation/create", "params": params }))).await;
    let asked = client.message().await;
    assert_eq!((&asked["method"], &asked["params"]["message"]), (&json!("elicitation/create"), &json!("name?")));
    client.send(&message::response(&asked["id"], json!({ "action": "accept", "content": { "name": "me" } }))).await;
    let (answer, _) = client.answer(&json!(1)).await;
    assert!(answer["result"]["content"][0]["text"].as_str().unwrap().contains(r#""name":"me""#), "{answer}");
}

#[tokio::test]
async fn progress_comes_before_the_result_and_list_changes_come_unasked() {
    let peer = Peer::new("legacy");
    let (_gateway, mut client) = ready(peer.config()).await;
    let params = json!({ "name": "progress", "arguments": {}, "_meta": { "progressToken": "tok" } });
    client.send(&message::request("tools/call", 5, params)).await;
    let (_, before) = client.answer(&json!(5)).await;
    let steps: Vec<_> = before.iter().map(|note| note["params"]["progress"].clone()).collect();
    assert_eq!(steps, [json!(1), json!(2), json!(3)]);
    assert!(before.iter().all(|note| note["params"]["progressToken"] == "tok"));
    client.send(&message::call("changed", 6, json!({}))).await;
    let first = client.message().await;
    let second = client.message().await;
    let both = [first["method"].clone(), second["method"].clone()];
    assert!(both.contains(&json!("notifications/tools/list_changed")), "{both:?}");
}

#[tokio::test]
async fn a_cancelled_call_is_cancelled_at_the_server_and_never_answered() {
    let peer = Peer::new("legacy");
    let (_gateway, mut client) = ready(peer.config()).await;
    client.send(&message::call("hang", 1, json!({}))).await;
    let hung = until("the call", || peer.got("tools/call").pop()).await;
    client.send(&message::notification("notifications/cancelled", json!({ "requestId": 1 }))).await;
    let cancelled = until("the cancellation", || peer.got("notifications/cancelled").pop()).await;
    assert_eq!(cancelled["params"]["requestId"], hung["id"]);
    client.send(&message::call("echo", 2, json!({}))).await;
    assert!(client.answer(&json!(2)).await.1.is_empty());
}

#[tokio::test]
async fn clients_with_the_same_ids_never_see_each_others_messages_on_whichever_worker_they_post() {
    let peer = Peer::new("legacy");
    let config = json!({ "servers": { "one": peer.config() } });
    let gateway = Start::new(config).arg("--workers").arg("2").ready().await;
    let port = gateway.port;
    let clients = (0..8).map(|mark| async move {
        let mut client = Sse::open(port, PATH).await;
        client.initialize(json!({})).await;
        // every POST has a connection of its own: the kernel gives them to either worker
        for id in 1..=20 {
            let params = json!({ "name": "progress", "arguments": { "mark": mark, "n": id },
                "_meta": { "progressToken": "same" } });
            client.send(&message::request("tools/call", id, params)).await;
        }
        let mut answered = BTreeSet::new();
        while answered.len() < 20 {
            let message = client.message().await;
            match message["method"].as_str() {
                Some(_) => assert_eq!(message["params"]["mark"], mark, "{message}"),
                None => {
                    let id = message["id"].as_i64().unwrap();
                    let text = message["result"]["content"][0]["text"].as_str().unwrap();
                    let arguments: Value = serde_json::from_str(text).unwrap();
                    assert_eq!(arguments, json!({ "mark": mark, "n": id }));
                    assert!(answered.insert(id), "{id} is answered once");
                }
            }
        }
    });
    futures_util::future::join_all(clients).await;
}

#[tokio::test]
async fn messages_handed_in_one_after_the_other_arrive_in_that_order() {
    let peer = Peer::new("legacy");
    let config = json!({ "servers": { "one": peer.config() } });
    let gateway = Start::new(config).arg("--workers").arg("2").ready().await;
    let mut client = Sse::open(gateway.port, PATH).await;
    client.initialize(json!({})).await;
    for n in 0..100 {
        client.send(&message::notification("notifications/vendor", json!({ "n": n }))).await;
    }
    client.call("echo", 1, json!({})).await;
    let got: Vec<_> = peer.got("notifications/vendor").iter().map(|m| m["params"]["n"].clone()).collect();
    assert_eq!(got, (0..100).map(Value::from).collect::<Vec<_>>());
}

#[tokio::test]
async fn large_messages_pass_both_ways_and_too_large_ones_are_refused_unread() {
    let peer = Peer::new("legacy");
    let (_gateway, mut client) = ready(peer.config()).await;
    let long = "x".repeat(3 << 20);
    assert_eq!(client.call("echo", 1, json!({ "long": long })).await.len(), long.len() + r#"{"long":""}"#.len());
    assert_eq!(client.call("huge", 2, json!({ "bytes": 6 << 20 })).await.len(), 6 << 20);
    let reply = client.hand_in(&message::call("echo", 3, json!({ "long": "x".repeat(5 << 20) }))).await;
    assert_eq!(reply.verdict(), (413, Some(-32600)));
    assert_eq!(client.call("echo", 4, json!({})).await, "{}");
}

#[tokio::test]
async fn a_large_json_answer_of_an_http_server_comes_as_one_event() {
    let server = Legacy::scripted(|received| {
        let id = received.message()["id"].clone();
        let bytes = match received.tool().as_str() {
            "large" => 5 << 20,
            "endless" => 20 << 20,
            _ => return None,
        };
        Some(Answer::message(&message::response(&id, message::text(&"y".repeat(bytes)))))
    });
    let (_gateway, mut client) = ready(server.config()).await;
    assert_eq!(client.call("large", 1, json!({})).await.len(), 5 << 20);
    client.send(&message::call("endless", 2, json!({}))).await;
    let (answer, _) = client.answer(&json!(2)).await;
    assert!(answer["error"]["message"].as_str().unwrap().contains("limit"), "{answer}");
}

#[tokio::test]
async fn what_is_no_message_is_refused_where_it_is_handed_in() {
    let peer = Peer::new("legacy");
    let (gateway, mut client) = ready(peer.config()).await;
    let post = |body: &str| client.post(&json!({})).body(body.to_owned());
    for (body, code) in [("garbage", -32700), ("", -32700), ("[]", -32600), (r#"{"jsonrpc":"2.0","id":1}"#, -32600)] {
        let reply = post(body).send(gateway.port).await;
        assert_eq!(reply.verdict(), (400, Some(code)), "{body}: {reply:?}");
    }
    let text = post("{}").header("content-type", "text/plain").send(gateway.port).await;
    assert_eq!(text.status, 415);
    assert!(client.events.quiet(Duration::from_millis(200)).await, "nothing of it on the stream");
    assert_eq!(client.call("echo", 1, json!({})).await, "{}");
}

#[tokio::test]
async fn a_session_is_unknown_to_everybody_else() {
    let peer = Peer::new("legacy");
    let clients = json!({ "alice": { "api_key": ALICE }, "bob": { "api_key": BOB } });
    let servers = json!({ "one": peer.config(), "two": peer.config() });
    let gateway = Start::new(json!({ "servers": servers, "clients": clients })).ready().await;
    let mut client = Sse::with(gateway.port, PATH, Some(ALICE)).await;
    client.initialize(json!({})).await;
    let call = client.post(&message::call("echo", 1, json!({})));
    let unknown = |path: &str, key: &str| Call::post(path, message::call("echo", 1, json!({})).to_string()).key(key);
    let foreign = call.clone().key(BOB).send(gateway.port).await;
    let forged = unknown("/servers/one/messages?session_id=AAAAAAAAAAAAAAAA", BOB).send(gateway.port).await;
    assert_eq!(foreign.status, 404);
    assert_eq!(foreign.body, forged.body, "exactly as one that never was");
    let (path, id) = client.endpoint.split_once('?').unwrap();
    let elsewhere = path.replace("one", "two") + "?" + id;
    assert_eq!(unknown(&elsewhere, ALICE).send(gateway.port).await.status, 404, "another server");
    let nowhere = unknown(&elsewhere.replace("two", "three"), ALICE).send(gateway.port).await;
    assert_eq!(nowhere.status, 404);
    assert_eq!(unknown(path, ALICE).send(gateway.port).await.status, 400, "no session named");
    assert_eq!(call.clone().without("authorization").send(gateway.port).await.status, 401, "a key with every POST");
    assert_eq!(call.clone().key("wrong-key").send(gateway.port).await.status, 401);
    assert_eq!(Call::get(PATH).send(gateway.port).await.status, 401);
    assert_eq!(peer.got("tools/call").len(), 0);
    assert_eq!(client.call("echo", 2, json!({})).await, "{}", "its owner goes on");
    let gone = client.post(&message::call("echo", 3, json!({})));
    drop(client);
    let send = async || gone.send(gateway.port).await.status;
    let what = "a closed stream takes no messages";
    wait::becomes(Duration::from_secs(5), what, send, |status| *status == 404).await;
}

#[tokio::test]
async fn what_clients_of_other_revisions_try_tells_them_what_this_is() {
    let peer = Peer::new("legacy");
    let gateway = Gateway::with(json!({ "one": peer.config() })).await;
    for path in ["/sse", PATH] {
        let probe = Call::post(path, message::initialize(LEGACY, json!({})).to_string()).send(gateway.port).await;
        assert_eq!(
            (probe.status, probe.header("allow")),
            (405, Some("GET, OPTIONS")),
            "then they GET: 2025-11-25 Transports"
        );
        assert_eq!(Call::get(path).header("accept", "application/json").send(gateway.port).await.status, 406);
        let mut events = Call::get(path).without("accept").open(gateway.port).await;
        assert_eq!(events.status, 200);
        assert_eq!(events.headers["content-type"], "text/event-stream");
        assert_eq!(events.event().await.unwrap().name.as_deref(), Some("endpoint"));
    }
    let get = Call::get("/servers/one/messages").send(gateway.port).await;
    assert_eq!((get.status, get.header("allow")), (405, Some("POST, OPTIONS")));
    assert_eq!(Call::get("/servers/none/sse").send(gateway.port).await.status, 404);
    let lost = Call::get("/nothing").send(gateway.port).await;
    assert!(["/mcp", "/sse", "/ws"].iter().all(|door| lost.text().contains(door)), "{lost:?}");
    assert_eq!(Session::open(gateway.port, "/servers/one/mcp").await.call("echo", json!({})).await.status, 200);
}

#[tokio::test]
async fn the_end_of_the_stream_ends_the_session_and_its_calls() {
    let server = Legacy::start();
    let peer = Peer::new("legacy");
    let gateway = Gateway::with(json!({ "one": server.config(), "two": peer.config() })).await;
    let mut client = Sse::open(gateway.port, PATH).await;
    client.initialize(json!({})).await;
    server.stream().await;
    drop(client);
    server.receives("the end of the session", |received| received.verb == "DELETE").await;
    let mut client = Sse::open(gateway.port, "/servers/two/sse").await;
    client.initialize(json!({ "elicitation": {} })).await;
    client.send(&message::call("hang", 1, json!({}))).await;
    until("the call", || peer.got("tools/call").pop()).await;
    drop(client);
    peer.gone().await;
    let left = async || gateway.metric("sluice_sessions", &[]).await + gateway.metric("sluice_streams", &[]).await;
    wait::becomes(Duration::from_secs(5), "nothing is left", left, |left| *left == 0.0).await;
}

#[tokio::test]
async fn a_client_that_does_not_read_is_fed_no_further_and_disturbs_nobody() {
    let flood = Flood::start();
    let (gateway, mut stuck) = ready(flood.server.config()).await;
    let before = process::peak_kib(gateway.pid());
    stuck.send(&message::call("endless", 1, json!({}))).await;
    flood.held_back().await;
    let mut other = Sse::open(gateway.port, PATH).await;
    other.initialize(json!({})).await;
    for id in 1..=50 {
        assert_eq!(other.call("echo", id, json!({})).await, "{}");
    }
    let growth = process::peak_kib(gateway.pid()) - before;
    assert!(growth < 24 << 10, "a stuck reader costs {growth} KiB");
    assert_eq!(stuck.message().await["method"], "notifications/message", "one that comes back is served");
}

#[tokio::test]
async fn a_drain_lets_calls_finish_and_ends_streams_in_order() {
    let works = Works::json();
    let (mut gateway, mut client) = ready(works.server.config()).await;
    let mut idle = Sse::open(gateway.port, PATH).await;
    client.send(&message::call("work", 1, json!({}))).await;
    let (id, pipe) = works.call().await;
    let start = Instant::now();
    gateway.signal(Signal::TERM);
    assert!(idle.events.rest().await.is_empty());
    pipe.send(message::response(&id, message::text("worked")).to_string()).await;
    drop(pipe);
    assert_eq!(client.answer(&json!(1)).await.0["result"]["content"][0]["text"], "worked");
    let last = soon("the last event", client.events.event()).await.expect("when to come back");
    assert!(last.retry.is_some(), "{last:?}");
    assert!(client.events.rest().await.is_empty());
    assert_eq!(gateway.ended().await.code(), Some(0));
    assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
    works.server.receives("the end of the session", |received| received.verb == "DELETE").await;
}

#[tokio::test]
async fn a_revoked_key_ends_the_stream() {
    let server = Legacy::start();
    let clients = json!({ "alice": { "api_key": ALICE } });
    let gateway = Start::new(json!({ "servers": { "one": server.config() }, "clients": clients })).ready().await;
    let made = gateway.run(&["token", "create", "carol"]);
    let key = String::from_utf8(made.stdout).unwrap().trim().lines().last().unwrap().to_owned();
    let open = async || Call::get(PATH).key(&key).open(gateway.port).await.status;
    wait::becomes(Duration::from_secs(5), "the new key is taken", open, |status| *status == 200).await;
    let mut carol = Sse::with(gateway.port, PATH, Some(&key)).await;
    let mut alice = Sse::with(gateway.port, PATH, Some(ALICE)).await;
    carol.initialize(json!({})).await;
    alice.initialize(json!({})).await;
    assert!(gateway.run(&["token", "revoke", "carol"]).status.success());
    carol.events.rest().await;
    // another worker than that of the stream may not know it yet
    let out = async || carol.hand_in(&message::call("echo", 1, json!({}))).await.status;
    wait::becomes(Duration::from_secs(1), "the key is refused", out, |status| *status == 401).await;
    server.receives("the end of its session", |received| received.verb == "DELETE").await;
    assert_eq!(alice.call("echo", 1, json!({})).await, "{}", "others stay");
}

#[tokio::test]
async fn hosts_origins_and_limits_hold_here_too() {
    let server = Legacy::start();
    let page = "https://app.example.com";
    let config = json!({
        "proxy": { "allowed_origins": [page], "limits": { "concurrent_requests": 3 } },
        "servers": { "one": server.config() },
        "features": { "rate_limiting": { "requests_per_minute": 40 } },
    });
    let gateway = Start::new(config).ready().await;
    let evil = Call::get(PATH).header("origin", "https://evil.example");
    assert_eq!(evil.send(gateway.port).await.status, 403);
    assert_eq!(Call::get(PATH).header("host", "evil.example").send(gateway.port).await.status, 403);
    let preflight = Call::post("/servers/one/messages", "").method("OPTIONS").header("origin", page);
    assert_eq!(preflight.send(gateway.port).await.status, 204);
    let events = Call::get(PATH).header("origin", page).open(gateway.port).await;
    assert_eq!(events.headers["access-control-allow-origin"], page);
    let mut client = Sse::open(gateway.port, PATH).await;
    client.initialize(json!({})).await;
    let mut refused = None;
    for id in 1..=5 {
        let reply = client.hand_in(&message::call("hang", id, json!({}))).await;
        if reply.status != 202 {
            refused = Some((id, reply));
            break;
        }
    }
    let (id, reply) = refused.expect("a limit");
    assert!(id <= 4, "three at a time");
    assert_eq!((reply.status, reply.header("retry-after")), (429, Some("1")));
}

#[tokio::test]
async fn all_servers_stand_behind_one_stream() {
    let (one, two) = (Peer::new("legacy"), Legacy::start());
    let gateway = Gateway::with(json!({ "one": one.config(), "two": two.config() })).await;
    let mut client = Sse::open(gateway.port, "/sse").await;
    client.initialize(json!({ "roots": {} })).await;
    client.send(&message::request("tools/list", 1, json!({}))).await;
    let (listed, _) = client.answer(&json!(1)).await;
    let names: BTreeSet<_> =
        listed["result"]["tools"].as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap()).collect();
    assert_eq!(names, BTreeSet::from(["one_echo", "two_echo"]));
    assert_eq!(client.call("two_echo", 2, json!({ "n": 2 })).await, r#"{"n":2}"#);
    assert_eq!(client.call("one_echo", 3, json!({ "n": 3 })).await, r#"{"n":3}"#);
    drop(client);
    two.receives("the end of its session", |received| received.verb == "DELETE").await;
    one.gone().await;
}

#[tokio::test]
async fn both_eras_speak_over_it() {
    let peer = Peer::new("modern");
    let gateway = Gateway::with(json!({ "one": peer.config() })).await;
    let mut client = Sse::open(gateway.port, PATH).await;
    client.send(&message::modern("tools/call", 1, json!({ "name": "echo", "arguments": { "n": 1 } }))).await;
    assert_eq!(client.answer(&json!(1)).await.0["result"]["content"][0]["text"], r#"{"n":1}"#);
    client.send(&message::initialize(LEGACY, json!({}))).await;
    assert!(client.answer(&json!(0)).await.0["error"]["data"]["supported"].is_array());
}

#[tokio::test]
async fn stream_and_messages_share_an_http2_connection() {
    let peer = Peer::new("legacy");
    let gateway = Gateway::with(json!({ "one": peer.config() })).await;
    let host = format!("127.0.0.1:{}", gateway.port);
    let tcp = tokio::net::TcpStream::connect(&host).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(tcp)).await.unwrap();
    tokio::spawn(connection);
    let request = |call: Call, path: &str| {
        let mut request = call.request(&host);
        *request.uri_mut() = format!("http://{host}{path}").parse().unwrap();
        request.headers_mut().remove("host");
        request
    };
    let mut stream = sender.send_request(request(Call::get(PATH), PATH)).await.unwrap().into_body();
    let mut text = String::new();
    let mut reads = async |wanted: &str| {
        soon(wanted, async {
            while !text.contains(wanted) {
                let frame = stream.frame().await.unwrap().unwrap();
                text.push_str(std::str::from_utf8(&frame.into_data().unwrap()).unwrap());
            }
            text.clone()
        })
        .await
    };
    let first = reads("\n\n").await;
    let endpoint = first.lines().find_map(|line| line.strip_prefix("data: ")).unwrap().to_owned();
    for message in [message::initialize("2024-11-05", json!({})), message::call("echo", 1, json!({ "h2": true }))] {
        let post = Call::post(&endpoint, message.to_string());
        let reply = sender.send_request(request(post, &endpoint)).await.unwrap();
        assert_eq!(reply.status(), 202);
        reads(&format!(r#""id":{}"#, message["id"])).await;
    }
    let all = reads(r"{\").await;
    assert!(all.contains(r#"{\"h2\":true}"#), "{all}");
}
