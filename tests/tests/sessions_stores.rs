//! What holds of sessions wherever they are kept: the same for memory, a file and Redis.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use futures_util::future::join_all;
use serde_json::{Value, json};
use sluice_tests::catalogue::Catalogue;
use sluice_tests::client::Era;
use sluice_tests::gateway::Start;
use sluice_tests::message::{self, LEGACY};
use sluice_tests::redis::KEYS;
use sluice_tests::server::Server;
use sluice_tests::upstream::Legacy;
use sluice_tests::{Call, Gateway, Redis, Session, until, wait};

const PATH: &str = "/servers/one/mcp";
const ALICE: &str = "alice-key-0123456789abcdef";
const BOB: &str = "bob-key-0123456789abcdef0";

/// A gateway for each store, with these servers, clients and limits.
async fn each(servers: &Value, more: &Value) -> (Redis, Vec<(&'static str, Gateway)>) {
    let redis = Redis::start().await;
    let mut gateways = Vec::new();
    for (store, said) in [
        ("memory", json!({ "store": "memory" })),
        ("sqlite", json!({ "store": "sqlite" })),
        ("redis", json!({ "store": "redis", "url": redis.url() })),
    ] {
        let mut config = json!({ "servers": servers, "proxy": { "sessions": said } });
        for (key, value) in more.as_object().unwrap() {
            config["proxy"][key] = value.clone();
        }
        config["clients"] = json!({ "alice": { "api_key": ALICE }, "bob": { "api_key": BOB } });
        gateways.push((store, Start::new(config).env("SLUICE_SESSION_KEYS", KEYS).ready().await));
    }
    (redis, gateways)
}

async fn alice(gateway: &Gateway, path: &str) -> Session {
    Session::with(gateway.port, path, json!({}), Some(ALICE)).await
}

#[tokio::test]
async fn a_session_is_its_owners_until_it_is_deleted() {
    let server = Legacy::start();
    let (_redis, gateways) = each(&json!({ "one": server.config() }), &json!({})).await;
    for (store, gateway) in &gateways {
        let ended = server.verbs("DELETE").len();
        let session = alice(gateway, PATH).await;
        let replies = join_all((0..20).map(|n| session.call("echo", json!({ "n": n })))).await;
        assert!(replies.iter().all(|reply| reply.status == 200), "{store}: {replies:?}");
        for call in
            [Call::post(PATH, message::call("echo", 1, json!({})).to_string()), Call::get(PATH), Call::delete(PATH)]
        {
            let call = call.header("mcp-session-id", &session.id).header("mcp-protocol-version", LEGACY).key(BOB);
            assert_eq!(call.send(gateway.port).await.status, 404, "{store}");
        }
        let replies = [session.delete(), session.delete(), session.delete()];
        let gone = join_all(replies).await.iter().filter(|reply| reply.status == 200).count();
        assert!(gone >= 1, "{store}");
        assert_eq!(session.call("echo", json!({})).await.status, 404, "{store}");
        assert_eq!(session.delete().await.status, 404, "{store}");
        until("the server is told once", || (server.verbs("DELETE").len() == ended + 1).then_some(())).await;
    }
}

#[tokio::test]
async fn what_a_client_set_is_restored_when_the_server_forgets() {
    let server = Legacy::start();
    let (_redis, gateways) = each(&json!({ "one": server.config() }), &json!({})).await;
    for (store, gateway) in &gateways {
        let session = alice(gateway, PATH).await;
        let uris: Vec<_> = (0..12).map(|n| format!("file:///{n}")).collect();
        let subscribed =
            join_all(uris.iter().map(|uri| session.request("resources/subscribe", json!({ "uri": uri })))).await;
        assert!(subscribed.iter().all(|reply| reply.status == 200), "{store}: {subscribed:?}");
        assert_eq!(session.request("logging/setLevel", json!({ "level": "error" })).await.status, 200);
        server.forget(404);
        let before = server.received().len();
        let replies = join_all((0..8).map(|_| session.call("echo", json!({})))).await;
        assert!(replies.iter().all(|reply| reply.status == 200), "{store}: {replies:?}");
        let after: Vec<Value> = server.received()[before..].iter().map(|received| received.message()).collect();
        let sent = |method: &str| after.iter().filter(|message| message["method"] == method).count();
        assert_eq!(
            (sent("initialize"), sent("resources/subscribe"), sent("logging/setLevel")),
            (1, uris.len(), 1),
            "{store}: {after:?}"
        );
    }
}

#[tokio::test]
async fn the_parts_of_a_session_are_opened_once_and_end_with_it() {
    let servers = ["left", "right"].map(|name| Server::start(Era::Legacy, &Catalogue::new(name).tool("echo")));
    let config = json!({ "left": servers[0].config(), "right": servers[1].config() });
    let (_redis, gateways) = each(&config, &json!({})).await;
    for (store, gateway) in &gateways {
        let session = alice(gateway, "/mcp").await;
        let calls = (0..6).map(|n| session.call(["left_echo", "right_echo"][n % 2], json!({})));
        let replies = join_all(calls).await;
        assert!(replies.iter().all(|reply| reply.status == 200), "{store}: {replies:?}");
        for server in &servers {
            let calls = server.calls("echo");
            let ids: Vec<_> = calls[calls.len() - 3..].iter().map(|call| call.header("mcp-session-id")).collect();
            assert!(ids.iter().all(|id| *id == ids[0]), "{store}: {ids:?}");
        }
        assert_eq!(session.request("logging/setLevel", json!({ "level": "error" })).await.status, 200);
        servers.iter().for_each(Server::forget);
        for tool in ["left_echo", "right_echo"] {
            assert_eq!(session.call(tool, json!({})).await.status, 200, "{store}");
        }
        let levels = servers.each_ref().map(|server| server.got("logging/setLevel").len());
        assert!(levels.iter().all(|sent| *sent >= 2), "{store}: said, and restored: {levels:?}");
        let parts =
            servers.each_ref().map(|s| s.calls("echo").pop().unwrap().header("mcp-session-id").unwrap().to_owned());
        assert_eq!(session.delete().await.status, 200, "{store}");
        for (server, part) in servers.iter().zip(&parts) {
            until("the part is ended", || (!server.sessions().contains(part)).then_some(())).await;
        }
    }
}

#[tokio::test]
async fn an_unused_session_ends_and_the_limit_of_its_owner_has_room_again() {
    let server = Legacy::start();
    let limits = json!({ "limits": { "session_idle_seconds": 1, "sessions_per_principal": 2 } });
    let (_redis, gateways) = each(&json!({ "one": server.config() }), &limits).await;
    for (store, gateway) in &gateways {
        let ended = server.verbs("DELETE").len();
        let sessions = [alice(gateway, PATH).await, alice(gateway, PATH).await];
        let initialize = Call::post(PATH, message::initialize(LEGACY, json!({})).to_string()).key(ALICE);
        assert_eq!(initialize.send(gateway.port).await.status, 429, "{store}");
        until(&format!("{store}: the server is told of both"), || {
            (server.verbs("DELETE").len() == ended + 2).then_some(())
        })
        .await;
        for session in &sessions {
            assert_eq!(session.call("echo", json!({})).await.status, 404, "{store}");
        }
        let what = format!("{store}: room again");
        wait::becomes(wait::SOON, &what, async || initialize.send(gateway.port).await.status, |s| *s == 200).await;
        until("that one ends, too", || (server.verbs("DELETE").len() == ended + 3).then_some(())).await;
    }
}
