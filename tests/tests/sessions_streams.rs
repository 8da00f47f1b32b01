//! The standing stream of a session is that of the client's newest GET, wherever it comes in: an older one stands aside, its server is
//! let go, and no event goes to both.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};
use sluice_tests::counting::Counting;
use sluice_tests::events::{Event, Events};
use sluice_tests::upstream::{Answer, Legacy, Pipe};
use sluice_tests::wait::{eventually, pass, soon};
use sluice_tests::{Call, Gateway, Redis, Session, message};

const OWN: &str = "/servers/one/mcp";
/// How long a copy of a session is good after Redis was heard last.
const COPY_GOOD: Duration = Duration::from_secs(1);

async fn two(redis: &Redis, server: Value) -> [Gateway; 2] {
    let config = json!({ "servers": { "one": server } });
    [redis.gateway(&config).await, redis.gateway(&config).await]
}

/// A session; asked for again where the store was too slow to keep it, as clients do.
async fn begin(port: u16, path: &str) -> Session {
    let begun = async || match Session::try_with(port, path, json!({}), None).await {
        Ok(session) => Some(session),
        Err(reply) if reply.status == 503 => None,
        Err(reply) => panic!("{reply:?}"),
    };
    eventually("a session", begun).await
}

/// A call, asked for again where the store was too slow to say whose session it is.
async fn called(session: &Session, tool: &str) {
    let status = async || session.call(tool, json!({ "mark": "a call" })).await.status;
    eventually("a call", async || Some(status().await).filter(|status| *status == 200)).await;
}

/// The stream, after `last` if given; asked for again where the store was too slow to say whose it is, as clients do.
async fn open(session: &Session, last: Option<&str>) -> Events {
    eventually("a stream", async || Some(session.listen(last).await).filter(|stream| stream.status != 503)).await
}

fn number(event: &Event) -> Option<u64> {
    event.message()["params"]["_meta"]["number"].as_u64()
}

/// The stream is told all that has happened.
async fn hears(server: &Counting, stream: &mut Events) {
    while number(&stream.next().await) != Some(server.happened()) {}
}

/// Ends the session: on streams that stood aside, no message has come.
async fn nothing_was_told(session: &Session, aside: impl IntoIterator<Item = Events>) {
    let ended = async || Some(session.delete().await).filter(|reply| reply.status != 503);
    assert_eq!(eventually("an end of the session", ended).await.status, 200);
    for mut stream in aside {
        assert_eq!(stream.rest().await, Vec::<Value>::new());
    }
}

/// The stream has ended, and its client is to come back.
async fn called_back(mut stream: Events) {
    let last = soon("the stream ends", async {
        let mut last = None;
        while let Some(event) = stream.event().await {
            last = Some(event);
        }
        last
    });
    let last = last.await;
    assert!(last.as_ref().is_some_and(|last| last.retry.is_some()), "{last:?}");
}

#[tokio::test]
async fn a_resumed_call_leaves_the_standing_stream_alone() {
    let server = Counting::start();
    let gateway = Gateway::with(json!({ "one": server.config() })).await;
    let session = begin(gateway.port, OWN).await;
    let mut standing = session.listen(None).await;
    let mut call = session.stream("report", json!({ "mark": "m", "steps": 3 })).await;
    let first = call.next().await;
    drop(call);
    let mut resumed = session.listen(first.id.as_deref()).await;
    let rest = soon("the rest of the report", async {
        loop {
            let message = resumed.message().await;
            if message.get("result").is_some() {
                return message;
            }
        }
    });
    assert_eq!(rest.await["result"]["content"][0]["text"], "m");
    server.happens();
    assert_eq!(number(&standing.next().await), Some(1), "it goes on");
}

/// Opens the stream again and again, at one port after the other, each time where the one before got to: that one ends, and all events
/// are told once and in order.
async fn moves(server: &Counting, session: &Session, ports: [u16; 2]) {
    let (mut last, mut told) = (None::<String>, Vec::new());
    let mut before = Vec::new();
    for round in 0..6 {
        let mut stream = open(&session.at(ports[round % 2]), last.as_deref()).await;
        for _ in 0..3 {
            server.happens();
            let event = stream.next().await;
            told.extend(number(&event));
            last = event.id.or(last);
        }
        before.push(stream);
    }
    assert_eq!(told, (1..=18).collect::<Vec<_>>());
    nothing_was_told(session, before).await;
}

#[tokio::test]
async fn the_newest_of_two_streams_at_one_node_is_the_one() {
    let server = Counting::strict();
    let gateway = Gateway::with(json!({ "one": server.config() })).await;
    let session = begin(gateway.port, OWN).await;
    moves(&server, &session, [gateway.port; 2]).await;
}

#[tokio::test]
async fn a_stream_moves_from_node_to_node_and_no_event_is_lost_or_told_twice() {
    let (server, redis) = (Counting::strict(), Redis::start().await);
    let [here, there] = two(&redis, server.config()).await;
    let session = begin(here.port, OWN).await;
    for port in [here.port, there.port] {
        called(&session.at(port), "count").await;
    }
    moves(&server, &session, [here.port, there.port]).await;
}

#[tokio::test]
async fn the_stream_of_all_servers_moves_whole() {
    let (server, redis) = (Counting::strict(), Redis::start().await);
    let nodes = two(&redis, server.config()).await;
    let session = begin(nodes[0].port, "/mcp").await;
    called(&session, "one_count").await;
    let mut before = vec![open(&session, None).await];
    server.happens();
    assert_eq!(number(&before[0].next().await), Some(1));
    for round in 1..5 {
        let mut stream = open(&session.at(nodes[round % 2].port), None).await;
        // with the stream of the server behind it
        server.happens();
        hears(&server, &mut stream).await;
        before.push(stream);
    }
    nothing_was_told(&session, before).await;
}

/// A node stands still while its client opens the stream at another: when it goes on, it passes nothing on that the server told it.
async fn stands_still(path: &str, tool: &str) {
    let (server, redis) = (Legacy::start(), Redis::start().await);
    let [here, there] = two(&redis, server.config()).await;
    let session = begin(here.port, path).await;
    called(&session, tool).await;
    let older = open(&session, None).await;
    let stale = server.stream().await;
    here.signal(Signal::STOP);
    // for less, nobody can know that it stands still
    pass(COPY_GOOD + Duration::from_millis(100)).await;
    let mut newer = open(&session.at(there.port), None).await;
    assert_eq!(newer.status, 200);
    // to where the server takes the client to be
    let missed = message::notification("notifications/message", json!({ "level": "info", "data": "missed" }));
    assert!(stale.event(&missed).await);
    here.signal(Signal::CONT);
    stale.closed().await;
    let told = message::notification("notifications/message", json!({ "level": "info", "data": "told" }));
    assert!(server.stream().await.event(&told).await);
    assert_eq!(newer.message().await["params"]["data"], "told");
    nothing_was_told(&session, [older]).await;
}

#[tokio::test]
async fn a_node_that_stood_still_passes_nothing_on_after_its_stream_moved() {
    stands_still(OWN, "echo").await;
}

#[tokio::test]
async fn a_node_that_stood_still_passes_nothing_on_of_all_servers_either() {
    stands_still("/mcp", "one_echo").await;
}

#[tokio::test]
async fn streams_open_and_go_on_while_redis_does_not_answer() {
    let (server, redis) = (Counting::strict(), Redis::start().await);
    let [here, _there] = two(&redis, server.config()).await;
    let (session, other) = (begin(here.port, OWN).await, begin(here.port, OWN).await);
    let mut stream = session.listen(None).await;
    redis.signal(Signal::STOP);
    for _ in 0..3 {
        server.happens();
        assert!(number(&stream.next().await).is_some());
    }
    let mut first = other.listen(None).await;
    assert_eq!(first.status, 200, "one that nobody had");
    hears(&server, &mut first).await;
    let mut second = other.listen(None).await;
    assert_eq!(second.status, 200);
    assert!(number(&second.next().await).is_some());
    assert_eq!(other.call("count", json!({ "mark": "at hand" })).await.status, 200);
    redis.signal(Signal::CONT);
    server.happens();
    assert!(number(&stream.next().await).is_some());
    nothing_was_told(&other, [first]).await;
}

/// A client that has two streams hears everything on the newer one, for as long as that is open, and comes back for the older one then.
async fn two_at_once(server: &Counting, session: &Session, [first, second]: [u16; 2]) {
    let mut older = open(&session.at(first), None).await;
    server.happens();
    hears(server, &mut older).await;
    let mut newer = open(&session.at(second), None).await;
    for _ in 0..3 {
        server.happens();
        assert!(number(&newer.next().await).is_some());
    }
    assert!(older.quiet(Duration::from_millis(100)).await, "it is open, and no message comes");
    drop(newer);
    called_back(older).await;
    let mut again = open(&session.at(first), None).await;
    server.happens();
    assert!(number(&again.next().await).is_some());
}

#[tokio::test]
async fn a_client_may_have_two_streams() {
    let server = Counting::strict();
    let gateway = Gateway::with(json!({ "one": server.config() })).await;
    for path in [OWN, "/mcp"] {
        let session = begin(gateway.port, path).await;
        called(&session, if path == OWN { "count" } else { "one_count" }).await;
        two_at_once(&server, &session, [gateway.port; 2]).await;
    }
}

#[tokio::test]
async fn a_client_may_have_two_streams_at_two_nodes() {
    let (server, redis) = (Counting::strict(), Redis::start().await);
    let [here, there] = two(&redis, server.config()).await;
    for path in [OWN, "/mcp"] {
        let session = begin(here.port, path).await;
        called(&session, if path == OWN { "count" } else { "one_count" }).await;
        two_at_once(&server, &session, [here.port, there.port]).await;
        two_at_once(&server, &session, [here.port, there.port]).await;
    }
}

#[tokio::test]
async fn a_session_has_no_more_than_four_streams() {
    let server = Counting::strict();
    let gateway = Gateway::with(json!({ "one": server.config() })).await;
    let session = begin(gateway.port, OWN).await;
    let mut streams = Vec::new();
    for _ in 0..4 {
        streams.push(open(&session, None).await);
    }
    let refused = session.dressed(Call::get(OWN)).send(gateway.port).await;
    assert_eq!(refused.status, 409);
    assert!(refused.text().contains("Last-Event-ID"), "{}", refused.text());
    server.happens();
    let event = streams[3].next().await;
    let mut back = open(&session, event.id.as_deref()).await;
    assert_eq!(back.status, 200, "one that is resumed");
    called_back(streams.remove(0)).await;
    server.happens();
    assert!(number(&back.next().await).is_some());
    assert_eq!(open(&session, None).await.status, 409, "the one that was the newest stands aside as well");
    streams.pop();
    let opened = async || Some(open(&session, None).await).filter(|stream| stream.status == 200);
    eventually("room for another", opened).await;
    nothing_was_told(&session, streams).await;
}

/// A server that allows a session one stream, and on the first one tells more than any connection takes at once; how often it did.
fn talkative() -> (Legacy, Arc<AtomicUsize>) {
    let (open, told) = (Mutex::new(HashMap::<String, Pipe>::new()), Arc::<AtomicUsize>::default());
    let count = Arc::clone(&told);
    let server = Legacy::scripted(move |received| {
        if received.verb != "GET" {
            return None;
        }
        let session = received.header("mcp-session-id")?.to_owned();
        let (pipe, answer) = Answer::stream("text/event-stream");
        let before = open.lock().unwrap().insert(session.clone(), pipe.clone());
        let is_first = before.is_none();
        if let Some(before) = before.filter(|before| !before.is_closed()) {
            open.lock().unwrap().insert(session, before);
            return Some(Answer::empty(409));
        }
        let count = Arc::clone(&count);
        tokio::spawn(async move {
            let data = if is_first { "x".repeat(64 << 10) } else { "told".to_owned() };
            let note = message::notification("notifications/message", json!({ "level": "info", "data": data }));
            while pipe.event(&note).await && is_first {
                count.fetch_add(1, Ordering::SeqCst);
            }
            pipe.closed().await;
        });
        Some(answer)
    });
    (server, told)
}

#[tokio::test]
async fn a_client_that_reads_no_more_does_not_keep_the_server_from_the_newer_stream() {
    let redis = Redis::start().await;
    let (server, told) = talkative();
    let [here, there] = two(&redis, server.config()).await;
    for port in [here.port, there.port] {
        told.store(0, Ordering::SeqCst);
        let session = begin(here.port, OWN).await;
        let older = open(&session, None).await;
        eventually("nothing more goes through", async || {
            let before = told.load(Ordering::SeqCst);
            pass(Duration::from_millis(300)).await;
            (before > 0 && told.load(Ordering::SeqCst) == before).then_some(())
        })
        .await;
        let mut newer = open(&session.at(port), None).await;
        assert_eq!(newer.message().await["params"]["data"], "told");
        drop(older);
    }
}
