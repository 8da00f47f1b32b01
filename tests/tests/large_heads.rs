//! Heads that are too large or that two readers could read differently: refused, and the server never hears of them.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::time::Duration;

use serde_json::json;
use sluice_tests::message::{self, LEGACY};
use sluice_tests::raw::Raw;
use sluice_tests::upstream::Legacy;
use sluice_tests::{Gateway, Session};

const PATH: &str = "/servers/one/mcp";

#[tokio::test]
async fn a_head_with_too_many_or_too_large_headers_is_refused() {
    let server = Legacy::start();
    let gateway = Gateway::with(json!({ "one": server.config() })).await;
    let body = message::initialize(LEGACY, json!({})).to_string();
    let good = "Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\n";
    let many: String = (0..150).map(|n| format!("X-{n}: 1\r\n")).collect();
    let large = format!("X-Large: {}\r\n", "x".repeat(300 << 10));
    let answer = Raw::post(gateway.port, PATH, &format!("{good}{many}"), &body).await;
    assert_eq!(answer.status, 431, "{}", &answer.text[..answer.text.len().min(300)]);
    let head = format!("POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n{good}{large}", gateway.port);
    let mut raw = Raw::connect(gateway.port).await;
    // The rest of the head is not read, which may reset the connection before the answer is seen.
    let _ = raw.write(format!("{head}Content-Length: {}\r\n\r\n{body}", body.len())).await;
    let answer = raw.answer().await;
    assert!(answer.as_ref().is_none_or(|answer| answer.status == 431), "{answer:?}");
    let fitting = format!("{good}X-Large: {}\r\n", "x".repeat(16 << 10));
    assert_eq!(Raw::post(gateway.port, PATH, &fitting, &body).await.status, 200);
    assert_eq!(server.got("initialize").len(), 1);
}

#[tokio::test]
async fn framing_that_two_readers_could_read_differently_is_refused() {
    let server = Legacy::start();
    let gateway = Gateway::with(json!({ "one": server.config() })).await;
    let session = Session::open(gateway.port, PATH).await;
    let body = message::call("echo", 1, json!({})).to_string();
    let length = body.len();
    let cases = [
        ("two lengths", format!("Content-Length: {length}\r\nContent-Length: {}\r\n", length + 5)),
        ("length list", format!("Content-Length: {length}, {}\r\n", length + 5)),
        ("signed length", format!("Content-Length: +{length}\r\n")),
        ("hexadecimal length", format!("Content-Length: {length:#x}\r\n")),
        ("unknown coding", "Transfer-Encoding: gzip\r\n".to_owned()),
        ("coding after chunked", "Transfer-Encoding: chunked, gzip\r\n".to_owned()),
        ("space before the colon", format!("Content-Length : {length}\r\n")),
        ("folded header", format!("X-Folded: a\r\n b\r\nContent-Length: {length}\r\n")),
        ("NUL in a value", format!("X-Nul: a\0b\r\nContent-Length: {length}\r\n")),
    ];
    for (what, framing) in cases {
        let head = format!(
            "POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nMcp-Session-Id: {}\r\nContent-Type: application/json\r\n\
             Accept: application/json, text/event-stream\r\n{framing}\r\n",
            gateway.port, session.id
        );
        let mut raw = Raw::send(gateway.port, format!("{head}{body}")).await;
        let answer = raw.answer_within(Duration::from_secs(5)).await;
        assert!(answer.as_ref().is_none_or(|answer| (400..=415).contains(&answer.status)), "{what}: {answer:?}");
    }
    assert!(server.calls("echo").is_empty(), "{:?}", server.calls("echo"));
    assert_eq!(session.call("echo", json!({})).await.status, 200);
}
