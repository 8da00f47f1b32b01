//! Subscriptions on the merged door: to resources by the URIs it exposes, and, in the modern era, one subscription over
//! several servers with one acknowledgement.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::time::Duration;

use serde_json::{Value, json};
use sluice_tests::catalogue::Catalogue;
use sluice_tests::client::{Client, Era};
use sluice_tests::message::SUBSCRIPTION_KEY;
use sluice_tests::server::Server;
use sluice_tests::{Call, Gateway, Session, until};

const NAMES: [&str; 3] = ["left", "mid", "right"];

async fn three(era: Era) -> (Gateway, [Server; 3]) {
    let offer = |name| Catalogue::new(name).tools(1).prompts(1).resources(2);
    let servers = NAMES.map(|name| Server::start(era, &offer(name)));
    let entries = NAMES.iter().zip(&servers).map(|(name, server)| ((*name).to_owned(), server.config()));
    (Gateway::with(Value::Object(entries.collect())).await, servers)
}

#[tokio::test]
async fn a_legacy_client_hears_of_updates_under_the_uri_it_subscribed_to() {
    let (gateway, servers) = three(Era::Legacy).await;
    let client = Client::open(Era::Legacy, gateway.port, "/mcp").await;
    let session = client.session.as_ref().unwrap();
    let uris = client.names("resources/list").await;
    let exposed = |name: &str, own: &str| {
        uris.iter().find(|uri| uri.contains(name) && uri.ends_with(own)).unwrap_or_else(|| panic!("{uris:?}")).clone()
    };
    let mut stream = session.listen(None).await;
    for name in ["left", "right"] {
        let uri = exposed(name, "file:///r001");
        assert_eq!(session.request("resources/subscribe", json!({ "uri": uri })).await.result(), json!({}));
    }
    for (server, count) in servers.iter().zip([1, 0, 1]) {
        let told = server.got("resources/subscribe");
        assert_eq!(told.len(), count);
        assert!(told.iter().all(|told| told.message()["params"]["uri"] == "file:///r001"), "under its own URI");
    }
    for (server, name) in [(&servers[2], "right"), (&servers[0], "left")] {
        let part = server.got("resources/subscribe")[0].header("mcp-session-id").unwrap().to_owned();
        until("the stream of the part", || server.listeners().into_iter().find(|l| l.session == part)).await;
        server
            .tell("notifications/resources/updated", json!({ "uri": "file:///r001", "title": "t" }), |l| {
                l.session == part
            })
            .await;
        let got = stream.message().await;
        assert_eq!(got["method"], "notifications/resources/updated");
        assert_eq!(got["params"], json!({ "uri": exposed(name, "file:///r001"), "title": "t" }));
    }
    let uri = exposed("right", "file:///r001");
    assert_eq!(session.request("resources/unsubscribe", json!({ "uri": uri })).await.result(), json!({}));
    assert_eq!(servers[2].got("resources/unsubscribe")[0].message()["params"]["uri"], "file:///r001");
    assert!(servers[0].got("resources/unsubscribe").is_empty());
    for unknown in ["file:///r001", "nobody+file:///r001", "nonsense", ""] {
        let reply = session.request("resources/subscribe", json!({ "uri": unknown })).await;
        assert_eq!(reply.code(), Some(-32002), "{unknown}: {reply:?}");
    }
}

fn listen(id: i64, filter: Value) -> Call {
    Call::modern("/mcp", "subscriptions/listen", id, json!({ "notifications": filter }))
}

#[tokio::test]
async fn one_modern_subscription_covers_all_servers_with_one_acknowledgement() {
    let (gateway, servers) = three(Era::Modern).await;
    let client = Client::open(Era::Modern, gateway.port, "/mcp").await;
    let uris = client.names("resources/list").await;
    let own = |name: &str| uris.iter().find(|uri| uri.contains(name) && uri.ends_with("r000")).unwrap().clone();
    let filter = json!({ "toolsListChanged": true, "promptsListChanged": true, "resourcesListChanged": true,
        "resourceSubscriptions": [own("left"), own("right")] });
    let mut stream = listen(42, filter.clone()).open(gateway.port).await;
    assert_eq!(stream.status, 200);
    let acknowledged = stream.message().await;
    assert_eq!(acknowledged["method"], "notifications/subscriptions/acknowledged");
    assert_eq!(acknowledged["params"]["_meta"][SUBSCRIPTION_KEY], 42);
    assert_eq!(acknowledged["params"]["notifications"], filter);
    // Each server is subscribed to at least for the resources that are its own, and never for another's.
    for (server, wanted) in servers.iter().zip([1, 0, 1]) {
        let mine = || {
            let listeners = server.listeners();
            let uris = listeners.iter().filter_map(|l| l.filter["resourceSubscriptions"].as_array().cloned());
            uris.flatten().collect::<Vec<_>>()
        };
        until("the subscription at the server", || (mine().len() == wanted).then_some(())).await;
        assert!(mine().iter().all(|uri| uri == "file:///r000"), "{:?}", mine());
    }
    for (server, name) in [(&servers[2], "right"), (&servers[0], "left")] {
        server.updated("file:///r000").await;
        let got = stream.message().await;
        assert_eq!(got["method"], "notifications/resources/updated");
        assert_eq!(got["params"], json!({ "uri": own(name), "_meta": { SUBSCRIPTION_KEY: 42 } }));
    }
    for (at, list) in ["tools", "prompts", "resources"].into_iter().enumerate() {
        servers[at].listened().await;
        servers[at].announce(list).await;
        let got = stream.message().await;
        assert_eq!(got["method"], format!("notifications/{list}/list_changed"), "{got}");
        assert_eq!(got["params"]["_meta"][SUBSCRIPTION_KEY], 42);
    }
    assert!(stream.quiet(Duration::from_millis(300)).await, "and nothing twice");
    drop(stream);
    let subscribed = |server: &Server| {
        server.listeners().iter().any(|l| l.filter["resourceSubscriptions"].as_array().is_some_and(|a| !a.is_empty()))
    };
    until("the servers' streams are closed", || (!servers.iter().any(subscribed)).then_some(())).await;
}

#[tokio::test]
async fn a_subscription_gets_what_it_asked_for_and_nothing_else() {
    let (gateway, servers) = three(Era::Modern).await;
    let client = Client::open(Era::Modern, gateway.port, "/mcp").await;
    let uris = client.names("resources/list").await;
    let uri = uris.iter().find(|uri| uri.contains("mid") && uri.ends_with("r000")).unwrap().clone();
    let mut tools = listen(1, json!({ "toolsListChanged": true })).open(gateway.port).await;
    let mut one = listen(2, json!({ "resourceSubscriptions": [uri] })).open(gateway.port).await;
    let mut nothing = listen(3, json!({})).open(gateway.port).await;
    for (stream, id) in [(&mut tools, 1), (&mut one, 2), (&mut nothing, 3)] {
        let acknowledged = stream.message().await;
        assert_eq!(acknowledged["method"], "notifications/subscriptions/acknowledged");
        assert_eq!(acknowledged["params"]["_meta"][SUBSCRIPTION_KEY], id);
    }
    let listens = |n: usize, key: &str| servers[n].listeners().iter().any(|l| !l.filter[key].is_null());
    until("the subscriptions at the server", || {
        (listens(1, "toolsListChanged") && listens(1, "resourceSubscriptions")).then_some(())
    })
    .await;
    servers[1].announce("prompts").await;
    servers[1].announce("tools").await;
    servers[1].updated("file:///r001").await;
    servers[1].updated("file:///r000").await;
    let got = tools.message().await;
    assert_eq!(
        (&got["method"], &got["params"]["_meta"][SUBSCRIPTION_KEY]),
        (&json!("notifications/tools/list_changed"), &json!(1))
    );
    let got = one.message().await;
    assert_eq!((&got["params"]["uri"], &got["params"]["_meta"][SUBSCRIPTION_KEY]), (&json!(uri), &json!(2)));
    for mut stream in [tools, one, nothing] {
        assert!(stream.quiet(Duration::from_millis(300)).await);
    }
}

#[tokio::test]
async fn a_subscription_goes_on_when_one_servers_stream_ends() {
    let (gateway, servers) = three(Era::Modern).await;
    let filter = json!({ "toolsListChanged": true });
    let mut stream = listen(5, filter).open(gateway.port).await;
    assert_eq!(stream.message().await["method"], "notifications/subscriptions/acknowledged");
    servers[0].listened().await;
    servers[1].listened().await;
    servers[0].forget();
    servers[1].announce("tools").await;
    loop {
        // What is opened again may have changed meanwhile, and says so.
        let got = stream.message().await;
        assert_eq!(got["params"]["_meta"][SUBSCRIPTION_KEY], 5, "{got}");
        if got["method"] == "notifications/tools/list_changed" {
            break;
        }
    }
    servers[0].listened().await;
    let before = servers[0].got("subscriptions/listen").len();
    assert!(before >= 2, "opened again");
}

#[tokio::test]
async fn at_the_end_of_the_gateway_the_subscription_ends_with_its_result() {
    let (mut gateway, _servers) = three(Era::Modern).await;
    let mut stream = listen(9, json!({ "toolsListChanged": true })).open(gateway.port).await;
    assert_eq!(stream.message().await["method"], "notifications/subscriptions/acknowledged");
    gateway.signal(rustix::process::Signal::TERM);
    let last = stream.rest().await.pop().expect("a final result");
    assert_eq!((&last["id"], &last["result"]["resultType"]), (&json!(9), &json!("complete")), "{last}");
    assert_eq!(last["result"]["_meta"][SUBSCRIPTION_KEY], 9);
    assert!(gateway.ended().await.success());
}

#[tokio::test]
async fn what_one_session_subscribes_to_another_does_not_hear() {
    let (gateway, servers) = three(Era::Legacy).await;
    let client = Client::open(Era::Legacy, gateway.port, "/mcp").await;
    let uri = client.names("resources/list").await.into_iter().find(|uri| uri.contains("left")).unwrap();
    let (one, two) = (client.session.as_ref().unwrap(), Session::open(gateway.port, "/mcp").await);
    let (mut first, mut second) = (one.listen(None).await, two.listen(None).await);
    assert_eq!(one.request("resources/subscribe", json!({ "uri": uri })).await.status, 200);
    assert_eq!(two.call("left_tool-000", json!({})).await.status, 200);
    let part = servers[0].got("resources/subscribe")[0].header("mcp-session-id").unwrap().to_owned();
    until("the stream of the part", || servers[0].listeners().into_iter().find(|l| l.session == part)).await;
    let own = json!({ "uri": "file:///r000" });
    servers[0].tell("notifications/resources/updated", own, |l| l.session == part).await;
    assert_eq!(first.message().await["params"]["uri"], uri.as_str());
    assert!(second.quiet(Duration::from_millis(300)).await);
}

#[tokio::test]
async fn a_server_that_forgot_its_sessions_is_subscribed_to_again() {
    let (gateway, servers) = three(Era::Legacy).await;
    let client = Client::open(Era::Legacy, gateway.port, "/mcp").await;
    let uri = client.names("resources/list").await.into_iter().find(|uri| uri.contains("left")).unwrap();
    let session = client.session.as_ref().unwrap();
    assert_eq!(session.request("resources/subscribe", json!({ "uri": uri })).await.status, 200);
    servers[0].forget();
    assert_eq!(session.call("left_tool-000", json!({})).await.status, 200);
    let again = until("the subscription again", || servers[0].got("resources/subscribe").get(1).cloned()).await;
    assert_eq!(again.message()["params"]["uri"], "file:///r000");
    assert_eq!(again.header("mcp-session-id"), servers[0].calls("tool-000").pop().unwrap().header("mcp-session-id"));
}

#[tokio::test]
async fn what_nobody_asked_for_is_not_passed_on() {
    let (gateway, servers) = three(Era::Modern).await;
    let mut stream = listen(7, json!({ "toolsListChanged": true })).open(gateway.port).await;
    assert_eq!(stream.message().await["method"], "notifications/subscriptions/acknowledged");
    servers[0].listened().await;
    let unasked = [
        ("notifications/resources/updated", json!({ "uri": "file:///r000" })),
        ("notifications/tasks", json!({ "taskId": "t", "status": "working" })),
        ("notifications/message", json!({ "level": "info", "data": 1 })),
        ("notifications/prompts/list_changed", json!({})),
    ];
    for (method, params) in unasked {
        servers[0].tell(method, params, |_| true).await;
    }
    servers[0].announce("tools").await;
    assert_eq!(stream.message().await["method"], "notifications/tools/list_changed", "nothing before it");
}
