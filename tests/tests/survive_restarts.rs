//! Three nodes behind a balancer that knows nothing of sessions, ended and started again one after the other while clients of
//! every kind are at work: no request fails, no session is lost, no event is missed. `SLUICE_LONG=1`: five times around.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use rustix::process::Signal;
use serde_json::json;
use sluice_tests::catalogue::Catalogue;
use sluice_tests::client::Era;
use sluice_tests::counting::Counting;
use sluice_tests::fleet::{Fleet, object};
use sluice_tests::long::form;
use sluice_tests::message::{self, LEGACY};
use sluice_tests::server::Server;
use sluice_tests::survivor::{Course, Survivor, Told};
use sluice_tests::traffic::{Caller, Traffic};
use sluice_tests::{Call, Redis, Reply, Session};

const NAMES: [&str; 3] = ["edge-1", "edge-2", "edge-3"];
const PATH: &str = "/servers/one/mcp";
/// Calls are open for 20 s at most, then a node ends.
const ENDED: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(10);

/// Clients that keep their connections as long as these are kept, and such that connect for each request.
async fn callers(port: u16) -> Vec<Caller> {
    let sessions = [Session::open(port, PATH).await, Session::open(port, "/mcp").await];
    let legacy = [(&sessions[0], "count"), (&sessions[1], "one_count")];
    let mut calls: Vec<Call> =
        legacy.iter().map(|(session, tool)| session.post(&message::call(tool, 1, json!({ "mark": "any" })))).collect();
    let params = json!({ "name": "tool-000", "arguments": {} });
    calls.push(Call::modern("/servers/new/mcp", "tools/call", 1, params));
    calls.push(Call::modern("/servers/new/mcp", "tools/list", 1, json!({})));
    calls.push(Call::post(PATH, message::initialize(LEGACY, json!({})).to_string()));
    let kept = calls.clone();
    let once = calls.into_iter().map(|call| call.header("connection", "close"));
    kept.into_iter().chain(once).map(|call| Caller::new(port, call).judging(judge).pausing(PAUSE)).collect()
}

/// Every answer has a result. On a machine that is too busy for Redis to answer in time a client is told to come again, which has
/// nothing to do with what is started: shown as 1.
fn judge(reply: &Reply) -> Result<u64, String> {
    match reply.status {
        200 if reply.rpc().get("result").is_some() => Ok(0),
        503 if reply.header("retry-after").is_some() && reply.text().contains("sessions cannot be looked up") => Ok(1),
        status => Err(format!("{status} {}", reply.text())),
    }
}

#[tokio::test]
async fn no_request_fails_while_all_nodes_are_started_again() {
    let rounds = form(1, 5);
    let (server, redis) = (Arc::new(Counting::start()), Redis::start().await);
    let new = Server::start(Era::Modern, &Catalogue::new("new").tools(3));
    let servers = vec![object("server", "one", &server.config()), object("server", "new", &new.config())];
    let mut fleet = Fleet::keeping(&redis, &NAMES, servers).await;
    let (port, course) = (fleet.port(), Course::default());
    let mut readers = Vec::new();
    for number in 0..6 {
        let (session, name) = (Session::open(port, PATH).await, format!("reader-{number}"));
        let reader = Survivor { session, port, name, prefix: "", course: course.clone() };
        let server = Arc::clone(&server);
        readers.push(tokio::spawn(reader.reads(move || server.happened())));
    }
    let heart = server.beats(Duration::from_millis(50));
    let traffic = Traffic::of(callers(port).await);
    for _ in 0..rounds {
        for node in &mut fleet.nodes {
            traffic.goes_on(50).await;
            node.signal(Signal::TERM);
            assert_eq!(node.ended_within(ENDED).await.code(), Some(0), "{}", node.name);
            traffic.goes_on(50).await;
            node.again();
            node.is_ready().await;
        }
    }
    traffic.goes_on(50).await;
    heart.abort();
    course.is_over();
    // by which readers see that it is
    server.happens();
    let records = traffic.was_well().await;
    let told: Vec<Told> = join_all(readers).await.into_iter().map(Result::unwrap).collect();
    told.iter().for_each(Told::was_whole);
    let breaks = told.iter().map(|told| told.breaks.len()).sum::<usize>();
    let calls: usize = records.iter().map(|record| record.answers.len()).sum();
    let waited: u64 = records.iter().flat_map(|record| &record.answers).map(|answer| answer.shown).sum();
    eprintln!(
        "{rounds} times around: {calls} calls, none failed, {waited} waited for Redis; {breaks} streams moved; {} events each",
        server.happened()
    );
    assert!(breaks > 0, "no stream had to move: nothing was shown");
}
