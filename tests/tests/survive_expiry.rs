//! Sessions that are to end do, whoever is left: at their age, when what keeps them is away for too long, and when all who held them
//! are gone.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};
use sluice_tests::clock::Clock;
use sluice_tests::gateway::Start;
use sluice_tests::upstream::Legacy;
use sluice_tests::{Gateway, Redis, Session, until, wait};

const PATH: &str = "/servers/one/mcp";
const DAY: Duration = Duration::from_secs(86_400);
/// Sessions that are at hand go on for so long while Redis does not answer; and what a busy machine adds to it here.
const HELD_OVER: Duration = Duration::from_secs(30);
const NOTICED: Duration = Duration::from_secs(5);

fn config(server: &Legacy) -> Value {
    json!({ "servers": { "one": server.config() } })
}

async fn status(session: &Session) -> u16 {
    session.request("ping", json!({})).await.status
}

async fn becomes(session: &Session, expected: u16) {
    wait::becomes(wait::SOON, "the session's end", async || status(session).await, |status| *status == expected).await;
}

async fn by(clock: &Clock, start: Start) -> Gateway {
    clock.environment().iter().fold(start, |start, (name, value)| start.env(name, value)).ready().await
}

#[tokio::test]
async fn a_session_ends_after_thirty_days_though_it_is_used() {
    let (clock, server, redis) = (Clock::default(), Legacy::start(), Redis::start().await);
    // in memory it would idle by the clock of timers, which stays as it is
    let gateways = [
        by(&clock, Start::new(config(&server))).await,
        by(&clock, redis.started(&config(&server))).await,
        by(&clock, redis.started(&config(&server))).await,
    ];
    let [memory, here] = [&gateways[0], &gateways[1]].map(|gateway| gateway.port);
    let (kept_here, kept) = (Session::open(memory, PATH).await, Session::open(here, PATH).await);
    let elsewhere = kept.at(gateways[2].port);
    assert_eq!(status(&elsewhere).await, 200);
    for days in [1, 15, 29] {
        clock.is_ahead(days * DAY);
        let sweeps = Duration::from_secs(2);
        wait::throughout(sweeps, Duration::from_millis(200), async || {
            for session in [&kept_here, &kept, &elsewhere] {
                assert_eq!(status(session).await, 200, "after {days} days");
            }
        })
        .await;
    }
    clock.is_ahead(30 * DAY + Duration::from_secs(1));
    for session in [&kept_here, &kept, &elsewhere] {
        becomes(session, 404).await;
    }
    until("the server is told of each once", || (server.verbs("DELETE").len() == 2).then_some(())).await;
    assert_eq!(redis.sessions().await.len(), 0);
    assert_eq!(status(&Session::open(here, PATH).await).await, 200, "another one begins");
}

#[tokio::test]
async fn without_redis_sessions_at_hand_go_on_for_thirty_seconds() {
    let (server, redis) = (Legacy::start(), Redis::start().await);
    let gateway = redis.gateway(&config(&server)).await;
    let session = Session::open(gateway.port, PATH).await;
    assert_eq!(status(&session).await, 200);
    let asked = Instant::now();
    redis.signal(Signal::STOP);
    let stopped = Instant::now();
    // it was heard last some time before it stopped
    let surely = HELD_OVER - Duration::from_secs(1);
    let (mut last, mut over) = (asked, None);
    while over.is_none() && stopped.elapsed() < HELD_OVER + NOTICED {
        let sent = Instant::now();
        let reply = session.request("ping", json!({})).await;
        match reply.status {
            200 => last = sent,
            503 if sent.duration_since(asked) < surely => panic!("after {:?}: {reply:?}", sent.duration_since(asked)),
            503 => over = Some((sent, reply)),
            _ => panic!("{reply:?}"),
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    let (at, reply) = over.expect("it is not held for ever");
    assert_eq!(reply.header("retry-after"), Some("1"), "never 404: {reply:?}");
    assert!(last < at && at.duration_since(stopped) < HELD_OVER + NOTICED);
    redis.signal(Signal::CONT);
    becomes(&session, 200).await;
    assert_eq!(server.got("initialize").len(), 1, "it is the same session");
}

#[tokio::test]
async fn a_session_idles_though_all_who_held_it_are_dead() {
    let (server, redis) = (Legacy::start(), Redis::start().await);
    let mut config = config(&server);
    config["proxy"] = json!({ "limits": { "session_idle_seconds": 1 } });
    let mut gateways = [redis.gateway(&config).await, redis.gateway(&config).await];
    let session = Session::open(gateways[0].port, PATH).await;
    assert_eq!(status(&session.at(gateways[1].port)).await, 200);
    for gateway in &mut gateways {
        gateway.signal(Signal::KILL);
        gateway.ended().await;
    }
    assert_eq!(redis.sessions().await.len(), 1);
    let forgotten = Duration::from_secs(30);
    wait::becomes(forgotten, "it is forgotten", async || redis.sessions().await.len(), |left| *left == 0).await;
    let other = redis.gateway(&config).await;
    assert_eq!(status(&session.at(other.port)).await, 404);
    assert!(server.verbs("DELETE").is_empty(), "nobody is left who could tell the server: it lets it idle, too");
}
