//! Where client and server speak different eras: each side is told in words it understands, and nothing runs. And how the
//! era of a server is found out.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use serde_json::{Value, json};
use sluice_tests::message::{self, LEGACY, MODERN, VERSION_KEY};
use sluice_tests::peer::Peer;
use sluice_tests::turn::Turn;
use sluice_tests::upstream::{Answer, Legacy, Modern, Upstream};
use sluice_tests::wait::{self, until};
use sluice_tests::{Call, Gateway, Reply, Session};

const PATH: &str = "/servers/one/mcp";

fn assert_told_to_initialize(reply: &Reply) {
    assert_eq!(reply.verdict(), (400, Some(-32600)), "{reply:?}");
    let text = reply.rpc()["error"]["message"].as_str().unwrap().to_owned();
    assert!(text.contains("initialize") && text.contains(LEGACY), "a sentence with a way out: {text}");
}

fn assert_told_the_versions(reply: &Reply) {
    let message = reply.rpc();
    assert!(reply.status == 400 && message["error"]["code"].is_i64(), "{reply:?}");
    assert_eq!(message["error"]["data"]["supported"], json!([MODERN]), "{message}");
    assert!(message["error"]["message"].as_str().unwrap().contains(MODERN), "{message}");
    assert!(reply.header("mcp-session-id").is_none());
    assert_eq!(message["id"], 0);
}

fn modern_requests() -> Vec<Call> {
    vec![
        Call::modern(PATH, "server/discover", 1, json!({})),
        Call::modern(PATH, "tools/list", 1, json!({})),
        Call::modern(PATH, "tools/call", 1, json!({ "name": "echo", "arguments": {} })),
        Call::modern(PATH, "subscriptions/listen", 1, json!({ "notifications": {} })),
    ]
}

#[tokio::test]
async fn a_modern_request_to_a_legacy_http_server_sends_the_client_to_initialize() {
    for protocol in ["auto", "legacy"] {
        let server = Legacy::start();
        let gateway = Gateway::with(json!({ "one": { "url": server.url(), "protocol": protocol } })).await;
        for call in modern_requests() {
            assert_told_to_initialize(&call.send(gateway.port).await);
        }
        assert!(server.got("tools/call").is_empty() && server.got("initialize").is_empty());
        let session = Session::open(gateway.port, PATH).await;
        assert_eq!(session.call("echo", json!({})).await.status, 200, "and there it works");
    }
}

#[tokio::test]
async fn a_modern_request_to_a_legacy_stdio_server_sends_the_client_to_initialize() {
    let peer = Peer::new("legacy");
    let gateway = Gateway::with(json!({ "one": peer.config() })).await;
    for call in modern_requests() {
        assert_told_to_initialize(&call.send(gateway.port).await);
    }
    assert!(peer.got("tools/call").is_empty());
    let session = Session::open(gateway.port, PATH).await;
    assert_eq!(session.call("echo", json!({})).await.status, 200);
}

#[tokio::test]
async fn initialize_at_a_modern_http_server_is_told_its_versions() {
    for protocol in ["auto", "modern"] {
        let server = Modern::start();
        let gateway = Gateway::with(json!({ "one": { "url": server.url(), "protocol": protocol } })).await;
        for version in ["2024-11-05", LEGACY] {
            let call = Call::post(PATH, message::initialize(version, json!({})).to_string());
            assert_told_the_versions(&call.send(gateway.port).await);
        }
    }
}

#[tokio::test]
async fn initialize_at_a_modern_stdio_server_is_told_its_versions() {
    let peer = Peer::new("modern");
    let gateway = Gateway::with(json!({ "one": peer.config() })).await;
    let call = Call::post(PATH, message::initialize(LEGACY, json!({})).to_string());
    assert_told_the_versions(&call.send(gateway.port).await);
    let echo = Call::modern(PATH, "tools/call", 1, json!({ "name": "echo", "arguments": {} }));
    assert_eq!(echo.send(gateway.port).await.status, 200);
}

#[tokio::test]
async fn initialize_with_a_modern_version_is_legacy_all_the_same() {
    let (server, peer) = (Legacy::start(), Peer::new("legacy"));
    let gateway = Gateway::with(json!({ "one": server.config(), "stdio": peer.config() })).await;
    for path in [PATH, "/servers/stdio/mcp"] {
        let body = message::initialize(MODERN, json!({})).to_string();
        let variants = [
            Call::post(path, body.clone()),
            Call::post(path, body.clone()).header("mcp-protocol-version", MODERN),
            Call::post(path, body).header("mcp-method", "initialize"),
        ];
        for call in variants {
            let reply = call.send(gateway.port).await;
            assert_eq!(reply.result()["protocolVersion"], LEGACY, "{path}");
            let id = reply.header("mcp-session-id").expect("a session").to_owned();
            let call = Call::post(path, message::call("echo", 1, json!({})).to_string()).header("mcp-session-id", &id);
            assert_eq!(call.header("mcp-protocol-version", LEGACY).send(gateway.port).await.status, 200);
        }
    }
}

#[tokio::test]
async fn a_server_of_both_eras_serves_clients_of_both() {
    let peer = Peer::new("both");
    let gateway = Gateway::with(json!({ "one": peer.config() })).await;
    let session = Session::open(gateway.port, PATH).await;
    let modern = Call::modern(PATH, "tools/call", 1, json!({ "name": "echo", "arguments": { "n": 1 } }));
    for _ in 0..2 {
        assert_eq!(session.call("echo", json!({ "n": 1 })).await.result()["content"][0]["text"], r#"{"n":1}"#);
        assert_eq!(modern.send(gateway.port).await.result()["content"][0]["text"], r#"{"n":1}"#);
    }
}

#[tokio::test]
async fn a_stdio_server_is_probed_once_with_server_discover_before_anything_else() {
    for era in ["legacy", "modern"] {
        let peer = Peer::new(era);
        let gateway = Gateway::with(json!({ "one": peer.config() })).await;
        for _ in 0..3 {
            let reply = Call::modern(PATH, "tools/call", 1, json!({ "name": "echo", "arguments": {} }))
                .send(gateway.port)
                .await;
            assert_eq!(reply.status, if era == "modern" { 200 } else { 400 }, "{reply:?}");
        }
        let first: Value = serde_json::from_str(&peer.lines()[0]).unwrap();
        assert_eq!(first["method"], "server/discover", "{era}");
        assert_eq!(first["params"]["_meta"][VERSION_KEY], MODERN);
        assert_eq!(peer.got("server/discover").len(), 1, "{era}: found out once and remembered");
    }
}

#[tokio::test]
async fn a_legacy_client_of_a_legacy_http_server_causes_no_call_twice() {
    let server = Legacy::start();
    let gateway = Gateway::with(json!({ "one": server.config() })).await;
    for _ in 0..3 {
        let session = Session::open(gateway.port, PATH).await;
        assert_eq!(session.call("echo", json!({})).await.status, 200);
    }
    assert_eq!((server.got("initialize").len(), server.calls("echo").len()), (3, 3));
}

#[tokio::test]
async fn an_era_that_is_configured_is_not_probed() {
    let (legacy, modern) = (Peer::new("legacy"), Peer::new("modern"));
    let servers = json!({
        "legacy": legacy.config_with(json!({ "protocol": "legacy" })),
        "one": modern.config_with(json!({ "protocol": "modern" })),
    });
    let gateway = Gateway::with(servers).await;
    let session = Session::open(gateway.port, "/servers/legacy/mcp").await;
    assert_eq!(session.call("echo", json!({})).await.status, 200);
    let echo = Call::modern(PATH, "tools/call", 1, json!({ "name": "echo", "arguments": {} }));
    assert_eq!(echo.send(gateway.port).await.status, 200);
    assert!(legacy.got("server/discover").is_empty(), "{:?}", legacy.lines());
    assert!(modern.got("initialize").is_empty());
}

fn call_of(path: &str) -> Call {
    Call::modern(path, "tools/call", 1, json!({ "name": "echo", "arguments": {} }))
}

/// What answers where no server of MCP is, or not yet.
fn nobody() -> Upstream {
    Upstream::always(|| Answer::new(404, "text/html", "<h1>Not Found</h1>"))
}

#[tokio::test]
async fn a_404_says_nothing_of_the_era_of_a_server_that_is_not_there_yet() {
    let (modern, legacy) = (Modern::start(), Legacy::start());
    for (port, status) in [(modern.port, 200), (legacy.port, 400)] {
        let nobody = nobody();
        let turn = Turn::of(nobody.port).await;
        let gateway = Gateway::with(json!({ "one": { "url": format!("http://127.0.0.1:{}/mcp", turn.port) } })).await;
        for call in modern_requests() {
            let reply = call.send(gateway.port).await;
            assert_eq!(reply.verdict(), (502, Some(-32603)), "{reply:?}");
            assert!(reply.text().contains("404") && reply.text().contains("path"), "{reply:?}");
        }
        let asked = nobody.received().len();
        assert!(asked < 4 * 4, "not asked for its era each time: {asked}");
        turn.take(port);
        let call = async || call_of(PATH).send(gateway.port).await;
        let reply = wait::becomes(wait::SOON, "the server is found", call, |reply| reply.status != 502).await;
        assert_eq!(reply.status, status, "{reply:?}");
    }
}

#[tokio::test]
async fn a_legacy_server_that_refuses_without_words_is_known_by_its_initialize() {
    for status in [400, 404, 405, 406, 422] {
        let server = Legacy::strange(move || Answer::new(status, "text/plain", "no"));
        let gateway = Gateway::with(json!({ "one": server.config() })).await;
        for call in modern_requests() {
            assert_told_to_initialize(&call.send(gateway.port).await);
        }
        assert_eq!(server.got("initialize").len(), 1, "{status}: found out once and remembered");
        until("the session of that is ended", || server.sessions().is_empty().then_some(())).await;
        let session = Session::open(gateway.port, PATH).await;
        assert_eq!(session.call("echo", json!({})).await.status, 200, "{status}: and there it works");
    }
}

#[tokio::test]
async fn a_modern_server_that_is_away_for_a_moment_stays_one() {
    let (server, nobody) = (Modern::start(), nobody());
    let turn = Turn::of(server.port).await;
    let gateway = Gateway::with(json!({ "one": { "url": format!("http://127.0.0.1:{}/mcp", turn.port) } })).await;
    assert_eq!(call_of(PATH).send(gateway.port).await.status, 200);
    turn.take(nobody.port);
    let call = async || call_of(PATH).send(gateway.port).await;
    let reply = wait::becomes(wait::SOON, "another answers", call, |reply| reply.status != 200).await;
    assert_eq!(reply.verdict(), (502, Some(-32603)), "{reply:?}");
    turn.take(server.port);
    let reply = wait::becomes(wait::SOON, "the server is back", call, |reply| reply.status != 502).await;
    assert_eq!(reply.status, 200, "{reply:?}");
}

#[tokio::test]
async fn several_who_ask_at_once_find_a_server_s_era_out_together() {
    let server = Legacy::strange(|| Answer::empty(404));
    let gateway = Gateway::with(json!({ "one": server.config() })).await;
    let port = gateway.port;
    let asked = (0..8).map(|_| async move { call_of(PATH).send(port).await });
    for reply in futures_util::future::join_all(asked).await {
        assert_eq!(reply.status, 400, "{reply:?}");
        assert!(reply.text().contains("initialize"), "{reply:?}");
    }
    assert_eq!(server.got("initialize").len(), 1);
}
