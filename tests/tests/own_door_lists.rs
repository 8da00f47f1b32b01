//! Lists on a server's own door come from the catalogue while that is faithful: never an outdated one, never another's.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sluice_tests::catalogue::{Catalogue, tool};
use sluice_tests::client::{Client, Era};
use sluice_tests::gateway::Start;
use sluice_tests::message;
use sluice_tests::server::Server;
use sluice_tests::upstream::{Answer, Received};
use sluice_tests::{Call, Gateway, Session, until};

const PATH: &str = "/servers/one/mcp";
const ALICE: &str = "alice-key-0123456789abcdef";
const BOB: &str = "bob-key-0123456789abcdef0";
/// Longer than any of what is waited for here, shorter than what is kept stays good.
const SOON: Duration = Duration::from_secs(20);

fn asked(server: &Server) -> usize {
    server.got("tools/list").len()
}

async fn is_asked(client: &Client, server: &Server) -> bool {
    let before = asked(server);
    client.names("tools/list").await;
    asked(server) > before
}

/// Lists until the server is no longer asked.
async fn kept(client: &Client, server: &Server) {
    let start = Instant::now();
    while is_asked(client, server).await {
        assert!(start.elapsed() < SOON, "still asked after {} lists", asked(server));
    }
}

/// Lists until it shows the tool.
async fn shown(client: &Client, name: &str) {
    let start = Instant::now();
    while !client.names("tools/list").await.contains(&name.to_owned()) {
        assert!(start.elapsed() < SOON, "{name} is not shown");
    }
}

async fn legacy(offer: &Catalogue) -> (Server, Gateway, Client) {
    let server = Server::start(Era::Legacy, offer);
    let gateway = Gateway::with(json!({ "one": server.config() })).await;
    let client = Client::open(Era::Legacy, gateway.port, PATH).await;
    (server, gateway, client)
}

#[tokio::test]
async fn a_watched_server_is_asked_for_all_and_a_change_is_there_when_it_is_told() {
    let offer = Catalogue::new("one").tools(2);
    let (server, gateway, first) = legacy(&offer).await;
    kept(&first, &server).await;
    let second = Client::open(Era::Legacy, gateway.port, PATH).await;
    assert!(!is_asked(&second, &server).await, "the second session asks the server nothing");
    let mut stream = second.session.as_ref().unwrap().listen(None).await;
    until("both streams", || (server.listeners().len() == 2).then_some(())).await;
    for round in 0..3 {
        let fresh = format!("fresh-{round}");
        offer.change(|lists| lists.tools.push(tool(&fresh)));
        server.announce("tools").await;
        assert_eq!(stream.message().await["method"], "notifications/tools/list_changed");
        assert!(second.names("tools/list").await.contains(&fresh), "whoever was told sees it");
        shown(&first, &fresh).await;
        kept(&first, &server).await;
    }
}

#[tokio::test]
async fn what_is_kept_is_what_the_server_wrote() {
    let body = r#" {"result" : {"tools":[{"name":"a","x-more":1.0,"inputSchema":{"type":"object"}}],"_meta":{"v":1e0},"x":[]},"jsonrpc":"2.0","id":ID}"#;
    let offer = Catalogue::new("one").tools(1);
    let server = Server::scripted(Era::Legacy, &offer, move |received| {
        let message = received.message();
        (message["method"] == "tools/list")
            .then(|| Answer::json(body.replace("ID", &message["id"].to_string()).into_bytes()))
    });
    let gateway = Gateway::with(json!({ "one": server.config() })).await;
    let client = Client::open(Era::Legacy, gateway.port, PATH).await;
    kept(&client, &server).await;
    let before = asked(&server);
    for id in [json!(7), json!("a \" quote"), json!(-1)] {
        let request = json!({ "jsonrpc": "2.0", "id": id, "method": "tools/list", "params": {} });
        let reply = client.session.as_ref().unwrap().post(&request).send(gateway.port).await;
        assert_eq!((reply.status, reply.text()), (200, body.replace("ID", &id.to_string())));
        assert_eq!(reply.header("content-type"), Some("application/json"));
    }
    assert_eq!(asked(&server), before);
}

#[tokio::test]
async fn answers_in_events_are_kept_as_well() {
    let offer = Catalogue::new("one").tools(2);
    let own = offer.clone();
    let server = Server::scripted(Era::Legacy, &offer, move |received| {
        let message = received.message();
        let result =
            (message["method"] == "tools/list").then(|| own.result("tools/list", &json!({})).unwrap().unwrap())?;
        let answer = message::response(&message["id"], result);
        Some(Answer::events(format!("event: message\ndata: {answer}\n\n")))
    });
    let gateway = Gateway::with(json!({ "one": server.config() })).await;
    let client = Client::open(Era::Legacy, gateway.port, PATH).await;
    kept(&client, &server).await;
    assert_eq!(client.names("tools/list").await.len(), 2);
}

#[tokio::test]
async fn a_server_that_does_not_tell_of_changes_is_always_asked() {
    let offer = Catalogue::new("one").tools(2).capability("tools", json!({}));
    let (server, _gateway, client) = legacy(&offer).await;
    for round in 0..30 {
        let fresh = format!("fresh-{round}");
        offer.change(|lists| lists.tools[0] = tool(&fresh));
        assert!(client.names("tools/list").await.contains(&fresh), "{round}");
    }
    assert_eq!((server.sessions().len(), server.listeners().len()), (1, 0), "nobody watches it");
}

#[tokio::test]
async fn a_server_whose_stream_ends_is_asked_again() {
    let offer = Catalogue::new("one").tools(2);
    let (server, _gateway, client) = legacy(&offer).await;
    kept(&client, &server).await;
    server.forget();
    offer.change(|lists| lists.tools[0] = tool("fresh"));
    shown(&client, "fresh").await;
    offer.change(|lists| lists.tools[0] = tool("fresher"));
    assert!(client.names("tools/list").await.contains(&"fresher".to_owned()), "nobody watches it now");
}

#[tokio::test]
async fn more_than_a_first_page_is_asked_of_the_server() {
    let offer = Catalogue::new("one").tools(3).page(2);
    let (server, _gateway, client) = legacy(&offer).await;
    for _ in 0..12 {
        let before = asked(&server);
        assert_eq!(client.names("tools/list").await.len(), 3);
        assert_eq!(asked(&server), before + 2, "a cursor is good for the session that got it");
    }
    offer.change(|lists| lists.page = 0);
    server.announce("tools").await;
    kept(&client, &server).await;
    let before = asked(&server);
    let progress = json!({ "_meta": { "progressToken": 1 } });
    assert_eq!(client.request("tools/list", progress).await.status, 200);
    assert_eq!(client.request("tools/list", json!({ "x-more": 1 })).await.status, 200);
    assert_eq!(asked(&server), before + 2);
}

#[tokio::test]
async fn a_session_that_alone_is_told_of_a_change_has_lists_of_its_own() {
    let offer = Catalogue::new("one").tools(1);
    let own = offer.clone();
    let server = Server::scripted(Era::Legacy, &offer, move |received| {
        // the server's first session sees one more tool than the others
        let message = received.message();
        let special = received.header("mcp-session-id") == Some("one-session-0");
        (message["method"] == "tools/list" && special).then(|| {
            let mut result = own.result("tools/list", &json!({})).unwrap().unwrap();
            result["tools"].as_array_mut().unwrap().push(tool("special"));
            Answer::message(&message::response(&message["id"], result))
        })
    });
    let gateway = Gateway::with(json!({ "one": server.config() })).await;
    let special = Client::open(Era::Legacy, gateway.port, PATH).await;
    let mut stream = special.session.as_ref().unwrap().listen(None).await;
    server.listened().await;
    server.tell("notifications/tools/list_changed", json!({}), |listener| listener.session == "one-session-0").await;
    stream.message().await;
    let ordinary = Client::open(Era::Legacy, gateway.port, PATH).await;
    kept(&ordinary, &server).await;
    for _ in 0..3 {
        assert_eq!(special.names("tools/list").await, ["tool-000", "special"]);
        assert_eq!(ordinary.names("tools/list").await, ["tool-000"]);
    }
    assert!(is_asked(&special, &server).await && !is_asked(&ordinary, &server).await);
}

/// A server whose only tool is named after the session that asks.
fn personal() -> Server {
    Server::scripted(Era::Legacy, &Catalogue::new("one").tools(1), |received: &Received| {
        let message = received.message();
        let session = received.header("mcp-session-id")?.to_owned();
        (message["method"] == "tools/list")
            .then(|| Answer::message(&message::response(&message["id"], json!({ "tools": [tool(&session)] }))))
    })
}

#[tokio::test]
async fn clients_who_are_kept_apart_never_see_each_others() {
    for isolation in ["per_principal", "per_session"] {
        let server = personal();
        let gateway = Start::new(json!({
            "servers": { "one": { "url": server.url(), "isolation": isolation } },
            "clients": { "alice": { "api_key": ALICE }, "bob": { "api_key": BOB } },
        }))
        .ready()
        .await;
        let open = async |key| Client::with(Era::Legacy, gateway.port, PATH, Some(key)).await;
        let clients = [open(ALICE).await, open(BOB).await, open(ALICE).await];
        for _ in 0..20 {
            for client in &clients {
                client.names("tools/list").await;
            }
        }
        let mut seen = Vec::new();
        for client in &clients {
            seen.push(client.names("tools/list").await.remove(0));
        }
        assert_ne!(seen[0], seen[1], "{isolation}: never another principal's");
        match isolation {
            "per_session" => assert_eq!(seen, ["one-session-0", "one-session-1", "one-session-2"]),
            _ => assert_eq!(seen[1], "one-session-1", "{isolation}"),
        }
    }
}

#[tokio::test]
async fn clients_that_declare_other_things_never_see_each_others() {
    let server = personal();
    let gateway = Gateway::with(json!({ "one": server.config() })).await;
    let plain = Session::open(gateway.port, PATH).await;
    let able = Session::with(gateway.port, PATH, json!({ "sampling": {} }), None).await;
    let name = async |session: &Session| {
        session.request("tools/list", json!({})).await.result()["tools"][0]["name"].as_str().unwrap().to_owned()
    };
    for _ in 0..20 {
        assert_eq!(name(&plain).await, "one-session-0");
        assert_eq!(name(&able).await, "one-session-1");
    }
    until("the server is watched", || (!server.listeners().is_empty()).then_some(())).await;
    for _ in 0..20 {
        assert_eq!(name(&plain).await, "one-session-0");
        assert_eq!(name(&able).await, "one-session-1");
    }
}

async fn modern(offer: &Catalogue) -> (Server, Gateway, Client) {
    let server = Server::start(Era::Modern, offer);
    let gateway = Gateway::with(json!({ "one": server.config() })).await;
    let client = Client::open(Era::Modern, gateway.port, PATH).await;
    (server, gateway, client)
}

#[tokio::test]
async fn what_a_modern_server_promises_is_kept_for_as_long() {
    let (server, gateway, client) = modern(&Catalogue::new("one").tools(2).ttl(600_000)).await;
    kept(&client, &server).await;
    let before = asked(&server);
    let mut last = 600_000;
    for _ in 0..3 {
        let result = client.request("tools/list", json!({})).await.result();
        let left = result["ttlMs"].as_u64().unwrap();
        assert!(left <= last && left > 500_000, "{left}");
        assert_eq!(result["resultType"], "complete");
        last = left;
    }
    assert_eq!(asked(&server), before);
    let more =
        [json!({ "_meta": { "progressToken": 1 } }), json!({ "_meta": { "x.example/more": 1 } }), json!({ "x": 1 })];
    for (n, params) in more.into_iter().enumerate() {
        for time in 0..2 {
            assert_eq!(client.request("tools/list", params.clone()).await.status, 200);
            assert_eq!(asked(&server), before + 2 * n + time + 1, "{params}");
        }
    }
    let unlike = Call::modern(PATH, "tools/list", 1, json!({}));
    let mut body: Value = message::modern("tools/list", 1, json!({}));
    body["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"] = json!({ "sampling": {} });
    let reply = unlike.body(body.to_string()).send(gateway.port).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(asked(&server), before + 7, "another sort of client");
}

#[tokio::test]
async fn what_a_modern_server_keeps_back_is_always_asked() {
    for (ttl, private) in [(0, false), (600_000, true)] {
        let offer = Catalogue::new("one").tools(2).ttl(ttl);
        offer.change(|lists| lists.private = private);
        let (_server, _gateway, client) = modern(&offer).await;
        for round in 0..5 {
            let fresh = format!("fresh-{round}");
            offer.change(|lists| lists.tools[0] = tool(&fresh));
            assert!(client.names("tools/list").await.contains(&fresh), "{ttl} {private}");
        }
    }
}

#[tokio::test]
async fn a_change_that_a_modern_server_tells_ends_its_promise() {
    let offer = Catalogue::new("one").tools(2).ttl(600_000);
    let (server, gateway, client) = modern(&offer).await;
    kept(&client, &server).await;
    let filter = json!({ "notifications": { "toolsListChanged": true } });
    let mut stream = client.prepare("subscriptions/listen", filter).open(gateway.port).await;
    assert_eq!(stream.message().await["method"], "notifications/subscriptions/acknowledged");
    offer.change(|lists| lists.tools[0] = tool("fresh"));
    server.announce("tools").await;
    assert_eq!(stream.message().await["method"], "notifications/tools/list_changed");
    assert!(client.names("tools/list").await.contains(&"fresh".to_owned()));
}
