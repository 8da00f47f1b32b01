//! Bad servers on the merged door: dead, hanging, babbling, endless. The lists and calls of the others are not slowed, a call
//! to a bad one fails at once with a reason, and what comes back is back by itself.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sluice_tests::catalogue::Catalogue;
use sluice_tests::client::{Client, ERAS, Era};
use sluice_tests::gateway::Start;
use sluice_tests::line::Line;
use sluice_tests::message;
use sluice_tests::peer::Peer;
use sluice_tests::server::Server;
use sluice_tests::upstream::{Answer, Received, Upstream};
use sluice_tests::{Gateway, Reply, Session, wait};

/// What counts as at once on a busy machine.
const AT_ONCE: Duration = Duration::from_secs(1);

/// Servers that are bad from the start, each in its own way.
struct Bad {
    lines: Vec<Line>,
    _servers: Vec<Server>,
    _others: Vec<Upstream>,
    entries: Vec<(&'static str, Value)>,
}

impl Bad {
    async fn start(era: Era) -> Self {
        let offer = |name: &str| Catalogue::new(name).tools(3);
        let lines = vec![Line::to(1), Line::to(1)];
        lines[1].hang().await;
        type Misbehaviour = fn(&Received) -> Option<Answer>;
        let scripts: [(&'static str, Misbehaviour); 7] = [
            ("stuck-open", |r| ["initialize", "server/discover"].contains(&r.method().as_str()).then(stuck)),
            ("stuck-list", |r| r.method().ends_with("/list").then(stuck)),
            ("half", |r| {
                r.method()
                    .ends_with("/list")
                    .then(|| Answer::json(r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"#))
            }),
            ("failing", |r| r.method().ends_with("/list").then(|| Answer::empty(500))),
            ("refusing", |r| {
                let refusal = message::error(&r.message()["id"], -32603, "out of order");
                r.method().ends_with("/list").then(|| Answer::message(&refusal))
            }),
            ("endless", |r| paged(r, |n| format!("{}", n + 1))),
            ("looping", |r| paged(r, |_| "1".into())),
        ];
        let servers: Vec<_> =
            scripts.iter().map(|(name, script)| Server::scripted(era, &offer(name), *script)).collect();
        let others = vec![
            Upstream::always(|| Answer::new(200, "text/html", "<html>It works!</html>")),
            Upstream::always(|| Answer::empty(500)),
            Upstream::always(|| Answer::new(401, "application/json", "{}").header("www-authenticate", "Bearer")),
            Upstream::always(|| Answer::json("[]")),
        ];
        let mut entries = vec![("refused", lines[0].config()), ("silent", lines[1].config())];
        entries.extend(scripts.iter().zip(&servers).map(|((name, _), server)| (*name, server.config())));
        let names = ["web-page", "broken", "locked", "nonsense"];
        entries.extend(names.into_iter().zip(&others).map(|(name, server)| (name, server.config())));
        Self { lines, _servers: servers, _others: others, entries }
    }
}

fn stuck() -> Answer {
    let (pipe, answer) = Answer::stream("application/json");
    tokio::spawn(async move { pipe.closed().await });
    answer
}

/// One tool a page, and a cursor on each.
fn paged(received: &Received, next: fn(u64) -> String) -> Option<Answer> {
    let message = received.message();
    let number: u64 = message["params"]["cursor"].as_str().and_then(|cursor| cursor.parse().ok()).unwrap_or_default();
    (message["method"] == "tools/list").then(|| {
        let tool = sluice_tests::catalogue::tool(&format!("page-{number}"));
        let result = json!({ "resultType": "complete", "tools": [tool], "nextCursor": next(number), "ttlMs": 0, "cacheScope": "public" });
        Answer::message(&message::response(&message["id"], result))
    })
}

async fn good(era: Era) -> [Server; 2] {
    ["one", "two"]
        .map(|name| Server::start(era, &Catalogue::new(name).tools(50).prompts(5).resources(5).page(10).ttl(600_000)))
}

async fn timed(what: &str, limit: Duration, call: impl Future<Output = Reply>) -> Reply {
    let start = Instant::now();
    let reply = call.await;
    assert!(start.elapsed() < limit, "{what} took {:?}: {reply:?}", start.elapsed());
    reply
}

#[tokio::test]
async fn bad_servers_do_not_slow_the_good_ones() {
    bad_house(Era::Legacy).await;
}

#[tokio::test]
async fn bad_modern_servers_do_not_slow_the_good_ones() {
    bad_house(Era::Modern).await;
}

async fn bad_house(era: Era) {
    let (good, bad) = (good(era).await, Bad::start(era).await);
    let mut servers = json!({ "one": good[0].config(), "two": good[1].config() });
    let entries = bad.entries.iter().map(|(name, config)| ((*name).to_owned(), config.clone()));
    servers.as_object_mut().unwrap().extend(entries);
    let gateway = Gateway::with(servers).await;
    let port = gateway.port;
    let client = timed_open(era, port).await;
    // A list that nobody has asked for before may wait for the slow ones; a call to a good one never.
    let first = tokio::spawn({
        let call = client.prepare("tools/list", json!({}));
        async move { call.send_patiently(port).await }
    });
    for name in ["one", "two"] {
        let call = client.prepare("tools/call", json!({ "name": format!("{name}_tool-004"), "arguments": {} }));
        let reply = timed("a call beside a waiting list", AT_ONCE, call.send_patiently(port)).await;
        assert_eq!(reply.status, 200, "{era:?}: {reply:?}");
    }
    let start = Instant::now();
    let listed = first.await.unwrap().result();
    assert!(start.elapsed() < Duration::from_secs(18), "{era:?}: {:?}", start.elapsed());
    let count = |page: &Value, name: &str| {
        let tools = page["tools"].as_array().unwrap().iter();
        tools.filter(|tool| tool["name"].as_str().unwrap().starts_with(&format!("{name}_"))).count()
    };
    assert_eq!((count(&listed, "one"), count(&listed, "two")), (50, 50), "{era:?}");
    for round in 0..3 {
        for method in ["tools/list", "prompts/list", "resources/list"] {
            let call = client.prepare(method, json!({}));
            let limit = if round == 0 { Duration::from_secs(18) } else { AT_ONCE };
            let reply = timed(&format!("{era:?} {round} {method}"), limit, call.send_patiently(port)).await;
            let entries = reply.result();
            let text = entries.to_string();
            assert!(text.contains("one") && text.contains("two"), "{era:?} {method}: {text}");
        }
    }
    // Somebody new does not wait for what is known to be bad.
    let another = timed_open(era, port).await;
    let reply =
        timed("the list of a new client", AT_ONCE, another.prepare("tools/list", json!({})).send_patiently(port)).await;
    assert_eq!((count(&reply.result(), "one"), count(&reply.result(), "two")), (50, 50));
    for (name, _) in &bad.entries {
        // What opens, but cannot list, may be called.
        if ["stuck-list", "half", "failing", "refusing", "endless", "looping"].contains(name) {
            continue;
        }
        let call = client.prepare("tools/call", json!({ "name": format!("{name}_tool-000"), "arguments": {} }));
        let reply = timed(&format!("{era:?}: a call to {name}"), AT_ONCE, call.send_patiently(port)).await;
        assert!(reply.rpc()["error"]["message"].is_string(), "{era:?} {name}: {reply:?}");
    }
    let health = sluice_tests::Call::get("/health").bare().send(port).await;
    assert!(health.text().contains("degraded") && !health.text().contains("silent"), "{}", health.text());
    drop(bad.lines);
}

#[tokio::test]
async fn no_bad_server_closes_the_door_to_modern_clients() {
    let (good, bad) = (good(Era::Modern).await, Bad::start(Era::Modern).await);
    let mut closed = Vec::new();
    for (name, config) in &bad.entries {
        let gateway = Gateway::with(json!({ "one": good[0].config(), (*name): config })).await;
        let client = Client::open(Era::Modern, gateway.port, "/mcp").await;
        for round in 0..2 {
            let start = Instant::now();
            let call = client.prepare("tools/call", json!({ "name": "one_tool-004", "arguments": {} }));
            let reply = call.send_patiently(gateway.port).await;
            if reply.status != 200 || start.elapsed() > AT_ONCE {
                closed.push(format!("{name}, round {round}: {} after {:?}", reply.status, start.elapsed()));
            }
        }
    }
    assert!(closed.is_empty(), "{closed:#?}");
}

async fn timed_open(era: Era, port: u16) -> Client {
    let start = Instant::now();
    let client = Client::open(era, port, "/mcp").await;
    assert!(start.elapsed() < Duration::from_secs(7), "opening took {:?}", start.elapsed());
    client
}

#[tokio::test]
async fn a_server_that_dies_is_said_to_be_dead_and_comes_back_by_itself() {
    dies(Era::Legacy).await;
}

#[tokio::test]
async fn a_modern_server_that_dies_is_said_to_be_dead_and_comes_back_by_itself() {
    dies(Era::Modern).await;
}

async fn dies(era: Era) {
    let offer = Catalogue::new("frail").tools(2).ttl(600_000);
    let (server, other) = (Server::start(era, &offer), good(era).await);
    let line = Line::to(server.port);
    line.mend().await;
    let gateway = Gateway::with(json!({ "frail": line.config(), "one": other[0].config() })).await;
    let client = Client::open(era, gateway.port, "/mcp").await;
    assert_eq!(client.names("tools/list").await.len(), 52);
    assert_eq!(client.said("frail_tool-001", json!({})).await["server"], "frail");
    let mut stream = listen(&client, gateway.port).await;
    line.cut();
    server.forget();
    offer.change(|lists| lists.tools.push(sluice_tests::catalogue::tool("fresh")));
    for _ in 0..5 {
        let start = Instant::now();
        let reply = client.call("frail_tool-001", json!({})).await;
        assert!(reply.rpc()["error"]["message"].is_string(), "{era:?}: {reply:?}");
        assert!(start.elapsed() < AT_ONCE, "{era:?}: {:?}", start.elapsed());
    }
    let start = Instant::now();
    let names = client.names("tools/list").await;
    assert!(start.elapsed() < AT_ONCE, "{era:?}: {:?}", start.elapsed());
    assert!(names.len() == 52 && names.contains(&"frail_tool-001".to_owned()), "{era:?}: kept: {}", names.len());
    assert_eq!(client.said("one_tool-001", json!({})).await["server"], "one");
    line.mend().await;
    let start = Instant::now();
    loop {
        if let Some(event) =
            tokio::time::timeout(Duration::from_secs(40), stream.event()).await.expect("a change is told")
        {
            if event.message()["method"] == "notifications/tools/list_changed"
                && client.names("tools/list").await.len() == 53
            {
                break;
            }
        } else {
            panic!("{era:?}: the stream ended");
        }
        assert!(start.elapsed() < Duration::from_secs(40), "{era:?}: not back");
    }
    assert_eq!(client.said("frail_fresh", json!({})).await["server"], "frail", "{era:?}: in the same session");
}

#[tokio::test]
async fn a_server_that_was_down_while_clients_went_on_asking_is_told_to_be_back() {
    for era in ERAS {
        let offer = Catalogue::new("frail").tools(2);
        let (server, other) = (Server::start(era, &offer), good(era).await);
        let line = Line::to(server.port);
        line.mend().await;
        let gateway = Gateway::with(json!({ "frail": line.config(), "one": other[0].config() })).await;
        let client = Client::open(era, gateway.port, "/mcp").await;
        assert_eq!(client.names("tools/list").await.len(), 52);
        let mut stream = listen(&client, gateway.port).await;
        server.listened().await;
        line.cut();
        server.forget();
        offer.change(|lists| lists.tools.push(sluice_tests::catalogue::tool("fresh")));
        wait::throughout(Duration::from_secs(3), Duration::from_millis(50), async || {
            let began = Instant::now();
            assert_eq!(client.names("tools/list").await.len(), 52, "{era:?}: what was there is shown on");
            assert!(began.elapsed() < AT_ONCE, "{era:?}: {:?}", began.elapsed());
        })
        .await;
        line.mend().await;
        let back = async {
            loop {
                let event = stream.event().await.expect("the stream goes on");
                let told = event.message()["method"] == "notifications/tools/list_changed";
                if told && client.names("tools/list").await.len() == 53 {
                    break;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(40), back).await.unwrap_or_else(|_| panic!("{era:?}: nobody is told"));
    }
}

async fn listen(client: &Client, port: u16) -> sluice_tests::events::Events {
    if let Some(session) = &client.session {
        return session.listen(None).await;
    }
    let filter = json!({ "toolsListChanged": true });
    let mut stream = client.prepare("subscriptions/listen", json!({ "notifications": filter })).open(port).await;
    assert_eq!(stream.message().await["method"], "notifications/subscriptions/acknowledged");
    stream
}

#[tokio::test]
async fn a_server_that_comes_late_is_announced_to_who_is_there() {
    comes_late(Era::Legacy).await;
}

#[tokio::test]
async fn a_modern_server_that_comes_late_is_announced_to_who_is_there() {
    comes_late(Era::Modern).await;
}

async fn comes_late(era: Era) {
    let (server, other) = (Server::start(era, &Catalogue::new("late").tools(3)), good(era).await);
    let line = Line::to(server.port);
    let gateway = Gateway::with(json!({ "late": line.config(), "one": other[0].config() })).await;
    let client = timed_open(era, gateway.port).await;
    assert_eq!(client.names("tools/list").await.len(), 50);
    let mut stream = listen(&client, gateway.port).await;
    let start = Instant::now();
    let reply = client.call("late_tool-001", json!({})).await;
    assert!(
        start.elapsed() < AT_ONCE && reply.rpc()["error"]["message"].is_string(),
        "{era:?} {:?} {reply:?}",
        start.elapsed()
    );
    line.mend().await;
    let told = tokio::time::timeout(Duration::from_secs(40), async {
        loop {
            let event = stream.event().await.expect("the stream goes on");
            if event.message()["method"] == "notifications/tools/list_changed" {
                break;
            }
        }
    });
    told.await.unwrap_or_else(|_| panic!("{era:?}: the late server is not announced"));
    assert_eq!(client.names("tools/list").await.len(), 53, "{era:?}");
    assert_eq!(client.said("late_tool-001", json!({})).await["server"], "late", "{era:?}: in the same session");
}

#[tokio::test]
async fn hostile_entries_of_one_list_harm_no_other_entry() {
    let schema = json!({ "type": "object" });
    let hostile = [
        json!({ "name": "good", "description": "again", "inputSchema": schema }),
        json!({ "description": "nameless", "inputSchema": schema }),
        json!({ "name": 7, "inputSchema": schema }),
        json!({ "name": null, "inputSchema": schema }),
        json!({ "name": "", "inputSchema": schema }),
        json!("a string"),
        json!(null),
        json!([]),
        json!({ "name": "x\u{0}\n\r y", "inputSchema": schema }),
        json!({ "name": "x".repeat(1 << 20), "inputSchema": schema }),
        json!({ "name": "no schema" }),
    ];
    for era in ERAS {
        let servers: Vec<_> = hostile
            .iter()
            .map(|entry| {
                let offer = Catalogue::new("h").tool("good").page(2);
                offer.change(|lists| {
                    lists.tools.extend([entry.clone(), sluice_tests::catalogue::tool("last")]);
                    let mut others = entry.clone();
                    if let Some(uri) = entry.get("name") {
                        others["uri"] = uri.clone();
                    }
                    lists.prompts = vec![json!({ "name": "ok" }), entry.clone()];
                    lists.resources = vec![others, json!({ "uri": "file:///ok", "name": "ok" })];
                });
                Server::start(era, &offer)
            })
            .collect();
        let entries = servers.iter().enumerate().map(|(n, server)| (format!("h{n}"), server.config()));
        let gateway = Gateway::with(Value::Object(entries.collect())).await;
        let client = Client::open(era, gateway.port, "/mcp").await;
        let (tools, prompts) = (client.names("tools/list").await, client.names("prompts/list").await);
        let uris = client.names("resources/list").await;
        let mut missing = Vec::new();
        for (n, entry) in hostile.iter().enumerate() {
            let what = entry.to_string().chars().take(60).collect::<String>();
            for name in [format!("h{n}_good"), format!("h{n}_last")] {
                let count = tools.iter().filter(|own| **own == name).count();
                if count != 1 {
                    missing.push(format!("{name} is there {count} times beside {what}"));
                }
            }
            if !prompts.contains(&format!("h{n}_ok")) {
                missing.push(format!("prompt h{n}_ok beside {what}"));
            }
            if !uris.iter().any(|uri| uri.starts_with(&format!("h{n}+")) && uri.ends_with("file:///ok")) {
                missing.push(format!("resource of h{n} beside {what}"));
            }
        }
        assert!(missing.is_empty(), "{era:?}: {missing:#?}");
    }
}

#[tokio::test]
async fn a_hundred_thousand_tools_are_listed_to_the_last() {
    let offer = Catalogue::new("huge").page(5000).ttl(600_000);
    offer.change(|lists| {
        let tool = |n| json!({ "name": format!("t{n:06}"), "inputSchema": { "type": "object" } });
        lists.tools = (0..100_000).map(tool).collect();
    });
    let (server, other) = (Server::start(Era::Legacy, &offer), good(Era::Legacy).await);
    let gateway = Gateway::with(json!({ "huge": server.config(), "one": other[0].config() })).await;
    let client = Client::open(Era::Legacy, gateway.port, "/mcp").await;
    let first = client.prepare("tools/list", json!({}));
    let port = gateway.port;
    let waiting = tokio::spawn(async move { first.send_patiently(port).await });
    let call = client.prepare("tools/call", json!({ "name": "one_tool-001", "arguments": {} }));
    timed("a call beside the fetch", Duration::from_secs(3), call.send_patiently(port)).await;
    assert_eq!(waiting.await.unwrap().status, 200);
    let start = Instant::now();
    loop {
        let names = client.names("tools/list").await;
        if names.len() == 100_050 {
            break;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "{} tools", names.len());
    }
    assert_eq!(client.said("huge_t099999", json!({})).await["tool"], "t099999");
}

#[tokio::test]
async fn a_list_without_end_takes_bounded_memory() {
    // 512 MB of tools in pages of 4 MB, each made when it is asked for.
    let server = Server::scripted(Era::Legacy, &Catalogue::new("vast").tools(1), |received| {
        let message = received.message();
        let number: u64 =
            message["params"]["cursor"].as_str().and_then(|cursor| cursor.parse().ok()).unwrap_or_default();
        (message["method"] == "tools/list").then(|| {
            let text = "x".repeat(1 << 20);
            let tool = |n| json!({ "name": format!("t-{number}-{n}"), "description": text, "inputSchema": { "type": "object" } });
            let mut result = json!({ "tools": (0..4).map(tool).collect::<Vec<_>>() });
            if number < 128 {
                result["nextCursor"] = json!((number + 1).to_string());
            }
            Answer::message(&message::response(&message["id"], result))
        })
    });
    let other = good(Era::Legacy).await;
    let gateway = Gateway::with(json!({ "vast": server.config(), "one": other[0].config() })).await;
    let client = Client::open(Era::Legacy, gateway.port, "/mcp").await;
    let reply = client.prepare("tools/list", json!({})).send_patiently(gateway.port).await;
    assert!(reply.text().contains("one_tool-049"), "the good ones are there: {}", &reply.text()[..300]);
    for _ in 0..3 {
        assert_eq!(client.prepare("tools/list", json!({})).send_patiently(gateway.port).await.status, 200);
    }
    let peak = sluice_tests::process::peak_kib(gateway.pid());
    assert!(peak < 512 << 10, "{} MiB", peak >> 10);
}

#[tokio::test]
async fn a_server_that_floods_its_stream_slows_nobody() {
    for era in ERAS {
        let (noisy, other) = (Server::start(era, &Catalogue::new("noisy").tools(2).ttl(600_000)), good(era).await);
        let gateway = Gateway::with(json!({ "noisy": noisy.config(), "one": other[0].config() })).await;
        let client = Client::open(era, gateway.port, "/mcp").await;
        assert_eq!(client.names("tools/list").await.len(), 52);
        // A client that listens and never reads.
        let _stream = listen(&client, gateway.port).await;
        assert_eq!(client.said("noisy_tool-000", json!({})).await["server"], "noisy");
        noisy.listened().await;
        let flood = tokio::spawn({
            let noisy = noisy.clone();
            async move {
                let filler = "y".repeat(2000);
                loop {
                    noisy.announce("tools").await;
                    noisy
                        .tell("notifications/message", json!({ "level": "info", "data": filler }), |l| l.id.is_null())
                        .await;
                }
            }
        });
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(4) {
            let call = client.prepare("tools/call", json!({ "name": "one_tool-001", "arguments": {} }));
            timed("a call beside the flood", AT_ONCE, call.send_patiently(gateway.port)).await;
            let call = client.prepare("tools/list", json!({}));
            timed("a list beside the flood", AT_ONCE, call.send_patiently(gateway.port)).await;
        }
        flood.abort();
        let peak = sluice_tests::process::peak_kib(gateway.pid());
        assert!(peak < 256 << 10, "{era:?}: {} MiB", peak >> 10);
    }
}

#[tokio::test]
async fn a_stdio_server_that_always_crashes_is_started_a_bounded_number_of_times() {
    let (crashing, fine) = (Peer::new("legacy").start("crash"), Peer::new("legacy"));
    let gateway = Gateway::with(json!({ "crashing": crashing.config(), "fine": fine.config() })).await;
    let start = Instant::now();
    let mut clients = Vec::new();
    for _ in 0..5 {
        clients.push(Session::open(gateway.port, "/mcp").await);
    }
    let mut rounds = 0;
    while start.elapsed() < Duration::from_secs(6) || rounds < 3 {
        rounds += 1;
        for client in &clients {
            let listed = client.request("tools/list", json!({})).await.result();
            assert!(listed["tools"].as_array().unwrap().iter().any(|tool| tool["name"] == "fine_echo"), "{listed}");
            let began = Instant::now();
            let reply = client.call("crashing_echo", json!({})).await;
            assert!(reply.rpc()["error"]["message"].is_string(), "{reply:?}");
            assert!(rounds == 1 || began.elapsed() < AT_ONCE, "{:?}", began.elapsed());
            assert_eq!(client.call("fine_echo", json!({})).await.status, 200);
        }
    }
    // 0.5, 1, 2, 4, 8 … seconds between starts.
    assert!(crashing.starts() <= 8, "{} starts in {:?}", crashing.starts(), start.elapsed());
}

#[tokio::test]
async fn many_clients_of_many_stdio_servers_start_no_more_children_than_allowed() {
    let peers: Vec<_> = (0..5).map(|_| Peer::new("legacy")).collect();
    let entries = peers.iter().enumerate().map(|(n, peer)| (format!("p{n}"), peer.config()));
    let servers = Value::Object(entries.collect());
    let limits = json!({ "children_per_server": 4, "children_per_principal": 3 });
    let gateway = Start::new(json!({ "servers": servers, "proxy": { "limits": limits } })).ready().await;
    let port = gateway.port;
    let clients = (0..50).map(|n| {
        tokio::spawn(async move {
            let session = Session::with(port, "/mcp", json!({ "sampling": {} }), None).await;
            let mut served = 0;
            for server in 0..5 {
                let call =
                    session.post(&message::call(&format!("p{server}_pid"), session.next_id(), json!({ "n": n })));
                let reply = call.send_patiently(port).await;
                if reply.rpc().get("result").is_some() {
                    served += 1;
                } else {
                    let error = reply.rpc()["error"].clone();
                    assert!(error["message"].as_str().unwrap().contains("limit"), "a clear error: {reply:?}");
                }
            }
            (session, served)
        })
    });
    let mut sessions = Vec::new();
    let mut served = 0;
    for client in clients.collect::<Vec<_>>() {
        let (session, count) = client.await.unwrap();
        served += count;
        sessions.push(session);
    }
    for (n, peer) in peers.iter().enumerate() {
        assert!(peer.processes().len() <= 4, "p{n}: {} processes", peer.processes().len());
        assert!(peer.starts() <= 10, "p{n}: {} starts", peer.starts());
    }
    assert!(served >= 5, "{served}");
    for session in &sessions {
        assert_eq!(session.delete().await.status / 100, 2);
    }
    // The places are free again.
    let session = Session::with(port, "/mcp", json!({ "sampling": {} }), None).await;
    for server in 0..5 {
        let tool = format!("p{server}_pid");
        let (what, call) = (format!("p{server} has room"), async || session.call(&tool, json!({})).await.rpc());
        wait::becomes(wait::SOON, &what, call, |answer| answer.get("result").is_some()).await;
    }
}

#[tokio::test]
async fn a_server_of_an_unknown_version_is_named_and_left_alone() {
    let strange = Server::scripted(Era::Legacy, &Catalogue::new("strange"), |received| {
        let message = received.message();
        (message["method"] == "initialize").then(|| {
            let result = json!({ "protocolVersion": "1999-01-01", "capabilities": { "tools": {} }, "serverInfo": { "name": "x", "version": "1" } });
            Answer::message(&message::response(&message["id"], result))
        })
    });
    let other = good(Era::Legacy).await;
    let gateway = Gateway::with(json!({ "strange": strange.config(), "one": other[0].config() })).await;
    let client = timed_open(Era::Legacy, gateway.port).await;
    assert_eq!(client.names("tools/list").await.len(), 50);
    let reply = client.call("strange_x", json!({})).await;
    assert!(reply.rpc()["error"]["message"].as_str().unwrap().contains("strange"), "{reply:?}");
}
