//! Bodies that are no message, or one that parsers would read differently: refused with the specification's code, and
//! never seen by a server.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use serde_json::{Value, json};
use sluice_tests::message::{self, LEGACY, MODERN};
use sluice_tests::raw::Raw;
use sluice_tests::upstream::{Legacy, Modern};
use sluice_tests::{Call, Gateway, Session};

const PARSE: i64 = -32700;
const INVALID: i64 = -32600;

/// A legacy `tools/call` with the tool's name spelled in this way.
fn named(name: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":{name},"arguments":{{}}}}}}"#)
}

/// A legacy `tools/call` with this id, spelled as it is.
fn with_id(id: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"echo"}}}}"#)
}

fn nested(depth: usize) -> String {
    let (open, close) = ("[".repeat(depth), "]".repeat(depth));
    format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"echo","arguments":{open}{close}}}}}"#)
}

fn bodies() -> Vec<(&'static str, Vec<u8>, i64)> {
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo"}}"#;
    let text: Vec<(&str, String, i64)> = vec![
        ("nothing", String::new(), PARSE),
        ("half a message", call[..40].into(), PARSE),
        ("no JSON", "hello".into(), PARSE),
        ("trailing comma", call.replace("\"echo\"", "\"echo\","), PARSE),
        ("comment", format!("/* hi */{call}"), PARSE),
        ("trailing bytes", format!("{call}x"), PARSE),
        ("two messages", format!("{call}{call}"), PARSE),
        ("byte order mark", format!("\u{feff}{call}"), PARSE),
        ("NaN", with_id("NaN"), PARSE),
        ("leading zero", with_id("01"), PARSE),
        ("raw control character", named("\"ec\nho\""), PARSE),
        ("raw NUL", named("\"ec\0ho\""), PARSE),
        ("bad escape", named(r#""ec\xho""#), PARSE),
        ("batch", format!("[{call}]"), INVALID),
        ("batch of two", format!(" \n[{call},{call}]"), INVALID),
        ("empty batch", "[]".into(), INVALID),
        ("string", "\"tools/call\"".into(), INVALID),
        ("number", "1".into(), INVALID),
        ("empty object", "{}".into(), INVALID),
        ("wrong jsonrpc", call.replace("2.0", "1.0"), INVALID),
        ("no jsonrpc", call.replace(r#""jsonrpc":"2.0","#, ""), INVALID),
        ("method is no string", call.replace("\"tools/call\"", "7"), INVALID),
        ("duplicate method", call.replace(r#""id""#, r#""method":"ping","id""#), INVALID),
        ("duplicate id", call.replace(r#""id":1"#, r#""id":1,"id":2"#), INVALID),
        ("duplicate name", call.replace(r#""name""#, r#""name":"other","name""#), INVALID),
        ("duplicate name, escaped", call.replace(r#""name""#, r#""n\u0061me":"other","name""#), INVALID),
        ("duplicate params", call.replace(r#""params""#, r#""params":{},"p\u0061rams""#), INVALID),
        (
            "duplicate in _meta",
            call.replace(r#""name""#, r#""_meta":{"progressToken":1,"progressToken":2},"name""#),
            INVALID,
        ),
        ("lone surrogate in the name", named(r#""ec\ud800ho""#), PARSE),
        ("id null", with_id("null"), INVALID),
        ("id with a fraction", with_id("1.5"), INVALID),
        ("id an object", with_id("{}"), INVALID),
        ("id an array", with_id("[1]"), INVALID),
        ("id a boolean", with_id("true"), INVALID),
        ("no id", call.replace(r#""id":1,"#, ""), INVALID),
        ("params an array", call.replace(r#"{"name":"echo"}"#, "[1]"), -32602),
        ("too deep", nested(200), PARSE),
        ("far too deep", nested(100_000), PARSE),
        ("method and result", call.replace(r#""params""#, r#""result":{},"params""#), INVALID),
        (
            "result and error",
            r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{"code":1,"message":"m"}}"#.into(),
            INVALID,
        ),
    ];
    let invalid = [&named("\"ec").into_bytes()[..60], b"\xff\xfe\"}}"].concat();
    let overlong =
        named("\"@\"").into_bytes().into_iter().flat_map(|b| if b == b'@' { vec![0xc0, 0xaf] } else { vec![b] });
    let bytes = [("invalid UTF-8", invalid, PARSE), ("overlong UTF-8", overlong.collect(), PARSE)];
    text.into_iter().map(|(what, body, code)| (what, body.into_bytes(), code)).chain(bytes).collect()
}

#[tokio::test]
async fn a_legacy_body_that_is_no_message_is_refused_and_never_reaches_the_server() {
    let server = Legacy::start();
    let gateway = Gateway::with(json!({ "one": server.config() })).await;
    let session = Session::open(gateway.port, "/servers/one/mcp").await;
    let before = server.received().len();
    let mut wrong = Vec::new();
    for (what, body, code) in bodies() {
        let reply = session.dressed(Call::post("/servers/one/mcp", body)).send(gateway.port).await;
        if reply.verdict() != (400, Some(code)) {
            wrong.push(format!("{what}: {} {}", reply.status, reply.text()));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(server.received().len(), before, "{:?}", server.received().last());
}

#[tokio::test]
async fn a_modern_body_that_is_no_message_is_refused_and_never_reaches_the_server() {
    let server = Modern::start();
    let gateway = Gateway::with(json!({ "one": server.config() })).await;
    let good = Call::modern("/servers/one/mcp", "tools/call", 1, json!({ "name": "echo", "arguments": {} }));
    assert_eq!(good.send(gateway.port).await.status, 200);
    let before = server.received().len();
    let meta = format!(r#""params":{{"_meta":{},"#, message::meta());
    let mut wrong = Vec::new();
    for (what, body, code) in bodies() {
        let body = String::from_utf8(body).map_or_else(
            |error| error.into_bytes(),
            |text| text.replace(r#""params":{"name""#, &format!(r#"{meta}"name""#)).into_bytes(),
        );
        let call = Call::post("/servers/one/mcp", body).header("mcp-protocol-version", MODERN);
        let reply = call.header("mcp-method", "tools/call").header("mcp-name", "echo").send(gateway.port).await;
        if reply.verdict() != (400, Some(code)) {
            wrong.push(format!("{what}: {} {}", reply.status, reply.text()));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(server.received().len(), before, "{:?}", server.received().last());
}

#[tokio::test]
async fn a_refusal_carries_the_id_of_the_request_where_it_could_be_read() {
    let server = Legacy::start();
    let gateway = Gateway::with(json!({ "one": server.config() })).await;
    let path = "/servers/one/mcp";
    for id in [json!(7), json!("seven"), json!(9_007_199_254_740_993_i64)] {
        let body = json!({ "jsonrpc": "2.0", "id": id, "method": "tools/list", "params": {} });
        let reply = Call::post(path, body.to_string()).header("mcp-protocol-version", LEGACY).send(gateway.port).await;
        assert_eq!(reply.verdict(), (400, Some(INVALID)), "{reply:?}");
        assert_eq!(reply.rpc()["id"], id);
        assert!(reply.rpc()["error"]["message"].as_str().is_some_and(|text| text.contains("Mcp-Session-Id")));
    }
    let reply = Call::post(path, "{").send(gateway.port).await;
    assert!(matches!(reply.rpc().get("id"), None | Some(Value::Null)), "{reply:?}");
}

#[tokio::test]
async fn ids_that_are_strings_or_integers_of_any_size_are_answered_as_they_came() {
    let server = Legacy::start();
    let gateway = Gateway::with(json!({ "one": server.config() })).await;
    let session = Session::open(gateway.port, "/servers/one/mcp").await;
    for id in ["0", "-1", "9007199254740993", "\"\"", "\"1\"", r#""\u0061""#] {
        let body = with_id(id);
        let reply = session.dressed(Call::post("/servers/one/mcp", body)).send(gateway.port).await;
        assert_eq!(reply.status, 200, "{id}: {reply:?}");
        let expected: Value = serde_json::from_str(id).unwrap();
        assert_eq!(reply.rpc()["id"], expected);
    }
}

#[tokio::test]
async fn a_tools_call_without_an_id_reaches_no_stdio_server_either() {
    let peer = sluice_tests::peer::Peer::new("legacy");
    let gateway = Gateway::with(json!({ "one": peer.config() })).await;
    let session = Session::open(gateway.port, "/servers/one/mcp").await;
    for id in ["", r#""id":null,"#, r#""id":1.5,"#, r#""id":{},"#] {
        let body = format!(r#"{{"jsonrpc":"2.0",{id}"method":"tools/call","params":{{"name":"echo"}}}}"#);
        let reply = session.dressed(Call::post("/servers/one/mcp", body)).send(gateway.port).await;
        assert_eq!(reply.verdict(), (400, Some(INVALID)), "{id} {reply:?}");
    }
    assert!(peer.got("tools/call").is_empty());
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_before_it_is_sent() {
    let server = Legacy::start();
    let gateway = Gateway::with(json!({ "one": server.config() })).await;
    let head = format!(
        "POST /servers/one/mcp HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nContent-Type: application/json\r\n\
         Accept: application/json, text/event-stream\r\n",
        gateway.port
    );
    // By its length: nothing of the body is needed.
    let mut raw = Raw::send(gateway.port, format!("{head}Content-Length: {}\r\n\r\n", (4 << 20) + 1)).await;
    let answer = raw.answer().await.expect("an answer before the body");
    assert_eq!((answer.status, answer.code()), (413, Some(INVALID)), "{answer:?}");
    // In chunks: refused when the limit is passed, while the client would go on.
    let mut raw = Raw::send(gateway.port, format!("{head}Transfer-Encoding: chunked\r\n\r\n")).await;
    let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
    for _ in 0..65 {
        if raw.write(&chunk).await.is_err() {
            break;
        }
    }
    let answer = raw.answer().await.expect("an answer before the last chunk");
    assert_eq!((answer.status, answer.code()), (413, Some(INVALID)), "{answer:?}");
    assert!(server.received().is_empty());
}

#[tokio::test]
async fn a_body_of_just_the_limit_passes() {
    let server = Legacy::start();
    let gateway = Gateway::with(json!({ "one": server.config() })).await;
    let session = Session::open(gateway.port, "/servers/one/mcp").await;
    let mut body = message::call("echo", 1, json!({})).to_string();
    body.push_str(&" ".repeat((4 << 20) - body.len()));
    let reply = session.dressed(Call::post("/servers/one/mcp", body)).send(gateway.port).await;
    assert_eq!(reply.status, 200);
}
