//! What passes is not changed: bodies byte for byte in both directions, headers that others need, replies of any size and
//! form.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::sync::Arc;

use serde_json::json;
use sluice_tests::message::{self, LEGACY, MODERN};
use sluice_tests::raw::Raw;
use sluice_tests::upstream::{Answer, Legacy, Modern};
use sluice_tests::{Call, Gateway, Session};
use tokio::sync::Notify;

const PATH: &str = "/servers/one/mcp";

/// Spellings that a parser and a printer would not give back.
const ARGUMENTS: &str = r#"{ "z":1, "a" : 1.0e2,"n":[ -0, 0.10, 1E+2, 1180591620717411303424, 9007199254740993, 1e300 ],
	"s":"\u0041\/\ud83d\ude00 é \u00e9", "e":{},"dup":{"k":1,"k":2}, "":null, "__proto__":{"x":[[[]]]} }"#;

fn legacy_bodies() -> Vec<String> {
    vec![
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"echo","arguments":{ARGUMENTS}}}}}"#),
        format!("\r\n\t {{\"params\":{{\"arguments\":{ARGUMENTS} ,\"name\" : \"\\u0065cho\",\"x-unknown\":[1.0]}},\n\"method\":\"tools\\/call\",\"id\":1 ,\"jsonrpc\":\"2.0\",\"extra\":{{}} }}\n"),
        r#"{"jsonrpc":"2.0","id":1,"method":"vendor/made-up","params":{"x":[1,2.0,"positional"]}}"#.into(),
        r#"{"jsonrpc":"2.0","id":1,"method":"vendor/no-params"}"#.into(),
        r#"{"jsonrpc":"2.0","method":"notifications/vendor","params":{"n":1.50}}"#.into(),
        r#"{"jsonrpc":"2.0","id":1,"method":"completion/complete","params":{"ref":{"type":"ref/prompt","name":"p"},"argument":{"name":"a","value":"v"},"context":{"arguments":{"q":1.0}}}}"#.into(),
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"_meta":{"progressToken":"t","traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01","example.com/x":1e0},"name":"echo"}}"#.into(),
    ]
}

#[tokio::test]
async fn legacy_requests_reach_the_server_byte_for_byte() {
    let server = Legacy::start();
    let gateway = Gateway::with(json!({ "one": server.config() })).await;
    let session = Session::open(gateway.port, PATH).await;
    for body in legacy_bodies() {
        let reply = session.dressed(Call::post(PATH, body.clone())).send(gateway.port).await;
        assert!([200, 202].contains(&reply.status), "{body}: {reply:?}");
        assert_eq!(String::from_utf8_lossy(&server.received().last().unwrap().body), body);
    }
}

#[tokio::test]
async fn modern_requests_reach_the_server_byte_for_byte() {
    let server = Modern::start();
    let gateway = Gateway::with(json!({ "one": server.config() })).await;
    let meta = message::meta().to_string();
    for (method, name, rest) in [
        ("tools/call", Some("echo"), format!(r#""name":"echo","arguments":{ARGUMENTS}"#)),
        ("vendor/made-up", None, r#""x":[1.0, 18446744073709551616]"#.to_owned()),
        ("prompts/get", Some("p"), r#""name":"p","arguments":{"a":"\u0041"}"#.to_owned()),
        ("resources/read", Some("file:///a%20b"), r#""uri":"file:\/\/\/a%20b" , "x":1e0"#.to_owned()),
    ] {
        let body = format!(r#"{{ "id":1 ,"jsonrpc":"2.0","params":{{{rest}, "_meta":{meta}}},"method":"{method}" }}"#);
        let call = Call::post(PATH, body.clone()).header("mcp-protocol-version", MODERN).header("mcp-method", method);
        let call = name.iter().fold(call, |call, name| call.header("mcp-name", name));
        call.send(gateway.port).await;
        let got = server.got(method).pop().unwrap_or_else(|| panic!("{method} did not arrive"));
        assert_eq!(String::from_utf8_lossy(&got.body), body);
        assert_eq!(got.header("mcp-method"), Some(method));
        assert_eq!(got.header("mcp-name"), name);
    }
}

#[tokio::test]
async fn json_replies_come_back_byte_for_byte() {
    let replies = [
        format!(r#"{{"result":{ARGUMENTS},"id":1,"jsonrpc":"2.0"}}"#),
        format!(
            " \n{{ \"jsonrpc\" : \"2.0\",\"x-extra\":[1.0],\"id\":1, \"result\":{{\"content\":[],\"structuredContent\":{ARGUMENTS}}} }}\n"
        ),
        r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32050.0e0,"message":"\u0041","data":{"n":1.0,"deep":[[[{}]]]}}}"#
            .into(),
        r#"{"jsonrpc":"2.0","id":1,"error":{"message":"m","code":-32002,"data":null}}"#.into(),
    ];
    for text in replies {
        let answer = text.clone();
        let script = move |received: &sluice_tests::upstream::Received| {
            (received.tool() == "any").then(|| Answer::json(answer.clone()))
        };
        let (legacy, modern) = (Legacy::scripted(script.clone()), Modern::scripted(script));
        let gateway = Gateway::with(json!({ "legacy": legacy.config(), "one": modern.config() })).await;
        let session = Session::open(gateway.port, "/servers/legacy/mcp").await;
        let reply = session.post(&message::call("any", 1, json!({}))).send(gateway.port).await;
        assert_eq!((reply.status, reply.text()), (200, text.clone()));
        assert_eq!(
            reply.header("content-length"),
            Some(text.len().to_string().as_str()),
            "small replies keep their length"
        );
        let call = Call::modern(PATH, "tools/call", 1, json!({ "name": "any", "arguments": {} }));
        assert_eq!(call.send(gateway.port).await.text(), text);
    }
}

#[tokio::test]
async fn large_json_replies_stream_through_unchanged() {
    let text = "0123456789abcdef\\u0041é".repeat(250_000);
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":1,"result":{{"content":[{{"type":"text","text":"{text}"}}],"n":[1.0,1e400]}}}}"#
    );
    let own = body.clone();
    let script = move |received: &sluice_tests::upstream::Received| {
        (received.tool() == "large").then(|| Answer::json(own.clone()))
    };
    let (legacy, modern) = (Legacy::scripted(script.clone()), Modern::scripted(script));
    let gateway = Gateway::with(json!({ "legacy": legacy.config(), "one": modern.config() })).await;
    let session = Session::open(gateway.port, "/servers/legacy/mcp").await;
    let reply = session.post(&message::call("large", 1, json!({}))).send(gateway.port).await;
    assert!(reply.status == 200 && reply.body == body, "{} of {} bytes", reply.body.len(), body.len());
    let call = Call::modern(PATH, "tools/call", 1, json!({ "name": "large", "arguments": {} }));
    let reply = call.send(gateway.port).await;
    assert!(reply.status == 200 && reply.body == body, "{} of {} bytes", reply.body.len(), body.len());
}

#[tokio::test]
async fn event_streams_pass_with_their_comments_fields_and_spellings() {
    let note =
        r#"{"method":"notifications/message" , "jsonrpc":"2.0","params":{"data":[1.0,"\u0041"],"level":"info"}}"#;
    let image = "iVBORw0KGgo".repeat(400_000);
    let result =
        format!(r#"{{ "jsonrpc":"2.0","id":1,"result":{{"content":[{{"type":"image","data":"{image}"}}],"x":1e0}} }}"#);
    let stream = format!(
        ": hello\n\nretry: 1234\n\nevent: message\ndata: {note}\n\ndata:{note}\n\n:\n\ndata: {{\"jsonrpc\":\"2.0\",\ndata: \
         \"method\":\"notifications/vendor\"}}\n\nevent: message\ndata: {result}\n\n"
    );
    let own = stream.clone();
    let server = Legacy::scripted(move |received| (received.tool() == "any").then(|| Answer::events(own.clone())));
    let gateway = Gateway::with(json!({ "one": server.config() })).await;
    let session = Session::open(gateway.port, PATH).await;
    let reply = session.post(&message::call("any", 1, json!({}))).send(gateway.port).await;
    assert_eq!(reply.header("content-type"), Some("text/event-stream"));
    assert!(reply.header("x-accel-buffering").is_some(), "intermediaries must not hold events back");
    let shown = |text: &str| text.replace(&image, "IMAGE");
    assert_eq!(shown(&reply.text()), shown(&stream));
}

#[tokio::test]
async fn carriage_returns_end_lines_of_event_streams_too() {
    let result = r#"{"jsonrpc":"2.0","id":1,"result":{"content":[]}}"#;
    let note = r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":1}}"#;
    for end in ["\r\n", "\r"] {
        let stream = format!("\u{feff}data: {note}{end}{end}event: message{end}data: {result}{end}{end}");
        let server =
            Legacy::scripted(move |received| (received.tool() == "any").then(|| Answer::events(stream.clone())));
        let gateway = Gateway::with(json!({ "one": server.config() })).await;
        let session = Session::open(gateway.port, PATH).await;
        let reply = session.post(&message::call("any", 1, json!({}))).send(gateway.port).await;
        let text = reply.text();
        assert!(reply.status == 200 && text.contains(note) && text.contains(result), "{end:?}: {text:?}");
        assert!(!text.contains("error"), "{end:?}: {text:?}");
    }
}

#[tokio::test]
async fn an_event_whose_last_line_end_comes_in_two_is_whole_before_the_second() {
    const NOTE: &str = r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":1}}"#;
    let seen = Arc::new(Notify::new());
    let rest = Arc::clone(&seen);
    let server = Legacy::scripted(move |received| {
        (received.tool() == "any").then(|| {
            let (pipe, answer) = Answer::stream("text/event-stream");
            let rest = Arc::clone(&rest);
            tokio::spawn(async move {
                pipe.send(format!("data: {NOTE}\r\n\r")).await;
                rest.notified().await;
                let result = r#"{"jsonrpc":"2.0","id":1,"result":{"content":[]}}"#;
                pipe.send(format!("\ndata: {result}\r\n\r\n")).await;
            });
            answer
        })
    });
    let gateway = Gateway::with(json!({ "one": server.config() })).await;
    let session = Session::open(gateway.port, PATH).await;
    let body = message::call("any", 1, json!({})).to_string();
    let head = format!(
        "POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nContent-Type: application/json\r\nMcp-Session-Id: {}\r\n\
         Accept: application/json, text/event-stream\r\nContent-Length: {}\r\n\r\n",
        gateway.port,
        session.id,
        body.len()
    );
    let mut raw = Raw::send(gateway.port, head + &body).await;
    raw.reads(&format!("data: {NOTE}\r\n\r\n")).await;
    seen.notify_one();
    let text = raw.answer().await.unwrap().text;
    assert!(text.contains("\"content\":[]}}\r\n\r\n") && !text.contains("\n\ndata"), "{text:?}");
}

#[tokio::test]
async fn events_arrive_as_they_are_sent() {
    let server = Legacy::start();
    let gateway = Gateway::with(json!({ "one": server.config() })).await;
    let session = Session::open(gateway.port, PATH).await;
    let mut stream = session.listen(None).await;
    let pipe = server.stream().await;
    for n in 0..20 {
        let note = message::notification("notifications/message", json!({ "level": "info", "data": n }));
        // Half of the event waits for its other half, never for the next event.
        let text = format!("data: {note}\n\n");
        let (head, tail) = text.split_at(text.len() / 2);
        assert!(pipe.send(head.to_owned()).await && pipe.send(tail.to_owned()).await);
        assert_eq!(stream.message().await, note);
    }
}

#[tokio::test]
async fn initialize_answers_keep_what_the_server_said_of_itself() {
    let body = r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-11-25","capabilities":{"x":{"n":1.0}},"serverInfo":{"name":"odd\u0041","version":"0"},"instructions":"do\tit","unknown":[1e0]}}"#;
    let server = sluice_tests::Upstream::start(move |received| async move {
        match received.method().as_str() {
            "initialize" => Answer::json(body).header("mcp-session-id", "s"),
            _ => Answer::empty(404),
        }
    });
    let gateway = Gateway::with(json!({ "one": { "url": server.url(), "protocol": "legacy" } })).await;
    let reply = Call::post(PATH, message::initialize(LEGACY, json!({})).to_string()).send(gateway.port).await;
    assert_eq!((reply.status, reply.text().as_str()), (200, body));
}
