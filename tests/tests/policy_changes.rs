//! Policies that change while clients are there: every request is served by one version of them, clients are told that their
//! lists are others, and streams that are no longer allowed end.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sluice_tests::catalogue::{Catalogue, tool};
use sluice_tests::client::{Client, ERAS, Era};
use sluice_tests::events::Events;
use sluice_tests::gateway::Start;
use sluice_tests::server::Server;
use sluice_tests::{Gateway, until, wait};

const ALICE: &str = "alice-key-0123456789abcdef";
/// From the first worker that has adopted a change to the last.
const ADOPTED: Duration = Duration::from_secs(1);
/// How long a changed file may take to be seen and applied.
const SEEN: Duration = Duration::from_secs(10);

fn serve(era: Era) -> Server {
    let offer = Catalogue::new("one").resources(2);
    let even_and_odd = (0..40).map(|n| tool(&format!("{}-{n}", if n % 2 == 0 { "even" } else { "odd" })));
    offer.change(|lists| (lists.tools, lists.ttl) = (even_and_odd.collect(), 600_000));
    Server::start(era, &offer)
}

fn config(server: &Server, roles: &[&str], policies: Value) -> Value {
    json!({
        "servers": { "one": server.config() },
        "clients": { "alice": { "api_key": ALICE, "roles": roles } },
        "policies": policies,
    })
}

fn granting(tools: &str) -> Value {
    json!({ "p": { "who": ["role:r"], "allow": [{ "tools": [tools] }, { "resources": ["*"] }] } })
}

fn write(gateway: &Gateway, config: &Value) {
    // as editors do: whoever reads finds the old file or the new one
    let beside = gateway.folder().join("mcp.json.new");
    std::fs::write(&beside, config.to_string()).unwrap();
    std::fs::rename(beside, gateway.file()).unwrap();
}

async fn listen(client: &Client, port: u16) -> Events {
    if let Some(session) = &client.session {
        return session.listen(None).await;
    }
    let filter = json!({ "notifications": { "toolsListChanged": true } });
    let mut stream = client.prepare("subscriptions/listen", filter).open(port).await;
    assert_eq!(stream.message().await["method"], "notifications/subscriptions/acknowledged");
    stream
}

async fn lists(client: &Client, word: &str) {
    let all = |names: &Vec<String>| !names.is_empty() && names.iter().all(|name| name.contains(word));
    wait::becomes(SEEN, &format!("only {word} tools"), async || client.names("tools/list").await, all).await;
}

#[tokio::test]
async fn clients_whose_lists_are_others_are_told() {
    for era in ERAS {
        let server = serve(era);
        let gateway = Start::new(config(&server, &["r"], granting("even-*"))).ready().await;
        let client = Client::with(era, gateway.port, "/mcp", Some(ALICE)).await;
        lists(&client, "even").await;
        let mut stream = listen(&client, gateway.port).await;
        write(&gateway, &config(&server, &["r"], granting("odd-*")));
        let told = tokio::time::timeout(SEEN, async {
            while stream.next().await.message()["method"] != "notifications/tools/list_changed" {}
        });
        told.await.unwrap_or_else(|_| panic!("{era:?}: nobody is told"));
        lists(&client, "odd").await;
        assert_eq!(client.call("one_even-0", json!({})).await.code(), Some(-32602), "{era:?}");
    }
}

#[tokio::test]
async fn on_a_servers_own_door_the_stream_ends_and_the_next_one_tells() {
    let server = serve(Era::Legacy);
    let gateway = Start::new(config(&server, &["r"], granting("even-*"))).ready().await;
    let client = Client::with(Era::Legacy, gateway.port, "/servers/one/mcp", Some(ALICE)).await;
    let mut stream = listen(&client, gateway.port).await;
    write(&gateway, &config(&server, &["r"], granting("odd-*")));
    tokio::time::timeout(SEEN, stream.rest()).await.expect("the stream ends");
    let mut stream = listen(&client, gateway.port).await;
    assert_eq!(stream.message().await["method"], "notifications/tools/list_changed");
    lists(&client, "odd").await;
}

#[tokio::test]
async fn a_role_that_is_taken_away_is_gone_at_once_and_takes_streams_with_it() {
    for era in ERAS {
        let server = serve(era);
        let gateway = Start::new(config(&server, &["r"], granting("*"))).ready().await;
        let client = Client::with(era, gateway.port, "/servers/one/mcp", Some(ALICE)).await;
        client.said("even-0", json!({})).await;
        let mut stream = listen(&client, gateway.port).await;
        server.listened().await;
        write(&gateway, &config(&server, &[], granting("*")));
        tokio::time::timeout(SEEN, stream.rest()).await.expect("the stream ends");
        // each worker adopts by itself: the call may come to one that does so a moment after the stream's
        let status = async || client.call("even-0", json!({})).await.status;
        wait::becomes(ADOPTED, &format!("{era:?}: the server is out of reach"), status, |status| *status == 404).await;
    }
}

#[tokio::test]
async fn every_request_is_served_by_one_version_of_the_policies() {
    for era in ERAS {
        let server = serve(era);
        let gateway = Start::new(config(&server, &["r"], granting("even-*"))).ready().await;
        let (over, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let mut clients = Vec::new();
        for door in ["/mcp", "/servers/one/mcp"].into_iter().cycle().take(8) {
            let (over, asked) = (Arc::clone(&over), Arc::clone(&asked));
            let client = Client::with(era, gateway.port, door, Some(ALICE)).await;
            let prefix = if door == "/mcp" { "one_" } else { "" };
            clients.push(tokio::spawn(async move {
                let mut seen = [0, 0];
                while !over.load(Ordering::Relaxed) {
                    let names = client.names("tools/list").await;
                    let even = names.iter().filter(|name| name.contains("even")).count();
                    let odd = names.iter().filter(|name| name.contains("odd")).count();
                    assert!((even, odd) == (20, 0) || (even, odd) == (0, 20), "a mixture: {names:?}");
                    seen[usize::from(odd > 0)] += 1;
                    let reply = client.call(&format!("{prefix}even-0"), json!({})).await;
                    assert!(reply.status == 200, "{reply:?}");
                    assert!(matches!(reply.code(), None | Some(-32602)), "{reply:?}");
                    asked.fetch_add(1, Ordering::Relaxed);
                }
                seen
            }));
        }
        let start = Instant::now();
        let mut version = 0;
        while start.elapsed() < Duration::from_secs(4) {
            let before = asked.load(Ordering::Relaxed);
            version += 1;
            write(&gateway, &config(&server, &["r"], granting(if version % 2 == 0 { "even-*" } else { "odd-*" })));
            // some traffic in each version
            until("traffic", || (asked.load(Ordering::Relaxed) >= before + 24).then_some(())).await;
        }
        over.store(true, Ordering::Relaxed);
        let mut seen = [0, 0];
        for client in clients {
            let of_one = client.await.unwrap();
            seen = [seen[0] + of_one[0], seen[1] + of_one[1]];
        }
        assert!(seen[0] > 0 && seen[1] > 0, "{era:?}: both were seen: {seen:?}");
    }
}
