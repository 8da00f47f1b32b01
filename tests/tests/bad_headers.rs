//! Requests whose head is wrong: media types, hosts, origins, versions, and headers that disagree with the body.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use serde_json::{Value, json};
use sluice_tests::message::{self, LEGACY, MODERN, VERSION_KEY};
use sluice_tests::raw::Raw;
use sluice_tests::upstream::{Legacy, Modern};
use sluice_tests::{Call, Gateway, Session};

const PATH: &str = "/servers/one/mcp";
const MISMATCH: Option<i64> = Some(-32020);

fn echo() -> Call {
    Call::modern(PATH, "tools/call", 1, json!({ "name": "echo", "arguments": {} }))
}

#[tokio::test]
async fn media_types_are_checked_in_both_eras() {
    let (legacy, modern) = (Legacy::start(), Modern::start());
    let gateway = Gateway::with(json!({ "legacy": legacy.config(), "one": modern.config() })).await;
    let initialize = Call::post("/servers/legacy/mcp", message::initialize(LEGACY, json!({})).to_string());
    let cases: &[(&str, Option<&str>, u16)] = &[
        ("content-type", None, 415),
        ("content-type", Some("text/plain"), 415),
        ("content-type", Some("application/jsonp"), 415),
        ("content-type", Some("application/x-www-form-urlencoded"), 415),
        ("content-encoding", Some("gzip"), 415),
        ("accept", None, 406),
        ("accept", Some("text/html"), 406),
        ("accept", Some("application/json"), 406),
        ("accept", Some("text/event-stream"), 406),
        ("content-type", Some("application/json; charset=utf-8"), 200),
        ("content-type", Some("Application/JSON"), 200),
        ("accept", Some("text/event-stream,application/json;q=0.9"), 200),
        ("accept", Some("*/*"), 200),
    ];
    for call in [initialize, echo()] {
        for &(name, value, status) in cases {
            let changed = value.map_or_else(|| call.clone().without(name), |value| call.clone().header(name, value));
            let reply = changed.send(gateway.port).await;
            assert_eq!(reply.status, status, "{name}: {value:?}: {reply:?}");
        }
    }
    assert_eq!(legacy.got("initialize").len(), 4, "refused requests do not reach the server");
}

#[tokio::test]
async fn foreign_hosts_and_origins_are_refused() {
    let server = Legacy::start();
    let gateway = Gateway::with(json!({ "one": server.config() })).await;
    let call = Call::post(PATH, message::initialize(LEGACY, json!({})).to_string());
    let port = gateway.port;
    let cases: Vec<(&str, String, u16)> = vec![
        ("host", "evil.example".into(), 403),
        ("host", format!("evil.example:{port}"), 403),
        ("host", format!("127.0.0.1.evil.example:{port}"), 403),
        ("host", format!("localhost.evil.example:{port}"), 403),
        ("host", format!("localhost:{port}"), 200),
        ("host", format!("LOCALHOST:{port}"), 200),
        ("host", format!("127.0.0.1:{port}"), 200),
        ("host", format!("[::1]:{port}"), 200),
        ("origin", "https://evil.example".into(), 403),
        ("origin", "null".into(), 403),
        ("origin", format!("http://localhost.evil.example:{port}"), 403),
        ("origin", "garbage".into(), 403),
        ("origin", format!("http://127.0.0.1:{port}"), 200),
    ];
    for (name, value, status) in &cases {
        let reply = call.clone().header(name, value).send(port).await;
        assert_eq!(reply.status, *status, "{name}: {value}: {reply:?}");
    }
    assert_eq!(server.got("initialize").len(), cases.iter().filter(|case| case.2 == 200).count());
    for method in ["GET", "DELETE"] {
        let reply = Call::get(PATH).method(method).header("origin", "https://evil.example").send(port).await;
        assert_eq!(reply.status, 403, "{method}");
    }
}

#[tokio::test]
async fn malformed_or_repeated_hosts_are_refused() {
    let server = Legacy::start();
    let gateway = Gateway::with(json!({ "one": server.config() })).await;
    let port = gateway.port;
    let body = message::initialize(LEGACY, json!({})).to_string();
    let rest = format!(
        "Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let two = format!("Host: 127.0.0.1:{port}\r\nHost: evil.example\r\n");
    let cases = [
        ("two hosts", PATH.to_owned(), two, 400..=400),
        ("same host twice", PATH.into(), format!("Host: 127.0.0.1:{port}\r\nHost: 127.0.0.1:{port}\r\n"), 400..=400),
        ("no host", PATH.into(), String::new(), 400..=403),
        ("user in host", PATH.into(), format!("Host: 127.0.0.1@evil.example:{port}\r\n"), 400..=403),
        ("fragment in host", PATH.into(), "Host: evil.example#127.0.0.1\r\n".into(), 400..=403),
        ("list of hosts", PATH.into(), "Host: 127.0.0.1, evil.example\r\n".into(), 400..=403),
        ("absolute form", format!("http://evil.example{PATH}"), format!("Host: 127.0.0.1:{port}\r\n"), 400..=403),
    ];
    for (what, target, host, statuses) in cases {
        let mut raw = Raw::send(port, format!("POST {target} HTTP/1.1\r\n{host}{rest}")).await;
        let answer = raw.answer().await.expect(what);
        assert!(statuses.contains(&answer.status), "{what}: {answer:?}");
    }
    assert!(server.received().is_empty(), "{:?}", server.received());
}

#[tokio::test]
async fn headers_that_disagree_with_the_body_are_refused() {
    let server = Modern::start();
    let gateway = Gateway::with(json!({ "one": server.config() })).await;
    let other_version = json!({ "name": "echo", "arguments": {}, "_meta": { VERSION_KEY: "2025-11-25" } });
    let read = Call::modern(PATH, "resources/read", 1, json!({ "uri": "file:///a" }));
    let cases = [
        ("method differs", echo().header("mcp-method", "tools/list"), MISMATCH),
        ("method in another case", echo().header("mcp-method", "Tools/Call"), MISMATCH),
        ("method missing", echo().without("mcp-method"), MISMATCH),
        ("method repeated", echo().also("mcp-method", "tools/list"), MISMATCH),
        ("name differs", echo().header("mcp-name", "other"), MISMATCH),
        ("name in another case", echo().header("mcp-name", "Echo"), MISMATCH),
        ("name missing", echo().without("mcp-name"), MISMATCH),
        ("name repeated", echo().also("mcp-name", "other"), MISMATCH),
        ("name empty", echo().header("mcp-name", ""), MISMATCH),
        ("name encoded, differs", echo().header("mcp-name", "=?base64?b3RoZXI=?="), MISMATCH),
        ("name badly encoded", echo().header("mcp-name", "=?base64?!!!?="), MISMATCH),
        ("uri differs", read.clone().header("mcp-name", "file:///b"), MISMATCH),
        ("uri missing", read.without("mcp-name"), MISMATCH),
        ("version missing", echo().without("mcp-protocol-version"), MISMATCH),
        ("version of the body differs", Call::modern(PATH, "tools/call", 1, other_version), MISMATCH),
    ];
    for (what, call, code) in cases {
        let reply = call.send(gateway.port).await;
        assert_eq!(reply.verdict(), (400, code), "{what}: {reply:?}");
        assert_eq!(reply.rpc()["id"], 1, "{what}");
        assert_eq!(reply.text().to_lowercase().matches("header mismatch").count(), 1, "{what}: {reply:?}");
    }
    assert!(server.got("tools/call").is_empty() && server.got("resources/read").is_empty());
}

#[tokio::test]
async fn encoded_names_are_decoded_before_they_are_compared() {
    let server = Modern::start();
    let gateway = Gateway::with(json!({ "one": server.config() })).await;
    let names = [
        ("echo", "=?base64?ZWNobw==?="),
        ("héllo wörld", "=?base64?aMOpbGxvIHfDtnJsZA==?="),
        (" padded ", "=?base64?IHBhZGRlZCA=?="),
        ("a\nb", "=?base64?YQpi?="),
        ("=?base64?literal?=", "=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?="),
    ];
    for (name, header) in names {
        let body = message::modern("tools/call", 1, json!({ "name": name, "arguments": { "n": 1 } }));
        let call = Call::post(PATH, body.to_string()).header("mcp-protocol-version", MODERN);
        let reply = call.header("mcp-method", "tools/call").header("mcp-name", header).send(gateway.port).await;
        assert_eq!(reply.status, 200, "{name}: {reply:?}");
    }
    assert_eq!(server.got("tools/call").len(), names.len());
}

#[tokio::test]
async fn versions_nobody_knows_are_refused_with_those_that_are() {
    let server = Modern::start();
    let gateway = Gateway::with(json!({ "one": server.config() })).await;
    for version in ["1900-01-01", "2099-01-01", "2026-07-29", "draft"] {
        let params = json!({ "name": "echo", "arguments": {}, "_meta": { VERSION_KEY: version } });
        let call = Call::modern(PATH, "tools/call", 1, params).header("mcp-protocol-version", version);
        let reply = call.send(gateway.port).await;
        assert_eq!(reply.verdict(), (400, Some(-32022)), "{version}: {reply:?}");
        let data = &reply.rpc()["error"]["data"];
        assert_eq!(data["requested"], version);
        assert!(data["supported"].as_array().unwrap().contains(&json!(MODERN)), "{data}");
    }
}

#[tokio::test]
async fn a_legacy_session_with_an_unknown_version_header_is_refused() {
    let server = Legacy::start();
    let gateway = Gateway::with(json!({ "one": server.config() })).await;
    let session = Session::open(gateway.port, PATH).await;
    let call = session.post(&message::call("echo", 1, json!({})));
    for version in ["1900-01-01", "garbage", ""] {
        let reply = call.clone().header("mcp-protocol-version", version).send(gateway.port).await;
        assert_eq!(reply.status, 400, "{version:?}: {reply:?}");
    }
    assert!(server.calls("echo").is_empty());
    let reply = call.without("mcp-protocol-version").send(gateway.port).await;
    assert_eq!(reply.status, 200, "a client of 2024-11-05 or 2025-03-26 sends none: {reply:?}");
}

#[tokio::test]
async fn a_modern_request_needs_its_metadata() {
    let server = Modern::start();
    let gateway = Gateway::with(json!({ "one": server.config() })).await;
    for key in [VERSION_KEY, message::CAPABILITIES_KEY] {
        let mut body = message::modern("tools/call", 1, json!({ "name": "echo", "arguments": {} }));
        body["params"]["_meta"].as_object_mut().unwrap().remove(key);
        let call = Call::post(PATH, body.to_string()).header("mcp-protocol-version", MODERN);
        let reply = call.header("mcp-method", "tools/call").header("mcp-name", "echo").send(gateway.port).await;
        assert_eq!(reply.verdict(), (400, Some(-32602)), "{key}: {reply:?}");
    }
}

#[tokio::test]
async fn unknown_methods_and_tools_are_answered_by_the_server() {
    let (legacy, modern) = (Legacy::start(), Modern::start());
    let gateway = Gateway::with(json!({ "legacy": legacy.config(), "one": modern.config() })).await;
    let session = Session::open(gateway.port, "/servers/legacy/mcp").await;
    let reply = session.request("vendor/unknown", json!({ "x": 1 })).await;
    assert_eq!(reply.verdict(), (200, Some(-32601)), "{reply:?}");
    assert_eq!(legacy.got("vendor/unknown").len(), 1);
    let reply = session.call("unknown", json!({})).await;
    assert_eq!(reply.verdict(), (200, Some(-32602)), "{reply:?}");
    let reply = Call::modern(PATH, "vendor/unknown", 1, json!({ "x": 1 })).send(gateway.port).await;
    assert_eq!(reply.verdict(), (404, Some(-32601)), "{reply:?}");
    assert_eq!(modern.got("vendor/unknown").len(), 1);
}

#[tokio::test]
async fn doors_that_do_not_exist_say_so() {
    let (one, two) = (Legacy::start(), Legacy::start());
    let gateway = Gateway::with(json!({ "one": one.config(), "two": two.config() })).await;
    let body: Value = message::initialize(LEGACY, json!({}));
    for path in ["/servers/three/mcp", "/servers//mcp", "/servers/one", "/elsewhere", "/", "/mcp/one"] {
        let reply = Call::post(path, body.to_string()).send(gateway.port).await;
        assert_eq!(reply.status, 404, "{path}: {reply:?}");
        assert!(!reply.rpc()["error"]["message"].as_str().unwrap().is_empty());
    }
    assert!(Call::post("/elsewhere", body.to_string()).send(gateway.port).await.text().contains("/servers/"));
    let reply = Call::get(PATH).method("PUT").send(gateway.port).await;
    assert_eq!(reply.status, 405);
    assert!(reply.header("allow").is_some_and(|allow| allow.contains("POST")), "{reply:?}");
    assert!(one.received().is_empty() && two.received().is_empty());
}

#[tokio::test]
async fn a_single_server_is_served_at_mcp_with_and_without_a_slash() {
    let server = Legacy::start();
    let gateway = Gateway::with(json!({ "one": server.config() })).await;
    for path in ["/mcp", "/mcp/", "/servers/one/mcp"] {
        let session = Session::open(gateway.port, path).await;
        assert_eq!(session.call("echo", json!({ "n": 1 })).await.result()["content"][0]["text"], r#"{"n":1}"#);
    }
}
