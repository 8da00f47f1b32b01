//! Servers behind TLS, on every transport that has a URL: found by name, trusted by certificate, told nothing otherwise.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use serde_json::{Value, json};
use sluice_tests::gateway::Start;
use sluice_tests::tls::encrypted;
use sluice_tests::upstream::piped::Kind;
use sluice_tests::upstream::{Legacy, Piped};
use sluice_tests::{Call, Session, message};

fn config(transport: &str, host: &str, port: u16) -> Value {
    let scheme = if transport == "websocket" { "wss" } else { "https" };
    json!({ "transport": transport, "url": format!("{scheme}://{host}:{port}/mcp"), "headers": { "X-Key": "hidden" } })
}

#[tokio::test]
async fn every_transport_goes_over_tls_to_the_host_of_the_url_only() {
    let (http, sse, socket) = (Legacy::start(), Piped::start(Kind::Sse), Piped::start(Kind::WebSocket));
    for (transport, server) in [("http", http.port), ("sse", sse.port), ("websocket", socket.port)] {
        let (port, certificate) = encrypted(server).await;
        let (one, other) = (config(transport, "localhost", port), config(transport, "127.0.0.1", port));
        let start = Start::new(json!({ "servers": { "one": one, "other": other } }));
        let trusted = start.folder().join("trusted.pem");
        std::fs::write(&trusted, certificate).unwrap();
        let gateway = start.env("SSL_CERT_FILE", trusted.to_str().unwrap()).ready().await;
        let session = Session::open(gateway.port, "/servers/one/mcp").await;
        assert_eq!(session.call("echo", json!({})).await.status, 200, "{transport}");
        let initialize = message::initialize(message::LEGACY, json!({})).to_string();
        let refused = Call::post("/servers/other/mcp", initialize).send(gateway.port).await;
        assert_eq!(refused.verdict(), (502, Some(-32603)), "{transport}: another name: {refused:?}");
        assert!(refused.text().contains("cannot be reached"), "{refused:?}");
    }
}

#[tokio::test]
async fn a_certificate_nobody_trusts_gets_no_credential() {
    let (http, sse, socket) = (Legacy::start(), Piped::start(Kind::Sse), Piped::start(Kind::WebSocket));
    for (transport, server) in [("http", http.port), ("sse", sse.port), ("websocket", socket.port)] {
        let (port, _certificate) = encrypted(server).await;
        let gateway = Start::new(json!({ "servers": { "one": config(transport, "localhost", port) } })).ready().await;
        let initialize = message::initialize(message::LEGACY, json!({})).to_string();
        let refused = Call::post("/servers/one/mcp", initialize).send(gateway.port).await;
        assert_eq!(refused.verdict(), (502, Some(-32603)), "{transport}: {refused:?}");
    }
    assert!(http.received().is_empty() && sse.requests().is_empty() && socket.requests().is_empty());
}
