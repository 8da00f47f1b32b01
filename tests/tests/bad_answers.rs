//! HTTP servers that answer with something that is not MCP: the client gets a clear error of ours, nothing of what is
//! not its business, and other servers do not notice.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sluice_tests::message;
use sluice_tests::upstream::{Answer, Legacy, Modern, Upstream};
use sluice_tests::{Call, Gateway, Reply, Session, port, process};

const INTERNAL: Option<i64> = Some(-32603);
const SECRET: &str = "at com.example.Secret(Main.java:42) password=hunter2";

/// What a tool of that name is answered with. The same in both eras.
fn bad(tool: &str, id: &Value) -> Option<Answer> {
    let good = message::response(id, message::text("fine")).to_string();
    Some(match tool {
        "garbage" => Answer::json("{{{ not json"),
        "truncated" => Answer::json(good[..20].to_owned()),
        "empty" => Answer::json(""),
        "array" => Answer::json(format!("[{good}]")),
        "no-rpc" => Answer::json(r#"{"hello":"world"}"#),
        "html" => Answer::new(200, "text/html", format!("<html>{SECRET}</html>")),
        "plain" => Answer::new(200, "text/plain", good),
        "trace" => Answer::new(500, "text/plain", SECRET),
        "trace-json" => Answer::new(500, "application/json", json!({ "trace": SECRET }).to_string()),
        "unavailable" => Answer::new(503, "text/plain", SECRET),
        "unauthorized" => Answer::new(401, "text/plain", SECRET).header("www-authenticate", "Bearer realm=\"theirs\""),
        "forbidden" => Answer::new(403, "application/json", json!({ "error": SECRET }).to_string()),
        "redirect" => Answer::empty(307).header("location", "http://127.0.0.1:9/elsewhere"),
        "see-other" => Answer::empty(303).header("location", "/mcp"),
        "accepted" => Answer::accepted(),
        "no-content" => Answer::empty(204),
        "wrong-id" => Answer::message(&message::response(&json!(4711), message::text("for somebody else"))),
        "string-id" => Answer::message(&message::response(&json!(id.to_string()), message::text("other type"))),
        "null-id" => Answer::message(&message::response(&Value::Null, message::text("for nobody"))),
        "cut-json" => Answer::broken("application/json", r#"{"jsonrpc":"2.0","id":"#),
        "cut-head" => Answer::broken("application/json", ""),
        "cut-event" => Answer::broken("text/event-stream", "data: {\"jsonrpc\":\"2.0\","),
        "half-event" => Answer::events("data: {\"jsonrpc\":\"2.0\",\"id\":"),
        "no-event" => Answer::events(""),
        "garbage-event" => Answer::events("data: this is no message\n\n"),
        "foreign-event" => Answer::events("event: message\ndata: {\"jsonrpc\":\"2.0\",\"id\":4711,\"result\":{}}\n\n"),
        _ => return None,
    })
}

const TOOLS: &[&str] = &[
    "garbage",
    "truncated",
    "empty",
    "array",
    "no-rpc",
    "html",
    "plain",
    "trace",
    "trace-json",
    "unavailable",
    "unauthorized",
    "forbidden",
    "redirect",
    "see-other",
    "accepted",
    "no-content",
    "wrong-id",
    "string-id",
    "null-id",
    "cut-json",
    "cut-head",
    "cut-event",
    "half-event",
    "no-event",
    "garbage-event",
    "foreign-event",
];

/// What is wrong with how the gateway told of a bad answer, if anything is. An event stream that was begun ends with the
/// error as its last event.
fn fault(tool: &str, reply: Option<&Reply>) -> Option<String> {
    let Some(reply) = reply else { return Some(format!("{tool}: the connection broke")) };
    let stream = reply.header("content-type").is_some_and(|kind| kind.starts_with("text/event-stream"));
    let messages = if stream { sluice_tests::events::messages(&reply.text()) } else { vec![] };
    let last = if stream { messages.last().cloned() } else { serde_json::from_slice(&reply.body).ok() };
    let Some(last) = last else { return Some(format!("{tool}: no message in {reply:?}")) };
    let ours = last["error"]["code"].as_i64() == INTERNAL && last["id"] == 1;
    let told = last["error"]["message"].as_str().is_some_and(|text| text.len() > 20);
    let status = if stream { reply.status == 200 } else { reply.status == 502 };
    let leaked = reply.text().contains("hunter2") || reply.header("www-authenticate").is_some();
    let foreign = reply.header("location").is_some() || reply.text().contains("4711");
    (!ours || !told || !status || leaked || foreign).then(|| format!("{tool}: {reply:?}"))
}

#[tokio::test]
async fn answers_that_are_not_mcp_become_clear_errors_for_legacy_clients() {
    let server = Legacy::scripted(|received| bad(&received.tool(), &received.message()["id"]));
    let good = Legacy::start();
    let gateway = Gateway::with(json!({ "one": server.config(), "good": good.config() })).await;
    let session = Session::open(gateway.port, "/servers/one/mcp").await;
    let other = Session::open(gateway.port, "/servers/good/mcp").await;
    let mut faults = Vec::new();
    for tool in TOOLS {
        let call = session.post(&message::call(tool, 1, json!({})));
        let reply = tokio::time::timeout(Duration::from_secs(5), call.try_send(gateway.port)).await;
        let reply = reply.unwrap_or_else(|_| panic!("{tool}: no answer"));
        faults.extend(fault(tool, reply.as_ref()));
        assert_eq!(server.calls(tool).len(), 1, "{tool}: a call that may have run is not sent again");
        assert_eq!(other.call("echo", json!({})).await.status, 200, "another server after {tool}");
    }
    assert!(faults.is_empty(), "{faults:#?}");
    assert_eq!(session.call("echo", json!({})).await.status, 200, "the session goes on");
    assert_eq!(server.got("initialize").len(), 1);
}

#[tokio::test]
async fn answers_that_are_not_mcp_become_clear_errors_for_modern_clients() {
    let server = Modern::scripted(|received| bad(&received.tool(), &received.message()["id"]));
    let gateway = Gateway::with(json!({ "one": server.config() })).await;
    let mut faults = Vec::new();
    for tool in TOOLS {
        let call = Call::modern("/servers/one/mcp", "tools/call", 1, json!({ "name": tool, "arguments": {} }));
        let reply = tokio::time::timeout(Duration::from_secs(5), call.try_send(gateway.port)).await;
        let reply = reply.unwrap_or_else(|_| panic!("{tool}: no answer"));
        faults.extend(fault(tool, reply.as_ref()));
        assert_eq!(server.calls(tool).len(), 1, "{tool}: a call that may have run is not sent again");
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[tokio::test]
async fn an_error_of_the_server_passes_with_its_status_as_it_is() {
    let body = r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32050,"message":"mine","data":{"n":1e2}}}"#;
    let answer = move |received: &sluice_tests::upstream::Received| match received.tool().as_str() {
        "500" => Some(Answer::new(500, "application/json", body)),
        "400" => Some(Answer::new(400, "application/json", body)),
        "200" => Some(Answer::json(body)),
        _ => None,
    };
    let (legacy, modern) = (Legacy::scripted(answer), Modern::scripted(answer));
    let gateway = Gateway::with(json!({ "legacy": legacy.config(), "one": modern.config() })).await;
    let session = Session::open(gateway.port, "/servers/legacy/mcp").await;
    for status in [200, 400, 500] {
        let tool = status.to_string();
        let reply = session.post(&message::call(&tool, 1, json!({}))).send(gateway.port).await;
        assert_eq!((reply.status, reply.text()), (status, body.to_owned()));
        let call = Call::modern("/servers/one/mcp", "tools/call", 1, json!({ "name": tool, "arguments": {} }));
        let reply = call.send(gateway.port).await;
        assert_eq!((reply.status, reply.text()), (status, body.to_owned()));
    }
    assert_eq!(legacy.got("initialize").len(), 1, "a 400 with an error of its own is no forgotten session");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told_at_once_and_others_go_on() {
    let good = Legacy::start();
    let nobody = format!("http://127.0.0.1:{}/mcp", port::free());
    let gateway = Gateway::with(json!({ "dead": { "url": nobody }, "good": good.config() })).await;
    let start = Instant::now();
    let initialize = Call::post("/servers/dead/mcp", message::initialize(message::LEGACY, json!({})).to_string());
    let reply = initialize.send(gateway.port).await;
    assert_eq!(reply.verdict(), (502, INTERNAL), "{reply:?}");
    assert!(!reply.text().contains("127.0.0.1"), "addresses stay inside: {reply:?}");
    let reply = Call::modern("/servers/dead/mcp", "tools/list", 1, json!({})).send(gateway.port).await;
    assert_eq!(reply.verdict(), (502, INTERNAL), "{reply:?}");
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    let session = Session::open(gateway.port, "/servers/good/mcp").await;
    assert_eq!(session.call("echo", json!({})).await.status, 200);
    gateway.logged("Connection refused").await;
}

#[tokio::test]
async fn a_server_that_answers_nothing_is_given_up_after_its_timeout() {
    let (legacy, modern) = (Legacy::start(), Modern::start());
    let slow = |server: &Upstream| json!({ "url": server.url(), "timeout": 2 });
    let gateway = Gateway::with(json!({ "legacy": slow(&legacy), "one": slow(&modern) })).await;
    let session = Session::open(gateway.port, "/servers/legacy/mcp").await;
    let hang = Call::modern("/servers/one/mcp", "tools/call", 1, json!({ "name": "hang", "arguments": {} }));
    let start = Instant::now();
    let (reply, also) = tokio::join!(session.call("hang", json!({})), hang.send(gateway.port));
    for reply in [reply, also] {
        assert_eq!(reply.verdict(), (504, INTERNAL), "{reply:?}");
        assert!(reply.text().contains("may have run"), "{reply:?}");
    }
    let time = start.elapsed();
    assert!((Duration::from_millis(1900)..Duration::from_secs(5)).contains(&time), "{time:?}");
    assert_eq!(session.call("echo", json!({})).await.status, 200);
}

#[tokio::test]
async fn progress_keeps_a_call_alive_beyond_the_timeout_and_silence_ends_it() {
    let server = Legacy::scripted(|received| {
        let id = received.message()["id"].clone();
        (received.tool() == "slow").then(|| {
            let (pipe, answer) = Answer::stream("text/event-stream");
            tokio::spawn(async move {
                for step in 0..6 {
                    pipe.event(&message::notification(
                        "notifications/progress",
                        json!({ "progressToken": 1, "progress": step }),
                    ))
                    .await;
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
                pipe.closed().await;
                drop(id);
            });
            answer
        })
    });
    let config = json!({ "url": server.url(), "timeout": 1 });
    let gateway = Gateway::with(json!({ "one": config })).await;
    let session = Session::open(gateway.port, "/servers/one/mcp").await;
    let start = Instant::now();
    let messages = session.stream("slow", json!({})).await.rest().await;
    assert!(start.elapsed() > Duration::from_secs(3), "cut at {:?}, while progress came", start.elapsed());
    assert_eq!(messages.len(), 7, "{messages:?}");
    let last = messages.last().unwrap();
    assert_eq!((&last["id"], &last["error"]["code"]), (&json!(1), &json!(-32603)), "{last}");
}

#[tokio::test]
async fn an_endless_event_line_is_cut_off_with_bounded_memory() {
    let server = Legacy::scripted(|received| {
        (received.tool() == "line").then(|| {
            let (pipe, answer) = Answer::stream("text/event-stream");
            tokio::spawn(async move {
                pipe.send("data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{\"data\":\"")
                    .await;
                while pipe.send("x".repeat(256 << 10)).await {}
            });
            answer
        })
    });
    let gateway = Gateway::with(json!({ "one": server.config() })).await;
    let session = Session::open(gateway.port, "/servers/one/mcp").await;
    let before = process::peak_kib(gateway.pid());
    let call = session.post(&message::call("line", 1, json!({})));
    let reply =
        tokio::time::timeout(Duration::from_secs(60), call.send_patiently(gateway.port)).await.expect("it ends");
    assert_eq!(fault("line", Some(&reply)), None);
    let growth = process::peak_kib(gateway.pid()) - before;
    assert!(growth < 128 << 10, "{growth} KiB");
    assert_eq!(session.call("echo", json!({})).await.status, 200);
}

#[tokio::test]
async fn a_server_that_takes_no_more_requests_says_when_it_will() {
    let busy = |received: &sluice_tests::upstream::Received| {
        let (tool, id) = (received.tool(), received.message()["id"].clone());
        if tool == "own-words" {
            let words = message::error(&id, -32050, "come back later").to_string();
            return Some(Answer::new(429, "application/json", words).header("retry-after", "9"));
        }
        Some(Answer::new(tool.parse().ok()?, "text/plain", SECRET).header("retry-after", "7"))
    };
    let (legacy, modern) = (Legacy::scripted(busy), Modern::scripted(busy));
    let gateway = Gateway::with(json!({ "legacy": legacy.config(), "one": modern.config() })).await;
    let session = Session::open(gateway.port, "/servers/legacy/mcp").await;
    for status in [429, 503] {
        let tool = status.to_string();
        let call = Call::modern("/servers/one/mcp", "tools/call", 1, json!({ "name": tool, "arguments": {} }));
        for reply in [session.call(&tool, json!({})).await, call.send(gateway.port).await] {
            assert_eq!(reply.verdict(), (status, INTERNAL), "{reply:?}");
            assert_eq!(reply.header("retry-after"), Some("7"), "{reply:?}");
            assert_eq!(reply.rpc()["error"]["data"]["retryAfterMs"], 7000);
            assert!(!reply.text().contains("hunter2"));
        }
    }
    let call = Call::modern("/servers/one/mcp", "tools/call", 1, json!({ "name": "own-words", "arguments": {} }));
    for reply in [session.call("own-words", json!({})).await, call.send(gateway.port).await] {
        assert_eq!(reply.verdict(), (429, Some(-32050)), "its own words pass: {reply:?}");
        assert_eq!(reply.header("retry-after"), Some("9"), "{reply:?}");
    }
    let call = Call::modern("/mcp", "tools/call", 1, json!({ "name": "one_429", "arguments": {} }));
    let reply = call.send(gateway.port).await;
    assert_eq!(reply.rpc()["error"]["data"]["retryAfterMs"], 7000, "{reply:?}");
}
