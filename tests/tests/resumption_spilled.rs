//! Answers whose clients are away while the node that keeps them ends: they are there when the clients come back, at another node that
//! shares its store, or at the same one, started again.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use rustix::process::Signal;
use serde_json::{Value, json};
use sluice_tests::gateway::{Start, sluice};
use sluice_tests::upstream::Pipe;
use sluice_tests::works::Works;
use sluice_tests::{Gateway, Redis, Session, message, wait};

const PATH: &str = "/servers/one/mcp";

fn note(n: usize) -> Value {
    message::notification("notifications/message", json!({ "level": "info", "data": n }))
}

/// Two calls whose client goes away: one is answered then, the other while the gateway ends. What each is asked for again by, and its
/// JSON-RPC id.
async fn ends(gateway: &mut Gateway, session: &Session, works: &Works) -> [(String, Value); 2] {
    let mut streams = Vec::new();
    let mut waiting = Vec::new();
    for _ in 0..2 {
        let mut stream = session.stream("work", json!({})).await;
        let (id, pipe) = works.call().await;
        waiting.push((stream.primed().await, id, pipe));
        streams.push(stream);
    }
    drop(streams);
    let open = async || gateway.metric("sluice_connections", &[]).await;
    wait::becomes(wait::SOON, "the clients are gone", open, |open| *open < 0.5).await;
    let say = async |(_, id, pipe): &(String, Value, Pipe)| {
        assert!(pipe.event(&note(1)).await);
        assert!(pipe.event(&message::response(id, message::text("worked"))).await);
    };
    say(&waiting[0]).await;
    gateway.signal(Signal::TERM);
    let admin = gateway.admin;
    let ready = async || sluice_tests::Call::get("/readyz").bare().try_send(admin).await.map(|reply| reply.status);
    wait::becomes(wait::SOON, "it is about to end", ready, |status| *status != Some(200)).await;
    say(&waiting[1]).await;
    assert_eq!(gateway.ended().await.code(), Some(0));
    [0, 1].map(|n| (waiting[n].0.clone(), waiting[n].1.clone()))
}

/// They are there, as often as they are asked for.
async fn are_there(session: &Session, calls: &[(String, Value); 2]) {
    for (last, id) in calls.iter().chain(calls) {
        let told = session.listen(Some(last)).await.rest().await;
        assert_eq!(told.len(), 2, "{told:?}");
        assert_eq!((&told[0]["params"]["data"], &told[1]["id"]), (&json!(1), id), "{told:?}");
        assert_eq!(told[1]["result"]["content"][0]["text"], "worked", "{told:?}");
    }
}

#[tokio::test]
async fn another_node_has_what_clients_have_not_come_back_for() {
    let (works, redis) = (Works::start(), Redis::start().await);
    let config = json!({ "servers": { "one": works.server.config() } });
    let (mut here, there) = (redis.gateway(&config).await, redis.gateway(&config).await);
    let session = Session::open(here.port, PATH).await;
    let kept = ends(&mut here, &session, &works).await;
    let session = session.at(there.port);
    are_there(&session, &kept).await;
    // nobody else's
    let other = Session::open(there.port, PATH).await;
    let stolen = other.dressed(sluice_tests::Call::get(PATH)).header("last-event-id", &kept[0].0);
    assert_eq!(stolen.send(there.port).await.verdict(), (400, Some(-32600)));
    assert_eq!(works.server.calls("work").len(), 2, "nothing ran twice");
}

#[tokio::test]
async fn the_same_node_has_it_when_it_was_started_again() {
    let works = Works::start();
    let config = json!({ "servers": { "one": works.server.config() }, "proxy": { "sessions": { "store": "sqlite" } } });
    let mut gateway = Start::new(config).ready().await;
    let session = Session::open(gateway.port, PATH).await;
    let kept = ends(&mut gateway, &session, &works).await;
    let mut command = sluice(gateway.folder());
    command.arg("run").arg("--config").arg(gateway.file());
    let [listen, admin] = [gateway.port, gateway.admin].map(|port| format!("127.0.0.1:{port}"));
    command.args(["--listen", &listen, "--admin", &admin]);
    gateway.again(command);
    let admin = gateway.admin;
    assert!(gateway.is_ready(admin, "/readyz").await);
    are_there(&session, &kept).await;
}
