//! Requests as HTTP/1.1 allows them and as attackers like them: one after another on a connection, in any pieces, refused
//! unread, and from clients that stop in the middle.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};
use sluice_tests::gateway::Start;
use sluice_tests::message::{self, MODERN};
use sluice_tests::raw::Raw;
use sluice_tests::upstream::{Answer, Modern};
use sluice_tests::{Call, Gateway, wait};

const PATH: &str = "/servers/one/mcp";
/// For what ends at once; a connection that idles ends after more than a minute.
const AT_ONCE: Duration = Duration::from_secs(5);

/// A server whose tool `events` answers in events and whose tool `wait` takes half a second.
fn server() -> Modern {
    Modern::scripted(|received| {
        let answer = message::response(&received.message()["id"], message::text("ran"));
        match received.tool().as_str() {
            "events" => Some(Answer::events(format!("data: {answer}\n\n"))),
            "wait" => {
                let (pipe, waiting) = Answer::stream("application/json");
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_millis(500)).await;
                    pipe.send(answer.to_string()).await;
                });
                Some(waiting)
            }
            _ => None,
        }
    })
}

async fn ready(server: &Modern) -> Gateway {
    Gateway::with(json!({ "one": { "url": server.url(), "protocol": "modern" } })).await
}

fn body(tool: &str, id: i64, arguments: Value) -> String {
    message::modern("tools/call", id, json!({ "name": tool, "arguments": arguments })).to_string()
}

/// The head of a call; `version` and `more` lines are the test's own.
fn head(gateway: &Gateway, tool: &str, version: &str, more: &str) -> String {
    format!(
        "POST {PATH} {version}\r\nHost: 127.0.0.1:{}\r\nContent-Type: application/json\r\nMCP-Protocol-Version: {MODERN}\r\n\
         Accept: application/json, text/event-stream\r\nMcp-Method: tools/call\r\nMcp-Name: {tool}\r\n{more}\r\n",
        gateway.port
    )
}

/// A whole call with its length.
fn call(gateway: &Gateway, tool: &str, id: i64, version: &str, more: &str) -> String {
    let body = body(tool, id, json!({ "n": id }));
    let length = format!("{more}Content-Length: {}\r\n", body.len());
    format!("{}{body}", head(gateway, tool, version, &length))
}

/// The same in chunks of that size, with an extension and a trailer.
fn chunked(gateway: &Gateway, tool: &str, id: i64, size: usize) -> String {
    let body = body(tool, id, json!({ "n": id }));
    let chunks: Vec<_> = body.as_bytes().chunks(size).map(|chunk| std::str::from_utf8(chunk).unwrap()).collect();
    let chunks: String = chunks.iter().map(|chunk| format!("{:x};a=b\r\n{chunk}\r\n", chunk.len())).collect();
    format!("{}{chunks}0\r\nX-Trailer: x\r\n\r\n", head(gateway, tool, "HTTP/1.1", "Transfer-Encoding: chunked\r\n"))
}

/// The ids of the answers, in their order.
fn ids(text: &str) -> Vec<i64> {
    let number = |rest: &str| rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok();
    text.split("\"id\":").skip(1).filter_map(number).collect()
}

#[tokio::test]
async fn requests_sent_ahead_are_answered_in_their_order_however_they_are_cut() {
    let server = server();
    let gateway = ready(&server).await;
    let wire = [
        call(&gateway, "echo", 1, "HTTP/1.1", ""),
        chunked(&gateway, "wait", 2, 7),
        "\r\n".to_owned(),
        call(&gateway, "events", 3, "HTTP/1.1", ""),
        chunked(&gateway, "echo", 4, 1000),
        call(&gateway, "wait", 5, "HTTP/1.1", "Expect: 100-continue\r\n"),
        call(&gateway, "echo", 6, "HTTP/1.1", "Connection: close\r\n"),
        call(&gateway, "echo", 7, "HTTP/1.1", ""),
    ]
    .concat();
    for size in [wire.len(), 1000, 97, 3] {
        let mut raw = Raw::connect(gateway.port).await;
        for piece in wire.as_bytes().chunks(size) {
            // what comes behind the last answer may find the connection closed
            if raw.write(piece).await.is_err() {
                break;
            }
            tokio::task::yield_now().await;
        }
        let text = raw.closed_within(AT_ONCE).await.expect("closed behind the last answer");
        assert_eq!(ids(&text), [1, 2, 3, 4, 5, 6], "cut to {size}: {text}");
        assert_eq!(text.matches("HTTP/1.1 200 OK").count(), 6, "{text}");
    }
    assert!(server.calls("echo").len() == 3 * 4 && server.calls("wait").len() == 2 * 4, "each runs once");
}

#[tokio::test]
async fn what_follows_a_broken_body_is_never_a_request() {
    let server = server();
    let gateway = ready(&server).await;
    for (what, broken) in [
        ("no size", "zz\r\n"),
        ("no line end", "1\r\n{{"),
        ("a bare line feed", "1;a\n"),
        ("a space behind a size", "1 \r\n{\r\n"),
    ] {
        let mut raw = Raw::connect(gateway.port).await;
        // the word to go on makes sure that the body comes in a piece of its own
        let more = "Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n";
        raw.write(head(&gateway, "echo", "HTTP/1.1", more)).await.unwrap();
        raw.reads("HTTP/1.1 100 Continue\r\n\r\n").await;
        raw.write(broken).await.unwrap();
        raw.reads("\r\n\r\n{").await;
        let _ = raw.write(format!("0\r\n\r\n{}", call(&gateway, "echo", 2, "HTTP/1.1", ""))).await;
        let text = raw.closed_within(AT_ONCE).await.expect("closed");
        assert!(text.contains("HTTP/1.1 400 ") && !text.contains("200 OK"), "{what}: {text}");
        assert!(text.contains("connection: close\r\n"), "{what}: {text}");
    }
    assert!(server.calls("echo").is_empty());
}

#[tokio::test]
async fn old_clients_get_streams_that_end_with_the_connection() {
    let server = server();
    let gateway = ready(&server).await;
    for more in ["", "Connection: keep-alive\r\n"] {
        let mut raw = Raw::send(gateway.port, call(&gateway, "events", 1, "HTTP/1.0", more)).await;
        let text = raw.closed_within(AT_ONCE).await.expect("the end of the stream");
        assert!(text.contains("connection: close\r\n") && text.ends_with("\n\n"), "{text}");
        assert!(!text.contains("transfer-encoding") && ids(&text) == [1], "{text}");
    }
    let one = call(&gateway, "echo", 1, "HTTP/1.0", "Connection: keep-alive\r\n");
    let mut raw = Raw::send(gateway.port, format!("{one}{}", call(&gateway, "echo", 2, "HTTP/1.0", ""))).await;
    let text = raw.closed_within(AT_ONCE).await.expect("closed behind the second");
    assert_eq!(ids(&text), [1, 2], "{text}");
    assert_eq!(text.matches("connection: keep-alive\r\n").count(), 1, "{text}");
}

#[tokio::test]
async fn a_body_refused_unread_is_read_on_when_it_is_small_enough() {
    let server = server();
    let clients = json!({ "alice": { "api_key": "a-key-of-some-length" } });
    let servers = json!({ "one": { "url": server.url(), "protocol": "modern" } });
    let gateway = Start::new(json!({ "servers": servers, "clients": clients })).ready().await;
    let key = "X-API-Key: a-key-of-some-length\r\n";
    let last = call(&gateway, "echo", 9, "HTTP/1.1", &format!("{key}Connection: close\r\n"));
    let text = |body: usize| format!("Content-Length: {body}\r\n");
    let whole = |head: String, length: usize| format!("{head}{}", "x".repeat(length));
    let cases = [
        (413, whole(head(&gateway, "echo", "HTTP/1.1", &format!("{key}{}", text(6 << 20))), 6 << 20)),
        (401, whole(head(&gateway, "echo", "HTTP/1.1", &text(100)), 100)),
        (401, whole(head(&gateway, "echo", "HTTP/1.1", &text(3 << 20)), 3 << 20)),
        (401, chunked(&gateway, "echo", 1, 3)),
        (
            415,
            whole(head(&gateway, "echo", "HTTP/1.1", &format!("{key}{}", text(1 << 20))), 1 << 20)
                .replace("application/json\r\nMCP", "text/plain\r\nMCP"),
        ),
    ];
    for (status, request) in cases {
        let mut raw = Raw::connect(gateway.port).await;
        raw.write(request).await.expect("all is read");
        raw.write(&last).await.expect("the connection goes on");
        let text = raw.closed_within(AT_ONCE).await.expect("closed behind the last answer");
        assert!(text.starts_with(&format!("HTTP/1.1 {status} ")), "{text}");
        assert_eq!(ids(&text), [9], "{text}");
    }
}

#[tokio::test]
async fn a_body_refused_before_it_is_sent_ends_the_connection_and_the_answer_says_so() {
    let server = server();
    let gateway = ready(&server).await;
    let large = |more: &str| head(&gateway, "echo", "HTTP/1.1", &format!("Content-Length: {}\r\n{more}", 5 << 20));
    let endless = head(&gateway, "echo", "HTTP/1.1", "Content-Length: 1000000000000\r\n");
    // one that keeps its body, one whose body is on its way already, and one that could go on for hours
    for (head, sends) in [(large("Expect: 100-continue\r\n"), 0), (large("Expect: 100-continue\r\n"), 5), (endless, 3)]
    {
        let mut raw = Raw::send(gateway.port, head).await;
        raw.reads("\r\n\r\n{").await;
        for _ in 0..sends {
            raw.write(vec![b'x'; 1 << 20]).await.expect("a client that writes can still read the answer");
        }
        let text = raw.closed_within(AT_ONCE).await.expect("closed");
        assert!(text.starts_with("HTTP/1.1 413 ") && text.ends_with('}'), "{text}");
        assert!(text.contains("connection: close\r\n") && !text.contains("100 Continue"), "{text}");
    }
}

#[tokio::test]
async fn a_client_that_waits_for_a_word_gets_it_once_its_body_is_wanted() {
    let server = server();
    let gateway = ready(&server).await;
    let body = body("echo", 1, json!({ "text": "y".repeat(100_000) }));
    let length = format!("Expect: 100-Continue\r\nContent-Length: {}\r\n", body.len());
    let mut raw = Raw::send(gateway.port, head(&gateway, "echo", "HTTP/1.1", &length)).await;
    raw.reads("HTTP/1.1 100 Continue\r\n\r\n").await;
    for piece in body.as_bytes().chunks(9999) {
        raw.write(piece).await.unwrap();
    }
    raw.write(call(&gateway, "echo", 2, "HTTP/1.1", "Connection: close\r\n")).await.unwrap();
    let text = raw.closed_within(AT_ONCE).await.expect("closed");
    assert_eq!((ids(&text), text.matches("100 Continue").count()), (vec![1, 2], 1));
}

#[tokio::test]
async fn limits_of_a_head_hold_to_the_byte() {
    let server = server();
    let gateway = ready(&server).await;
    // seven fields stand there already
    for (fields, status) in [(100 - 7, 200), (101 - 7, 431)] {
        let more: String = (1..=fields).map(|n| format!("X-{n}: {n}\r\n")).collect();
        let mut raw = Raw::send(gateway.port, call(&gateway, "echo", 1, "HTTP/1.1", &more)).await;
        assert_eq!(raw.answer().await.unwrap().status, status, "{fields} more fields");
    }
    let bare = call(&gateway, "echo", 1, "HTTP/1.1", "X-Large: \r\n").find("\r\n\r\n").unwrap() + 4;
    for (bytes, status) in [(64 << 10, 200), ((64 << 10) + 1, 431)] {
        let more = format!("X-Large: {}\r\n", "x".repeat(bytes - bare));
        for size in [100_000, 7001] {
            let mut raw = Raw::connect(gateway.port).await;
            for piece in call(&gateway, "echo", 1, "HTTP/1.1", &more).as_bytes().chunks(size) {
                let _ = raw.write(piece).await;
            }
            assert_eq!(raw.answer().await.unwrap().status, status, "a head of {bytes} bytes in pieces of {size}");
        }
    }
}

#[tokio::test]
async fn odd_requests_are_refused_and_others_go_on() {
    let server = server();
    let gateway = ready(&server).await;
    let host = format!("Host: 127.0.0.1:{}\r\n", gateway.port);
    let long = "x".repeat(60_000);
    let cases = [
        ("HTTP/0.9", "GET /\r\n\r\n".to_owned(), 400),
        ("a later version of HTTP/1", format!("GET /health HTTP/1.2\r\n{host}\r\n"), 200),
        ("no version at all", format!("GET /health HTTP/1.10\r\n{host}\r\n"), 400),
        ("another version", format!("GET /health HTTP/3.0\r\n{host}\r\n"), 505),
        ("half a preface of HTTP/2", format!("PRI * HTTP/2.1\r\n{host}\r\n"), 505),
        ("no host", "GET /health HTTP/1.1\r\n\r\n".to_owned(), 400),
        ("CONNECT", format!("CONNECT 127.0.0.1:{} HTTP/1.1\r\n{host}\r\n", gateway.port), 404),
        ("OPTIONS *", format!("OPTIONS * HTTP/1.1\r\n{host}\r\n"), 404),
        ("TRACE", format!("TRACE {PATH} HTTP/1.1\r\n{host}\r\n"), 405),
        ("a long method", format!("{long} {PATH} HTTP/1.1\r\n{host}\r\n"), 405),
        ("a long target", format!("GET /{long} HTTP/1.1\r\n{host}\r\n"), 404),
        ("a fragment", format!("GET /health#a HTTP/1.1\r\n{host}\r\n"), 400),
        ("a NUL in the target", format!("GET /health\0 HTTP/1.1\r\n{host}\r\n"), 400),
        ("two spaces", format!("GET  /health HTTP/1.1\r\n{host}\r\n"), 400),
        ("bare line feeds", format!("GET /health HTTP/1.1\n{}\n", host.replace('\r', "")), 400),
        ("a bare carriage return", format!("GET /health HTTP/1.1\r\n{host}X: a\rb: c\r\n\r\n"), 400),
        ("another host in the target", format!("GET http://other.example/health HTTP/1.1\r\n{host}\r\n"), 400),
        ("an absolute target", format!("GET http://127.0.0.1:{}/health HTTP/1.1\r\n{host}\r\n", gateway.port), 200),
        ("https without TLS", format!("GET https://127.0.0.1:{}/health HTTP/1.1\r\n{host}\r\n", gateway.port), 421),
        ("no scheme of HTTP", format!("GET ftp://127.0.0.1:{}/health HTTP/1.1\r\n{host}\r\n", gateway.port), 400),
        ("empty lines before", format!("\r\n\r\nGET /health HTTP/1.1\r\n{host}\r\n"), 200),
        ("a body with a GET", format!("GET /health HTTP/1.1\r\n{host}Content-Length: 3\r\n\r\nabc"), 200),
    ];
    for (what, request, status) in cases {
        let mut raw = Raw::send(gateway.port, request).await;
        let answer = raw.answer().await.unwrap_or_else(|| panic!("{what}: no answer"));
        assert_eq!(answer.status, status, "{what}: {}", answer.text);
    }
    assert_eq!(Call::get("/health").bare().send(gateway.port).await.status, 200);
}

#[tokio::test]
async fn what_is_refused_with_its_head_is_answered_logged_and_counted() {
    let server = server();
    let gateway = ready(&server).await;
    let start = format!("POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n", gateway.port);
    let many: String = (0..100).map(|n| format!("X-{n}: 1\r\n")).collect();
    let cases = [
        (
            format!("{start}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n").into_bytes(),
            400,
            "head_malformed",
            "RFC 9112",
        ),
        (format!("{start}{many}\r\n").into_bytes(), 431, "head_too_large", "100 header fields"),
        (format!("{start}X: {}\r\n\r\n", "x".repeat(64 << 10)).into_bytes(), 431, "head_too_large", "65536 bytes"),
        (
            [&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..], &[b'a'; 100]].concat(),
            400,
            "tls_unexpected",
            "http://",
        ),
        (start.replace("/1.1", "/3.0").into_bytes(), 505, "http_version", "HTTP/1.1"),
    ];
    let refused = async |outcome: &str| {
        gateway.metric("sluice_refused_total", &[&format!("outcome=\"{outcome}\"")]).await as usize
    };
    for (request, status, outcome, says) in cases {
        let before = refused(outcome).await;
        let mut raw = Raw::send(gateway.port, request).await;
        let text = raw.closed_within(AT_ONCE).await.expect("closed");
        assert!(text.starts_with(&format!("HTTP/1.1 {status} ")), "{outcome}: {text}");
        assert!(text.contains("connection: close\r\n") && text.contains("content-type: application/json"), "{text}");
        let error: Value = serde_json::from_str(text.split("\r\n\r\n").nth(1).unwrap()).unwrap();
        assert!(error["error"]["message"].as_str().unwrap().contains(says), "{error}");
        assert_eq!(refused(outcome).await, before + 1);
        let lines = || {
            let is_one =
                |line: &Value| line["log"] == "access" && line["outcome"] == outcome && line["status"] == status;
            gateway.log().lines().filter_map(|line| serde_json::from_str(line).ok()).filter(is_one).count()
        };
        wait::until("a line of the access log", || (lines() == before + 1).then_some(())).await;
    }
    assert!(server.received().is_empty());
}

#[tokio::test]
async fn options_say_what_a_path_takes() {
    let server = server();
    let gateway = ready(&server).await;
    for (path, allow) in [
        (PATH, "POST, GET, DELETE, OPTIONS"),
        ("/mcp", "POST, GET, DELETE, OPTIONS"),
        ("/sse", "GET, OPTIONS"),
        ("/messages", "POST, OPTIONS"),
        ("/ws", "GET, OPTIONS"),
    ] {
        let options = Call::get(path).method("OPTIONS").bare().send(gateway.port).await;
        assert_eq!((options.status, options.header("allow")), (204, Some(allow)), "{path}");
    }
    let refused = Call::get(PATH).method("PUT").send(gateway.port).await;
    assert_eq!((refused.status, refused.header("allow")), (405, Some("POST, GET, DELETE, OPTIONS")));
}

#[tokio::test]
async fn a_body_that_ends_too_early_is_told_before_the_connection_closes() {
    let server = server();
    let gateway = ready(&server).await;
    for (framing, start) in [("Content-Length: 100", "{"), ("Transfer-Encoding: chunked", "5\r\n{")] {
        let head = head(&gateway, "echo", "HTTP/1.1", &format!("{framing}\r\n"));
        let mut raw = Raw::send(gateway.port, format!("{head}{start}")).await;
        raw.finish().await;
        let text = raw.closed_within(AT_ONCE).await.expect("closed");
        assert!(text.starts_with("HTTP/1.1 400 ") && text.contains("connection: close\r\n"), "{framing}: {text}");
    }
    assert!(server.received().is_empty());
}

#[tokio::test]
async fn an_answer_to_head_has_the_length_and_not_the_body() {
    let server = server();
    let gateway = ready(&server).await;
    let host = format!("Host: 127.0.0.1:{}\r\n", gateway.port);
    let head = format!("HEAD /health HTTP/1.1\r\n{host}\r\n");
    let mut raw =
        Raw::send(gateway.port, format!("{head}GET /health HTTP/1.1\r\n{host}Connection: close\r\n\r\n")).await;
    let text = raw.closed_within(AT_ONCE).await.expect("closed");
    let length = |text: &str| text.split("content-length: ").nth(1).unwrap().split("\r\n").next().unwrap().to_owned();
    let (first, second) = text.split_at(text[9..].find("HTTP/1.1").unwrap() + 9);
    assert!(first.ends_with("\r\n\r\n") && second.ends_with('}'), "{text}");
    assert_eq!(length(first), length(second), "{text}");
}

#[tokio::test]
async fn the_date_is_that_of_the_answer() {
    let server = server();
    let gateway = ready(&server).await;
    let now = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() as i64;
    // longer than a date that was kept would be taken for a new one
    wait::throughout(Duration::from_secs(4), Duration::from_millis(500), async || {
        let reply = Call::get("/health").bare().send(gateway.port).await;
        let said = seconds(reply.header("date").unwrap());
        assert!((now() - said).abs() <= 2, "{reply:?}");
    })
    .await;
}

/// Seconds since 1970 of `Sun, 06 Nov 1994 08:49:37 GMT`.
fn seconds(date: &str) -> i64 {
    const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let words: Vec<&str> = date.split([' ', ':', ',']).filter(|word| !word.is_empty()).collect();
    let number = |at: usize| words[at].parse::<i64>().unwrap();
    let (day, month, year) = (number(1), MONTHS.find(words[2]).unwrap() as i64 / 3 + 1, number(3));
    assert_eq!((words.len(), words[7]), (8, "GMT"), "{date}");
    // days from civil, years beginning in March
    let (year, shifted) = (year - i64::from(month <= 2), (month + 9) % 12);
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * shifted + 2) / 5 + day - 1 - 719_468;
    days * 86400 + number(4) * 3600 + number(5) * 60 + number(6)
}

#[tokio::test]
async fn clients_that_vanish_in_any_phase_leave_no_connection() {
    let server = server();
    let gateway = ready(&server).await;
    let wait = call(&gateway, "wait", 1, "HTTP/1.1", "");
    let chunks = chunked(&gateway, "echo", 1, 5);
    let phases = [
        String::new(),
        "P".to_owned(),
        "PRI * HTTP".to_owned(),
        wait[..50].to_owned(),
        wait[..wait.len() - 5].to_owned(),
        chunks[..chunks.len() - 60].to_owned(),
        head(&gateway, "echo", "HTTP/1.1", "Content-Length: 100\r\nExpect: 100-continue\r\n"),
        wait.clone(),
        format!("{wait}{wait}"),
        call(&gateway, "hang", 1, "HTTP/1.1", ""),
        call(&gateway, "events", 1, "HTTP/1.1", ""),
        format!("{wait}{}", &wait[..30]),
    ];
    for phase in &phases {
        drop(Raw::send(gateway.port, phase).await);
    }
    let open = async || gateway.metric("sluice_connections", &[]).await;
    wait::becomes(Duration::from_secs(15), "no connection is left", open, |open| *open == 0.0).await;
    let held = async || gateway.metric("sluice_held_bytes", &[]).await;
    wait::becomes(wait::SOON, "nothing is held", held, |held| *held == 0.0).await;
}

#[tokio::test]
async fn a_node_that_stops_finishes_what_it_has_begun_and_says_that_it_closes() {
    let server = server();
    let servers = json!({ "one": { "url": server.url(), "protocol": "modern" } });
    // one worker closes all of its connections at a time
    let mut gateway = Start::new(json!({ "servers": servers })).arg("--workers").arg("1").ready().await;
    let idle = call(&gateway, "echo", 1, "HTTP/1.1", "");
    let mut idle = Raw::send(gateway.port, idle).await;
    idle.answer().await.unwrap();
    let both = [call(&gateway, "wait", 1, "HTTP/1.1", ""), call(&gateway, "echo", 2, "HTTP/1.1", "")].concat();
    let mut busy = Raw::send(gateway.port, both).await;
    let body = body("echo", 3, json!({}));
    let length = format!("Content-Length: {}\r\n", body.len());
    let mut sending = Raw::send(gateway.port, head(&gateway, "echo", "HTTP/1.1", &length)).await;
    server.receives("the call", |received| received.tool() == "wait").await;
    gateway.signal(Signal::TERM);
    let text = idle.closed_within(AT_ONCE).await.expect("the idle one is closed");
    assert_eq!(ids(&text), [1]);
    sending.write(body).await.unwrap();
    for (raw, id) in [(&mut busy, 1), (&mut sending, 3)] {
        let text = raw.closed_within(AT_ONCE).await.expect("closed behind the answer");
        assert!(ids(&text)[0] == id && text.starts_with("HTTP/1.1 200 OK"), "{text}");
        assert!(id == 1 || text.contains("connection: close\r\n"), "{text}");
    }
    assert_eq!(wait::soon("the end", gateway.ended()).await.code(), Some(0));
}
