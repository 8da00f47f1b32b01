#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use super::*;

fn stream(tls: bool, host: &str, port: u16, path: &str) -> HttpEndpoint {
    HttpEndpoint {
        tls,
        host: host.into(),
        port,
        path: path.into(),
        authority: host.into(),
        headers: Vec::new(),
        credential: None,
        socket: None,
        maybe_sse: false,
    }
}

fn resolved(reference: &str) -> String {
    resolve(&stream(false, "example.com", 8080, "/mcp/sse?key=1"), reference.as_bytes()).unwrap().to_string()
}

#[test]
fn references_are_resolved_against_the_stream() {
    assert_eq!(resolved("/messages?sessionId=abc"), "/messages?sessionId=abc");
    assert_eq!(resolved("messages?sessionId=abc"), "/mcp/messages?sessionId=abc");
    assert_eq!(resolved("?sessionId=abc"), "/mcp/sse?sessionId=abc");
    assert_eq!(resolved("../messages/"), "/messages/");
    assert_eq!(resolved("./a/../../b/."), "/b/");
    assert_eq!(resolved("/a/../../../b"), "/b");
    assert_eq!(resolved(" /messages\n"), "/messages");
    assert_eq!(resolved("/messages#part"), "/messages");
    assert_eq!(resolved("#part"), "/mcp/sse?key=1");
    assert_eq!(resolved("/to?next=http://elsewhere.example/"), "/to?next=http://elsewhere.example/");
}

#[test]
fn absolute_uris_of_the_same_origin_are_taken() {
    assert_eq!(resolved("http://example.com:8080/messages?id=1"), "/messages?id=1");
    assert_eq!(resolved("HTTP://EXAMPLE.com:8080/messages"), "/messages");
    assert_eq!(resolved("//example.com:8080/messages"), "/messages");
    assert_eq!(resolved("http://example.com:8080"), "/");
    assert_eq!(resolved("http://example.com:8080?id=1"), "/?id=1");
    let tls = stream(true, "::1", 443, "/sse");
    assert_eq!(resolve(&tls, b"https://[::1]/messages").unwrap().to_string(), "/messages");
    assert_eq!(resolve(&tls, b"https://[::1]:443/messages").unwrap().to_string(), "/messages");
}

#[test]
fn other_origins_are_refused() {
    for foreign in [
        "http://evil.example/messages",
        "https://example.com:8080/messages",
        "http://example.com/messages",
        "http://example.com:80800/messages",
        "http://example.com:8080@evil.example/messages",
        "http://user@example.com:8080/messages",
        "//evil.example/messages",
        "http://example.com.evil.example:8080/messages",
        "http://[::1]:8080/messages",
        "ftp://example.com:8080/messages",
        "javascript:alert(1)",
    ] {
        let found = resolve(&stream(false, "example.com", 8080, "/sse"), foreign.as_bytes());
        assert_eq!(found, Err(Refused::Foreign), "{foreign}");
    }
}

#[test]
fn what_is_no_uri_is_refused() {
    let long = format!("/{}", "x".repeat(limit::ENDPOINT_BYTES));
    for malformed in [
        "",
        "  ",
        "/mess ages",
        "/messages\r\nX-Injected: 1",
        "\\\\evil.example\\messages",
        "/über",
        "http:messages",
        &long,
    ] {
        let found = resolve(&stream(false, "example.com", 8080, "/sse"), malformed.as_bytes());
        assert_eq!(found, Err(Refused::Malformed), "{malformed}");
    }
}
