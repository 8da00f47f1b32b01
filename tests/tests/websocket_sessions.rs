//! A WebSocket that breaks does not end the session of a client that comes back: what was under way is answered, what it had not
//! received goes once more, in order, and nobody else can come in its place.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use rustix::process::Signal;
use serde_json::{Value, json};
use sluice_tests::counting::Counting;
use sluice_tests::fleet::Fleet;
use sluice_tests::gateway::Start;
use sluice_tests::peer::Peer;
use sluice_tests::upstream::Legacy;
use sluice_tests::wait::{eventually, soon};
use sluice_tests::websocket::Socket;
use sluice_tests::{Call, Gateway, Redis, message, until};
use tokio_tungstenite::tungstenite::Message;

const PATH: &str = "/servers/one/ws";
const ALICE: &str = "alice-0123456789abcdef";
const BOB: &str = "bob-0123456789abcdef";

/// A client that counts what it receives.
struct Client {
    port: u16,
    path: String,
    key: Option<&'static str>,
    socket: Socket,
    id: String,
    received: u64,
    /// What it sent, all in all.
    sent: Vec<Value>,
}

fn headers(key: Option<&str>) -> String {
    let key = key.map(|key| format!("Authorization: Bearer {key}\r\n"));
    format!("Sec-WebSocket-Protocol: mcp\r\n{}", key.unwrap_or_default())
}

impl Client {
    async fn open(port: u16, path: &str, key: Option<&'static str>) -> Self {
        // a store that is slow refuses a session, which is asked for again
        let (socket, result) = eventually("a session", async || {
            let mut socket = Socket::with(port, &format!("{path}?session=new"), &headers(key)).await;
            let result = socket.initialize(json!({})).await;
            (!result.is_null()).then_some((socket, result))
        })
        .await;
        let told = &result["_meta"]["sluice/session"];
        assert_eq!(told["resumable_s"], 60, "{result}");
        let id = told["id"].as_str().unwrap().to_owned();
        let sent = vec![
            message::initialize(message::LEGACY, json!({})),
            message::notification("notifications/initialized", json!({})),
        ];
        Self { port, path: path.to_owned(), key, socket, id, received: 1, sent }
    }

    /// Tries to come back: with the answer's status and text where that is refused.
    async fn tries(&self, port: u16) -> Result<Socket, (u16, String)> {
        let path = format!("{}?session={}&received={}", self.path, self.id, self.received);
        Socket::try_with(port, &path, &headers(self.key)).await
    }

    /// Comes back, where the connection is gone already or is not; what it is told first. What did not come in is sent once more.
    async fn again(&mut self, port: u16) -> Value {
        let what = "the client comes back";
        self.socket = eventually(what, async || match self.tries(port).await {
            Ok(socket) => Some(socket),
            Err((503, _)) => None,
            Err((status, text)) => panic!("refused with {status}: {text}"),
        })
        .await;
        self.port = port;
        let told = self.socket.message().await;
        assert_eq!(told["method"], "notifications/sluice/resumed", "{told}");
        if let Some(came) = told["params"]["received"].as_u64() {
            for message in &self.sent[usize::try_from(came).unwrap()..] {
                self.socket.send(message).await;
            }
        }
        told["params"].clone()
    }

    async fn ask(&mut self, id: i64, tool: &str, arguments: Value) {
        let call = message::call(tool, id, arguments);
        self.socket.send(&call).await;
        self.sent.push(call);
    }

    async fn message(&mut self) -> Value {
        let message = self.socket.message().await;
        self.received += 1;
        message
    }

    /// The answer to a call, which is the next message.
    async fn answer(&mut self, id: i64) -> String {
        let message = self.message().await;
        assert_eq!(message["id"], id, "{message}");
        message["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{message}")).to_owned()
    }

    async fn call(&mut self, id: i64, tool: &str, arguments: Value) -> String {
        self.ask(id, tool, arguments).await;
        self.answer(id).await
    }
}

async fn one(server: Value) -> Gateway {
    Gateway::with(json!({ "one": server })).await
}

#[tokio::test]
async fn a_call_under_way_is_answered_on_the_next_connection() {
    let peer = Peer::new("legacy");
    let gateway = one(peer.config()).await;
    let folder = tempfile::tempdir().unwrap();
    let mut client = Client::open(gateway.port, PATH, None).await;
    let pid = client.call(1, "pid", json!({})).await;
    for round in 0..3 {
        let file = folder.path().join(round.to_string());
        client.ask(10 + round, "until", json!({ "file": file })).await;
        until("the call at the server", || (peer.got("tools/call").len() as i64 == 2 * (round + 1)).then_some(()))
            .await;
        let taken = 4 + 2 * round;
        // without a word, as a network that changes
        drop(std::mem::replace(&mut client.socket, Socket::open(gateway.port, PATH).await));
        std::fs::write(&file, "").unwrap();
        assert_eq!(client.again(gateway.port).await["received"], taken, "initialize, initialized, and calls");
        assert_eq!(client.answer(10 + round).await, pid, "of the same process");
        assert_eq!(client.call(20 + round, "pid", json!({})).await, pid);
    }
    assert_eq!(peer.got("initialize").len(), 1);
}

#[tokio::test]
async fn what_a_broken_connection_swallowed_goes_once_more_and_in_order() {
    let peer = Peer::new("legacy");
    for path in [PATH, "/ws"] {
        let gateway = one(peer.config()).await;
        let mut client = Client::open(gateway.port, path, None).await;
        let prefix = if path == PATH { "" } else { "one_" };
        let mut expected = 0;
        for round in 0..4 {
            for id in 0..20 {
                client.ask(round * 20 + id, &format!("{prefix}echo"), json!({ "n": id })).await;
                // in order also where they run at once
                if id % 5 != round {
                    client.answer(round * 20 + id).await;
                    expected += 1;
                } else {
                    let message = client.socket.message().await;
                    assert_eq!(message["id"], round * 20 + id, "read, and lost before it was counted");
                    client.again(gateway.port).await;
                    client.answer(round * 20 + id).await;
                    expected += 1;
                }
            }
        }
        assert_eq!(client.received, 1 + expected);
        let marks: Vec<_> =
            peer.got("tools/call").into_iter().map(|call| call["params"]["arguments"].clone()).collect();
        assert_eq!(marks.len() % 80, 0, "nothing ran twice: {}", marks.len());
    }
}

#[tokio::test]
async fn many_messages_wait_for_a_client_that_is_away() {
    let server = Counting::start();
    let gateway = one(server.config()).await;
    let mut client = Client::open(gateway.port, PATH, None).await;
    // on the standing stream
    server.happens();
    assert_eq!(client.message().await["params"]["_meta"]["number"], 1);
    client.socket = Socket::open(gateway.port, PATH).await;
    for _ in 0..3_000 {
        server.happens();
    }
    client.again(gateway.port).await;
    for number in 2..=2_000 {
        assert_eq!(client.message().await["params"]["_meta"]["number"], number);
    }
    client.again(gateway.port).await;
    for number in 2_001..=3_001 {
        assert_eq!(client.message().await["params"]["_meta"]["number"], number);
    }
}

#[tokio::test]
async fn the_newest_connection_has_the_session() {
    let peer = Peer::new("legacy");
    let gateway = one(peer.config()).await;
    let mut client = Client::open(gateway.port, PATH, None).await;
    for round in 0..4 {
        client.ask(round, "echo", json!({ "round": round })).await;
        let mut before = std::mem::replace(&mut client.socket, Socket::open(gateway.port, PATH).await);
        client.again(gateway.port).await;
        let (code, reason, _) = before.closed().await;
        assert_eq!((code, reason.as_str()), (4409, "a newer connection has this session"));
        let answer: Value = serde_json::from_str(&client.answer(round).await).unwrap();
        assert_eq!(answer["round"], round);
    }
}

#[tokio::test]
async fn a_session_is_its_owners_and_over_when_the_client_says_so() {
    let peer = Peer::new("legacy");
    let clients = json!({ "alice": { "api_key": ALICE }, "bob": { "api_key": BOB } });
    let config =
        json!({ "servers": { "one": peer.config(), "two": Peer::new("legacy").config() }, "clients": clients });
    let gateway = Start::new(config).ready().await;
    let mut client = Client::open(gateway.port, PATH, Some(ALICE)).await;
    client.call(1, "echo", json!({})).await;
    let id = client.id.clone();
    let mut forged = id.clone();
    forged.replace_range(9..10, if &id[9..10] == "A" { "B" } else { "A" });
    for (what, path, key, status) in [
        ("somebody else", format!("{PATH}?session={id}&received=2"), BOB, 404),
        ("another door", format!("/servers/two/ws?session={id}&received=2"), ALICE, 404),
        ("the door of all servers", format!("/ws?session={id}&received=2"), ALICE, 404),
        ("forged", format!("{PATH}?session={forged}&received=2"), ALICE, 404),
        ("more than was sent", format!("{PATH}?session={id}&received=3"), ALICE, 400),
        ("without a number", format!("{PATH}?session={id}"), ALICE, 400),
    ] {
        let refused = Socket::try_with(gateway.port, &path, &headers(Some(key))).await.err();
        assert_eq!(refused.map(|(status, _)| status), Some(status), "{what}");
    }
    // whoever asked in vain has not ended it, but a connection that could have been the owner's took its place
    client.again(gateway.port).await;
    client.call(2, "echo", json!({})).await;
    client.socket.write(Message::Close(None)).await;
    soon("the connection ends", async { while client.socket.frame().await.is_some() {} }).await;
    assert_eq!(client.tries(gateway.port).await.err().map(|(status, _)| status), Some(404), "it is over");
}

#[tokio::test]
async fn who_does_not_say_that_it_comes_back_ends_with_the_connection() {
    let peer = Peer::new("legacy");
    let gateway = one(peer.config()).await;
    let mut socket = Socket::open(gateway.port, PATH).await;
    let result = socket.initialize(json!({})).await;
    assert!(result.get("_meta").is_none(), "{result}");
    assert_eq!(sessions(&gateway).await, 1);
    drop(socket);
    eventually("it is over", async || Some(sessions(&gateway).await).filter(|sessions| *sessions == 0)).await;
}

/// How many sessions the gateway has.
async fn sessions(gateway: &Gateway) -> u64 {
    let health: Value = serde_json::from_slice(&Call::get("/health").bare().send(gateway.port).await.body).unwrap();
    health["sessions"].as_u64().unwrap()
}

#[tokio::test]
async fn a_session_in_redis_goes_on_at_another_gateway() {
    let (server, redis) = (Legacy::start(), Redis::start().await);
    let config = json!({ "servers": { "one": server.config() } });
    let (mut here, there) = (redis.gateway(&config).await, redis.gateway(&config).await);
    for path in [PATH, "/ws"] {
        let echo = if path == PATH { "echo" } else { "one_echo" };
        let mut client = Client::open(here.port, path, None).await;
        client.call(1, echo, json!({})).await;
        let mut before = std::mem::replace(&mut client.socket, Socket::open(here.port, path).await);
        assert_eq!(client.again(there.port).await, json!({ "interrupted": true }));
        let (code, reason, _) = before.closed().await;
        assert_eq!(code, 4409, "the older one hears of it: {reason}");
        client.call(2, echo, json!({})).await;
        // and back
        assert_eq!(client.again(here.port).await, json!({ "interrupted": true }));
        client.call(3, echo, json!({})).await;
        assert_eq!(server.got("initialize").len(), if path == PATH { 1 } else { 2 }, "one session of the server");
    }
    let mut client = Client::open(here.port, PATH, None).await;
    client.call(1, "echo", json!({})).await;
    here.signal(Signal::KILL);
    here.ended().await;
    assert_eq!(client.again(there.port).await, json!({ "interrupted": true }));
    client.call(2, "echo", json!({})).await;
    assert!(server.verbs("DELETE").is_empty(), "nobody ended it");
}

#[tokio::test]
async fn a_gateway_that_stops_leaves_its_sessions_to_another() {
    let (server, redis) = (Legacy::start(), Redis::start().await);
    let config = json!({ "servers": { "one": server.config() } });
    let (here, there) = (redis.gateway(&config).await, redis.gateway(&config).await);
    let mut client = Client::open(here.port, PATH, None).await;
    client.call(1, "echo", json!({})).await;
    here.signal(Signal::TERM);
    assert_eq!(client.socket.closed().await.0, 1001);
    assert_eq!(client.again(there.port).await, json!({ "interrupted": true }));
    client.call(2, "echo", json!({})).await;
    assert!(server.verbs("DELETE").is_empty(), "nobody ended it");
}

#[tokio::test]
async fn what_another_node_holds_is_found_by_connecting_again() {
    let peer = Peer::new("legacy");
    let fleet = Fleet::of(&["edge-1", "edge-2"], &[("one", peer.config())]).await;
    let [here, there] = [fleet.nodes[0].port, fleet.nodes[1].port];
    let mut client = Client::open(here, PATH, None).await;
    let pid = client.call(1, "pid", json!({})).await;
    let (status, text) = soon("the other node answers", client.tries(there)).await.err().unwrap();
    assert!(status == 503 && text.contains("connect again"), "{status}: {text}");
    // the balancer sends each connection to the next of them
    client.again(fleet.port()).await;
    assert_eq!(client.call(2, "pid", json!({})).await, pid);
}
