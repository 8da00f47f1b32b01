//! WebSocket: one message per text frame, the connection is the session, and every end of it says why.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use base64::Engine as _;
use bytes::Bytes;
use rustix::process::Signal;
use serde_json::{Value, json};
use sluice_tests::flood::Flood;
use sluice_tests::gateway::Start;
use sluice_tests::message::{self, SUBSCRIPTION_KEY};
use sluice_tests::peer::Peer;
use sluice_tests::raw::Raw;
use sluice_tests::sse::Sse;
use sluice_tests::upstream::{Answer, Legacy, Modern};
use sluice_tests::websocket::{HANDSHAKE, Socket};
use sluice_tests::{Call, Gateway, process, until, wait};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Control, Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::frame::{Frame, FrameHeader};

const PATH: &str = "/servers/one/ws";
const ALICE: &str = "alice-key-0123456789abcdef";

async fn ready(server: Value) -> (Gateway, Socket) {
    let gateway = Gateway::with(json!({ "one": server })).await;
    let mut client = Socket::open(gateway.port, PATH).await;
    client.initialize(json!({ "elicitation": {}, "sampling": {}, "roots": {} })).await;
    (gateway, client)
}

#[tokio::test]
async fn a_legacy_client_initialises_lists_calls_and_is_asked() {
    let peer = Peer::new("legacy");
    let gateway = Gateway::with(json!({ "one": peer.config() })).await;
    for path in ["/ws", PATH, "/ws/"] {
        let mut client = Socket::open(gateway.port, path).await;
        assert_eq!(client.headers["sec-websocket-protocol"], "mcp");
        let opened = client.initialize(json!({ "roots": {} })).await;
        assert!(opened["serverInfo"]["name"].is_string());
        client.send(&message::request("tools/list", 1, json!({}))).await;
        let listed = client.answer(&json!(1)).await.0["result"]["tools"][0]["name"].clone();
        assert_eq!(listed, if path == PATH { "echo" } else { "one_echo" }, "all servers as one, or one of them");
        assert_eq!(client.call(listed.as_str().unwrap(), 2, json!({ "n": 1 })).await, r#"{"n":1}"#);
        let ask = if path == PATH { "ask" } else { "one_ask" };
        client.send(&message::call(ask, 3, json!({ "method": "roots/list", "params": {} }))).await;
        let asked = client.message().await;
        assert_eq!(asked["method"], "roots/list");
        client.send(&message::response(&asked["id"], json!({ "roots": [{ "uri": "file:///r" }] }))).await;
        let (answer, _) = client.answer(&json!(3)).await;
        assert!(answer.to_string().contains("file:///r"), "{answer}");
    }
}

#[tokio::test]
async fn a_modern_client_calls_subscribes_and_cancels() {
    for server in ["stdio", "http"] {
        let (peer, http) = (Peer::new("modern"), Modern::start());
        let config = if server == "stdio" { peer.config() } else { http.config() };
        let gateway = Gateway::with(json!({ "one": config })).await;
        let mut client = Socket::open(gateway.port, PATH).await;
        let call = |name: &str, id: i64| message::modern("tools/call", id, json!({ "name": name, "arguments": {} }));
        client.send(&call("echo", 1)).await;
        assert_eq!(client.answer(&json!(1)).await.0["result"]["content"][0]["text"], "{}", "{server}");
        client.send(&call("hang", 2)).await;
        client.send(&message::notification("notifications/cancelled", json!({ "requestId": 2 }))).await;
        client.send(&call("echo", 3)).await;
        let (_, before) = client.answer(&json!(3)).await;
        assert!(before.is_empty(), "{server}: {before:?}");
        if server == "stdio" {
            until("the cancellation", || peer.got("notifications/cancelled").pop()).await;
            let filter = json!({ "notifications": { "toolsListChanged": true } });
            client.send(&message::modern("subscriptions/listen", 4, filter)).await;
            let acknowledged = client.message().await;
            assert_eq!(acknowledged["method"], "notifications/subscriptions/acknowledged");
            assert_eq!(acknowledged["params"]["_meta"][SUBSCRIPTION_KEY], json!(4));
        }
    }
}

#[tokio::test]
async fn notifications_of_a_subscription_carry_its_id_and_a_drain_ends_it_with_a_result() {
    let server = Modern::scripted(|received| {
        let message = received.message();
        (message["method"] == "subscriptions/listen").then(|| {
            let meta = json!({ SUBSCRIPTION_KEY: message["id"] });
            let changed = message::notification("notifications/tools/list_changed", json!({ "_meta": meta }));
            let (pipe, answer) = Answer::stream("text/event-stream");
            tokio::spawn(async move {
                pipe.event(&message::acknowledged(&message)).await;
                pipe.event(&changed).await;
                pipe.closed().await;
            });
            answer
        })
    });
    let mut gateway = Gateway::with(json!({ "one": server.config() })).await;
    let mut client = Socket::open(gateway.port, PATH).await;
    for id in [7, 8] {
        let filter = json!({ "notifications": { "toolsListChanged": true } });
        client.send(&message::modern("subscriptions/listen", id, filter)).await;
        for method in ["notifications/subscriptions/acknowledged", "notifications/tools/list_changed"] {
            let message = client.message().await;
            assert_eq!(
                (&message["method"], &message["params"]["_meta"][SUBSCRIPTION_KEY]),
                (&json!(method), &json!(id))
            );
        }
    }
    gateway.signal(Signal::TERM);
    let (code, reason, before) = client.closed().await;
    let results: BTreeSet<_> =
        before.iter().filter(|m| m["result"].is_object()).filter_map(|m| m["id"].as_i64()).collect();
    assert_eq!(results, BTreeSet::from([7, 8]), "{before:?}");
    assert_eq!(code, 1001);
    assert!(reason.contains("stopping"), "{reason}");
    assert_eq!(gateway.ended().await.code(), Some(0));
}

#[tokio::test]
async fn many_calls_at_once_and_several_clients_do_not_mix() {
    let peer = Peer::new("legacy");
    let config = json!({ "servers": { "one": peer.config() } });
    let gateway = Start::new(config).arg("--workers").arg("2").ready().await;
    let port = gateway.port;
    let clients = (0..8).map(|mark| async move {
        let mut client = Socket::open(port, PATH).await;
        client.initialize(json!({})).await;
        for id in 1..=100 {
            client.send(&message::call("echo", id, json!({ "mark": mark, "n": id }))).await;
        }
        let mut answered = BTreeSet::new();
        while answered.len() < 100 {
            let message = client.message().await;
            let id = message["id"].as_i64().unwrap();
            let text = message["result"]["content"][0]["text"].as_str().unwrap();
            assert_eq!(serde_json::from_str::<Value>(text).unwrap(), json!({ "mark": mark, "n": id }));
            assert!(answered.insert(id), "{id} is answered once");
        }
    });
    futures_util::future::join_all(clients).await;
}

#[tokio::test]
async fn a_message_may_come_in_fragments_with_pings_between() {
    let peer = Peer::new("legacy");
    let (_gateway, mut client) = ready(peer.config()).await;
    let text = message::call("echo", 1, json!({ "long": "é".repeat(1000) })).to_string();
    let half = text.char_indices().nth(500).unwrap().0;
    client.fragment(&text[..half], true, false).await;
    client.write(Message::Ping(Bytes::from_static(b"are you there"))).await;
    let pong = until_frame(&mut client, |frame| matches!(frame, Message::Pong(_))).await;
    assert_eq!(pong.into_data(), "are you there");
    client.fragment("", false, false).await;
    client.fragment(&text[half..], false, true).await;
    let (answer, _) = client.answer(&json!(1)).await;
    assert!(answer["result"].is_object(), "{answer}");
    assert_eq!(peer.got("tools/call").len(), 1);
}

#[tokio::test]
async fn a_message_right_behind_the_handshake_is_not_lost() {
    let peer = Peer::new("legacy");
    let gateway = Gateway::with(json!({ "one": peer.config() })).await;
    let text = message::initialize(message::LEGACY, json!({})).to_string();
    let length = u16::try_from(text.len()).unwrap().to_be_bytes();
    // a whole text frame of 126 bytes or more, its mask all zeroes
    let frame = [&[0x81, 0xfe, length[0], length[1], 0, 0, 0, 0], text.as_bytes()].concat();
    let head = format!("GET {PATH} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n{HANDSHAKE}\r\n", gateway.port);
    let mut raw = Raw::send(gateway.port, [head.as_bytes(), &frame].concat()).await;
    raw.reads("stdio-peer").await;
}

async fn until_frame(client: &mut Socket, fits: impl Fn(&Message) -> bool) -> Message {
    sluice_tests::wait::soon("a frame", async {
        loop {
            let frame = client.frame().await.expect("the connection goes on");
            if fits(&frame) {
                return frame;
            }
        }
    })
    .await
}

#[tokio::test]
async fn every_broken_rule_closes_with_its_code() {
    let peer = Peer::new("legacy");
    let gateway = Gateway::with(json!({ "one": peer.config() })).await;
    let frame = |bytes: &'static [u8], data: Data| {
        Message::Frame(Frame::message(Bytes::from_static(bytes), OpCode::Data(data), true))
    };
    let long = message::call("echo", 1, json!({ "long": "x".repeat(5 << 20) })).to_string();
    for (what, message, expected) in [
        ("binary", Message::binary(&b"{}"[..]), 1003),
        ("not UTF-8", frame(b"\xff\xfe", Data::Text), 1007),
        ("too large", Message::text(long), 1009),
        ("a continuation of nothing", frame(b"x", Data::Continue), 1002),
    ] {
        let mut client = Socket::open(gateway.port, PATH).await;
        // the refusal may come before all is written
        let _ = client.try_write(message).await;
        let (code, reason, before) = client.closed().await;
        assert_eq!(code, expected, "{what}: {reason}");
        assert!(!reason.is_empty() && before.is_empty(), "{what}: {before:?}");
    }
    let mut client = Socket::open(gateway.port, PATH).await;
    let half = "x".repeat(3 << 20);
    client.fragment(&half, true, false).await;
    let _ = client.try_write(Message::Frame(Frame::message(half, OpCode::Data(Data::Continue), true))).await;
    assert_eq!(client.closed().await.0, 1009, "too large in all");
    assert!(peer.lines().is_empty(), "no server heard of any of it");
    assert_eq!(Socket::open(gateway.port, PATH).await.initialize(json!({})).await["serverInfo"]["name"], "stdio-peer");
}

/// The close frame that answers one of this payload.
async fn answered(client: &mut Socket, payload: &[u8]) -> Option<(u16, String)> {
    let header = FrameHeader { opcode: OpCode::Control(Control::Close), ..FrameHeader::default() };
    client.write(Message::Frame(Frame::from_payload(header, Bytes::copy_from_slice(payload)))).await;
    match until_frame(client, Message::is_close).await {
        Message::Close(frame) => frame.map(|frame| (frame.code.into(), frame.reason.as_str().to_owned())),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_clients_close_frame_is_answered_with_its_code() {
    let server = Legacy::start();
    let gateway = Gateway::with(json!({ "one": server.config() })).await;
    for (nth, code) in [1000, 1001, 1011, 3000, 4000].into_iter().enumerate() {
        let path = if nth % 2 == 0 { PATH.to_owned() } else { format!("{PATH}?session=new") };
        let mut client = Socket::open(gateway.port, &path).await;
        client.initialize(json!({})).await;
        let payload = [&u16::to_be_bytes(code)[..], b"bye"].concat();
        assert_eq!(answered(&mut client, &payload).await, Some((code, "bye".to_owned())), "{path}");
        assert_eq!(client.frame().await, None, "nothing comes behind the close frame");
        let ended = async || server.received().iter().filter(|received| received.verb == "DELETE").count();
        wait::becomes(Duration::from_secs(5), "the end of the session", ended, |ended| *ended == nth + 1).await;
    }
    let mut client = Socket::open(gateway.port, PATH).await;
    assert_eq!(answered(&mut client, b"").await, None, "without a code, as it came");
}

#[tokio::test]
async fn a_close_frame_that_breaks_a_rule_is_answered_with_the_code_for_that() {
    let gateway = Gateway::with(json!({ "one": Peer::new("legacy").config() })).await;
    for (what, payload, expected) in [
        ("half a code", &[3][..], 1002),
        ("a code of no meaning", &[3, 231], 1002),
        ("reserved: no code", &[3, 237], 1002),
        ("reserved: broken", &[3, 238], 1002),
        ("beyond all codes", &[255, 255], 1002),
        ("a reason that is not UTF-8", &[3, 232, 255, 254], 1007),
    ] {
        let mut client = Socket::open(gateway.port, PATH).await;
        let (code, reason) = answered(&mut client, payload).await.expect("a code");
        assert_eq!(code, expected, "{what}: {reason}");
        assert!(!reason.is_empty(), "{what}");
        assert_eq!(client.frame().await, None, "{what}");
    }
}

#[tokio::test]
async fn a_bad_message_is_refused_and_the_next_one_is_served() {
    let peer = Peer::new("legacy");
    let (_gateway, mut client) = ready(peer.config()).await;
    let call = message::call("echo", 1, json!({})).to_string();
    for (what, text, code) in [
        ("garbage", "this is no JSON".to_owned(), -32700),
        ("empty", String::new(), -32700),
        ("batch", format!("[{call}]"), -32600),
        ("two messages", format!("{call}\n{call}"), -32700),
        ("id null", call.replace(r#""id":1"#, r#""id":null"#), -32600),
    ] {
        client.write(Message::text(text)).await;
        assert_eq!(client.message().await["error"]["code"], code, "{what}");
    }
    assert_eq!(client.call("echo", 2, json!({})).await, "{}");
    assert_eq!(peer.got("tools/call").len(), 1);
    assert!(client.silent(Duration::from_millis(100)).await);
}

#[tokio::test]
async fn large_messages_pass_both_ways() {
    let peer = Peer::new("legacy");
    let (_gateway, mut client) = ready(peer.config()).await;
    let long = "x".repeat(3 << 20);
    assert_eq!(client.call("echo", 1, json!({ "long": long })).await.len(), long.len() + r#"{"long":""}"#.len());
    assert_eq!(client.call("huge", 2, json!({ "bytes": 6 << 20 })).await.len(), 6 << 20);
}

#[tokio::test]
async fn a_request_that_is_no_handshake_is_told_what_this_is() {
    let peer = Peer::new("legacy");
    let gateway = Gateway::with(json!({ "one": peer.config() })).await;
    let plain = Call::get(PATH).send(gateway.port).await;
    assert_eq!((plain.status, plain.header("upgrade")), (426, Some("websocket")));
    assert_eq!(plain.header("sec-websocket-version"), Some("13"));
    assert!(plain.text().contains("/mcp"), "{plain:?}");
    assert_eq!(Call::post(PATH, "{}").send(gateway.port).await.verdict(), (405, Some(-32600)));
    let host = format!("GET {PATH} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n", gateway.port);
    for (what, headers, status) in [
        ("another version", HANDSHAKE.replace(": 13", ": 8"), 426),
        ("a short key", HANDSHAKE.replace("dGhlIHNhbXBsZSBub25jZQ==", "c2hvcnQ="), 400),
        ("another upgrade", HANDSHAKE.replace("websocket", "h2c"), 426),
    ] {
        let mut raw = Raw::send(gateway.port, format!("{host}{headers}\r\n")).await;
        assert_eq!(raw.answer().await.unwrap().status, status, "{what}");
    }
    let none = Socket::with(gateway.port, PATH, "").await;
    assert!(!none.headers.contains_key("sec-websocket-protocol"), "a client that offers none is tolerated");
    let other = Socket::with(gateway.port, PATH, "Sec-WebSocket-Protocol: chat\r\n").await;
    assert!(!other.headers.contains_key("sec-websocket-protocol"));
    assert!(matches!(Socket::try_with(gateway.port, "/servers/none/ws", "").await, Err((404, _))));
    let page = Socket::try_with(gateway.port, PATH, "Origin: https://evil.example\r\n").await;
    assert!(matches!(page, Err((403, _))), "web pages of others");
    let own = format!("Origin: http://127.0.0.1:{}\r\n", gateway.port);
    assert!(Socket::try_with(gateway.port, PATH, &own).await.is_ok());
}

#[tokio::test]
async fn a_key_is_needed_and_taken_from_where_each_client_can_put_it() {
    let peer = Peer::new("legacy");
    let clients = json!({ "alice": { "api_key": ALICE } });
    let gateway = Start::new(json!({ "servers": { "one": peer.config() }, "clients": clients })).ready().await;
    let offered = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(ALICE);
    for good in [
        format!("Authorization: Bearer {ALICE}\r\n"),
        format!("X-API-Key: {ALICE}\r\n"),
        format!("Sec-WebSocket-Protocol: mcp, bearer.{offered}\r\n"),
    ] {
        let mut client = Socket::with(gateway.port, PATH, &good).await;
        assert!(!format!("{:?}", client.headers).contains(&offered), "never sent back");
        client.initialize(json!({})).await;
    }
    for bad in [
        String::new(),
        "Authorization: Bearer wrong\r\n".into(),
        "Sec-WebSocket-Protocol: mcp, bearer.d3Jvbmc\r\n".into(),
        "Sec-WebSocket-Protocol: mcp, bearer.\r\n".into(),
    ] {
        let refused = Socket::try_with(gateway.port, PATH, &bad).await;
        assert!(matches!(refused, Err((401, _))), "{bad}");
    }
    let two = format!("Authorization: Bearer wrong\r\nSec-WebSocket-Protocol: mcp, bearer.{offered}\r\n");
    assert!(matches!(Socket::try_with(gateway.port, PATH, &two).await, Err((400, _))), "two keys");
    let query = format!("{PATH}?api_key={ALICE}&token={ALICE}");
    assert!(matches!(Socket::try_with(gateway.port, &query, "").await, Err((401, _))), "never in the query");
    assert!(!gateway.log().contains(ALICE) && !gateway.log().contains(&offered));
}

#[tokio::test]
async fn a_revoked_key_closes_with_1008() {
    let server = Legacy::start();
    let clients = json!({ "alice": { "api_key": ALICE } });
    let gateway = Start::new(json!({ "servers": { "one": server.config() }, "clients": clients })).ready().await;
    let made = gateway.run(&["token", "create", "carol"]);
    let key = String::from_utf8(made.stdout).unwrap().trim().lines().last().unwrap().to_owned();
    let header = format!("Authorization: Bearer {key}\r\n");
    let open = async || Socket::try_with(gateway.port, PATH, &header).await.ok();
    let mut carol = wait::eventually_within(Duration::from_secs(5), "the new key is taken", open).await;
    carol.initialize(json!({})).await;
    let mut alice = Socket::with(gateway.port, PATH, &format!("X-API-Key: {ALICE}\r\n")).await;
    alice.initialize(json!({})).await;
    assert!(gateway.run(&["token", "revoke", "carol"]).status.success());
    assert_eq!(carol.closed().await.0, 1008);
    server.receives("the end of its session", |received| received.verb == "DELETE").await;
    assert_eq!(alice.call("echo", 1, json!({})).await, "{}", "others stay");
}

#[tokio::test]
async fn a_server_that_is_no_longer_configured_takes_its_connections_with_it() {
    let (one, two) = (Legacy::start(), Legacy::start());
    let config = |servers: Value| json!({ "servers": servers });
    let gateway = Start::new(config(json!({ "one": one.config(), "two": two.config() }))).ready().await;
    let mut gone = Socket::open(gateway.port, PATH).await;
    gone.initialize(json!({})).await;
    let mut stays = Socket::open(gateway.port, "/servers/two/ws").await;
    stays.initialize(json!({})).await;
    let mut all = Socket::open(gateway.port, "/ws").await;
    all.initialize(json!({})).await;
    std::fs::write(gateway.file(), config(json!({ "two": two.config() })).to_string()).unwrap();
    assert_eq!(gone.closed().await.0, 1008);
    assert_eq!(stays.call("echo", 1, json!({})).await, "{}");
    let (answer, _) = {
        all.send(&message::call("two_echo", 1, json!({}))).await;
        all.answer(&json!(1)).await
    };
    assert!(answer["result"].is_object(), "{answer}");
}

#[tokio::test]
async fn a_drain_lets_calls_finish_refuses_new_ones_and_closes_with_1001() {
    let peer = Peer::new("legacy");
    let (mut gateway, mut client) = ready(peer.config()).await;
    let mut idle = Socket::open(gateway.port, PATH).await;
    client.send(&message::call("ask", 1, json!({ "method": "roots/list", "params": {} }))).await;
    let asked = client.message().await;
    gateway.signal(Signal::TERM);
    assert_eq!(idle.closed().await.0, 1001);
    // each connection is told by itself
    let start = Instant::now();
    for id in 2.. {
        client.send(&message::call("echo", id, json!({}))).await;
        let (answer, _) = client.answer(&json!(id)).await;
        if let Some(text) = answer["error"]["message"].as_str() {
            assert!(text.contains("stopping"), "{answer}");
            break;
        }
        assert!(start.elapsed() < Duration::from_secs(5), "never refused");
    }
    client.send(&message::response(&asked["id"], json!({ "roots": [{ "uri": "file:///r" }] }))).await;
    let (answer, _) = client.answer(&json!(1)).await;
    assert!(answer.to_string().contains("file:///r"), "{answer}");
    assert_eq!(client.closed().await.0, 1001);
    assert_eq!(gateway.ended().await.code(), Some(0));
}

#[tokio::test]
async fn the_end_of_the_connection_ends_the_session_and_its_calls() {
    let (peer, server, modern) = (Peer::new("legacy"), Legacy::start(), Peer::new("modern"));
    let servers = json!({ "one": server.config(), "two": peer.config(), "three": modern.config() });
    let gateway = Gateway::with(servers).await;
    let mut client = Socket::open(gateway.port, PATH).await;
    client.initialize(json!({})).await;
    client.write(Message::Close(None)).await;
    server.receives("the end of the session", |received| received.verb == "DELETE").await;
    let mut client = Socket::open(gateway.port, "/servers/two/ws").await;
    client.initialize(json!({ "elicitation": {} })).await;
    client.send(&message::call("hang", 1, json!({}))).await;
    until("the call", || peer.got("tools/call").pop()).await;
    drop(client);
    peer.gone().await;
    let mut client = Socket::open(gateway.port, "/servers/three/ws").await;
    client.send(&message::modern("tools/call", 1, json!({ "name": "hang", "arguments": {} }))).await;
    until("the call", || modern.got("tools/call").pop()).await;
    drop(client);
    until("the cancellation", || modern.got("notifications/cancelled").pop()).await;
    let left = async || gateway.metric("sluice_sessions", &[]).await + gateway.metric("sluice_streams", &[]).await;
    wait::becomes(Duration::from_secs(5), "nothing is left", left, |left| *left == 0.0).await;
}

#[tokio::test]
async fn a_silent_client_is_pinged_and_one_that_never_answers_is_cut() {
    let peer = Peer::new("legacy");
    let (gateway, mut client) = ready(peer.config()).await;
    let host = format!("GET {PATH} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n", gateway.port);
    let mut dead = Raw::send(gateway.port, format!("{host}{HANDSHAKE}\r\n")).await;
    let start = Instant::now();
    let cut = tokio::spawn(async move { dead.closed_within(Duration::from_secs(40)).await });
    let pinged = tokio::time::timeout(Duration::from_secs(30), async {
        loop {
            if matches!(client.frame().await.expect("it goes on"), Message::Ping(_)) {
                return;
            }
        }
    });
    pinged.await.expect("a ping");
    assert!((10..25).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
    let alive = tokio::spawn(async move {
        // reading answers pings
        while start.elapsed() < Duration::from_secs(35) {
            let _ = tokio::time::timeout(Duration::from_millis(200), client.frame()).await;
        }
        client
    });
    assert!(cut.await.unwrap().is_some(), "cut");
    assert!((20..35).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
    let mut client = alive.await.unwrap();
    assert_eq!(client.call("echo", 1, json!({})).await, "{}", "whoever answers stays, however quiet");
}

#[tokio::test]
async fn messages_that_are_begun_and_not_ended_count_in_the_byte_budget() {
    let peer = Peer::new("legacy");
    let (gateway, mut client) = ready(peer.config()).await;
    let before = gateway.metric("sluice_held_bytes", &[]).await;
    client.fragment(&"x".repeat(1 << 20), true, false).await;
    let held = async || gateway.metric("sluice_held_bytes", &[]).await;
    let with_it = before + f64::from(1 << 20) - f64::from(64 << 10);
    wait::becomes(Duration::from_secs(5), "it is counted", held, |held| *held >= with_it).await;
    drop(client);
    wait::becomes(Duration::from_secs(5), "it is given back", held, |held| *held <= before).await;
}

#[tokio::test]
async fn a_client_that_does_not_read_is_fed_no_further_and_disturbs_nobody() {
    let flood = Flood::start();
    let (gateway, mut stuck) = ready(flood.server.config()).await;
    let before = process::peak_kib(gateway.pid());
    stuck.send(&message::call("endless", 1, json!({}))).await;
    flood.held_back().await;
    let mut other = Socket::open(gateway.port, PATH).await;
    other.initialize(json!({})).await;
    for id in 1..=50 {
        assert_eq!(other.call("echo", id, json!({})).await, "{}");
    }
    let growth = process::peak_kib(gateway.pid()) - before;
    assert!(growth < 24 << 10, "a stuck reader costs {growth} KiB");
    assert_eq!(stuck.message().await["method"], "notifications/message", "one that comes back is served");
}

#[tokio::test]
async fn a_client_that_takes_nothing_for_a_minute_is_cut_on_either_door() {
    let flood = Flood::start();
    let gateway = Gateway::with(json!({ "one": flood.server.config() })).await;
    let mut socket = Socket::open(gateway.port, PATH).await;
    let mut stream = Sse::open(gateway.port, "/servers/one/sse").await;
    socket.initialize(json!({})).await;
    stream.initialize(json!({})).await;
    socket.send(&message::call("endless", 1, json!({}))).await;
    stream.send(&message::call("endless", 1, json!({}))).await;
    flood.held_back().await;
    let start = Instant::now();
    let streams = async || gateway.metric("sluice_streams", &[]).await;
    wait::becomes(Duration::from_secs(90), "both are cut", streams, |streams| *streams == 0.0).await;
    assert!(start.elapsed() > Duration::from_secs(40), "{:?}", start.elapsed());
    let ended = || (flood.server.verbs("DELETE").len() == 2).then_some(());
    until("both sessions end at the server", ended).await;
}
