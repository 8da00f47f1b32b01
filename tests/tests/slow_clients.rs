//! Clients that are slow, silent or stuck cost the others nothing and do not stay for ever.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::{Value, json};
use sluice_tests::flood::{Flood, Poured};
use sluice_tests::http2::Http2;
use sluice_tests::raw::Raw;
use sluice_tests::upstream::Legacy;
use sluice_tests::works::Works;
use sluice_tests::{Call, Gateway, Session, message, process, until, wait};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const PATH: &str = "/servers/one/mcp";
/// The limits are 10 s; some time for the sweep and a busy machine.
const CUT: std::ops::Range<Duration> = Duration::from_secs(8)..Duration::from_secs(15);

async fn cut_after(gateway: &Gateway, first: String, drip: &str) -> (Duration, String) {
    let start = Instant::now();
    let mut raw = Raw::send(gateway.port, first).await;
    let text = loop {
        if let Some(text) = raw.closed_within(Duration::from_secs(1)).await {
            break text;
        }
        let _ = raw.write(drip).await;
        assert!(start.elapsed() < CUT.end, "never cut");
    };
    (start.elapsed(), text)
}

#[tokio::test]
async fn a_head_that_comes_drop_by_drop_is_cut_off() {
    let server = Legacy::start();
    let gateway = Gateway::with(json!({ "one": server.config() })).await;
    let (time, text) = cut_after(&gateway, "POST /servers/one/mcp HTTP/1.1\r\nX-Slow: ".into(), "a").await;
    assert!(CUT.contains(&time), "{time:?}");
    assert!(text.is_empty() || text.starts_with("HTTP/1.1 408"), "{text}");
}

#[tokio::test]
async fn a_connection_that_says_nothing_at_all_is_closed() {
    let server = Legacy::start();
    let gateway = Gateway::with(json!({ "one": server.config() })).await;
    let (time, _) = cut_after(&gateway, String::new(), "").await;
    assert!(CUT.contains(&time), "{time:?}");
}

#[tokio::test]
async fn a_body_that_stops_is_answered_with_408() {
    let server = Legacy::start();
    let gateway = Gateway::with(json!({ "one": server.config() })).await;
    let head = format!(
        "POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nContent-Type: application/json\r\n\
         Accept: application/json, text/event-stream\r\nContent-Length: 100\r\n\r\n{{",
        gateway.port
    );
    let start = Instant::now();
    let mut raw = Raw::send(gateway.port, head).await;
    let answer = raw.answer_within(CUT.end).await.expect("an answer");
    assert_eq!((answer.status, answer.code()), (408, Some(-32600)), "{answer:?}");
    assert!(answer.text.contains("connection: close\r\n"), "{answer:?}");
    assert!(CUT.contains(&start.elapsed()), "{:?}", start.elapsed());
    assert!(server.received().is_empty());
}

#[tokio::test]
async fn what_counts_in_the_byte_budget_is_what_came_not_what_was_announced() {
    const BODY: usize = 4 << 20;
    const BUDGET: usize = 256 << 20;
    let server = Legacy::start();
    let gateway = Gateway::with(json!({ "one": server.config() })).await;
    let session = Session::open(gateway.port, PATH).await;
    let head = format!(
        "POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nContent-Type: application/json\r\n\
         Accept: application/json, text/event-stream\r\nContent-Length: {BODY}\r\n\r\n",
        gateway.port
    );
    let mut announced = Vec::new();
    for _ in 0..BUDGET / BODY + 8 {
        announced.push(Raw::send(gateway.port, head.clone()).await);
    }
    assert_eq!(session.call("echo", json!({})).await.status, 200, "nobody's room is taken");
    let most = vec![b' '; BODY - 1];
    let writes = announced.iter_mut().map(async |client| {
        // who is refused may be so while it writes; who is not waits for its last byte
        let _ = client.write(&most).await;
        client.answer_within(Duration::from_secs(3)).await.is_some_and(|answer| answer.status == 503)
    });
    let refused = join_all(writes).await.into_iter().filter(|refused| *refused).count();
    assert!((8..20).contains(&refused), "the budget is a bound: {refused}");
    assert!(gateway.metric("sluice_held_bytes", &[]).await <= BUDGET as f64);
    drop(announced);
    let held = async || gateway.metric("sluice_held_bytes", &[]).await;
    wait::becomes(wait::SOON, "it is given back", held, |held| *held < BODY as f64).await;
    assert_eq!(session.call("echo", json!({})).await.status, 200);
}

#[tokio::test]
async fn a_client_that_never_reads_holds_back_its_own_stream_only() {
    let flood = Flood::start();
    let gateway = Gateway::with(json!({ "one": flood.server.config() })).await;
    let stuck = Session::open(gateway.port, PATH).await;
    let before = process::peak_kib(gateway.pid());
    let mut streams = Vec::new();
    for _ in 0..2 {
        streams.push(stuck.stream("endless", json!({})).await);
    }
    flood.held_back().await;
    let other = Session::open(gateway.port, PATH).await;
    for n in 0..50 {
        assert_eq!(other.call("echo", json!({ "n": n })).await.status, 200);
    }
    let growth = process::peak_kib(gateway.pid()) - before;
    assert!(growth < 32 << 10, "2 stuck readers cost {growth} KiB");
    assert!(streams[0].bytes().await.is_some(), "a reader that comes back is served");
}

fn note(n: usize) -> Value {
    let filler = "x".repeat(10_000);
    message::notification("notifications/message", json!({ "level": "info", "data": n, "filler": filler }))
}

#[tokio::test]
async fn a_client_is_cut_from_the_one_stream_of_its_connection_that_it_never_reads_and_can_resume_it() {
    const NOTES: usize = 30;
    let works = Works::start();
    let gateway = Gateway::with(json!({ "one": works.server.config() })).await;
    let session = Session::open(gateway.port, PATH).await;
    let client = Http2::connect(gateway.port).await;
    let mut stuck = client.open(&session.post(&message::call("work", session.next_id(), json!({})))).await;
    let (id, pipe) = works.call().await;
    let last = stuck.primed().await;
    for n in 0..NOTES {
        assert!(pipe.event(&note(n)).await);
    }
    assert!(pipe.event(&message::response(&id, message::text("worked"))).await);
    drop(pipe);
    // a minute, and some time for the sweep and a busy machine
    wait::throughout(Duration::from_secs(65), Duration::from_secs(1), async || {
        let call = session.post(&message::call("echo", session.next_id(), json!({})));
        assert_eq!(client.send(&call).await.status, 200, "another stream of the same connection");
    })
    .await;
    let mut seen = 0;
    while stuck.bytes().await.is_some_and(|bytes| !bytes.is_empty()) {
        seen += 1;
    }
    assert!(seen < NOTES, "the stream went on: {seen}");
    let again = session.listen(Some(&last)).await.rest().await;
    let numbers: Vec<_> = again.iter().filter_map(|message| message["params"]["data"].as_u64()).collect();
    assert_eq!(numbers, (0..NOTES as u64).collect::<Vec<_>>());
    assert_eq!(again.last().unwrap()["id"], id, "answered");
    assert_eq!(works.server.calls("work").len(), 1, "and run once");
}

#[tokio::test]
async fn a_stream_that_nobody_reads_leaves_the_server_at_once_when_a_newer_one_takes_its_place() {
    for http2 in [false, true] {
        let server = Legacy::start();
        let gateway = Gateway::with(json!({ "one": server.config() })).await;
        let session = Session::open(gateway.port, PATH).await;
        let client = Http2::connect(gateway.port).await;
        let standing = session.dressed(Call::get(PATH));
        let older = if http2 { client.open(&standing).await } else { standing.open(gateway.port).await };
        assert_eq!(older.status, 200);
        let pipe = server.stream().await;
        let poured = Poured::default();
        let flood = poured.pour(pipe, note(0));
        poured.held_back().await;
        let newer = session.listen(None).await;
        assert_eq!(newer.status, 200, "HTTP/2: {http2}");
        wait::soon("the older stream has left the server", flood).await.unwrap();
        drop((older, newer));
    }
}

#[tokio::test]
async fn clients_that_vanish_in_the_middle_leave_nothing_behind() {
    let server = Legacy::start();
    let gateway = Gateway::with(json!({ "one": server.config() })).await;
    let session = Session::open(gateway.port, PATH).await;
    for cut in [1, 20, 60, 120, 180, 220] {
        let text = format!(
            "POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nContent-Type: application/json\r\nMcp-Session-Id: {}\r\n\
             Accept: application/json, text/event-stream\r\nContent-Length: 1000\r\n\r\n{{\"jsonrpc\":",
            gateway.port, session.id
        );
        drop(Raw::send(gateway.port, &text.as_bytes()[..cut.min(text.len())]).await);
    }
    drop(session.stream("echo", json!({})).await);
    assert_eq!(session.call("echo", json!({})).await.status, 200);
    let streams = gateway.metric("sluice_streams", &[]).await;
    assert!(streams.abs() < f64::EPSILON, "{streams} streams are left");
}

#[tokio::test]
async fn a_request_sent_ahead_does_not_hold_back_the_answer_before_it() {
    let server = Legacy::start();
    let gateway = Gateway::with(json!({ "one": server.config() })).await;
    let session = Session::open(gateway.port, PATH).await;
    let head = |method: &str, rest: &str| {
        let host = format!("{method} {PATH} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n", gateway.port);
        format!("{host}Mcp-Session-Id: {}\r\nAccept: text/event-stream, application/json\r\n{rest}\r\n", session.id)
    };
    let ahead = head("DELETE", "");
    let mut raw = Raw::send(gateway.port, format!("{}{ahead}", head("GET", ""))).await;
    let note =
        json!({ "jsonrpc": "2.0", "method": "notifications/message", "params": { "level": "info", "data": "seen" } });
    assert!(server.stream().await.event(&note).await);
    raw.reads("seen").await;
    assert!(server.verbs("DELETE").is_empty(), "one after the other");
}

/// A client's end without a word is found out by the system: the timer that asks is set, in the connection's row of
/// `/proc/net/tcp` (proc_pid_net(5): `tr` is 02, and how many hundredths of a second are left).
#[tokio::test]
async fn a_client_that_only_waits_for_events_is_asked_whether_it_is_there() {
    let server = Legacy::start();
    let gateway = Gateway::with(json!({ "one": server.config() })).await;
    let session = Session::open(gateway.port, PATH).await;
    let head = format!(
        "GET {PATH} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nAccept: text/event-stream\r\nMcp-Session-Id: {}\r\n\r\n",
        gateway.port, session.id
    );
    let (port, mut client) = (gateway.port, tokio::net::TcpStream::connect(("127.0.0.1", gateway.port)).await.unwrap());
    client.write_all(head.as_bytes()).await.unwrap();
    let mut status = [0; 12];
    client.read_exact(&mut status).await.unwrap();
    assert_eq!(&status, b"HTTP/1.1 200");
    let ends = (format!(":{port:04X}"), format!(":{:04X}", client.local_addr().unwrap().port()));
    let timer = || {
        let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
        table.lines().find_map(|row| {
            let columns: Vec<&str> = row.split_whitespace().collect();
            let is_it = columns[1].ends_with(&ends.0) && columns[2].ends_with(&ends.1);
            // what was just sent is acknowledged first
            is_it.then(|| columns[5].strip_prefix("02:").map(|left| u64::from_str_radix(left, 16).unwrap())).flatten()
        })
    };
    let left = until("the timer", timer).await;
    assert!(left <= 45 * 100, "{left}");
}
