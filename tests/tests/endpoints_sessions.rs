//! A server that runs in several places, and clients with sessions and streams: a session stays where it was opened, and begins
//! anew elsewhere when that place dies or leaves the configuration, with all that the client had set.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use sluice_tests::catalogue::Catalogue;
use sluice_tests::client::{Client, Era};
use sluice_tests::place::{runs, several};
use sluice_tests::server::Server;
use sluice_tests::{Gateway, Session, until, wait};

const DOOR: &str = "/servers/one/mcp";
/// How long a changed file may take to be seen and applied, and a stream to come back.
const SEEN: Duration = Duration::from_secs(10);

fn serve(era: Era, name: &str) -> Server {
    Server::start(era, &Catalogue::new(name).tools(2).prompts(1).resources(2).ttl(600_000))
}

fn config(places: &[&Server]) -> Value {
    json!({ "one": several(places.iter().map(|place| &***place), json!({ "balance": { "eject_seconds": 0.3 } })) })
}

fn write(gateway: &Gateway, servers: &Value) {
    std::fs::write(gateway.file(), json!({ "servers": servers }).to_string()).unwrap();
}

async fn open(gateway: &Gateway, count: usize) -> Vec<Session> {
    join_all((0..count).map(|_| Session::open(gateway.port, DOOR))).await
}

/// Calls in each session; every call has an answer.
async fn all_work(sessions: &[Session], from: u64) {
    let calls = sessions.iter().zip(from..).map(|(session, n)| session.call("tool-000", json!({ "n": n })));
    for reply in join_all(calls).await {
        assert!(reply.status == 200 && reply.rpc().get("result").is_some(), "{reply:?}");
    }
}

#[tokio::test]
async fn a_session_stays_where_it_was_opened() {
    let (one, two) = (serve(Era::Legacy, "one"), serve(Era::Legacy, "two"));
    let gateway = Gateway::with(config(&[&one, &two])).await;
    let sessions = open(&gateway, 20).await;
    for round in 0..5 {
        all_work(&sessions, round * 100).await;
    }
    assert_eq!(one.sessions().len() + two.sessions().len(), 20);
    assert!(one.sessions().len() > 3 && two.sessions().len() > 3);
    assert_eq!(one.got("initialize").len() + two.got("initialize").len(), 20, "none was opened twice");
    join_all(sessions.iter().map(Session::delete)).await;
    assert!(one.sessions().is_empty() && two.sessions().is_empty(), "each is ended where it is");
}

#[tokio::test]
async fn sessions_of_an_endpoint_that_dies_go_on_elsewhere_with_what_they_had() {
    let (one, two) = (serve(Era::Legacy, "one"), serve(Era::Legacy, "two"));
    let gateway = Gateway::with(config(&[&one, &two])).await;
    let sessions = open(&gateway, 10).await;
    for session in &sessions {
        session.request("logging/setLevel", json!({ "level": "warning" })).await;
        session.request("resources/subscribe", json!({ "uri": "file:///a" })).await;
    }
    let (moving, staying) = (one.sessions().len(), two.sessions().len());
    assert!(moving > 0 && staying > 0);
    one.kill();
    one.forget();
    let before = two.received().len();
    all_work(&sessions, 0).await;
    all_work(&sessions, 100).await;
    assert_eq!(two.sessions().len(), 10);
    assert_eq!(two.got("initialize").len(), 10, "each moved once");
    let after: Vec<Value> = two.received()[before..].iter().map(|received| received.message()).collect();
    let count = |method: &str| after.iter().filter(|message| message["method"] == method).count();
    assert_eq!([count("logging/setLevel"), count("resources/subscribe")], [moving, moving]);
    assert!(runs([&*one, &*two]).values().all(|times| *times == 1));
    let mut told = 0;
    for session in &sessions {
        let mut stream = session.listen(None).await;
        let first = tokio::time::timeout(Duration::from_millis(300), stream.message()).await;
        told += usize::from(first.is_ok_and(|first| first["method"] == "notifications/tools/list_changed"));
    }
    assert_eq!(told, moving, "clients of sessions that moved hear that lists may have changed");
    let log = gateway.log();
    assert!(!log.contains("forgot a session"), "{log}");
}

#[tokio::test]
async fn the_merged_door_moves_its_parts_as_well() {
    let (one, two) = (serve(Era::Legacy, "one"), serve(Era::Legacy, "two"));
    let gateway = Gateway::with(config(&[&one, &two])).await;
    let sessions = join_all((0..8).map(|_| Session::open(gateway.port, "/mcp"))).await;
    let work = async |from: u64| {
        let calls = sessions.iter().zip(from..).map(|(session, n)| session.call("one_tool-000", json!({ "n": n })));
        for reply in join_all(calls).await {
            assert!(reply.status == 200 && reply.rpc().get("result").is_some(), "{reply:?}");
        }
    };
    work(0).await;
    two.kill();
    two.forget();
    work(100).await;
    assert_eq!(one.sessions().len(), 8);
    assert!(runs([&*one, &*two]).values().all(|times| *times == 1));
}

#[tokio::test]
async fn a_stream_that_breaks_comes_back_at_another_endpoint() {
    for era in [Era::Legacy, Era::Modern] {
        let (one, two) = (serve(era, "one"), serve(era, "two"));
        let gateway = Gateway::with(config(&[&one, &two])).await;
        let client = Client::open(era, gateway.port, DOOR).await;
        let listen = async || match &client.session {
            Some(session) => session.listen(None).await,
            None => {
                let filter = json!({ "notifications": { "toolsListChanged": true } });
                client.prepare("subscriptions/listen", filter).open(gateway.port).await
            }
        };
        let mut stream = listen().await;
        let holder = || [&one, &two].into_iter().find(|place| !place.listeners().is_empty());
        let first = until("somebody is listened to", holder).await;
        first.kill();
        first.forget();
        wait::soon("the stream ends", async { while stream.event().await.is_some() {} }).await;
        let mut stream = listen().await;
        let second = if std::ptr::eq(first, &one) { &two } else { &one };
        second.listened().await;
        second.announce("tools").await;
        let told = async {
            loop {
                if stream.message().await["method"] == "notifications/tools/list_changed" {
                    return;
                }
            }
        };
        wait::soon("the client hears of it", told).await;
    }
}

#[tokio::test]
async fn endpoints_come_and_go_by_push_and_what_stays_is_left_alone() {
    let (one, two, three) = (serve(Era::Legacy, "one"), serve(Era::Legacy, "two"), serve(Era::Legacy, "three"));
    let gateway = Gateway::with(config(&[&one, &two])).await;
    let sessions = open(&gateway, 12).await;
    let (of_one, of_two) = (one.sessions(), two.sessions());
    assert!(!of_one.is_empty() && !of_two.is_empty());
    let mut streams = Vec::new();
    for session in &sessions {
        streams.push(session.listen(None).await);
    }
    until("all listen", || (one.listeners().len() + two.listeners().len() == 12).then_some(())).await;

    write(&gateway, &config(&[&two, &three]));
    let fresh = async || {
        let session = Session::open(gateway.port, DOOR).await;
        session.delete().await;
        three.got("initialize").len()
    };
    wait::becomes(SEEN, "the endpoint that came is used", fresh, |opened| *opened > 0).await;
    assert_eq!(two.listeners().len(), of_two.len(), "streams of an endpoint that stays are not cut");
    all_work(&sessions, 0).await;
    assert_eq!(two.got("initialize").iter().filter(|r| r.header("mcp-session-id").is_some()).count(), 0);
    assert!(of_two.iter().all(|session| two.sessions().contains(session)), "sessions that could stay, stayed");
    until("sessions that moved are ended where they were", || one.sessions().is_empty().then_some(())).await;
    until("their streams end", || one.listeners().is_empty().then_some(())).await;
    assert_eq!(two.sessions().len() + three.sessions().len(), 12);

    // one place is left, and then it is another one as well
    write(&gateway, &json!({ "one": { "transport": "http", "url": two.url() } }));
    let settled = async || {
        all_work(&sessions, 100).await;
        three.sessions().len()
    };
    wait::becomes(SEEN, "all are where the server is now", settled, |left| *left == 0).await;
    assert_eq!(two.sessions().len(), 12);
    write(&gateway, &config(&[&two, &one]));
    let opened = async || {
        let session = Session::open(gateway.port, DOOR).await;
        session.delete().await;
        one.received().last().is_some_and(|last| last.verb == "DELETE")
    };
    wait::becomes(SEEN, "the endpoint that came back is used", opened, |used| *used).await;
    all_work(&sessions, 200).await;
    assert!(of_two.iter().all(|session| two.sessions().contains(session)), "through all of it");
}

#[tokio::test]
async fn a_rolling_restart_of_all_endpoints_fails_nothing_that_did_not_run() {
    let places = [serve(Era::Legacy, "one"), serve(Era::Legacy, "two"), serve(Era::Legacy, "three")];
    let all = || places.iter().map(|place| &**place);
    let gateway = Gateway::with(config(&[&places[0], &places[1], &places[2]])).await;
    let sessions = open(&gateway, 12).await;
    let over = std::sync::atomic::AtomicBool::new(false);
    let made = std::sync::atomic::AtomicU64::new(0);
    let calling = sessions.iter().map(|session| async {
        let mut failed = Vec::new();
        while !over.load(std::sync::atomic::Ordering::Relaxed) {
            let n = made.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let reply = session.call("tool-000", json!({ "n": n })).await;
            if reply.status != 200 || reply.rpc().get("result").is_none() {
                failed.push(reply.text());
            }
        }
        failed
    });
    let restarting = async {
        for place in &places {
            let until_made = made.load(std::sync::atomic::Ordering::Relaxed) + 200;
            until("calls", || (made.load(std::sync::atomic::Ordering::Relaxed) > until_made).then_some(())).await;
            place.kill();
            place.forget();
            wait::pass(Duration::from_millis(200)).await;
            place.revive().await;
            let before = place.received().len();
            let opened = async || {
                let session = Session::open(gateway.port, DOOR).await;
                session.delete().await;
                place.received().len()
            };
            wait::becomes(SEEN, "it is used again", opened, |received| *received > before).await;
        }
        over.store(true, std::sync::atomic::Ordering::Relaxed);
    };
    let (failed, ()) = tokio::join!(join_all(calling), restarting);
    let failed: Vec<_> = failed.into_iter().flatten().collect();
    assert!(failed.iter().all(|told| told.contains("may have run")), "{failed:?}");
    assert!(failed.len() <= 12 * 3, "{failed:?}");
    assert!(runs(all()).values().all(|times| *times == 1), "a call ran twice");
}

/// Sessions that are all with one of two endpoints: the other was killed and is back, idle and out of service for a long time yet.
async fn all_at_one(ones: &Server, twos: &Server) -> (Gateway, Vec<Session>) {
    let ejected_long = json!({ "balance": { "eject_seconds": 60 }, "timeout": 2 });
    let gateway = Gateway::with(json!({ "one": several([&**ones, &**twos], ejected_long) })).await;
    let sessions = open(&gateway, 12).await;
    assert!(!ones.sessions().is_empty() && !twos.sessions().is_empty());
    ones.kill();
    ones.forget();
    all_work(&sessions, 0).await;
    // five in a row put it out of service, also where few sessions were there
    let out = async || {
        Session::open(gateway.port, DOOR).await.delete().await;
        gateway.log().contains("the endpoint fails")
    };
    wait::becomes(SEEN, "the endpoint is out of service", out, |out| *out).await;
    ones.revive().await;
    all_work(&sessions, 100).await;
    assert_eq!((ones.sessions().len(), twos.sessions().len()), (0, 12));
    (gateway, sessions)
}

#[tokio::test]
async fn sessions_go_on_at_an_endpoint_that_is_back_when_the_only_other_dies_before_anybody_noticed() {
    let (one, two) = (serve(Era::Legacy, "one"), serve(Era::Legacy, "two"));
    let (_gateway, sessions) = all_at_one(&one, &two).await;
    two.kill();
    all_work(&sessions, 200).await;
    all_work(&sessions, 300).await;
    assert_eq!(one.sessions().len(), 12);
    assert!(runs([&*one, &*two]).values().all(|times| *times == 1));
}

#[tokio::test]
async fn sessions_go_on_at_an_endpoint_that_is_back_when_the_only_other_hangs() {
    let (one, two) = (serve(Era::Legacy, "one"), serve(Era::Legacy, "two"));
    let (_gateway, sessions) = all_at_one(&one, &two).await;
    // it takes connections, and answers nothing
    two.kill();
    let at = two.url().trim_start_matches("http://").split('/').next().unwrap().to_owned();
    let _hangs = until("the port is free again", || std::net::TcpListener::bind(&at).ok()).await;
    let hung = join_all(sessions.iter().map(|session| session.call("tool-000", json!({ "n": 200 })))).await;
    assert!(hung.iter().any(|reply| reply.status != 200), "{hung:?}");
    all_work(&sessions, 300).await;
    assert_eq!(one.sessions().len(), 12);
}
