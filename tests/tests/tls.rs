//! HTTPS for several names, certificates that change under way, and HTTP/2 with and without TLS.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::{Value, json};
use sluice_tests::gateway::Start;
use sluice_tests::upstream::{Answer, Modern, Pipe};
use sluice_tests::websocket::Socket;
use sluice_tests::{Call, Gateway, Reply, message, until, wait};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::Message;

const PATH: &str = "/servers/one/mcp";

/// Writes a certificate for a name, with its key, and returns it.
fn certify(folder: &Path, name: &str) -> CertificateDer<'static> {
    let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
    std::fs::write(folder.join(format!("{name}.key")), made.signing_key.serialize_pem()).unwrap();
    std::fs::write(folder.join(format!("{name}.pem")), made.cert.pem()).unwrap();
    made.cert.der().clone()
}

fn entry(name: &str) -> Value {
    json!({ "certificate": format!("{name}.pem"), "key": format!("{name}.key") })
}

async fn connect(
    port: u16,
    name: &str,
    known: &[&CertificateDer<'static>],
    alpn: &[&str],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in known {
        roots.add((*certificate).clone()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from(name.to_owned()).unwrap(), stream).await
}

fn shown(stream: &TlsStream<TcpStream>) -> CertificateDer<'static> {
    stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
}

fn echo() -> Call {
    Call::modern(PATH, "tools/call", 1, json!({ "name": "echo", "arguments": { "n": 1 } }))
}

async fn ready(server: &Modern) -> (Gateway, CertificateDer<'static>, CertificateDer<'static>) {
    let config = json!({
        "proxy": { "tls": [entry("a.example"), entry("b.example")], "allowed_hosts": ["a.example", "b.example"] },
        "servers": { "one": server.config() },
    });
    let start = Start::new(config);
    let (a, b) = (certify(start.folder(), "a.example"), certify(start.folder(), "b.example"));
    (start.ready().await, a, b)
}

#[tokio::test]
async fn each_name_gets_its_certificate() {
    let server = Modern::start();
    let (gateway, a, b) = ready(&server).await;
    for (name, certificate) in [("a.example", &a), ("b.example", &b)] {
        let stream = connect(gateway.port, name, &[&a, &b], &["http/1.1"]).await.unwrap();
        assert_eq!(&shown(&stream), certificate, "{name}");
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let host = format!("{name}:{}", gateway.port);
        let reply = Reply::read(sender.send_request(echo().request(&host)).await.unwrap()).await.unwrap();
        assert_eq!(reply.status, 200, "{reply:?}");
        let reply = Reply::read(sender.send_request(echo().request("evil.example")).await.unwrap()).await.unwrap();
        assert_eq!(reply.status, 403, "{reply:?}");
    }
    assert!(echo().try_send(gateway.port).await.is_none_or(|reply| reply.status >= 400), "no plain text on this port");
    let stream = connect(gateway.port, "a.example", &[&a], &["h2", "http/1.1"]).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
}

#[tokio::test]
async fn certificates_are_read_again_when_their_files_change_and_only_when_they_are_good() {
    let server = Modern::start();
    let (gateway, a, b) = ready(&server).await;
    let before = connect(gateway.port, "a.example", &[&a], &["http/1.1"]).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(before)).await.unwrap();
    tokio::spawn(connection);
    let new = certify(gateway.folder(), "a.example");
    let look = async || shown(&connect(gateway.port, "a.example", &[&a, &new], &["http/1.1"]).await.unwrap());
    wait::becomes(wait::SOON, "the new certificate is shown", look, |shown| *shown == new).await;
    let host = format!("a.example:{}", gateway.port);
    let reply = Reply::read(sender.send_request(echo().request(&host)).await.unwrap()).await.unwrap();
    assert_eq!(reply.status, 200, "connections go on");
    std::fs::write(gateway.folder().join("b.example.pem"), "not a certificate").unwrap();
    gateway.logged("b.example.pem").await;
    for (name, certificate) in [("a.example", &new), ("b.example", &b)] {
        let stream = connect(gateway.port, name, &[certificate], &["http/1.1"]).await.unwrap();
        assert_eq!(&shown(&stream), certificate, "{name}: what was good stays");
    }
    // Two looks later the complaint has not been repeated.
    wait::pass(Duration::from_millis(2500)).await;
    assert_eq!(gateway.log().matches("b.example.pem").count(), 1, "told once for each change");
}

#[tokio::test]
async fn a_certificate_that_cannot_be_used_is_told_at_the_start() {
    let server = Modern::start();
    let config = json!({ "proxy": { "tls": [entry("a.example")] }, "servers": { "one": server.config() } });
    let (status, text) = Start::new(config.clone()).refused();
    assert!(!status.success() && text.contains("a.example.pem"), "{text}");
    let start = Start::new(config);
    certify(start.folder(), "a.example");
    certify(start.folder(), "b.example");
    std::fs::copy(start.folder().join("b.example.key"), start.folder().join("a.example.key")).unwrap();
    let (status, text) = start.refused();
    assert!(!status.success() && text.contains("a.example"), "a key of another certificate: {text}");
}

/// The same over any HTTP/2 connection: many calls at once, streams, cancellation.
async fn speaks_h2<IO>(stream: IO, host: &str, server: &Modern, pipes: &Mutex<Vec<Pipe>>)
where
    IO: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (sender, connection) = handshake.await.unwrap();
    tokio::spawn(connection);
    let request = |call: Call| {
        let mut request = call.request(host);
        *request.uri_mut() = format!("http://{host}{PATH}").parse().unwrap();
        request.headers_mut().remove("host");
        request
    };
    let calls = (0..100).map(|_| {
        let (mut sender, request) = (sender.clone(), request(echo()));
        async move { Reply::read(sender.send_request(request).await.unwrap()).await.unwrap() }
    });
    for reply in futures_util::future::join_all(calls).await {
        assert_eq!(reply.result()["content"][0]["text"], r#"{"n":1}"#);
    }
    let foreign = {
        let mut request = request(echo());
        *request.uri_mut() = format!("http://evil.example{PATH}").parse().unwrap();
        request
    };
    let reply = Reply::read(sender.clone().send_request(foreign).await.unwrap()).await.unwrap();
    assert_eq!(reply.status, 403, "the authority is the host: {reply:?}");
    let long = Call::modern(PATH, "tools/call", 2, json!({ "name": "long", "arguments": {} }));
    let response = sender.clone().send_request(request(long)).await.unwrap();
    assert_eq!(response.status(), 200);
    let pipe = pipes.lock().unwrap().pop().unwrap();
    drop(response);
    until("the reset stream closes the server's", || pipe.is_closed().then_some(())).await;
    assert_eq!(server.calls("long").len(), 1);
}

fn long(pipes: &Arc<Mutex<Vec<Pipe>>>) -> Modern {
    let kept = Arc::clone(pipes);
    Modern::scripted(move |received| {
        (received.tool() == "long").then(|| {
            let (pipe, answer) = Answer::stream("text/event-stream");
            kept.lock().unwrap().push(pipe.clone());
            tokio::spawn(async move { pipe.send(": begun\n\n").await });
            answer
        })
    })
}

#[tokio::test]
async fn http2_is_spoken_over_tls() {
    let pipes = Arc::default();
    let server = long(&pipes);
    let (gateway, a, _) = ready(&server).await;
    let stream = connect(gateway.port, "a.example", &[&a], &["h2"]).await.unwrap();
    speaks_h2(stream, &format!("a.example:{}", gateway.port), &server, &pipes).await;
}

#[tokio::test]
async fn http2_is_spoken_by_prior_knowledge() {
    let pipes = Arc::default();
    let server = long(&pipes);
    let gateway = Gateway::with(json!({ "one": server.config() })).await;
    let stream = TcpStream::connect(("127.0.0.1", gateway.port)).await.unwrap();
    speaks_h2(stream, &format!("127.0.0.1:{}", gateway.port), &server, &pipes).await;
}

#[tokio::test]
async fn websockets_are_spoken_over_tls() {
    let server = Modern::start();
    let (gateway, a, _) = ready(&server).await;
    let stream = connect(gateway.port, "a.example", &[&a], &["http/1.1"]).await.unwrap();
    let host = format!("a.example:{}", gateway.port);
    let page = format!("Sec-WebSocket-Protocol: mcp\r\nOrigin: https://{host}\r\n");
    let mut socket = Socket::over(Box::new(stream), &host, "/servers/one/ws", &page).await.unwrap();
    socket.send(&message::modern("tools/call", 1, json!({ "name": "echo", "arguments": { "n": 1 } }))).await;
    assert_eq!(socket.answer(&json!(1)).await.0["result"]["content"][0]["text"], r#"{"n":1}"#);
    socket.write(Message::binary(&b"x"[..])).await;
    assert_eq!(socket.closed().await.0, 1003);
}
