//! Requests as HTTP/2 allows them: held to what HTTP/1.1 is held to.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use sluice_tests::raw::Raw;
use sluice_tests::upstream::Modern;
use sluice_tests::{Call, Gateway, Reply};
use tokio::net::TcpStream;

const PATH: &str = "/servers/one/mcp";

/// One connection.
struct Connection {
    sender: SendRequest<Full<Bytes>>,
    host: String,
}

impl Connection {
    async fn open(gateway: &Gateway) -> Self {
        let host = format!("127.0.0.1:{}", gateway.port);
        let stream = TcpStream::connect(&host).await.unwrap();
        let (sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Self { sender, host }
    }

    async fn send(&mut self, call: Call, path: &str) -> Reply {
        let mut request = call.request(&self.host);
        *request.uri_mut() = format!("http://{}{path}", self.host).parse().unwrap();
        request.headers_mut().remove("host");
        Reply::read(self.sender.send_request(request).await.unwrap()).await.unwrap()
    }
}

fn echo() -> Call {
    Call::modern(PATH, "tools/call", 1, json!({ "name": "echo", "arguments": {} }))
}

#[tokio::test]
async fn an_answer_to_head_has_the_length_and_not_the_body() {
    let server = Modern::start();
    let gateway = Gateway::with(json!({ "one": server.config() })).await;
    let mut connection = Connection::open(&gateway).await;
    for path in ["/health", PATH, "/nothing"] {
        let get = connection.send(Call::get(path).method(if path == PATH { "PUT" } else { "GET" }), path).await;
        let head = connection.send(Call::get(path).method("HEAD"), path).await;
        assert_eq!((head.status, head.text()), (get.status, String::new()), "{path}");
        assert_eq!(head.header("content-length"), get.header("content-length"), "{path}");
        assert_eq!(head.header("content-type"), Some("application/json"), "{path}");
    }
    assert_eq!(connection.send(echo(), PATH).await.status, 200, "the connection goes on");
}

#[tokio::test]
async fn the_limits_of_a_head_are_those_of_http1() {
    let server = Modern::start();
    let gateway = Gateway::with(json!({ "one": server.config() })).await;
    let mut connection = Connection::open(&gateway).await;
    let own = echo().request(&connection.host).headers().len();
    for (fields, status) in [(100, 200), (101, 431)] {
        // the host is none of them, and the length is
        let mut call = echo();
        for n in own..fields {
            call = call.header(&format!("x-{n}"), "1");
        }
        let reply = connection.send(call, PATH).await;
        assert_eq!(reply.status, status, "{fields} fields: {reply:?}");
        assert_eq!(status == 431, reply.text().contains("100 header fields"), "{reply:?}");
    }
    let refused = async || gateway.metric("sluice_refused_total", &["outcome=\"head_too_large\""]).await;
    assert_eq!(refused().await, 1.0);
    gateway.logged("head_too_large").await;
    assert_eq!(connection.send(echo(), PATH).await.status, 200, "the connection goes on");
}

#[tokio::test]
async fn a_length_is_said_once() {
    let server = Modern::start();
    let gateway = Gateway::with(json!({ "one": server.config() })).await;
    let field =
        |name: &[u8], value: &[u8]| [&[0, name.len() as u8][..], name, &[value.len() as u8][..], value].concat();
    let authority = format!("127.0.0.1:{}", gateway.port);
    let head = [
        field(b":method", b"POST"),
        field(b":scheme", b"http"),
        field(b":path", PATH.as_bytes()),
        field(b":authority", authority.as_bytes()),
        field(b"content-type", b"application/json"),
        field(b"content-length", b"2"),
        field(b"content-length", b"2"),
    ]
    .concat();
    let frame = |kind: u8, flags: u8, stream: u8, payload: &[u8]| {
        let length = payload.len() as u32;
        [&length.to_be_bytes()[1..], &[kind, flags, 0, 0, 0, stream][..], payload].concat()
    };
    let frames = [frame(4, 0, 0, b""), frame(1, 4, 1, &head), frame(0, 1, 1, b"{}")].concat();
    let mut raw = Raw::send(gateway.port, [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &frames].concat()).await;
    raw.reads("RFC 9112").await;
    gateway.logged("head_malformed").await;
    assert!(server.received().is_empty());
}
