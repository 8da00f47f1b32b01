//! What keeps itself busy: servers that announce changes when asked, that restart again and again, children that are ended
//! when idle. Clients and servers that do nothing hear nothing.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::json;
use sluice_tests::catalogue::Catalogue;
use sluice_tests::client::{Client, ERAS, Era};
use sluice_tests::events::Events;
use sluice_tests::gateway::Start;
use sluice_tests::message;
use sluice_tests::peer::Peer;
use sluice_tests::server::Server;
use sluice_tests::upstream::Answer;
use sluice_tests::{Gateway, Session};

async fn listen(client: &Client, port: u16) -> Events {
    if let Some(session) = &client.session {
        return session.listen(None).await;
    }
    let filter = json!({ "toolsListChanged": true });
    let mut stream = client.prepare("subscriptions/listen", json!({ "notifications": filter })).open(port).await;
    assert_eq!(stream.message().await["method"], "notifications/subscriptions/acknowledged");
    stream
}

/// Lists whenever it is told to, as clients do, for so long: how often it was told.
async fn obedient(client: &Client, stream: &mut Events, time: Duration) -> usize {
    let start = Instant::now();
    let mut told = 0;
    while let Some(left) = time.checked_sub(start.elapsed()) {
        match tokio::time::timeout(left, stream.event()).await {
            Ok(Some(event)) if event.message()["method"] == "notifications/tools/list_changed" => {
                told += 1;
                let _ = client.names("tools/list").await;
            }
            Ok(Some(_)) => {}
            Ok(None) => panic!("the stream ended"),
            Err(_) => break,
        }
    }
    told
}

#[tokio::test]
async fn a_server_that_announces_a_change_whenever_it_is_asked_is_not_asked_without_need() {
    for era in ERAS {
        let own: Arc<Mutex<Option<Server>>> = Arc::default();
        let shared = Arc::clone(&own);
        let server = Server::scripted(era, &Catalogue::new("eager").tools(2).ttl(600_000), move |received| {
            if received.method() == "tools/list" {
                let server = shared.lock().unwrap().clone();
                tokio::spawn(async move {
                    if let Some(server) = server {
                        server.announce("tools").await;
                    }
                });
            }
            None
        });
        *own.lock().unwrap() = Some(server.clone());
        let gateway = Gateway::with(json!({ "eager": server.config() })).await;
        let client = Client::open(era, gateway.port, "/mcp").await;
        let mut stream = listen(&client, gateway.port).await;
        assert_eq!(client.names("tools/list").await.len(), 2);
        server.listened().await;
        // A client that listens and does not ask.
        let before = server.got("tools/list").len();
        let _ = stream.quiet(Duration::from_secs(3)).await;
        assert!(server.got("tools/list").len() <= before + 3, "{era:?}: {}", server.got("tools/list").len() - before);
        // A client that asks whenever it is told: as often as that needs, at most.
        let before = server.got("tools/list").len();
        let told = obedient(&client, &mut stream, Duration::from_secs(3)).await;
        let asked = server.got("tools/list").len() - before;
        assert!(told <= 8 && asked <= told + 2, "{era:?}: told {told} times, the server was asked {asked} times");
        own.lock().unwrap().take();
    }
}

#[tokio::test]
async fn idle_children_are_ended_and_nobody_is_told_of_changes_that_are_none() {
    let peers = [Peer::new("legacy"), Peer::new("legacy")];
    let limits = json!({ "child_idle_seconds": 1 });
    let servers = json!({ "one": peers[0].config(), "two": peers[1].config() });
    let gateway = Start::new(json!({ "servers": servers, "proxy": { "limits": limits } })).ready().await;
    let client = Client::open(Era::Legacy, gateway.port, "/mcp").await;
    let mut stream = listen(&client, gateway.port).await;
    assert_eq!(client.names("tools/list").await, ["one_echo", "two_echo"]);
    let told = obedient(&client, &mut stream, Duration::from_secs(6)).await;
    assert!(told <= 2, "told {told} times in 6 s although nothing changed");
    for peer in &peers {
        assert!(peer.starts() <= 3, "{} starts in 6 s without a call", peer.starts());
    }
    assert_eq!(client.names("tools/list").await, ["one_echo", "two_echo"]);
    let start = Instant::now();
    assert_eq!(client.call("one_pid", json!({})).await.status, 200);
    assert!(start.elapsed() < Duration::from_secs(3), "started again at once: {:?}", start.elapsed());
}

#[tokio::test]
async fn idle_children_without_a_listener_are_ended() {
    let peers = [Peer::new("legacy"), Peer::new("modern")];
    let limits = json!({ "child_idle_seconds": 1 });
    for (peer, era) in peers.iter().zip([Era::Legacy, Era::Modern]) {
        let servers = json!({ "one": peer.config() });
        let gateway = Start::new(json!({ "servers": servers, "proxy": { "limits": limits } })).ready().await;
        let client = Client::open(era, gateway.port, "/mcp").await;
        assert_eq!(client.names("tools/list").await, ["one_echo"]);
        peer.gone().await;
        assert_eq!(client.names("tools/list").await, ["one_echo"], "{era:?}: the list is kept");
    }
}

#[tokio::test]
async fn a_server_that_forgets_its_sessions_again_and_again_is_survived() {
    let server = Server::start(Era::Legacy, &Catalogue::new("forgetful").tools(2).resources(1));
    let other = Server::start(Era::Legacy, &Catalogue::new("other").tools(2));
    let gateway = Gateway::with(json!({ "forgetful": server.config(), "other": other.config() })).await;
    let client = Client::open(Era::Legacy, gateway.port, "/mcp").await;
    let mut stream = listen(&client, gateway.port).await;
    for _ in 0..20 {
        server.forget();
        assert_eq!(client.said("forgetful_tool-001", json!({})).await["server"], "forgetful");
        assert_eq!(client.names("tools/list").await.len(), 4);
        assert_eq!(client.said("other_tool-001", json!({})).await["server"], "other");
    }
    let told = obedient(&client, &mut stream, Duration::from_secs(4)).await;
    assert!(told <= 12, "told {told} times");
    let opened = server.got("initialize").len();
    assert!(opened <= 90, "{opened} sessions opened for 20 restarts");
    assert!(obedient(&client, &mut stream, Duration::from_secs(2)).await == 0, "and then it is quiet");
}

#[tokio::test]
async fn a_url_to_visit_and_its_completion_reach_the_client() {
    let server = Server::scripted(Era::Legacy, &Catalogue::new("one").tool("visit").tool("echo"), |received| {
        let message = received.message();
        (received.tool() == "visit").then(|| {
            let visit =
                json!({ "mode": "url", "message": "go", "url": "https://example.com/?a=b", "elicitationId": "e-1" });
            let error = json!({ "code": -32042, "message": "visit first", "data": { "elicitations": [visit] } });
            Answer::message(&json!({ "jsonrpc": "2.0", "id": message["id"], "error": error }))
        })
    });
    let other = Server::start(Era::Legacy, &Catalogue::new("two").tool("echo"));
    let gateway = Gateway::with(json!({ "one": server.config(), "two": other.config() })).await;
    let session = Session::with(gateway.port, "/mcp", json!({ "elicitation": { "url": {} } }), None).await;
    let mut stream = session.listen(None).await;
    let refused = session.call("one_visit", json!({})).await.rpc();
    assert_eq!(refused["error"]["code"], -32042, "{refused}");
    assert_eq!(refused["error"]["data"]["elicitations"][0]["url"], "https://example.com/?a=b");
    let id = refused["error"]["data"]["elicitations"][0]["elicitationId"].clone();
    let part = server.calls("visit").pop().unwrap().header("mcp-session-id").unwrap().to_owned();
    let own =
        sluice_tests::until("the part's stream", || server.listeners().into_iter().find(|l| l.session == part)).await;
    own.pipe
        .event(&message::notification("notifications/elicitation/complete", json!({ "elicitationId": "e-1" })))
        .await;
    let told = stream.message().await;
    assert_eq!(told["method"], "notifications/elicitation/complete");
    assert_eq!(told["params"]["elicitationId"], id, "the id the client was given");
}

#[tokio::test]
async fn one_request_of_a_client_counts_as_one_however_many_servers_it_needs() {
    let servers: Vec<_> =
        (0..5).map(|n| Server::start(Era::Legacy, &Catalogue::new(&format!("s{n}")).tools(2))).collect();
    let entries = servers.iter().enumerate().map(|(n, server)| (format!("s{n}"), server.config()));
    let entries = serde_json::Value::Object(entries.collect());
    let features = json!({ "rate_limiting": { "requests_per_minute": 12 } });
    let gateway = Start::new(json!({ "servers": entries, "features": features })).ready().await;
    let session = Session::open(gateway.port, "/mcp").await;
    for n in 0..5 {
        assert_eq!(session.call(&format!("s{n}_tool-001"), json!({})).await.status, 200, "{n}");
        assert_eq!(session.request("tools/list", json!({})).await.status, 200, "{n}");
    }
    let mut limited = 0;
    for _ in 0..10 {
        limited += usize::from(session.request("tools/list", json!({})).await.status == 429);
    }
    assert!(limited >= 7, "{limited} of 10 beyond the limit");
}
