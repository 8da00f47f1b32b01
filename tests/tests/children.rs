//! Stdio servers as processes: how they fail, and come back.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sluice_tests::gateway::Start;
use sluice_tests::message::{self, LEGACY};
use sluice_tests::peer::Peer;
use sluice_tests::{Call, Gateway, Reply, Session, process, until, wait};

const PATH: &str = "/servers/one/mcp";
const INTERNAL: Option<i64> = Some(-32603);
/// A process that ended is started again after a pause of a few seconds at most.
const RESTARTED: Duration = Duration::from_secs(8);

fn text(reply: &Reply) -> String {
    reply.result()["content"][0]["text"].as_str().unwrap().to_owned()
}

async fn pid(session: &Session) -> String {
    text(&session.call("pid", json!({})).await)
}

#[tokio::test]
async fn stderr_goes_to_the_log_under_the_servers_name() {
    let peer = Peer::new("legacy").start("chatty");
    let gateway = Gateway::with(json!({ "one": peer.config() })).await;
    let session = Session::open(gateway.port, PATH).await;
    let hostile = "first\u{1b}[31m \"quoted\" {\"log\":\"access\"}\nsecond";
    session.call("stderr", json!({ "line": hostile })).await;
    gateway.logged("hello from stderr").await;
    gateway.logged("second").await;
    for line in gateway.log().lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let text = line.to_string();
        if text.contains("hello from stderr") || text.contains("second") {
            assert!(text.contains("\"one\""), "{text}");
            assert_ne!(line["log"], "access", "a server cannot forge lines of the access log: {text}");
        }
    }
}

#[tokio::test]
async fn stderr_without_end_leaves_its_beginning_in_the_log_and_a_count_of_the_rest() {
    let peer = Peer::new("legacy");
    let gateway = Gateway::with(json!({ "one": peer.config() })).await;
    let session = Session::open(gateway.port, PATH).await;
    let before = gateway.log().len();
    let line = format!("{}\n", "trouble ".repeat(12));
    let sent = line.repeat(20_000);
    session.call("stderr", json!({ "line": sent })).await;
    gateway.logged_within(Duration::from_secs(30), "server output left out").await;
    let grown = gateway.log().len() - before;
    assert!(grown < 512 << 10, "{grown} bytes of log for {} on stderr", sent.len());
    let log = gateway.log();
    let written = log.lines().filter(|line| line.contains("trouble")).count() as u64;
    let told = log.lines().filter(|line| line.contains("left out"));
    let told = told.map(|line| serde_json::from_str::<Value>(line).unwrap()["lines"].as_u64().unwrap());
    // with the empty one at the end
    assert_eq!(written + told.sum::<u64>(), 20_001, "none is lost from the count");
    session.call("stderr", json!({ "line": "after all that" })).await;
    gateway.logged_within(Duration::from_secs(30), "after all that").await;
}

#[tokio::test]
async fn a_crash_is_told_as_it_is_and_the_next_call_finds_a_new_process() {
    let peer = Peer::new("legacy");
    let gateway = Gateway::with(json!({ "one": peer.config() })).await;
    let (caller, bystander) = (Session::open(gateway.port, PATH).await, Session::open(gateway.port, PATH).await);
    let before = pid(&bystander).await;
    let hang = bystander.post(&message::call("hang", 3, json!({})));
    let port = gateway.port;
    let hang = tokio::spawn(async move { hang.send_patiently(port).await });
    until("the other call", || {
        peer.got("tools/call").iter().any(|call| call["params"]["name"] == "hang").then_some(())
    })
    .await;
    let start = Instant::now();
    for reply in [caller.call("crash", json!({})).await, hang.await.unwrap()] {
        assert_eq!(reply.verdict(), (502, INTERNAL), "{reply:?}");
        assert!(reply.text().contains("may have run"), "{reply:?}");
    }
    assert!(start.elapsed() < Duration::from_secs(1), "R12: told within a second, not {:?}", start.elapsed());
    let call = async || {
        let reply = bystander.call("pid", json!({})).await;
        assert_eq!(reply.status == 503, reply.header("retry-after").is_some(), "{reply:?}");
        reply
    };
    let reply = wait::becomes(RESTARTED, "the server is started again", call, |reply| reply.status != 503).await;
    assert_ne!(text(&reply), before, "the session goes on in a new process");
    assert_eq!(
        peer.got("tools/call").iter().filter(|call| call["params"]["name"] == "crash").count(),
        1,
        "never run again"
    );
    assert_eq!(peer.starts(), 2);
}

#[tokio::test]
async fn a_server_that_cannot_start_is_backed_off_from_and_others_go_on() {
    let (crashing, good) = (Peer::new("legacy").start("crash"), Peer::new("legacy"));
    let missing = json!({ "command": "/nonexistent/program" });
    let servers = json!({ "one": crashing.config(), "good": good.config(), "missing": missing });
    let gateway = Gateway::with(servers).await;
    let initialize = |server: &str| {
        Call::post(&format!("/servers/{server}/mcp"), message::initialize(LEGACY, json!({})).to_string())
    };
    for server in ["one", "missing"] {
        let mut statuses = Vec::new();
        wait::throughout(Duration::from_secs(3), Duration::from_millis(20), async || {
            let reply = initialize(server).send(gateway.port).await;
            assert!([502, 503].contains(&reply.status) && reply.code() == INTERNAL, "{server}: {reply:?}");
            assert_eq!(reply.status == 503, reply.header("retry-after").is_some(), "{server}: {reply:?}");
            assert!(!reply.text().contains("nonexistent"), "{reply:?}");
            statuses.push(reply.status);
        })
        .await;
        assert!(statuses.contains(&503), "{server}: no breaker: {statuses:?}");
    }
    assert!(crashing.starts() < 10, "{} starts in three seconds", crashing.starts());
    let session = Session::open(gateway.port, "/servers/good/mcp").await;
    assert_eq!(session.call("echo", json!({})).await.status, 200);
}

#[tokio::test]
async fn a_server_that_crashes_once_comes_back_by_itself() {
    let peer = Peer::new("legacy").start("crash-once");
    let gateway = Gateway::with(json!({ "one": peer.config() })).await;
    let call = Call::post(PATH, message::initialize(LEGACY, json!({})).to_string());
    let open = async || call.send(gateway.port).await.status;
    wait::becomes(RESTARTED, "the server comes back", open, |status| *status == 200).await;
    assert_eq!(peer.starts(), 2);
}

#[tokio::test]
async fn a_call_that_hangs_in_a_process_is_given_up_after_the_timeout() {
    let peer = Peer::new("legacy");
    let gateway = Gateway::with(json!({ "one": peer.config_with(json!({ "timeout": 1 })) })).await;
    let session = Session::open(gateway.port, PATH).await;
    let start = Instant::now();
    let reply = session.call("hang", json!({})).await;
    assert_eq!(reply.verdict(), (504, INTERNAL), "{reply:?}");
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
    assert_eq!(session.call("echo", json!({})).await.status, 200);
    assert_eq!(peer.starts(), 1, "a slow call is no reason to end the process");
    until("the server is told", || peer.got("notifications/cancelled").pop()).await;
}

#[tokio::test]
async fn garbage_on_stdout_costs_its_own_line_only() {
    let peer = Peer::new("legacy");
    let gateway = Gateway::with(json!({ "one": peer.config() })).await;
    let session = Session::open(gateway.port, PATH).await;
    assert_eq!(text(&session.call("garbage", json!({})).await), "after garbage");
    assert_eq!(peer.starts(), 1);
}

#[tokio::test]
async fn large_lines_pass_and_endless_ones_are_cut_with_bounded_memory() {
    let peer = Peer::new("legacy");
    let gateway = Gateway::with(json!({ "one": peer.config() })).await;
    let session = Session::open(gateway.port, PATH).await;
    let reply = session.call("huge", json!({ "bytes": 8 << 20 })).await;
    assert_eq!(text(&reply).len(), 8 << 20);
    let before = process::peak_kib(gateway.pid());
    let call = session.post(&message::call("huge", 99, json!({ "bytes": 24 << 20 })));
    let reply =
        tokio::time::timeout(Duration::from_secs(40), call.send_patiently(gateway.port)).await.expect("an answer");
    assert_eq!(reply.verdict(), (502, INTERNAL), "{:?}", (reply.status, &reply.headers));
    assert!(reply.text().contains("longer than the limit of 16777216 bytes"), "{}", reply.text());
    let growth = process::peak_kib(gateway.pid()).saturating_sub(before);
    assert!(growth < 48 << 10, "{growth} KiB");
}

#[tokio::test]
async fn an_idle_process_ends_and_comes_back_with_the_next_call() {
    let peer = Peer::new("legacy");
    let limits = json!({ "limits": { "child_idle_seconds": 1 } });
    let gateway = Start::new(json!({ "proxy": limits, "servers": { "one": peer.config() } })).ready().await;
    let session = Session::open(gateway.port, PATH).await;
    let before = pid(&session).await;
    peer.gone().await;
    assert_ne!(pid(&session).await, before, "the session goes on");
    assert_eq!(peer.got("initialize").len(), 2);
}
