//! Sessions in Redis: any of several gateways serves them, and they go on when one is killed.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use rustix::process::Signal;
use serde_json::{Value, json};
use sluice_tests::catalogue::Catalogue;
use sluice_tests::client::Era;
use sluice_tests::message::{self, LEGACY};
use sluice_tests::server::Server;
use sluice_tests::upstream::Legacy;
use sluice_tests::{Call, Redis, Session, until, wait};

const PATH: &str = "/servers/one/mcp";
const ALICE: &str = "alice-key-0123456789abcdef";
const BOB: &str = "bob-key-0123456789abcdef0";

fn one(server: &Legacy) -> Value {
    json!({ "servers": { "one": server.config() } })
}

#[tokio::test]
async fn any_gateway_serves_a_session_of_one_server() {
    let (server, redis) = (Legacy::start(), Redis::start().await);
    let (here, there) = (redis.gateway(&one(&server)).await, redis.gateway(&one(&server)).await);
    let session = Session::open(here.port, PATH).await;
    let other = session.at(there.port);
    for n in 0..3 {
        let [one, two] = [&session, &other].map(|session| session.call("echo", json!({ "n": n })));
        let (one, two) = (one.await, two.await);
        assert_eq!((one.status, two.status), (200, 200), "{one:?} {two:?}");
        assert_eq!(two.result()["content"][0]["text"], format!(r#"{{"n":{n}}}"#));
    }
    assert_eq!(server.got("initialize").len(), 1, "the server has one session");
    let ids: Vec<_> =
        server.calls("echo").iter().map(|call| call.header("mcp-session-id").unwrap().to_owned()).collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    // a stream over there, and what the server says on it
    let mut stream = other.listen(None).await;
    assert_eq!(stream.status, 200);
    server.stream().await.event(&message::notification("notifications/tools/list_changed", json!({}))).await;
    assert_eq!(stream.message().await["method"], "notifications/tools/list_changed");
}

#[tokio::test]
async fn any_gateway_serves_a_session_of_the_merged_door() {
    let servers = ["left", "right"].map(|name| Server::start(Era::Legacy, &Catalogue::new(name).tool("echo")));
    let redis = Redis::start().await;
    let config = json!({ "servers": { "left": servers[0].config(), "right": servers[1].config() } });
    let (here, there) = (redis.gateway(&config).await, redis.gateway(&config).await);
    let session = Session::open(here.port, "/mcp").await;
    let other = session.at(there.port);
    for tool in ["left_echo", "right_echo", "left_echo"] {
        for session in [&session, &other] {
            let reply = session.call(tool, json!({})).await;
            assert_eq!(reply.status, 200, "{reply:?}");
        }
    }
    for server in &servers {
        let ids: Vec<_> =
            server.calls("echo").iter().map(|call| call.header("mcp-session-id").unwrap().to_owned()).collect();
        assert!(ids.iter().all(|id| *id == ids[0]), "both go on with one session of the server: {ids:?}");
    }
    assert_eq!(other.delete().await.status / 100, 2);
    for server in &servers {
        let part = server.calls("echo")[0].header("mcp-session-id").unwrap().to_owned();
        until("the part is ended", || (!server.sessions().contains(&part)).then_some(())).await;
        let ended = server.verbs("DELETE").iter().filter(|r| r.header("mcp-session-id") == Some(&part)).count();
        assert_eq!(ended, 1, "by one gateway");
    }
    wait::becomes(
        wait::SOON,
        "the session is over",
        async || session.call("left_echo", json!({})).await.status,
        |s| *s == 404,
    )
    .await;
}

#[tokio::test]
async fn sessions_go_on_at_once_when_their_gateway_is_killed() {
    let (server, redis) = (Legacy::start(), Redis::start().await);
    let (mut here, there) = (redis.gateway(&one(&server)).await, redis.gateway(&one(&server)).await);
    let mut sessions = Vec::new();
    for _ in 0..20 {
        sessions.extend(join_all((0..50).map(|_| Session::open(here.port, PATH))).await);
    }
    let opened = server.got("initialize").len();
    assert_eq!((sessions.len(), opened, redis.sessions().await.len()), (1000, 1000, 1000));
    here.signal(Signal::KILL);
    here.ended().await;
    for some in sessions.chunks(50) {
        let there = some.iter().map(|session| session.at(there.port)).collect::<Vec<_>>();
        let replies = join_all(there.iter().map(|session| session.call("echo", json!({})))).await;
        assert!(replies.iter().all(|reply| reply.status == 200), "{replies:?}");
    }
    assert_eq!(server.got("initialize").len(), opened, "no session was opened again");
}

#[tokio::test]
async fn the_end_of_a_session_holds_everywhere_within_a_second() {
    let (server, redis) = (Legacy::start(), Redis::start().await);
    let (here, there) = (redis.gateway(&one(&server)).await, redis.gateway(&one(&server)).await);
    let session = Session::open(here.port, PATH).await;
    let other = session.at(there.port);
    assert_eq!(other.call("echo", json!({})).await.status, 200);
    let mut stream = other.listen(None).await;
    assert_eq!((stream.status, session.delete().await.status / 100), (200, 2));
    let ended = Instant::now();
    wait::becomes(wait::SOON, "404 elsewhere", async || other.call("echo", json!({})).await.status, |s| *s == 404)
        .await;
    assert!(ended.elapsed() < Duration::from_secs(1), "{:?}", ended.elapsed());
    assert!(stream.rest().await.iter().all(|message| message.get("id").is_none()), "the stream over there ends");
    assert!(ended.elapsed() < Duration::from_secs(2), "{:?}", ended.elapsed());
    assert_eq!((server.verbs("DELETE").len(), redis.sessions().await.len()), (1, 0));
}

#[tokio::test]
async fn another_principals_session_is_unknown_on_every_gateway() {
    let (server, redis) = (Legacy::start(), Redis::start().await);
    let clients = json!({ "alice": { "api_key": ALICE }, "bob": { "api_key": BOB } });
    let config = json!({ "servers": { "one": server.config() }, "clients": clients });
    let gateways = [redis.gateway(&config).await, redis.gateway(&config).await];
    let alice = Session::with(gateways[0].port, PATH, json!({}), Some(ALICE)).await;
    let before = server.received().len();
    let call = || Call::post(PATH, message::call("echo", 1, json!({})).to_string());
    for gateway in &gateways {
        for call in [call(), Call::get(PATH), Call::get(PATH).header("last-event-id", "1"), Call::delete(PATH)] {
            let call = call.header("mcp-session-id", &alice.id).header("mcp-protocol-version", LEGACY);
            let reply = call.key(BOB).send(gateway.port).await;
            assert_eq!(reply.verdict(), (404, Some(-32600)), "{reply:?}");
        }
    }
    assert_eq!(server.received().len(), before);
    assert_eq!(alice.at(gateways[1].port).call("echo", json!({})).await.status, 200);
}

#[tokio::test]
async fn what_a_client_set_is_restored_by_another_gateway() {
    let (server, redis) = (Legacy::start(), Redis::start().await);
    let (here, there) = (redis.gateway(&one(&server)).await, redis.gateway(&one(&server)).await);
    let session = Session::open(here.port, PATH).await;
    let other = session.at(there.port);
    assert_eq!(session.request("logging/setLevel", json!({ "level": "warning" })).await.status, 200);
    for (session, uri) in [(&session, "file:///a"), (&other, "file:///b"), (&session, "file:///c")] {
        assert_eq!(session.request("resources/subscribe", json!({ "uri": uri })).await.status, 200);
    }
    assert_eq!(other.request("resources/unsubscribe", json!({ "uri": "file:///a" })).await.status, 200);
    server.forget(404);
    let before = server.received().len();
    assert_eq!(other.call("echo", json!({})).await.status, 200);
    assert_eq!(session.call("echo", json!({})).await.status, 200, "the first gateway goes on with the new session");
    let after: Vec<Value> = server.received()[before..].iter().map(|received| received.message()).collect();
    let sent = |method: &str| after.iter().filter(|message| message["method"] == method).collect::<Vec<_>>();
    assert_eq!((sent("initialize").len(), sent("logging/setLevel").len()), (1, 1), "{after:?}");
    let mut uris: Vec<_> = sent("resources/subscribe").iter().map(|m| m["params"]["uri"].as_str().unwrap()).collect();
    uris.sort_unstable();
    assert_eq!(uris, ["file:///b", "file:///c"]);
}

#[tokio::test]
async fn of_gateways_that_open_a_server_at_once_one_wins_and_the_others_end_theirs() {
    let server = Server::start(Era::Legacy, &Catalogue::new("left").tool("echo"));
    let redis = Redis::start().await;
    let config = json!({ "servers": { "left": server.config() } });
    let gateways = [redis.gateway(&config).await, redis.gateway(&config).await, redis.gateway(&config).await];
    for _ in 0..5 {
        let session = Session::open(gateways[0].port, "/mcp").await;
        server.forget();
        let calls = gateways.each_ref().map(|gateway| session.at(gateway.port));
        let replies = join_all(calls.iter().map(|session| session.call("left_echo", json!({})))).await;
        assert!(replies.iter().all(|reply| reply.status == 200), "{replies:?}");
        until("one session is left", || (server.sessions().len() == 1).then_some(())).await;
        assert_eq!(session.delete().await.status / 100, 2);
        until("and ended", || server.sessions().is_empty().then_some(())).await;
    }
}

#[tokio::test]
async fn a_session_that_is_used_somewhere_does_not_idle_and_one_that_is_not_is_ended_once() {
    let (server, redis) = (Legacy::start(), Redis::start().await);
    let mut config = one(&server);
    config["proxy"] = json!({ "limits": { "session_idle_seconds": 2 } });
    let (here, there) = (redis.gateway(&config).await, redis.gateway(&config).await);
    let (used, unused) = (Session::open(here.port, PATH).await, Session::open(here.port, PATH).await);
    assert_eq!(unused.at(there.port).call("echo", json!({})).await.status, 200);
    let (other, begun) = (used.at(there.port), Instant::now());
    wait::throughout(Duration::from_secs(6), Duration::from_millis(200), async || {
        assert_eq!(other.call("echo", json!({})).await.status, 200, "after {:?}", begun.elapsed());
    })
    .await;
    assert_eq!(used.call("echo", json!({})).await.status, 200, "where it idled, too");
    wait::becomes(wait::SOON, "one is left", async || redis.sessions().await.len(), |left| *left == 1).await;
    until("the server was told", || (server.verbs("DELETE").len() == 1).then_some(())).await;
}
