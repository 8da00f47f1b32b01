//! What a modern server says for those only who ask (`cacheScope: private`) is never shown to anybody else on the merged
//! door, and is shared again as soon as it is for everybody.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use sluice_tests::catalogue::{Catalogue, tool};
use sluice_tests::client::{Client, Era};
use sluice_tests::gateway::Start;
use sluice_tests::message::{self, MODERN};
use sluice_tests::server::Server;
use sluice_tests::upstream::Answer;
use sluice_tests::{Gateway, wait};

const ALICE: &str = "alice-key-0123456789abcdef";
const BOB: &str = "bob-key-0123456789abcdef0";
const TTL: Duration = Duration::from_secs(600);

/// Whether the server says `private`, and whether it answers already.
#[derive(Clone)]
struct Says {
    private: Arc<AtomicBool>,
    answers: Arc<AtomicBool>,
}

impl Says {
    fn private() -> Self {
        Self { private: Arc::new(true.into()), answers: Arc::new(true.into()) }
    }

    fn scope(&self) -> &'static str {
        if self.private.load(Ordering::SeqCst) { "private" } else { "public" }
    }
}

/// A modern server each of whose answers is another one: they are numbered.
fn numbered(says: &Says, ttl: Duration) -> Server {
    let (says, count) = (says.clone(), AtomicUsize::new(0));
    Server::scripted(Era::Modern, &Catalogue::new("one").tools(1), move |received| {
        let message = received.message();
        let number = || count.fetch_add(1, Ordering::SeqCst) + 1;
        let mut result = match message["method"].as_str()? {
            "tools/list" => json!({ "tools": [tool(&format!("list-{}", number()))] }),
            "server/discover" => json!({
                "supportedVersions": [MODERN], "capabilities": { "tools": { "listChanged": true } },
                "instructions": format!("told-{}", number()),
            }),
            _ => return None,
        };
        result["resultType"] = json!("complete");
        result["ttlMs"] = json!(ttl.as_millis() as u64);
        result["cacheScope"] = json!(says.scope());
        let (pipe, answer) = Answer::stream("application/json");
        let (answers, text) = (Arc::clone(&says.answers), message::response(&message["id"], result).to_string());
        tokio::spawn(async move {
            wait::until("the server may answer", || answers.load(Ordering::SeqCst).then_some(())).await;
            pipe.send(text).await
        });
        Some(answer)
    })
}

async fn gateway(server: &Server) -> Gateway {
    let clients = json!({ "alice": { "api_key": ALICE }, "bob": { "api_key": BOB } });
    Start::new(json!({ "clients": clients, "servers": { "one": server.config() } })).ready().await
}

async fn two(gateway: &Gateway) -> [Client; 2] {
    let alice = Client::with(Era::Modern, gateway.port, "/mcp", Some(ALICE)).await;
    [alice, Client::with(Era::Modern, gateway.port, "/mcp", Some(BOB)).await]
}

async fn listed(client: &Client) -> String {
    client.names("tools/list").await.join(" ")
}

#[tokio::test]
async fn a_private_list_is_kept_for_each_principal() {
    let server = numbered(&Says::private(), TTL);
    let gateway = gateway(&server).await;
    let [alice, bob] = two(&gateway).await;
    let (hers, his) = (listed(&alice).await, listed(&bob).await);
    assert_ne!(hers, his, "what was fetched for one is not shown to the other");
    for _ in 0..2 {
        assert_eq!((listed(&alice).await, listed(&bob).await), (hers.clone(), his.clone()), "good for its time");
    }
    assert_eq!(server.got("tools/list").len(), 2);
    let told = alice.request("tools/list", json!({})).await.result();
    assert_eq!(told["cacheScope"], "private");
}

#[tokio::test]
async fn those_who_wait_for_the_fetch_of_another_get_none_of_it() {
    let says = Says::private();
    let server = numbered(&says, TTL);
    let gateway = gateway(&server).await;
    let [alice, bob] = two(&gateway).await;
    says.answers.store(false, Ordering::SeqCst);
    let all = (0..8).map(|n| listed(if n % 2 == 0 { &alice } else { &bob }));
    let answer = async {
        server.receives("the first question", |received| received.method() == "server/discover").await;
        // so that the others come to wait
        wait::pass(Duration::from_millis(300)).await;
        says.answers.store(true, Ordering::SeqCst);
    };
    let (all, ()) = tokio::join!(join_all(all), answer);
    let of = |turn| all.iter().skip(turn).step_by(2).collect::<BTreeSet<_>>();
    assert!(of(0).is_disjoint(&of(1)), "{all:?}");
    assert_eq!((of(0).len(), of(1).len()), (1, 1), "one fetch for each principal: {all:?}");
    assert!(all.iter().all(|names| names.starts_with("one_list-")), "{all:?}");
}

#[tokio::test]
async fn a_server_may_turn_private_and_back() {
    let says = Says::private();
    says.private.store(false, Ordering::SeqCst);
    let server = numbered(&says, Duration::from_millis(500));
    let gateway = gateway(&server).await;
    let [alice, bob] = two(&gateway).await;
    let same = async || listed(&alice).await == listed(&bob).await;
    let within = Duration::from_secs(20);
    wait::becomes(within, "one list for both", same, |same| *same).await;
    says.private.store(true, Ordering::SeqCst);
    wait::becomes(within, "a list for each", same, |same| !*same).await;
    for _ in 0..10 {
        assert!(!same().await);
    }
    says.private.store(false, Ordering::SeqCst);
    wait::becomes(within, "one list for both again", same, |same| *same).await;
}

#[tokio::test]
async fn what_a_server_says_of_itself_is_for_its_principal_too() {
    let server = numbered(&Says::private(), TTL);
    let gateway = gateway(&server).await;
    let discovered = async |client: &Client| client.request("server/discover", json!({})).await.result();
    let [alice, bob] = two(&gateway).await;
    let (hers, his): (Value, Value) = (discovered(&alice).await, discovered(&bob).await);
    assert_eq!((&hers["cacheScope"], &his["cacheScope"]), (&json!("private"), &json!("private")));
    assert!(hers["instructions"].as_str().unwrap().contains("told-"), "{hers}");
    assert_ne!(hers["instructions"], his["instructions"]);
    assert_eq!(discovered(&alice).await["instructions"], hers["instructions"]);
}

#[tokio::test]
async fn a_private_list_is_good_while_its_own_stream_tells_of_changes() {
    let server = numbered(&Says::private(), Duration::ZERO);
    let gateway = gateway(&server).await;
    let [alice, bob] = two(&gateway).await;
    let filter = json!({ "notifications": { "toolsListChanged": true } });
    let mut stream = alice.prepare("subscriptions/listen", filter).open(gateway.port).await;
    assert_eq!(stream.message().await["method"], "notifications/subscriptions/acknowledged");
    let kept = async || {
        let first = listed(&alice).await;
        first == listed(&alice).await
    };
    wait::becomes(Duration::from_secs(20), "her list is kept", kept, |kept| *kept).await;
    let hers = listed(&alice).await;
    let his = [listed(&bob).await, listed(&bob).await];
    assert!(his[0] != his[1] && !his.contains(&hers), "nobody tells of his: {his:?}");
    server.announce("tools").await;
    assert_eq!(stream.message().await["method"], "notifications/tools/list_changed");
    assert_ne!(listed(&alice).await, hers);
}
