//! Sessions in a Redis Cluster: on any gateway while slots move, and when a master is killed or stands still, nobody is told
//! that a session is not there, and nobody goes on with one that is over.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use redis::cmd;
use rustix::process::Signal;
use serde_json::{Value, json};
use sluice_tests::redis_cluster::AGREED;
use sluice_tests::upstream::Legacy;
use sluice_tests::{Call, Gateway, RedisCluster, Reply, Session, message, until, wait};

const PATH: &str = "/servers/one/mcp";
/// What is promised; and what a busy machine adds to it here.
const VERDICT: Duration = Duration::from_millis(300 + 700);
const RULE: Duration = Duration::from_secs(1 + 2);

fn one(server: &Legacy) -> Value {
    json!({ "servers": { "one": server.config() } })
}

async fn call(session: &Session, at: &Gateway) -> Reply {
    let begun = Instant::now();
    let reply = session.at(at.port).call("echo", json!({})).await;
    assert!(begun.elapsed() < VERDICT, "{:?}: {reply:?}", begun.elapsed());
    reply
}

/// A session is there, or nobody knows at the moment.
fn is_served(reply: &Reply) -> bool {
    match reply.status {
        200 => true,
        503 => {
            assert!(reply.header("retry-after").is_some(), "{reply:?}");
            false
        }
        _ => panic!("{reply:?}"),
    }
}

async fn initialize(gateway: &Gateway) -> u16 {
    let message = message::initialize(message::LEGACY, json!({})).to_string();
    Call::post(PATH, message).send(gateway.port).await.status
}

async fn is_over(session: &Session, at: &Gateway) {
    let begun = Instant::now();
    let over = async || session.at(at.port).call("echo", json!({})).await.status;
    wait::becomes(AGREED, "the session is over", over, |status| *status == 404).await;
    assert!(begun.elapsed() < RULE, "{:?}", begun.elapsed());
}

/// Ends a session where its master may still be missed: calls are served from copies before each line is up again.
async fn end(session: &Session, at: &Gateway) {
    let mut unknown = false;
    let end = async || {
        let status = session.at(at.port).delete().await.status;
        match status {
            503 => unknown = true,
            404 => assert!(unknown, "only what was asked before may have ended it"),
            _ => assert_eq!(status / 100, 2),
        }
        status
    };
    wait::becomes(AGREED, "the session is ended", end, |status| *status != 503).await;
}

/// The node that has the only session, and its key.
async fn holder(cluster: &RedisCluster) -> (usize, String) {
    for node in 0..3 {
        if let Some(key) = cluster.sessions(node).await.pop() {
            return (node, key);
        }
    }
    panic!("nobody has the session");
}

/// Forty sessions that each master has a part of and both gateways serve, opened at the first.
async fn spread(cluster: &RedisCluster, [here, there]: [&Gateway; 2]) -> Vec<Session> {
    let sessions = join_all((0..40).map(|_| Session::open(here.port, PATH))).await;
    for node in 0..3 {
        assert!(!cluster.sessions(node).await.is_empty(), "each master has some");
    }
    for at in [there, here] {
        let replies = join_all(sessions.iter().map(|session| call(session, at))).await;
        assert!(replies.iter().all(is_served), "{replies:?}");
    }
    sessions
}

#[tokio::test]
async fn masters_share_the_sessions_and_any_gateway_serves_them() {
    let (server, cluster) = (Legacy::start(), RedisCluster::start().await);
    let (here, there) = (cluster.gateway(&one(&server)).await, cluster.gateway_of_few_rights(&one(&server)).await);
    let sessions = spread(&cluster, [&here, &there]).await;
    assert_eq!(server.got("initialize").len(), 40, "nothing was opened again");
    let elsewhere: Vec<_> = sessions.iter().map(|session| session.at(there.port)).collect();
    join_all(elsewhere.iter().map(Session::delete)).await;
    join_all(sessions.iter().map(|session| is_over(session, &here))).await;
    for node in 0..3 {
        assert!(cluster.sessions(node).await.is_empty());
    }
    for gateway in [&here, &there] {
        assert_eq!(gateway.metric("sluice_session_store_up", &["store=\"redis\""]).await, 1.0);
    }
}

#[tokio::test]
async fn a_session_whose_slot_moves_is_served_all_the_while_and_what_becomes_of_it_is_heard() {
    let (server, cluster) = (Legacy::start(), RedisCluster::start().await);
    let (here, there) = (cluster.gateway(&one(&server)).await, cluster.gateway(&one(&server)).await);
    let session = Session::open(here.port, PATH).await;
    let both = async |what: &str| {
        for at in [&here, &there, &here, &there] {
            assert!(is_served(&call(&session, at).await), "{what}");
        }
    };
    both("before").await;
    let (from, key) = holder(&cluster).await;
    let to = (from + 1) % 3;
    let slot: u16 = cluster.ask(from, cmd("CLUSTER").arg("KEYSLOT").arg(&key)).await;
    let set = async |node: usize, how: &str, of: usize| {
        let name = cluster.name(of).await;
        let _: () = cluster.ask(node, cmd("CLUSTER").arg("SETSLOT").arg(slot).arg(how).arg(name)).await;
    };
    set(to, "IMPORTING", from).await;
    set(from, "MIGRATING", to).await;
    both("about to move").await;
    let port = cluster.nodes[to].port;
    let moving = cmd("MIGRATE").arg("127.0.0.1").arg(port).arg("").arg(0).arg(5000).arg("KEYS").arg(&key).clone();
    assert_eq!(cluster.ask::<String>(from, &moving).await, "OK");
    both("moved, and its slot has not").await;
    let level = session.at(there.port).request("logging/setLevel", json!({ "level": "warning" })).await;
    assert_eq!(level.status, 200, "{level:?}");
    both("changed").await;
    for node in [to, from, 3 - from - to] {
        set(node, "NODE", to).await;
    }
    wait::throughout(Duration::from_secs(2), Duration::from_millis(20), async || both("arrived").await).await;
    assert_eq!(cluster.sessions(to).await, [key]);
    assert_eq!(server.got("initialize").len(), 1);
    // the copies that both have are told by its new master
    assert_eq!(session.at(there.port).delete().await.status / 100, 2);
    is_over(&session, &here).await;
}

#[tokio::test]
async fn sessions_of_a_master_that_is_killed_are_there_again_with_its_replica() {
    let (server, mut cluster) = (Legacy::start(), RedisCluster::start().await);
    let (here, there) = (cluster.gateway(&one(&server)).await, cluster.gateway(&one(&server)).await);
    let sessions = join_all((0..30).map(|_| Session::open(here.port, PATH))).await;
    cluster.replicated(30).await;
    assert!(!cluster.sessions(0).await.is_empty());
    cluster.nodes[0].kill().await;
    let (killed, mut refused) = (Instant::now(), 0);
    let all = async || {
        let calls = sessions.iter().flat_map(|session| [call(session, &here), call(session, &there)]);
        let replies = join_all(calls).await;
        let waiting = replies.iter().filter(|reply| !is_served(reply)).count();
        refused += waiting;
        waiting
    };
    wait::becomes(AGREED, "all are served", all, |waiting| *waiting == 0).await;
    assert!(refused > 0, "its replica took its place after {:?} without anybody waiting", killed.elapsed());
    assert_eq!(server.got("initialize").len(), 30, "nothing was opened again");
    let begin =
        async || join_all((0..10).map(|_| initialize(&here))).await.iter().filter(|status| **status != 200).count();
    wait::becomes(AGREED, "new ones begin", begin, |refused| *refused == 0).await;
    join_all(sessions.iter().map(|session| end(session, &there))).await;
    join_all(sessions.iter().map(|session| is_over(session, &here))).await;
}

#[tokio::test]
async fn nobody_goes_on_with_what_a_master_that_stood_still_believes() {
    let (server, cluster) = (Legacy::start(), RedisCluster::start().await);
    let (here, there) = (cluster.gateway(&one(&server)).await, cluster.gateway(&one(&server)).await);
    let session = Session::open(here.port, PATH).await;
    assert!(is_served(&call(&session, &here).await) && is_served(&call(&session, &there).await));
    let (node, _) = holder(&cluster).await;
    cluster.replicated(1).await;
    cluster.nodes[node].signal(Signal::STOP);
    // the end counts once it is acknowledged, and that is when the replica has taken over
    let end = async || session.at(there.port).delete().await.status;
    wait::becomes(AGREED, "the session is ended", end, |status| status / 100 == 2).await;
    is_over(&session, &here).await;
    cluster.nodes[node].signal(Signal::CONT);
    wait::throughout(Duration::from_secs(3), Duration::from_millis(20), async || {
        for at in [&here, &there] {
            let status = session.at(at.port).call("echo", json!({})).await.status;
            assert!(matches!(status, 404 | 503), "{status}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_cluster_behind_tls_is_known_by_the_names_its_nodes_give_themselves() {
    let (server, mut cluster) = (Legacy::start(), RedisCluster::encrypted().await);
    let (here, there) = (cluster.gateway(&one(&server)).await, cluster.gateway(&one(&server)).await);
    let sessions = spread(&cluster, [&here, &there]).await;
    cluster.replicated(40).await;
    cluster.nodes[0].kill().await;
    let all = async || {
        let replies = join_all(sessions.iter().flat_map(|session| [call(session, &here), call(session, &there)])).await;
        replies.iter().filter(|reply| !is_served(reply)).count()
    };
    wait::becomes(AGREED, "all are served", all, |waiting| *waiting == 0).await;
    assert_eq!(server.got("initialize").len(), 40, "nothing was opened again");
    join_all(sessions.iter().map(|session| end(session, &there))).await;
    join_all(sessions.iter().map(|session| is_over(session, &here))).await;
}

#[tokio::test]
async fn a_cluster_whose_certificate_is_for_other_names_is_not_used_and_that_is_said() {
    let (server, cluster) = (Legacy::start(), RedisCluster::encrypted().await);
    let unnamed = cluster.gateway_by("127.0.0.1", &one(&server)).await;
    for node in 0..6 {
        let mut set = cmd("CONFIG");
        set.arg("SET").arg("cluster-preferred-endpoint-type").arg("ip");
        assert_eq!(cluster.ask::<String>(node, &set).await, "OK");
    }
    let sent_elsewhere = cluster.gateway(&one(&server)).await;
    for gateway in [&unnamed, &sent_elsewhere] {
        assert_eq!(initialize(gateway).await, 503);
        let said = || gateway.log().contains("its certificate is not for the name it is reached by").then_some(());
        until("it is said why", said).await;
    }
}
