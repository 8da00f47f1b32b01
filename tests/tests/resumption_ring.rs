//! Streams of servers that do not number their events: the gateway does, keeps them, and gives them to nobody but the client
//! whose they are, when it comes back for them. What it cannot keep, it says.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::process::Signal;
use serde_json::{Value, json};
use sluice_tests::events::{Event, Events};
use sluice_tests::gateway::Start;
use sluice_tests::upstream::{Legacy, Pipe, Piped, piped};
use sluice_tests::works::Works;
use sluice_tests::{Call, Gateway, Session, message, wait};

const PATH: &str = "/servers/one/mcp";
const LISTS: [&str; 3] = ["tools", "prompts", "resources"];

fn note(n: usize) -> Value {
    message::notification("notifications/message", json!({ "level": "info", "data": n }))
}

/// What a note says.
fn number(message: &Value) -> usize {
    usize::try_from(message["params"]["data"].as_u64().unwrap_or_else(|| panic!("no note: {message}"))).unwrap()
}

async fn answer(id: &Value, pipe: &Pipe) {
    assert!(pipe.event(&message::response(id, message::text("worked"))).await);
}

/// A call, and the id by which it can be resumed.
async fn working(works: &Works, session: &Session) -> (Events, String, Value, Pipe) {
    let mut stream = session.stream("work", json!({})).await;
    assert_eq!(stream.status, 200);
    let (id, pipe) = works.call().await;
    let last = stream.primed().await;
    (stream, last, id, pipe)
}

#[tokio::test]
async fn a_call_goes_on_where_its_client_broke_off() {
    let works = Works::start();
    let gateway = Gateway::with(json!({ "one": works.server.config() })).await;
    let session = Session::open(gateway.port, PATH).await;
    let (mut stream, first, id, pipe) = working(&works, &session).await;
    assert!(pipe.event(&note(1)).await);
    let event = stream.next().await;
    let last = event.id.clone().unwrap();
    assert!(last != first && last.len() <= 512, "{event:?}");
    drop(stream);
    assert!(pipe.event(&note(2)).await, "the server has not been left");
    assert!(pipe.event(&note(3)).await);
    let mut stream = session.listen(Some(&last)).await;
    assert_eq!(stream.status, 200);
    assert_eq!([number(&stream.message().await), number(&stream.message().await)], [2, 3]);
    assert!(pipe.event(&note(4)).await);
    assert_eq!(number(&stream.message().await), 4);
    answer(&id, &pipe).await;
    drop(pipe);
    let rest = stream.rest().await;
    assert_eq!((rest.len(), &rest[0]["id"], &rest[0]["result"]["content"][0]["text"]), (1, &id, &json!("worked")));
    // what got lost on its last way can be had again, also when all is over
    let again: Vec<_> = session.listen(Some(&first)).await.rest().await;
    assert_eq!(again[..4].iter().map(number).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert_eq!((again.len(), &again[4]), (5, &rest[0]));
    assert!(works.server.verbs("GET").is_empty(), "the server was not asked");
    assert!(works.server.got("notifications/cancelled").is_empty());
}

#[tokio::test]
async fn an_answer_that_came_while_the_client_was_away_is_there_when_it_comes_back() {
    let works = Works::start();
    let gateway = Gateway::with(json!({ "one": works.server.config() })).await;
    let session = Session::open(gateway.port, PATH).await;
    let (stream, last, id, pipe) = working(&works, &session).await;
    drop(stream);
    answer(&id, &pipe).await;
    drop(pipe);
    let rest = session.listen(Some(&last)).await.rest().await;
    assert_eq!((rest.len(), &rest[0]["id"]), (1, &id));
}

/// A draw, as good as random, and said, so that it can be had again.
struct Chance(u64);

impl Chance {
    fn new() -> Self {
        let seed = u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() % 1_000_000).unwrap();
        eprintln!("chance begins with {seed}");
        Self(seed)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

/// Reads up to a place that nobody chose, in the middle of an event as well; where to go on, and whether all is there.
async fn read_some(stream: &mut Events, chance: &mut Chance, numbers: &mut Vec<usize>, last: &mut String) -> bool {
    let mut left = usize::try_from(chance.below(60_000)).unwrap();
    let mut text = String::new();
    while let Ok(Some(bytes)) = tokio::time::timeout(Duration::from_millis(chance.below(80)), stream.bytes()).await {
        let taken = &bytes[..bytes.len().min(left)];
        left -= taken.len();
        text.push_str(std::str::from_utf8(taken).unwrap());
        if left == 0 {
            break;
        }
    }
    let whole = text.rfind("\n\n").map_or("", |end| &text[..end]);
    for event in whole.split("\n\n").filter(|event| !event.is_empty()).map(Event::of) {
        *last = event.id.clone().unwrap_or_else(|| last.clone());
        let message = event.message();
        if !message["result"].is_null() {
            return true;
        }
        if !message.is_null() {
            numbers.push(number(&message));
        }
    }
    false
}

#[tokio::test]
async fn however_often_a_client_breaks_off_it_gets_each_event_once_and_in_order() {
    const EVENTS: usize = 400;
    let works = Works::start();
    let gateway = Gateway::with(json!({ "one": works.server.config() })).await;
    let session = Session::open(gateway.port, PATH).await;
    let mut chance = Chance::new();
    let (mut stream, mut last, id, pipe) = working(&works, &session).await;
    let saying = tokio::spawn(async move {
        for n in 0..EVENTS {
            let mut said = note(n);
            said["params"]["filler"] = "x".repeat(n * 7 % 1_500).into();
            assert!(pipe.event(&said).await);
            if n % 16 == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        answer(&id, &pipe).await;
    });
    let mut numbers = Vec::new();
    let mut breaks = 0;
    while !read_some(&mut stream, &mut chance, &mut numbers, &mut last).await {
        breaks += 1;
        assert!(breaks < 10_000);
        stream = session.listen(Some(&last)).await;
        assert_eq!(stream.status, 200);
    }
    saying.await.unwrap();
    assert_eq!(numbers, (0..EVENTS).collect::<Vec<_>>(), "after {breaks} breaks");
    assert!(breaks > 5, "{breaks}");
}

#[tokio::test]
async fn what_is_kept_is_its_owners_and_nobody_elses() {
    let works = Works::start();
    let clients =
        json!({ "alice": { "api_key": "alice-0123456789abcdef" }, "bob": { "api_key": "bob-0123456789abcdef" } });
    let config =
        json!({ "servers": { "one": works.server.config(), "two": works.server.config() }, "clients": clients });
    let gateway = Start::new(config).ready().await;
    let open = async |key, path| Session::with(gateway.port, path, json!({}), Some(key)).await;
    let alice = open("alice-0123456789abcdef", PATH).await;
    let also = open("alice-0123456789abcdef", PATH).await;
    let elsewhere = open("alice-0123456789abcdef", "/servers/two/mcp").await;
    let bob = open("bob-0123456789abcdef", PATH).await;
    let (stream, last, id, pipe) = working(&works, &alice).await;
    drop(stream);
    let mut forged = last.clone();
    forged.replace_range(4..5, if &last[4..5] == "A" { "B" } else { "A" });
    for (who, session, last) in [
        ("another session", &also, last.as_str()),
        ("another server", &elsewhere, &last),
        ("another principal", &bob, &last),
        ("forged", &alice, &forged),
    ] {
        let path = session.path().to_owned();
        let reply = session.dressed(Call::get(&path)).header("last-event-id", last).send(gateway.port).await;
        assert_eq!(reply.verdict(), (400, Some(-32600)), "{who}: {reply:?}");
    }
    let stolen = Call::get(PATH).key("bob-0123456789abcdef").header("mcp-session-id", &alice.id);
    let stolen = stolen.header("mcp-protocol-version", message::LEGACY).header("last-event-id", &last);
    assert_eq!(stolen.send(gateway.port).await.status, 404, "the session of another principal");
    answer(&id, &pipe).await;
    assert_eq!(alice.listen(Some(&last)).await.message().await["id"], id);
}

#[tokio::test]
async fn a_call_that_said_too_much_while_its_client_was_away_ends_with_an_error_that_says_it_may_have_run() {
    let works = Works::start();
    let gateway = Gateway::with(json!({ "one": works.server.config() })).await;
    let session = Session::open(gateway.port, PATH).await;
    let (stream, last, id, pipe) = working(&works, &session).await;
    drop(stream);
    let mut said = note(0);
    said["params"]["filler"] = "x".repeat(100_000).into();
    // more than is kept of one stream
    while pipe.event(&said).await {}
    for _ in 0..2 {
        let rest = session.listen(Some(&last)).await.rest().await;
        assert_eq!((rest.len(), &rest[0]["id"], &rest[0]["error"]["code"]), (1, &id, &json!(-32603)));
        assert!(rest[0]["error"]["message"].as_str().unwrap().contains("may have run"), "{}", rest[0]);
    }
    assert_eq!(session.call("echo", json!({})).await.status, 200, "the session is well");
}

/// A standing stream and its place at the server, with an id to come back with.
async fn standing(server: &Legacy, session: &Session) -> (Events, String, Pipe) {
    let mut stream = session.listen(None).await;
    assert_eq!(stream.status, 200);
    let pipe = server.stream().await;
    let last = stream.primed().await;
    (stream, last, pipe)
}

#[tokio::test]
async fn a_standing_stream_goes_on_where_it_broke_and_the_server_does_not_notice() {
    let server = Legacy::start();
    let gateway = Gateway::with(json!({ "one": server.config() })).await;
    let session = Session::open(gateway.port, PATH).await;
    let (mut stream, _, pipe) = standing(&server, &session).await;
    let mut n = 0;
    for named in [true, false, true] {
        n += 1;
        assert!(pipe.event(&note(n)).await);
        let event = stream.next().await;
        assert_eq!(number(&event.message()), n);
        drop(stream);
        // what is written to a connection that is gone, only a client can say that it did not get it
        let open = async || gateway.metric("sluice_connections", &[]).await;
        wait::becomes(wait::SOON, "the client is gone", open, |open| *open < 0.5).await;
        for _ in 0..2 {
            n += 1;
            assert!(pipe.event(&note(n)).await);
        }
        // a client that says nothing gets what nobody was given
        stream = session.listen(event.id.as_deref().filter(|_| named)).await;
        assert_eq!(stream.status, 200);
        assert_eq!([number(&stream.message().await), number(&stream.message().await)], [n - 1, n]);
    }
    assert_eq!(server.verbs("GET").len(), 1);
    // the session's end is that of its stream
    drop(stream);
    session.delete().await;
    pipe.closed().await;
}

#[tokio::test]
async fn a_client_that_missed_something_on_its_standing_stream_is_told_so() {
    let server = Legacy::start();
    let gateway = Gateway::with(json!({ "one": server.config() })).await;
    let session = Session::open(gateway.port, PATH).await;
    let subscribed = session.request("resources/subscribe", json!({ "uri": "file:///a%20\"b" })).await;
    assert_eq!(subscribed.status, 200, "{subscribed:?}");
    let (stream, last, pipe) = standing(&server, &session).await;
    drop(stream);
    let mut said = note(0);
    said["params"]["filler"] = "x".repeat(100_000).into();
    while pipe.event(&said).await {}
    for _ in 0..2 {
        let mut stream = session.listen(Some(&last)).await;
        assert_eq!(stream.status, 200);
        for list in LISTS {
            assert_eq!(stream.message().await["method"], format!("notifications/{list}/list_changed"));
        }
        let updated = stream.message().await;
        assert_eq!(updated["method"], "notifications/resources/updated");
        assert_eq!(updated["params"]["uri"], "file:///a%20\"b");
        let again = server.stream().await;
        assert!(again.event(&note(7)).await);
        assert_eq!(number(&stream.message().await), 7, "a stream like any other");
        drop(stream);
        again.closed().await;
    }
}

#[tokio::test]
async fn a_standing_stream_is_let_go_when_its_client_stays_away() {
    let server = Legacy::start();
    let gateway = Gateway::with(json!({ "one": server.config() })).await;
    let session = Session::open(gateway.port, PATH).await;
    let (stream, last, pipe) = standing(&server, &session).await;
    drop(stream);
    tokio::time::timeout(wait::SOON, pipe.closed()).await.expect("the server is left");
    let mut stream = session.listen(Some(&last)).await;
    assert_eq!(stream.message().await["method"], "notifications/tools/list_changed", "it may have missed something");
}

#[tokio::test]
async fn clients_of_older_revisions_get_no_event_that_they_may_not_know() {
    let works = Works::start();
    let gateway = Gateway::with(json!({ "one": works.server.config() })).await;
    let old = "2025-06-18";
    let opened = Call::post(PATH, message::initialize(old, json!({})).to_string()).send(gateway.port).await;
    let id = opened.header("mcp-session-id").unwrap().to_owned();
    let dressed = |call: Call| call.header("mcp-session-id", &id).header("mcp-protocol-version", old);
    let call = dressed(Call::post(PATH, message::call("work", 1, json!({})).to_string()));
    let mut stream = call.open(gateway.port).await;
    let (asked, pipe) = works.call().await;
    wait::pass(Duration::from_millis(1_200)).await;
    assert!(pipe.event(&note(1)).await);
    let event = stream.event().await.unwrap();
    assert_eq!(number(&event.message()), 1, "the first event is a message: {event:?}");
    drop(stream);
    answer(&asked, &pipe).await;
    let resumed = dressed(Call::get(PATH)).header("last-event-id", &event.id.unwrap());
    assert_eq!(resumed.open(gateway.port).await.message().await["id"], asked);
}

#[tokio::test]
async fn the_standing_stream_of_a_connection_goes_on_like_any_other() {
    for kind in [piped::Kind::Sse, piped::Kind::WebSocket] {
        let server = Piped::start(kind);
        let gateway = Gateway::with(json!({ "one": server.config() })).await;
        let session = Session::open(gateway.port, PATH).await;
        let mut stream = session.listen(None).await;
        let mut last = stream.primed().await;
        let mut n = 0;
        for _ in 0..3 {
            drop(stream);
            for _ in 0..5 {
                n += 1;
                server.links()[0].say(&note(n));
            }
            stream = session.listen(Some(&last)).await;
            assert_eq!(stream.status, 200);
            for expected in n - 4..=n {
                let event = stream.next().await;
                assert_eq!(number(&event.message()), expected, "{kind:?}");
                last = event.id.unwrap();
            }
        }
    }
}

#[tokio::test]
async fn a_call_that_is_cancelled_while_its_client_is_away_ends_without_an_answer() {
    let works = Works::start();
    let gateway = Gateway::with(json!({ "one": works.server.config() })).await;
    let session = Session::open(gateway.port, PATH).await;
    let (stream, last, id, pipe) = working(&works, &session).await;
    drop(stream);
    assert!(pipe.event(&note(1)).await);
    let mut stream = session.listen(Some(&last)).await;
    let event = stream.next().await;
    assert_eq!(number(&event.message()), 1);
    drop(stream);
    session.notify("notifications/cancelled", json!({ "requestId": id })).await;
    tokio::time::timeout(wait::SOON, pipe.closed()).await.expect("nobody waits for the server any more");
    assert_eq!(session.listen(event.id.as_deref()).await.rest().await, Vec::<Value>::new());
}

#[tokio::test]
async fn a_stream_that_the_gateway_ends_says_how_to_come_back() {
    let server = Legacy::start();
    let gateway = Gateway::with(json!({ "one": server.config() })).await;
    let session = Session::open(gateway.port, PATH).await;
    let mut stream = session.listen(None).await;
    assert_eq!(stream.status, 200);
    gateway.signal(Signal::TERM);
    let (mut id, mut retry) = (None, None);
    while let Some(event) = tokio::time::timeout(wait::SOON, stream.event()).await.expect("the stream ends") {
        id = event.id.or(id);
        retry = event.retry.or(retry);
    }
    assert!(id.is_some() && retry.is_some(), "{id:?} {retry:?}");
}
