//! Sessions that are kept in a store, with a server that runs in several places: where a session is, is kept with it. A gateway that
//! reads of it sends there, and moves the session when it does not know the place.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use sluice_tests::catalogue::Catalogue;
use sluice_tests::client::Era;
use sluice_tests::place::{runs, several};
use sluice_tests::server::Server;
use sluice_tests::{Gateway, Redis, Session, wait};

const DOOR: &str = "/servers/one/mcp";
/// How long a changed file may take to be seen and applied.
const SEEN: Duration = Duration::from_secs(10);

fn serve(name: &str) -> Server {
    Server::start(Era::Legacy, &Catalogue::new(name).tools(2).resources(2).ttl(600_000))
}

fn config(places: &[&Server], more: Value) -> Value {
    json!({ "servers": { "one": several(places.iter().map(|place| &***place), more) } })
}

async fn all_work(sessions: &[Session], at: &Gateway, from: u64) {
    let calls = sessions.iter().zip(from..).map(|(session, n)| {
        let session = session.at(at.port);
        async move { session.call("tool-000", json!({ "n": n })).await }
    });
    for reply in join_all(calls).await {
        assert!(reply.status == 200 && reply.rpc().get("result").is_some(), "{reply:?}");
    }
}

fn opened(places: &[&Server]) -> usize {
    places.iter().map(|place| place.got("initialize").len()).sum()
}

#[tokio::test]
async fn a_session_is_served_where_it_is_by_any_gateway_and_moved_by_one_that_does_not_know_the_place() {
    let (one, two, redis) = (serve("one"), serve("two"), Redis::start().await);
    let both = config(&[&one, &two], json!({}));
    let (here, there) = (redis.gateway(&both).await, redis.gateway(&both).await);
    // on doors of its own, and as a part of what is merged
    let sessions = join_all((0..12).map(|_| Session::open(here.port, DOOR))).await;
    for session in &sessions {
        assert_eq!(session.request("logging/setLevel", json!({ "level": "warning" })).await.status, 200);
        assert_eq!(session.request("resources/subscribe", json!({ "uri": "file:///a" })).await.status, 200);
    }
    all_work(&sessions, &there, 0).await;
    all_work(&sessions, &here, 100).await;
    let of_two = two.sessions();
    let moving = one.sessions().len();
    assert!(moving > 0 && !of_two.is_empty());
    assert_eq!(opened(&[&one, &two]), 12, "both gateways send to the endpoint that has the session");

    // one that knows only one of the two, as while a change comes to one gateway before the other
    let narrow = redis.gateway(&config(&[&two], json!({}))).await;
    let before = two.received().len();
    all_work(&sessions, &narrow, 200).await;
    assert_eq!((two.sessions().len(), opened(&[&one, &two])), (12, 12 + moving), "moved, once each");
    assert!(of_two.iter().all(|session| two.sessions().contains(session)), "those that were there stayed");
    let after = two.received().split_off(before);
    let got = |method: &'static str| after.iter().filter(move |received| received.method() == method);
    let restored = [got("logging/setLevel").count(), got("resources/subscribe").count()];
    assert_eq!(restored, [moving, moving], "with what was set in them");
    let known = two.sessions();
    let strangers = got("tools/call").filter(|call| !known.iter().any(|id| call.header("mcp-session-id") == Some(id)));
    assert_eq!(strangers.count(), 0, "no call of a session came to an endpoint that does not have it");

    // who knows both goes by what was written
    all_work(&sessions, &here, 300).await;
    all_work(&sessions, &there, 400).await;
    assert_eq!(opened(&[&one, &two]), 12 + moving);
    assert!(runs([&*one, &*two]).values().all(|times| *times == 1));
}

#[tokio::test]
async fn parts_of_the_merged_door_stay_where_they_are_on_every_gateway() {
    let (one, two, redis) = (serve("one"), serve("two"), Redis::start().await);
    let both = config(&[&one, &two], json!({}));
    let (here, there) = (redis.gateway(&both).await, redis.gateway(&both).await);
    let sessions = join_all((0..8).map(|_| Session::open(here.port, "/mcp"))).await;
    let work = async |at: &Gateway| {
        let calls = sessions.iter().map(|session| {
            let session = session.at(at.port);
            async move { session.call("one_tool-000", json!({})).await.status }
        });
        join_all(calls).await
    };
    assert_eq!(work(&here).await, [200; 8]);
    assert_eq!(work(&there).await, [200; 8]);
    assert_eq!(opened(&[&one, &two]), 8);
    let narrow = redis.gateway(&config(&[&two], json!({}))).await;
    assert_eq!(work(&narrow).await, [200; 8]);
    assert_eq!(two.sessions().len(), 8);
    assert_eq!(work(&here).await, [200; 8]);
    assert!(opened(&[&one, &two]) <= 16, "each part was moved once at most");
}

#[tokio::test]
async fn other_endpoints_and_another_curation_are_no_other_server() {
    let (one, two, three, redis) = (serve("one"), serve("two"), serve("three"), Redis::start().await);
    let (here, there) = (
        redis.gateway(&config(&[&one, &two], json!({}))).await,
        redis.gateway(&config(&[&one, &two], json!({}))).await,
    );
    let sessions = join_all((0..12).map(|_| Session::open(here.port, DOOR))).await;
    let of_two = two.sessions();
    assert!(!of_two.is_empty() && !one.sessions().is_empty());
    let curated = json!({ "tools": { "allow": ["tool-000"] } });
    let changed = config(&[&two, &three], curated);
    std::fs::write(there.file(), changed.to_string()).unwrap();
    let tools = async || {
        let session = Session::open(there.port, DOOR).await;
        let tools = session.request("tools/list", json!({})).await.result()["tools"].as_array().map(Vec::len);
        session.delete().await;
        tools
    };
    wait::becomes(SEEN, "the change is applied", tools, |tools| *tools == Some(1)).await;
    all_work(&sessions, &there, 0).await;
    assert!(of_two.iter().all(|session| two.sessions().contains(session)), "what could stay, stayed");
    // a gateway that was not there before, and knows only what was written
    let fresh = redis.gateway(&changed).await;
    all_work(&sessions, &fresh, 100).await;
    all_work(&sessions, &there, 200).await;
    assert!(of_two.iter().all(|session| two.sessions().contains(session)));
    assert_eq!(two.sessions().len() + three.sessions().len(), 12);
    assert!(runs([&*one, &*two, &*three]).values().all(|times| *times == 1));
    // elsewhere altogether is another server
    let elsewhere = serve("elsewhere");
    let other = redis.gateway(&config(&[&elsewhere], json!({}))).await;
    assert_eq!(sessions[0].at(other.port).call("tool-000", json!({})).await.status, 404);
}
