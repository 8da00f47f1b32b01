//! Lists that change: the client is told once and gets the new list, servers are asked no more often than that needs.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sluice_tests::catalogue::{Catalogue, KINDS, tool};
use sluice_tests::client::{Client, ERAS, Era};
use sluice_tests::events::Events;
use sluice_tests::gateway::Start;
use sluice_tests::message;
use sluice_tests::server::Server;
use sluice_tests::upstream::Answer;
use sluice_tests::wait::within;
use sluice_tests::{Call, Gateway, Session, until, wait};

async fn two(era: Era, ttl: u64) -> (Gateway, [Catalogue; 2], [Server; 2]) {
    let offers =
        ["left", "right"].map(|name| Catalogue::new(name).tools(2).prompts(2).resources(2).templates(2).ttl(ttl));
    let servers = offers.each_ref().map(|offer| Server::start(era, offer));
    let entries = json!({ "left": servers[0].config(), "right": servers[1].config() });
    (Gateway::with(entries).await, offers, servers)
}

/// The stream on which a client of either era hears of changes, past its acknowledgement.
async fn listen(client: &Client, port: u16) -> Events {
    if let Some(session) = &client.session {
        return session.listen(None).await;
    }
    let filter = json!({ "toolsListChanged": true, "promptsListChanged": true, "resourcesListChanged": true });
    let mut stream = client.prepare("subscriptions/listen", json!({ "notifications": filter })).open(port).await;
    assert_eq!(stream.message().await["method"], "notifications/subscriptions/acknowledged");
    stream
}

#[tokio::test]
async fn a_changed_list_is_told_once_and_is_there_when_it_is_told() {
    for era in ERAS {
        let (gateway, offers, servers) = two(era, 600_000).await;
        let client = Client::open(era, gateway.port, "/mcp").await;
        let mut stream = listen(&client, gateway.port).await;
        for (method, ..) in KINDS {
            assert_eq!(client.names(method).await.len(), 4);
        }
        servers[1].listened().await;
        offers[1].change(|lists| {
            lists.tools.push(tool("fresh"));
            lists.tools.remove(0);
            lists.prompts.clear();
            lists.templates.push(json!({ "uriTemplate": "file:///fresh/{x}", "name": "fresh" }));
        });
        for (list, method) in
            [("tools", "tools/list"), ("prompts", "prompts/list"), ("resources", "resources/templates/list")]
        {
            let asked: Vec<usize> = servers.iter().map(|server| server.got(method).len()).collect();
            servers[1].announce(list).await;
            let told = stream.message().await;
            assert_eq!(told["method"], format!("notifications/{list}/list_changed"), "{era:?}");
            let names = client.names(method).await;
            let expected = match list {
                "tools" => names.contains(&"right_fresh".to_owned()) && !names.contains(&"right_tool-000".to_owned()),
                "prompts" => names.len() == 2,
                _ => names.len() == 5,
            };
            assert!(expected, "{era:?} {list}: {names:?}");
            assert_eq!(servers[0].got(method).len(), asked[0], "{era:?}: the other server is not asked again");
        }
        assert_eq!(client.said("right_fresh", json!({})).await["server"], "right");
        assert!(stream.quiet(Duration::from_secs(1)).await, "{era:?}: told once");
    }
}

#[tokio::test]
async fn everybody_who_listens_is_told_and_a_flood_of_changes_is_few_notifications() {
    for era in ERAS {
        let (gateway, offers, servers) = two(era, 600_000).await;
        let mut clients = Vec::new();
        for _ in 0..3 {
            let client = Client::open(era, gateway.port, "/mcp").await;
            assert_eq!(client.names("tools/list").await.len(), 4);
            let stream = listen(&client, gateway.port).await;
            clients.push((client, stream));
        }
        servers[0].listened().await;
        let before = servers[0].got("tools/list").len();
        for n in 0..100 {
            offers[0].change(|lists| lists.tools.push(tool(&format!("more-{n}"))));
            servers[0].announce("tools").await;
        }
        for (client, stream) in &mut clients {
            let start = Instant::now();
            let mut told = 0;
            while client.names("tools/list").await.len() != 104 {
                assert_eq!(stream.message().await["method"], "notifications/tools/list_changed");
                told += 1;
                assert!(start.elapsed() < Duration::from_secs(10), "{era:?}");
            }
            while !stream.quiet(Duration::from_millis(700)).await {
                told += 1;
            }
            assert!(told <= 30, "{era:?}: told {told} times");
        }
        let asked = servers[0].got("tools/list").len() - before;
        assert!(asked <= 100, "{era:?}: the server was asked {asked} times");
    }
}

#[tokio::test]
async fn a_change_during_a_fetch_is_not_lost() {
    for era in ERAS {
        let offer = Catalogue::new("one").tools(4).page(2).ttl(600_000);
        let slow = Arc::new(AtomicBool::new(true));
        let (own, shared) = (offer.clone(), Arc::clone(&slow));
        let server = Server::scripted(era, &offer, move |received| {
            let message = received.message();
            (message["method"] == "tools/list" && shared.load(Ordering::SeqCst)).then(|| {
                // What the list was when it was asked for, said late.
                let mut result = own.result("tools/list", &message["params"]).unwrap().unwrap();
                result["resultType"] = json!("complete");
                late(Duration::from_millis(500), message::response(&message["id"], result))
            })
        });
        let gateway = Gateway::with(json!({ "one": server.config() })).await;
        let client = Client::open(era, gateway.port, "/mcp").await;
        let mut stream = listen(&client, gateway.port).await;
        let (first, port) = (client.prepare("tools/list", json!({})), gateway.port);
        let waiting = tokio::spawn(async move { first.send(port).await });
        server.receives("the second page asked for", |r| r.message()["params"]["cursor"].is_string()).await;
        server.listened().await;
        offer.change(|lists| lists.tools[0] = tool("fresh"));
        server.announce("tools").await;
        slow.store(false, Ordering::SeqCst);
        assert_eq!(waiting.await.unwrap().status, 200);
        let start = Instant::now();
        loop {
            let names = client.names("tools/list").await;
            if names.contains(&"one_fresh".to_owned()) {
                break;
            }
            assert!(start.elapsed() < Duration::from_secs(10), "{era:?}: {names:?}");
            let _ = stream.quiet(Duration::from_millis(100)).await;
        }
    }
}

/// A JSON answer that comes later.
fn late(pause: Duration, message: Value) -> Answer {
    let (pipe, answer) = Answer::stream("application/json");
    tokio::spawn(async move {
        tokio::time::sleep(pause).await;
        pipe.send(message.to_string()).await;
    });
    answer
}

#[tokio::test]
async fn many_clients_at_once_cost_each_server_one_question_per_list() {
    for era in ERAS {
        let offers = ["left", "right"].map(|name| Catalogue::new(name).tools(9).prompts(3).page(3).ttl(600_000));
        let servers = offers.each_ref().map(|offer| {
            let own = offer.clone();
            Server::scripted(era, offer, move |received| {
                let message = received.message();
                let method = message["method"].as_str().filter(|method| method.ends_with("/list"))?;
                let mut result = own.result(method, &message["params"])?.ok()?;
                result["resultType"] = json!("complete");
                Some(late(Duration::from_millis(100), message::response(&message["id"], result)))
            })
        });
        let gateway = Gateway::with(json!({ "left": servers[0].config(), "right": servers[1].config() })).await;
        let port = gateway.port;
        let mut waiting = Vec::new();
        for _ in 0..20 {
            waiting.push(tokio::spawn(async move {
                let client = Client::open(era, port, "/mcp").await;
                (client.names("tools/list").await.len(), client.names("prompts/list").await.len())
            }));
        }
        for client in waiting {
            assert_eq!(client.await.unwrap(), (18, 6));
        }
        for server in &servers {
            let first = |method: &str| {
                server.got(method).iter().filter(|r| r.message()["params"].get("cursor").is_none()).count()
            };
            assert_eq!((first("tools/list"), first("prompts/list")), (1, 1), "{era:?}");
            assert_eq!(server.got("tools/list").len(), 3, "{era:?}: three pages, once");
        }
    }
}

#[tokio::test]
async fn a_list_is_asked_for_again_when_its_time_is_over_and_not_before() {
    let plain = |name: &'static str, ttl| {
        let offer = Catalogue::new(name).tools(1).ttl(ttl);
        let own = offer.clone();
        let server = Server::scripted(Era::Modern, &offer, move |received| {
            // A server that does not tell of changes.
            let message = received.message();
            (message["method"] == "server/discover").then(|| {
                let result = json!({ "resultType": "complete", "supportedVersions": [message::MODERN],
                    "capabilities": { "tools": {} }, "ttlMs": 600_000, "cacheScope": "public" });
                Answer::message(&message::response(&message["id"], result))
            })
        });
        (own, server)
    };
    let ((long, slow), (short, fast)) = (plain("long", 600_000), plain("short", 1500));
    let gateway = Gateway::with(json!({ "long": slow.config(), "short": fast.config() })).await;
    let client = Client::open(Era::Modern, gateway.port, "/mcp").await;
    let start = Instant::now();
    let first = client.request("tools/list", json!({})).await.result();
    assert_eq!(first["tools"].as_array().unwrap().len(), 2);
    assert!(first["ttlMs"].as_u64().unwrap() <= 1500, "the lowest remaining: {first}");
    for offer in [&long, &short] {
        offer.change(|lists| lists.tools.push(tool("fresh")));
    }
    let second = client.request("tools/list", json!({})).await.result();
    if start.elapsed() < Duration::from_millis(1400) {
        assert_eq!(second["tools"].as_array().unwrap().len(), 2, "still good");
        assert!(second["ttlMs"].as_u64().unwrap() <= first["ttlMs"].as_u64().unwrap(), "what remains: {second}");
    }
    wait::pass(Duration::from_millis(1600).saturating_sub(start.elapsed())).await;
    let names = client.names("tools/list").await;
    assert!(names.contains(&"short_fresh".to_owned()) && !names.contains(&"long_fresh".to_owned()), "{names:?}");
    assert_eq!(slow.got("tools/list").len(), 1);
}

#[tokio::test]
async fn the_merged_list_is_private_when_a_part_is() {
    for private in [false, true] {
        let (gateway, offers, _servers) = two(Era::Modern, 60_000).await;
        offers[1].change(|lists| lists.private = private);
        let listed = Call::modern("/mcp", "tools/list", 1, json!({})).send(gateway.port).await.result();
        assert_eq!(listed["cacheScope"], if private { "private" } else { "public" });
        let ttl = listed["ttlMs"].as_u64().unwrap();
        assert!((50_000..=60_000).contains(&ttl), "{ttl}");
    }
}

/// A legacy server that shows `secret` to sessions whose client declared sampling, and to each session its own number.
fn discerning(name: &'static str) -> Server {
    let offer = Catalogue::new(name).tools(1);
    let (opened, own): (Arc<Mutex<Vec<bool>>>, _) = (Arc::default(), offer.clone());
    Server::scripted(Era::Legacy, &offer, move |received| {
        let message = received.message();
        match message["method"].as_str()? {
            "initialize" => {
                opened.lock().unwrap().push(message["params"]["capabilities"].get("sampling").is_some());
                None
            }
            "tools/list" => {
                let number: usize = received.header("mcp-session-id")?.rsplit('-').next()?.parse().ok()?;
                let mut result = own.result("tools/list", &message["params"])?.ok()?;
                let tools = result["tools"].as_array_mut()?;
                tools.push(tool(&format!("number-{number}")));
                if opened.lock().unwrap()[number] {
                    tools.push(tool("secret"));
                }
                Some(Answer::message(&message::response(&message["id"], result)))
            }
            _ => None,
        }
    })
}

#[tokio::test]
async fn each_client_sees_the_tools_its_capabilities_allow() {
    let server = discerning("one");
    let gateway = Gateway::with(json!({ "one": server.config() })).await;
    for _ in 0..2 {
        for (capabilities, shown) in
            [(json!({}), false), (json!({ "sampling": {} }), true), (json!({ "roots": {} }), false)]
        {
            let session = Session::with(gateway.port, "/mcp", capabilities.clone(), None).await;
            let listed = session.request("tools/list", json!({})).await;
            assert_eq!(listed.text().contains("one_secret"), shown, "{capabilities}: {}", listed.text());
        }
    }
}

#[tokio::test]
async fn isolated_clients_see_lists_of_their_own() {
    let keys = ["alice-key-0123456789abcdef", "bob-key-0123456789abcdef0"];
    for isolation in ["per_principal", "per_session"] {
        let server = discerning("one");
        let clients = json!({ "alice": { "api_key": keys[0] }, "bob": { "api_key": keys[1] } });
        let servers = json!({ "one": { "url": server.url(), "isolation": isolation } });
        let gateway = Start::new(json!({ "servers": servers, "clients": clients })).ready().await;
        let mut numbers = Vec::new();
        for key in [keys[0], keys[0], keys[1]] {
            let session = Session::with(gateway.port, "/mcp", json!({}), Some(key)).await;
            let tools = session.request("tools/list", json!({})).await.result()["tools"].clone();
            let names: Vec<_> = tools.as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap()).collect();
            let number = names.iter().find_map(|name| name.strip_prefix("one_number-")).unwrap().to_owned();
            assert_eq!(names.len(), 2, "{names:?}");
            let again = session.request("tools/list", json!({})).await.text();
            assert!(again.contains(&format!("one_number-{number}\"")), "{isolation}: the same again: {again}");
            numbers.push(number);
        }
        assert_ne!(numbers[0], numbers[2], "{isolation}: never another principal's");
        let apart = isolation == "per_session";
        assert_eq!(numbers[0] != numbers[1], apart, "{isolation}: {numbers:?}");
    }
}

#[tokio::test]
async fn a_client_without_a_stream_gets_the_new_list_when_it_asks() {
    for era in ERAS {
        let (gateway, offers, servers) = two(era, 600_000).await;
        let client = Client::open(era, gateway.port, "/mcp").await;
        assert_eq!(client.names("tools/list").await.len(), 4);
        offers[0].change(|lists| lists.tools.push(tool("fresh")));
        // Either the gateway listens itself, or it keeps the list for a bounded time only.
        if within(Duration::from_secs(2), "", || Some(!servers[0].listeners().is_empty())).await {
            servers[0].announce("tools").await;
            let (what, list) = (format!("{era:?}: the new list"), async || client.names("tools/list").await);
            wait::becomes(Duration::from_secs(5), &what, list, |names| names.len() == 5).await;
        }
    }
}

#[tokio::test]
async fn a_change_while_nobody_listened_is_found_when_somebody_does() {
    for era in ERAS {
        // Good for no time by itself.
        let (gateway, offers, servers) = two(era, 0).await;
        let client = Client::open(era, gateway.port, "/mcp").await;
        for round in 0..2 {
            // Before the first stream, and between one that broke and the next.
            assert_eq!(client.names("tools/list").await.len(), 4 + round);
            until("nobody listens", || servers[0].listeners().is_empty().then_some(())).await;
            offers[0].change(|lists| lists.tools.push(tool(&format!("fresh-{round}"))));
            let stream = listen(&client, gateway.port).await;
            servers[0].listened().await;
            let what = format!("{era:?}, round {round}: the new list");
            let list = async || client.names("tools/list").await;
            wait::becomes(wait::SOON, &what, list, |names| names.len() == 5 + round).await;
            drop(stream);
        }
    }
}
