//! Servers behind a WebSocket: the handshake, both eras, frames of every kind.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use serde_json::json;
use sluice_tests::upstream::piped::{Kind, Manner};
use sluice_tests::upstream::{Answer, Piped, Upstream};
use sluice_tests::{Call, Gateway, Session, message, until, wait};

const PATH: &str = "/servers/one/mcp";
const INTERNAL: Option<i64> = Some(-32603);

async fn server(manner: Manner) -> (Piped, Gateway) {
    let server = Piped::with(Kind::WebSocket, manner);
    let gateway = Gateway::with(json!({ "one": server.config() })).await;
    (server, gateway)
}

fn modern(id: i64, tool: &str) -> Call {
    Call::modern(PATH, "tools/call", id, json!({ "name": tool, "arguments": { "n": id } }))
}

#[tokio::test]
async fn the_handshake_offers_the_subprotocol_and_no_extension() {
    let (server, gateway) = server(Manner::default()).await;
    Session::open(gateway.port, PATH).await;
    let request = &server.requests()[0];
    assert_eq!(request.path, "/sse");
    assert_eq!(request.header("sec-websocket-protocol"), Some("mcp"));
    assert_eq!(request.header("sec-websocket-version"), Some("13"));
    assert_eq!(request.header("sec-websocket-extensions"), None);
    assert_eq!(request.header("origin"), None);
}

#[tokio::test]
async fn a_server_that_selects_no_subprotocol_is_served_and_another_one_is_refused() {
    let (_server, gateway) = server(Manner { subprotocol: None, ..Manner::default() }).await;
    assert_eq!(Session::open(gateway.port, PATH).await.call("echo", json!({})).await.status, 200);
    gateway.logged("no-websocket-subprotocol").await;
    let (_server, gateway) = server(Manner { subprotocol: Some("graphql-ws"), ..Manner::default() }).await;
    let reply = Call::post(PATH, message::initialize(message::LEGACY, json!({})).to_string()).send(gateway.port).await;
    assert_eq!(reply.verdict(), (502, INTERNAL), "{reply:?}");
    assert!(reply.text().contains("WebSocket"), "{reply:?}");
}

#[tokio::test]
async fn what_is_no_websocket_server_is_told_so() {
    for (answer, said) in [(200, "WebSocket"), (404, "404"), (426, "426")] {
        let odd = Upstream::always(move || Answer::new(answer, "text/plain", "hello"));
        let gateway = Gateway::with(json!({ "one": { "transport": "websocket", "url": odd.url() } })).await;
        let reply =
            Call::post(PATH, message::initialize(message::LEGACY, json!({})).to_string()).send(gateway.port).await;
        assert_eq!(reply.verdict(), (502, INTERNAL), "{reply:?}");
        assert!(reply.text().contains(said), "{reply:?}");
    }
}

#[tokio::test]
async fn both_eras_are_spoken_and_the_probe_has_a_connection_of_its_own() {
    let (server, gateway) = server(Manner { era: "both", ..Manner::default() }).await;
    let session = Session::open(gateway.port, PATH).await;
    for id in 1..4 {
        let reply = modern(id, "echo").send(gateway.port).await;
        assert_eq!(reply.result()["content"][0]["text"], json!({ "n": id }).to_string());
    }
    assert_eq!(session.call("echo", json!({})).await.status, 200);
    assert_eq!(server.got("server/discover").len(), 1, "asked once");
    assert_eq!(server.links().len(), 2, "one connection for each era");
    let mixed = |link: usize| server.links()[link].received().iter().any(|m| m["method"] == "server/discover");
    assert!(!mixed(0) && mixed(1), "the legacy connection is not probed");
}

#[tokio::test]
async fn modern_clients_share_a_connection_and_find_a_new_one_when_it_ends() {
    let (server, gateway) = server(Manner { era: "modern", ..Manner::default() }).await;
    let (one, two) = (modern(7, "echo"), modern(7, "echo"));
    let (one, two) = tokio::join!(one.send(gateway.port), two.send(gateway.port));
    assert_eq!((one.rpc()["id"].clone(), two.rpc()["id"].clone()), (json!(7), json!(7)));
    assert_eq!(server.links().len(), 1);
    let reply = modern(8, "die").send(gateway.port).await;
    assert_eq!(reply.verdict(), (502, INTERNAL), "{reply:?}");
    let again = until("another connection", || (server.open() == 0).then_some(()));
    again.await;
    let call = async || modern(9, "echo").send(gateway.port).await.status;
    wait::becomes(wait::SOON, "a call passes again", call, |status| *status == 200).await;
    assert_eq!(server.got("server/discover").len(), 1, "what is known is not asked again");
}

#[tokio::test]
async fn a_legacy_server_is_told_apart() {
    let (server, gateway) = server(Manner::default()).await;
    let reply = modern(1, "echo").send(gateway.port).await;
    assert_eq!(reply.status, 400, "{reply:?}");
    assert!(reply.text().contains("initialize"), "{reply:?}");
    assert_eq!(Session::open(gateway.port, PATH).await.call("echo", json!({})).await.status, 200);
    until("the connection of the probe is closed", || (server.open() == 1).then_some(())).await;
}

#[tokio::test]
async fn binary_frames_are_read_like_text() {
    let (_server, gateway) = server(Manner { binary: true, ..Manner::default() }).await;
    assert_eq!(Session::open(gateway.port, PATH).await.call("echo", json!({})).await.status, 200);
    gateway.logged("binary-frames").await;
}

#[tokio::test]
async fn a_server_that_asks_for_a_sign_of_life_gets_it_at_once() {
    let (server, gateway) = server(Manner::default()).await;
    let session = Session::open(gateway.port, PATH).await;
    let link = server.links()[0].clone();
    for pongs in 1..4 {
        link.ping();
        until("the pong", || (link.pongs() == pongs).then_some(())).await;
    }
    assert_eq!(session.call("echo", json!({})).await.status, 200);
}

#[tokio::test]
async fn the_reason_a_server_gives_for_closing_is_logged() {
    let (server, gateway) = server(Manner::default()).await;
    let session = Session::open(gateway.port, PATH).await;
    session.call("echo", json!({})).await;
    server.links()[0].say_goodbye(1012, "restarting");
    gateway.logged("1012 restarting").await;
}
