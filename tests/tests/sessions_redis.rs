//! Redis in trouble: verdicts come in time, what is at hand goes on, nobody is told to start over, and what does not need
//! Redis does not notice. And what somebody who writes to Redis can do.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use redis::cmd;
use rustix::process::Signal;
use serde_json::{Value, json};
use sluice_tests::gateway::Start;
use sluice_tests::message;
use sluice_tests::redis::KEYS;
use sluice_tests::tls::encrypted;
use sluice_tests::upstream::{Legacy, Modern};
use sluice_tests::{Call, Gateway, Redis, Reply, Session, until, wait};

const PATH: &str = "/servers/one/mcp";
/// What is promised; and what a busy machine adds to it here.
const VERDICT: Duration = Duration::from_millis(300 + 300);
const RECOVERY: Duration = Duration::from_secs(1 + 1);

fn config(server: &Legacy, modern: &Modern) -> Value {
    json!({ "servers": { "one": server.config(), "modern": modern.config() } })
}

async fn timed(call: impl Future<Output = Reply>) -> (Reply, Duration) {
    let begun = Instant::now();
    let reply = call.await;
    (reply, begun.elapsed())
}

async fn modern_works(gateway: &Gateway) {
    let call = Call::modern("/servers/modern/mcp", "tools/call", 1, json!({ "name": "echo", "arguments": {} }));
    let (reply, took) = timed(call.header("mcp-name", "echo").send(gateway.port)).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert!(took < VERDICT, "{took:?}");
}

async fn initialize(gateway: &Gateway) -> Reply {
    Call::post(PATH, message::initialize(message::LEGACY, json!({})).to_string()).send(gateway.port).await
}

async fn health(gateway: &Gateway) -> Value {
    serde_json::from_slice(&Call::get("/health").bare().send(gateway.port).await.body).unwrap()
}

/// A session elsewhere that this gateway has not seen gets 503, in time, and is told when to come again.
async fn unseen_sessions_wait(gateway: &Gateway, unseen: &Session) {
    let (reply, took) = timed(unseen.call("echo", json!({}))).await;
    assert_eq!((reply.status, reply.header("retry-after")), (503, Some("1")), "{reply:?}");
    assert!(took < VERDICT, "{took:?}");
    let (reply, took) = timed(initialize(gateway)).await;
    assert_eq!(reply.status, 503, "{reply:?}");
    assert!(took < VERDICT, "{took:?}");
    modern_works(gateway).await;
    assert_eq!(gateway.admin("/readyz").await.status, 200);
}

#[tokio::test]
async fn a_redis_that_stops_is_waited_for_by_nobody() {
    let (server, modern, redis) = (Legacy::start(), Modern::start(), Redis::start().await);
    let config = config(&server, &modern);
    let (here, there) = (redis.gateway(&config).await, redis.gateway(&config).await);
    let (session, elsewhere) = (Session::open(here.port, PATH).await, Session::open(there.port, PATH).await);
    assert_eq!(health(&here).await["status"], "ok");
    redis.signal(Signal::STOP);
    wait::throughout(Duration::from_secs(2), Duration::from_millis(300), async || {
        let at_hand = join_all((0..20).map(|_| timed(session.call("echo", json!({}))))).await;
        for (reply, took) in at_hand {
            assert_eq!(reply.status, 200, "{reply:?}");
            assert!(took < VERDICT, "{took:?}");
        }
        unseen_sessions_wait(&here, &elsewhere.at(here.port)).await;
    })
    .await;
    assert_eq!(health(&here).await["status"], "degraded");
    assert_eq!(here.metric("sluice_session_store_up", &[]).await, 0.0);
    redis.signal(Signal::CONT);
    let back = Instant::now();
    let elsewhere = elsewhere.at(here.port);
    wait::becomes(wait::SOON, "sessions again", async || elsewhere.call("echo", json!({})).await.status, |s| *s == 200)
        .await;
    assert!(back.elapsed() < RECOVERY, "{:?}", back.elapsed());
    wait::becomes(wait::SOON, "well again", async || health(&here).await["status"].clone(), |s| *s == "ok").await;
    let told = here.log().matches("sessions cannot be looked up or kept").count();
    assert!((1..=2).contains(&told), "at transitions only: {told}");
}

#[tokio::test]
async fn sessions_are_there_after_redis_was_killed() {
    let (server, modern, mut redis) = (Legacy::start(), Modern::start(), Redis::start().await);
    let config = config(&server, &modern);
    let (here, there) = (redis.gateway(&config).await, redis.gateway(&config).await);
    let sessions = join_all((0..100).map(|_| Session::open(here.port, PATH))).await;
    for round in 0..3 {
        redis.kill().await;
        // noticed at once or by the next ping
        assert_eq!(sessions[0].call("echo", json!({})).await.status, 200, "round {round}");
        unseen_sessions_wait(&there, &sessions[1 + round].at(there.port)).await;
        redis.again().await;
        let back = Instant::now();
        let other = sessions[1 + round].at(there.port);
        wait::becomes(wait::SOON, "sessions again", async || other.call("echo", json!({})).await.status, |s| *s == 200)
            .await;
        assert!(back.elapsed() < RECOVERY, "round {round}: {:?}", back.elapsed());
    }
    let there = sessions.iter().map(|session| session.at(there.port)).collect::<Vec<_>>();
    let replies = join_all(there.iter().map(|session| session.call("echo", json!({})))).await;
    assert!(replies.iter().all(|reply| reply.status == 200), "{replies:?}");
    let others = "no session was opened again; those that could not be kept were ended";
    until(others, || (server.got("initialize").len() - server.verbs("DELETE").len() == 100).then_some(())).await;
}

#[tokio::test]
async fn a_redis_that_takes_no_writes_keeps_sessions_going() {
    let (server, modern, redis) = (Legacy::start(), Modern::start(), Redis::start().await);
    let config = config(&server, &modern);
    let (here, there) = (redis.gateway(&config).await, redis.gateway(&config).await);
    let session = Session::open(here.port, PATH).await;
    let set = async |name: &str, value: &str| redis.ask::<String>(cmd("CONFIG").arg("SET").arg(name).arg(value)).await;
    for (name, bad, good) in [("maxmemory", "1", "0"), ("min-replicas-to-write", "1", "0")] {
        set(name, bad).await;
        let (reply, took) = timed(initialize(&here)).await;
        assert_eq!((reply.status, reply.header("retry-after")), (503, Some("1")), "{name}: {reply:?}");
        assert!(took < VERDICT, "{name}: {took:?}");
        for port in [here.port, there.port] {
            assert_eq!(session.at(port).call("echo", json!({})).await.status, 200, "{name}");
        }
        modern_works(&here).await;
        wait::becomes(wait::SOON, "told", async || health(&here).await["status"].clone(), |s| *s == "degraded").await;
        set(name, good).await;
        let what = "sessions begin again";
        wait::becomes(wait::SOON, what, async || initialize(&here).await.status, |status| *status == 200).await;
        assert_eq!(health(&here).await["status"], "ok");
    }
    // those that could not be kept were ended
    let ended = server.verbs("DELETE").len();
    assert_eq!(server.got("initialize").len() - ended, 3, "one, and one after each trouble");
}

#[tokio::test]
async fn a_redis_that_follows_another_is_read_from_without_a_break() {
    let (server, modern, redis) = (Legacy::start(), Modern::start(), Redis::start().await);
    let config = config(&server, &modern);
    let (here, there) = (redis.gateway(&config).await, redis.gateway(&config).await);
    let sessions = join_all((0..60).map(|_| Session::open(here.port, PATH))).await;
    let follow = async |host: &str, port: &str| redis.ask::<String>(cmd("REPLICAOF").arg(host).arg(port)).await;
    follow("127.0.0.1", "1").await;
    let mut found = 0;
    for session in &sessions {
        // whoever tries to write has the other gateway look for a Redis that takes it, all the time that sessions are looked up
        assert_eq!(initialize(&there).await.status, 503);
        found += usize::from(session.at(there.port).call("echo", json!({})).await.status == 200);
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    assert!(found > 57, "{found} of 60; an answer of Redis may be late on a busy machine");
    let told = async || there.log().matches("sessions cannot be looked up or kept").count();
    wait::becomes(wait::SOON, "it is told", told, |told| *told > 0).await;
    assert!(told().await <= 2, "when it begins, not again and again");
    follow("NO", "ONE").await;
    wait::becomes(wait::SOON, "well again", async || health(&there).await["status"].clone(), |s| *s == "ok").await;
    let open = async || initialize(&there).await.status;
    wait::becomes(wait::SOON, "sessions begin again", open, |status| *status == 200).await;
    assert_eq!(sessions[0].at(there.port).call("echo", json!({})).await.status, 200);
}

#[tokio::test]
async fn what_changed_nothing_of_a_session_or_was_done_here_takes_it_from_nobody() {
    let server = Legacy::start();
    let config = json!({ "servers": { "one": server.config() } });
    for how in ["a change of this gateway's own", "a note of use elsewhere"] {
        let mut redis = Redis::start().await;
        let here = redis.gateway(&config).await;
        let session = Session::open(here.port, PATH).await;
        let looks = async || {
            let stats: String = redis.ask(cmd("INFO").arg("commandstats")).await;
            stats
                .lines()
                .filter(|line| line.starts_with("cmdstat_getrange:"))
                .map(ToOwned::to_owned)
                .collect::<String>()
        };
        let before = looks().await;
        if how.starts_with("a change") {
            let level = session.request("logging/setLevel", json!({ "level": "warning" })).await;
            assert_eq!(level.status, 200, "{level:?}");
        } else {
            let name = redis.sessions().await.pop().unwrap();
            assert_eq!(redis.ask::<i64>(cmd("PEXPIRE").arg(name).arg(100_000_000)).await, 1);
        }
        wait::becomes(wait::SOON, "it is looked at", looks, |after| *after != before).await;
        redis.kill().await;
        let at_hand = session.call("echo", json!({})).await;
        assert_eq!(at_hand.status, 200, "{how}: {at_hand:?}");
    }
}

#[tokio::test]
async fn a_redis_that_stops_around_a_change_of_this_gateways_own_takes_the_session_from_nobody() {
    let (server, redis) = (Legacy::start(), Redis::start().await);
    let here = redis.gateway(&json!({ "servers": { "one": server.config() } })).await;
    let session = Session::open(here.port, PATH).await;
    for round in 0..60 {
        let level = if round % 2 == 0 { "warning" } else { "error" };
        let changed = session.request("logging/setLevel", json!({ "level": level }));
        // at another moment each time: before it is asked, before it answers, before it is asked what is kept now
        let stopped = async {
            tokio::time::sleep(Duration::from_micros(100 * round)).await;
            redis.signal(Signal::STOP);
        };
        let (changed, ()) = tokio::join!(changed, stopped);
        assert!(matches!(changed.status, 200 | 503), "{changed:?}");
        let at_hand = session.call("echo", json!({})).await;
        assert_eq!(at_hand.status, 200, "in round {round}, after {}: {at_hand:?}", changed.status);
        redis.signal(Signal::CONT);
        let opened = async || initialize(&here).await.status;
        wait::becomes(wait::SOON, "Redis is there again", opened, |status| *status == 200).await;
        // what is told of the change comes later than it takes to be the gateway's own: the copy is held against the record
        let held = async || session.call("echo", json!({})).await.status;
        wait::becomes(wait::SOON, "the session is as Redis has it", held, |status| *status == 200).await;
    }
}

/// Whether somebody waits for Redis to do this, which it was told to put off.
async fn waits(redis: &Redis, command: &str) -> bool {
    let clients: String = redis.ask(cmd("CLIENT").arg("LIST")).await;
    let flags = |line: &str| line.split_once(" flags=").and_then(|(_, rest)| rest.split(' ').next().map(str::to_owned));
    let is_blocked = |line: &str| flags(line).is_some_and(|flags| flags.contains('b'));
    clients.lines().any(|line| line.contains(&format!(" cmd={command} ")) && is_blocked(line))
}

#[tokio::test]
async fn a_change_that_fails_while_redis_is_away_takes_the_session_from_nobody() {
    let server = Legacy::start();
    let config = json!({ "servers": { "one": server.config() } });
    for signal in [Signal::KILL, Signal::STOP] {
        let mut redis = Redis::start().await;
        let (here, there) = (redis.gateway(&config).await, redis.gateway(&config).await);
        let session = Session::open(here.port, PATH).await;
        let set_level = async || session.request("logging/setLevel", json!({ "level": "warning" })).await.status;
        redis.signal(signal);
        // the first ones may be sent, and Redis may do what they ask for when it is back
        let begun = Instant::now();
        while begun.elapsed() < RECOVERY {
            assert_eq!(set_level().await, 503, "{signal:?}");
            assert_eq!(session.call("echo", json!({})).await.status, 200, "{signal:?} after {:?}", begun.elapsed());
        }
        assert_eq!(session.delete().await.status, 503, "{signal:?}");
        assert_eq!(session.call("echo", json!({})).await.status, 200, "{signal:?}: nothing was ended");
        match signal {
            Signal::KILL => redis.again().await,
            _ => redis.signal(Signal::CONT),
        }
        wait::becomes(wait::SOON, "it is changed again", set_level, |status| *status == 200).await;
        for port in [here.port, there.port] {
            let call = async || session.at(port).call("echo", json!({})).await.status;
            wait::becomes(wait::SOON, "it goes on", call, |status| *status == 200).await;
        }
    }
}

#[tokio::test]
async fn servers_are_told_of_sessions_that_redis_removed_when_nobody_waited_for_it_any_more() {
    let (server, redis) = (Legacy::start(), Redis::start().await);
    let config = json!({ "servers": { "one": server.config() }, "proxy": { "limits": { "session_idle_seconds": 2 } } });
    let here = redis.gateway(&config).await;
    Session::open(here.port, PATH).await;
    let name = redis.sessions().await.pop().unwrap();
    let left = async || redis.ask::<i64>(cmd("PTTL").arg(&name)).await;
    // what is written next is the removal
    wait::becomes(wait::SOON, "its use was noted", left, |left| *left < 6500).await;
    redis.ask::<String>(cmd("CLIENT").arg("PAUSE").arg(60_000).arg("WRITE")).await;
    wait::becomes(wait::SOON, "the removal waits", async || waits(&redis, "getdel").await, |waits| *waits).await;
    // it is given up; the connection is not yet
    tokio::time::sleep(Duration::from_millis(500)).await;
    redis.ask::<String>(cmd("CLIENT").arg("UNPAUSE")).await;
    wait::becomes(wait::SOON, "it is removed", async || redis.sessions().await.len(), |kept| *kept == 0).await;
    until("the server is told", || (server.verbs("DELETE").len() == 1).then_some(())).await;
}

#[tokio::test]
async fn a_change_is_heard_though_this_gateway_notes_a_use_in_the_same_moment() {
    let (server, redis) = (Legacy::start(), Redis::start().await);
    // uses are noted once a second
    let limits = json!({ "session_idle_seconds": 4 });
    let config = json!({ "servers": { "one": server.config() }, "proxy": { "limits": limits } });
    let here = redis.gateway(&config).await;
    let session = Session::open(here.port, PATH).await;
    let name = redis.sessions().await.pop().unwrap();
    // what writes waits, and is then done in one turn
    redis.ask::<String>(cmd("CLIENT").arg("PAUSE").arg(60_000).arg("WRITE")).await;
    let mut change = cmd("SET");
    change.arg(&name).arg("nobody's").arg("KEEPTTL");
    let changed = redis.ask::<String>(&change);
    let noted = async {
        wait::becomes(wait::SOON, "the change waits", async || waits(&redis, "set").await, |waits| *waits).await;
        assert_eq!(session.call("echo", json!({})).await.status, 200);
        wait::becomes(wait::SOON, "the note of use waits", async || waits(&redis, "pexpire").await, |waits| *waits)
            .await;
        redis.ask::<String>(cmd("CLIENT").arg("UNPAUSE")).await;
    };
    tokio::join!(changed, noted);
    let over = async || session.call("echo", json!({})).await.status;
    wait::becomes(wait::SOON, "the session is over", over, |status| *status == 404).await;
}

#[tokio::test]
async fn a_gateway_starts_without_redis_and_uses_it_when_it_comes() {
    let (server, modern, mut redis) = (Legacy::start(), Modern::start(), Redis::start().await);
    redis.kill().await;
    let gateway = redis.gateway(&config(&server, &modern)).await;
    modern_works(&gateway).await;
    let (reply, took) = timed(initialize(&gateway)).await;
    assert_eq!(reply.status, 503, "{reply:?}");
    assert!(took < VERDICT, "{took:?}");
    redis.again().await;
    let back = Instant::now();
    wait::becomes(wait::SOON, "sessions begin", async || initialize(&gateway).await.status, |s| *s == 200).await;
    assert!(back.elapsed() < RECOVERY, "{:?}", back.elapsed());
}

#[tokio::test]
async fn who_writes_to_redis_can_neither_make_nor_move_nor_change_a_session() {
    let (server, redis) = (Legacy::start(), Redis::start().await);
    let clients = json!({ "alice": { "api_key": "alice-key-0123456789abcdef" }, "bob": { "api_key": "bob-key-0123456789abcdef0" } });
    let config = json!({ "servers": { "one": server.config() }, "clients": clients });
    let here = redis.gateway(&config).await;
    let alice = Session::with(here.port, PATH, json!({}), Some("alice-key-0123456789abcdef")).await;
    let of_alice = redis.sessions().await.pop().unwrap();
    let bob = Session::with(here.port, PATH, json!({}), Some("bob-key-0123456789abcdef0")).await;
    assert_eq!(bob.call("echo", json!({})).await.status, 200);
    let own = server.calls("echo").pop().unwrap().header("mcp-session-id").map(ToOwned::to_owned);
    let of_bob = redis.sessions().await.into_iter().find(|name| *name != of_alice).unwrap();
    let record: Vec<u8> = redis.ask(cmd("GET").arg(&of_alice)).await;
    assert!(memchr::memmem::find(&record, b"initialize").is_none(), "what is kept is sealed");
    let set = async |name: &str, value: &[u8]| redis.ask::<String>(cmd("SET").arg(name).arg(value)).await;
    let there = redis.gateway(&config).await;
    // alice's record in the place of bob's: bob would go on with alice's session at the server
    set(&of_bob, &record).await;
    assert_eq!(bob.at(there.port).call("echo", json!({})).await.status, 404);
    // where bob's own is at hand it is that, or none
    let reply = bob.call("echo", json!({})).await;
    let went_to = server.calls("echo").pop().unwrap().header("mcp-session-id").map(ToOwned::to_owned);
    assert!(reply.status == 404 || went_to == own, "{reply:?} {went_to:?}");
    let sent = server.received().len();
    for at in (0..record.len()).step_by(7) {
        let mut forged = record.clone();
        forged[at] ^= 0x20;
        set(&of_alice, &forged).await;
        assert_eq!(alice.at(there.port).call("echo", json!({})).await.status, 404, "byte {at}");
    }
    for rubbish in [&b""[..], b"x", &[0; 8], &[0xff; 200]] {
        set(&of_alice, rubbish).await;
        assert_eq!(alice.at(there.port).call("echo", json!({})).await.status, 404, "{rubbish:?}");
    }
    assert_eq!(server.received().len(), sent, "nothing of it came to the server");
}

#[tokio::test]
async fn gateways_with_other_keys_do_not_know_the_sessions() {
    let (server, redis) = (Legacy::start(), Redis::start().await);
    let config = json!({ "servers": { "one": server.config() } });
    let here = redis.gateway(&config).await;
    let other = KEYS.replace("1:AQID", "1:AQIE");
    let start = Start::new(config).env("SLUICE_REDIS", &redis.url()).env("SLUICE_SESSION_KEYS", &other);
    let there = start.ready().await;
    let session = Session::open(here.port, PATH).await;
    assert_eq!(session.at(there.port).call("echo", json!({})).await.status, 404);
}

#[tokio::test]
async fn a_session_takes_less_than_a_kilobyte_and_one_round_trip() {
    let (server, redis) = (Legacy::start(), Redis::start().await);
    let here = redis.gateway(&json!({ "servers": { "one": server.config() } })).await;
    let calls = async || -> u64 {
        let stats: String = redis.ask(cmd("INFO").arg("commandstats")).await;
        let count = |line: &str| line.split_once("calls=")?.1.split(',').next()?.parse::<u64>().ok();
        let ours =
            ["cmdstat_set:", "cmdstat_get:", "cmdstat_eval:", "cmdstat_getdel:", "cmdstat_exists:", "cmdstat_pexpire:"];
        stats.lines().filter(|line| ours.iter().any(|name| line.starts_with(name))).filter_map(count).sum()
    };
    let before = calls().await;
    let session = Session::open(here.port, PATH).await;
    assert_eq!(calls().await - before, 1, "a session begins with one command");
    for _ in 0..50 {
        assert_eq!(session.call("echo", json!({})).await.status, 200);
    }
    assert_eq!(calls().await - before, 1, "and is used without any");
    let name = redis.sessions().await.pop().unwrap();
    let bytes: u64 = redis.ask(cmd("MEMORY").arg("USAGE").arg(&name)).await;
    assert!(bytes < 1024, "{bytes} bytes");
}

/// Starts where starting must fail; what was said.
fn refused(start: Start) -> String {
    let (status, said) = start.arg("--listen").arg("127.0.0.1:0").arg("--admin").arg("127.0.0.1:0").refused();
    assert!(!status.success(), "{said}");
    said
}

#[tokio::test]
async fn a_shared_store_without_keys_is_refused_and_says_what_to_do() {
    let start = || Start::new(json!({ "servers": {} }));
    let said = refused(start().env("SLUICE_REDIS", "redis://127.0.0.1:1"));
    assert!(said.contains("--session-keys") && said.contains("openssl rand"), "{said}");
    let sessions = json!({ "store": "redis", "url": "redis://u:canary@127.0.0.1:1" });
    let said = refused(Start::new(json!({ "servers": {}, "proxy": { "sessions": sessions } })));
    assert!(said.contains("--session-keys") && !said.contains("canary"), "{said}");
    for (keys, part) in [("nonsense", "line 1"), ("", "--session-keys"), ("1:c2hvcnQ=", "line 1")] {
        let said = refused(start().env("SLUICE_REDIS", "redis://127.0.0.1:1").env("SLUICE_SESSION_KEYS", keys));
        assert!(said.contains(part) && !said.contains("nonsense"), "{said}");
    }
    for url in ["http://127.0.0.1", "redis://", "canary"] {
        let said = refused(start().env("SLUICE_REDIS", url).env("SLUICE_SESSION_KEYS", KEYS));
        assert!(!said.contains("canary"), "{url}: {said}");
    }
}

#[tokio::test]
async fn the_configuration_chooses_the_store_and_shows_no_password() {
    let (server, redis) = (Legacy::start(), Redis::locked("canary-password").await);
    let url = redis.url();
    let sessions = json!({ "store": "redis", "url": "${STORE}", "prefix": "mine:" });
    let config = json!({ "servers": { "one": server.config() }, "proxy": { "sessions": sessions } });
    let start = || Start::new(config.clone()).env("STORE", &url).env("SLUICE_SESSION_KEYS", KEYS);
    let (here, there) = (start().ready().await, start().ready().await);
    let session = Session::open(here.port, PATH).await;
    assert_eq!(session.at(there.port).call("echo", json!({})).await.status, 200);
    let shown: Value = serde_json::from_slice(&here.admin("/config").await.body).unwrap();
    assert_eq!((&shown["sessions"]["store"], &shown["sessions"]["prefix"]), (&json!("redis"), &json!("mine:")));
    for text in [shown.to_string(), here.log(), there.log(), here.admin("/metrics").await.text()] {
        assert!(!text.contains("canary"), "{text}");
    }
}

#[tokio::test]
async fn a_redis_behind_tls_is_known_by_its_name_and_certificate() {
    let (server, redis) = (Legacy::start(), Redis::start().await);
    let (port, certificate) = encrypted(redis.port).await;
    for (host, status) in [("localhost", 200), ("127.0.0.1", 503)] {
        let start = Start::new(json!({ "servers": { "one": server.config() } })).env("SLUICE_SESSION_KEYS", KEYS);
        let trusted = start.folder().join("trusted.pem");
        std::fs::write(&trusted, &certificate).unwrap();
        let start = start.env("SSL_CERT_FILE", trusted.to_str().unwrap());
        let gateway = start.env("SLUICE_REDIS", &format!("rediss://{host}:{port}")).ready().await;
        assert_eq!(initialize(&gateway).await.status, status, "{host}");
    }
    assert_eq!(redis.sessions().await.len(), 1);
}

/// One that follows a Redis, and a sentinel that knows both.
async fn watched(redis: &Redis) -> (Redis, Redis) {
    let (follower, sentinel) = (Redis::following(redis).await, Redis::watching(redis).await);
    let follows = async || redis.ask::<String>(cmd("INFO").arg("replication")).await.contains("state=online");
    wait::becomes(wait::SOON, "it is followed", follows, |follows| *follows).await;
    let known = async || -> String {
        let slaves: Vec<Vec<String>> = sentinel.ask(cmd("SENTINEL").arg("REPLICAS").arg("mine")).await;
        format!("{slaves:?}")
    };
    let at = follower.port.to_string();
    wait::becomes(Duration::from_secs(30), "the sentinel knows", known, |known| known.contains(&at)).await;
    (follower, sentinel)
}

#[tokio::test]
async fn sentinels_say_where_redis_is_also_after_a_failover() {
    let (server, mut redis) = (Legacy::start(), Redis::start().await);
    let (follower, sentinel) = watched(&redis).await;
    let config = json!({ "servers": { "one": server.config() } });
    let url = format!("redis+sentinel://127.0.0.1:{}/mine", sentinel.port);
    let start = || Start::new(config.clone()).env("SLUICE_REDIS", &url).env("SLUICE_SESSION_KEYS", KEYS);
    let (here, there) = (start().ready().await, start().ready().await);
    // on a machine that is busy, a Redis that is there may be late: clients then come again
    let open = async || Session::try_with(here.port, PATH, json!({}), None).await.ok();
    let sessions = join_all((0..20).map(|_| wait::eventually("a session", open))).await;
    let behind = async || redis.sessions().await.len() - follower.sessions().await.len();
    wait::becomes(wait::SOON, "the follower has them", behind, |behind| *behind == 0).await;
    redis.kill().await;
    let (killed, other) = (Instant::now(), sessions[0].at(there.port));
    let again = async || {
        let at_hand = sessions[1].call("echo", json!({})).await;
        assert_eq!(at_hand.status, 200, "at hand: {at_hand:?} after {:?}", killed.elapsed());
        other.call("echo", json!({})).await.status
    };
    wait::becomes(Duration::from_secs(20), "sessions at the follower", again, |status| *status == 200).await;
    join_all(sessions.iter().map(async |session| {
        let (session, what) = (session.at(there.port), "each is at the follower");
        let call = async || session.call("echo", json!({})).await.status;
        assert_eq!(wait::becomes(wait::SOON, what, call, |status| *status != 503).await, 200);
    }))
    .await;
    wait::becomes(wait::SOON, "new ones", async || initialize(&here).await.status, |status| *status == 200).await;
    // one that was answered 503 may have been kept all the same
    assert!(follower.sessions().await.len() > sessions.len());
}

#[tokio::test]
async fn a_redis_that_sentinels_do_not_name_any_more_is_left_though_it_takes_writes() {
    let (server, redis) = (Legacy::start(), Redis::start().await);
    let (follower, mut sentinel) = watched(&redis).await;
    let config = json!({ "servers": { "one": server.config() } });
    let url = format!("redis+sentinel://127.0.0.1:{}/mine", sentinel.port);
    let start = || Start::new(config.clone()).env("SLUICE_REDIS", &url).env("SLUICE_SESSION_KEYS", KEYS);
    let here = start().ready().await;
    let before = Session::open(here.port, PATH).await;
    // it knows the follower, and not at once that it is a good one
    let begun = async || sentinel.try_ask::<String>(cmd("SENTINEL").arg("FAILOVER").arg("mine")).await;
    wait::eventually_within(Duration::from_secs(30), "the sentinel has another take over", begun).await;
    let named = async || {
        let (_, port): (String, u16) = sentinel.ask(cmd("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg("mine")).await;
        port
    };
    wait::becomes(Duration::from_secs(30), "the follower is named", named, |port| *port == follower.port).await;
    let since = Instant::now();
    let lines = async || {
        let clients: String = follower.ask(cmd("CLIENT").arg("LIST").arg("TYPE").arg("NORMAL")).await;
        // lines are told of changes
        clients
            .lines()
            .filter(|client| client.split_once(" flags=").is_some_and(|(_, rest)| rest.starts_with('t')))
            .count()
    };
    wait::becomes(wait::SOON, "the gateway is at the follower", lines, |lines| *lines == 1).await;
    assert!(since.elapsed() < RECOVERY, "{:?}", since.elapsed());
    let role: Vec<redis::Value> = redis.ask(&cmd("ROLE")).await;
    assert_eq!(role[0], redis::Value::BulkString(b"master".to_vec()), "the one from before still takes writes");
    let there = start().ready().await;
    for (at, other) in [(&here, &there), (&there, &here)] {
        let session = Session::open(at.port, PATH).await;
        for session in [&session, &before] {
            assert_eq!(session.at(other.port).call("echo", json!({})).await.status, 200);
        }
    }
    // while no sentinel answers, nobody knows better
    sentinel.kill().await;
    wait::throughout(RECOVERY, Duration::from_millis(50), async || {
        assert_eq!(initialize(&here).await.status, 200);
    })
    .await;
}
