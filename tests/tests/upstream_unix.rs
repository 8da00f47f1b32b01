//! Servers behind a Unix socket, on every transport that has a URL. The URL says what the server is called.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::net::Ipv4Addr;

use serde_json::json;
use sluice_tests::upstream::piped::{Kind, Manner};
use sluice_tests::upstream::{Legacy, Modern, Piped};
use sluice_tests::{Call, Gateway, Session, message};
use tempfile::TempDir;

const PATH: &str = "/servers/one/mcp";

/// A Unix socket through which a server's port is reached.
fn socket_to(port: u16) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let listener = tokio::net::UnixListener::bind(folder.path().join("socket")).unwrap();
    tokio::spawn(async move {
        while let Ok((mut inside, _peer)) = listener.accept().await {
            tokio::spawn(async move {
                let mut outside = tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut inside, &mut outside).await;
            });
        }
    });
    folder
}

#[tokio::test]
async fn streamable_http_goes_over_a_unix_socket_in_both_eras() {
    let (legacy, modern) = (Legacy::start(), Modern::start());
    let (one, two) = (socket_to(legacy.port), socket_to(modern.port));
    let config = |folder: &TempDir| {
        let socket = folder.path().join("socket");
        json!({ "transport": "http", "url": "http://inside.example/mcp", "socket": socket, "headers": { "X-Key": "k" } })
    };
    let gateway = Gateway::with(json!({ "one": config(&one), "two": config(&two) })).await;
    let session = Session::open(gateway.port, PATH).await;
    assert_eq!(session.call("echo", json!({})).await.status, 200);
    let call = Call::modern("/servers/two/mcp", "tools/call", 1, json!({ "name": "echo", "arguments": {} }));
    assert_eq!(call.send(gateway.port).await.status, 200);
    for request in legacy.received().iter().chain(&modern.received()) {
        assert_eq!((request.header("host"), request.header("x-key")), (Some("inside.example"), Some("k")));
    }
}

#[tokio::test]
async fn connections_go_over_a_unix_socket() {
    for kind in [Kind::Sse, Kind::WebSocket] {
        let server = Piped::with(kind, Manner { unix: true, ..Manner::default() });
        let gateway = Gateway::with(json!({ "one": server.config() })).await;
        let session = Session::open(gateway.port, PATH).await;
        assert_eq!(session.call("echo", json!({})).await.status, 200, "{kind:?}");
        for request in server.requests() {
            assert_eq!(request.header("host"), Some("inside.example"), "{kind:?}: the host of the URL");
        }
    }
}

#[tokio::test]
async fn a_socket_nobody_listens_on_is_unreachable() {
    for transport in ["http", "sse", "websocket"] {
        let config =
            json!({ "transport": transport, "url": "http://inside.example/mcp", "socket": "/nonexistent/socket" });
        let gateway = Gateway::with(json!({ "one": config })).await;
        let reply =
            Call::post(PATH, message::initialize(message::LEGACY, json!({})).to_string()).send(gateway.port).await;
        assert_eq!(reply.verdict(), (502, Some(-32603)), "{transport}: {reply:?}");
        assert!(reply.text().contains("cannot be reached") && !reply.text().contains("nonexistent"), "{reply:?}");
    }
}
