//! Which headers go on to a server, and whose credential.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use serde_json::json;
use sluice_tests::gateway::Start;
use sluice_tests::message::MODERN;
use sluice_tests::upstream::{Legacy, Modern};
use sluice_tests::{Call, Session};

const PATH: &str = "/servers/one/mcp";

#[tokio::test]
async fn headers_for_the_server_arrive_and_those_of_the_connection_do_not() {
    let key = "secret-of-the-client-0123456789";
    let server = Modern::start();
    let config = json!({ "servers": { "one": server.config() }, "clients": { "alice": { "api_key": key } } });
    let gateway = Start::new(config).ready().await;
    let passed = [
        ("mcp-param-region", "us-west1"),
        ("mcp-param-greeting", "=?base64?SGVsbG8sIOS4lueVjA==?="),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ("tracestate", "vendor=1"),
        ("baggage", "k=v"),
    ];
    let mut call =
        Call::modern(PATH, "tools/call", 1, json!({ "name": "echo", "arguments": { "region": "us-west1" } }));
    let kept = [
        ("cookie", "a=b"),
        ("authorization", "Bearer secret-of-the-client-0123456789"),
        ("proxy-authorization", "Basic eA=="),
        ("forwarded", "for=evil"),
        ("te", "trailers"),
        ("mcp-session-id", "stray"),
    ];
    for (name, value) in passed.iter().chain(&kept) {
        call = call.header(name, value);
    }
    assert_eq!(call.send(gateway.port).await.status, 200);
    let got = server.calls("echo").pop().unwrap();
    for (name, value) in passed {
        assert_eq!(got.header(name), Some(value), "{name}");
    }
    for (name, _) in kept {
        assert_eq!(got.header(name), None, "{name}");
    }
    assert_eq!(got.header("host"), Some(format!("127.0.0.1:{}", server.port).as_str()));
    assert_eq!(got.header("mcp-protocol-version"), Some(MODERN));
    assert!(got.header("accept").is_some_and(|a| a.contains("application/json") && a.contains("text/event-stream")));
}

#[tokio::test]
async fn the_client_credential_stays_here_and_the_configured_one_goes_to_the_server() {
    let key = "client-key-0123456789abcdef";
    let cases = [
        (json!({ "type": "bearer", "token": "token-of-ours" }), "authorization", "Bearer token-of-ours"),
        (json!({ "type": "basic", "credentials": "user:pass word" }), "authorization", "Basic dXNlcjpwYXNzIHdvcmQ="),
        (json!({ "type": "header", "name": "X-Own", "value": "value of ours" }), "x-own", "value of ours"),
    ];
    for (auth, name, value) in cases {
        let (legacy, modern) = (Legacy::start(), Modern::start());
        let servers = json!({
            "legacy": { "url": legacy.url(), "auth": auth, "headers": { "X-Fixed": "always" } },
            "one": { "url": modern.url(), "auth": auth, "headers": { "X-Fixed": "always" } },
        });
        let config = json!({ "servers": servers, "clients": { "alice": { "api_key": key } } });
        let gateway = Start::new(config).ready().await;
        let session = Session::with(gateway.port, "/servers/legacy/mcp", json!({}), Some(key)).await;
        let mut stream = session.listen(None).await;
        assert_eq!(session.call("echo", json!({})).await.status, 200);
        session.delete().await;
        let call = Call::modern(PATH, "tools/call", 1, json!({ "name": "echo", "arguments": {} }));
        assert_eq!(call.header("x-api-key", key).send(gateway.port).await.status, 200);
        stream.rest().await;
        for got in legacy.received().into_iter().chain(modern.received()) {
            assert_eq!(got.header(name), Some(value), "{} {}", got.verb, got.method());
            assert_eq!(got.header("x-fixed"), Some("always"));
            assert!(!format!("{got:?}").contains(key), "{got:?}");
        }
    }
}
