//! Servers behind TLS, on every transport that has a URL: found by name, trusted by certificate, told nothing otherwise.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::net::Ipv4Addr;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use sluice_tests::gateway::Start;
use sluice_tests::upstream::piped::Kind;
use sluice_tests::upstream::{Legacy, Piped};
use sluice_tests::{Call, Session, message};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// Puts TLS in front of a server; its port, and the certificate as PEM.
async fn encrypted(server: u16) -> (u16, String) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let chain = vec![CertificateDer::from_pem_slice(made.cert.pem().as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(made.signing_key.serialize_pem().as_bytes()).unwrap();
    let config = rustls::ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((inside, _peer)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut inside) = acceptor.accept(inside).await else { return };
                let mut outside = TcpStream::connect((Ipv4Addr::LOCALHOST, server)).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut inside, &mut outside).await;
            });
        }
    });
    (port, made.cert.pem())
}

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
