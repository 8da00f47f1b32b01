//! Names on the merged door at their edges: before any list was asked for, shortened, renamed onto each other, without
//! prefixes, and of servers that are down. A name leads to the entry that the list shows under it, or nowhere.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::time::Duration;

use serde_json::{Value, json};
use sluice_tests::catalogue::{Catalogue, tool};
use sluice_tests::client::{Client, ERAS, Era};
use sluice_tests::gateway::Start;
use sluice_tests::line::Line;
use sluice_tests::server::Server;
use sluice_tests::{Gateway, wait};

fn long(n: usize) -> String {
    format!("secret-{}-{n}", "long".repeat(20))
}

#[tokio::test]
async fn names_are_good_before_anybody_asked_for_a_list() {
    for era in ERAS {
        let offer = |name| {
            let offer = Catalogue::new(name).tools(2).tool(&long(1)).prompts(1);
            offer.change(|lists| lists.page = 1);
            offer
        };
        let servers = ["one", "two"].map(|name| Server::start(era, &offer(name)));
        let all = json!({ "one": servers[0].config(), "two": servers[1].config() });
        let gateway = Gateway::with(all.clone()).await;
        let names = Client::open(era, gateway.port, "/mcp").await.names("tools/list").await;
        let shortened = names.iter().find(|name| name.starts_with("two_secret")).unwrap();
        for (name, own) in [("two_tool-001", "tool-001".to_owned()), (shortened.as_str(), long(1))] {
            let fresh = Gateway::with(all.clone()).await;
            let client = Client::open(era, fresh.port, "/mcp").await;
            let said = client.said(name, json!({})).await;
            assert_eq!((&said["server"], &said["tool"]), (&json!("two"), &json!(own)), "{era:?}");
        }
        let fresh = Gateway::with(all).await;
        let client = Client::open(era, fresh.port, "/mcp").await;
        let got = client.request("prompts/get", json!({ "name": "two_prompt-000", "arguments": {} })).await;
        assert_eq!(got.status, 200, "{era:?}: {got:?}");
    }
}

#[tokio::test]
async fn without_prefixes_names_are_good_before_any_list_too() {
    for era in ERAS {
        let servers = ["one", "two"].map(|name| {
            let offer = Catalogue::new(name).tools(1).tool(&format!("only-{name}")).resources(1);
            offer.change(|lists| lists.resources.push(json!({ "uri": format!("file:///of-{name}"), "name": "r" })));
            Server::start(era, &offer)
        });
        let all = json!({ "one": servers[0].config(), "two": servers[1].config() });
        for (name, uri, expected) in [("only-two", "file:///of-two", "two"), ("tool-000", "file:///r000", "one")] {
            let config = json!({ "proxy": { "prefix": "never" }, "servers": all });
            let gateway = Start::new(config).ready().await;
            let client = Client::open(era, gateway.port, "/mcp").await;
            assert_eq!(client.said(name, json!({})).await["server"], expected, "{era:?} {name}");
            assert_eq!(client.read(uri).await.1["server"], expected, "{era:?} {uri}");
        }
        let config = json!({ "proxy": { "prefix": "never" }, "servers": all });
        let gateway = Start::new(config).ready().await;
        let client = Client::open(era, gateway.port, "/mcp").await;
        for name in ["nobodys", "one_tool-000", "two_only-two"] {
            let reply = client.call(name, json!({})).await;
            assert_eq!(reply.code(), Some(-32602), "{era:?} {name}: {reply:?}");
        }
        assert!(servers.iter().all(|server| server.calls("nobodys").is_empty()), "nobody is asked for what nobody has");
    }
}

#[tokio::test]
async fn without_prefixes_a_name_stays_with_its_first_server_when_that_is_down() {
    for era in ERAS {
        let servers = ["one", "two"].map(|name| Server::start(era, &Catalogue::new(name).tools(2).ttl(600_000)));
        let line = Line::to(servers[0].port);
        line.mend().await;
        let all = json!({ "one": line.config(), "two": servers[1].config() });
        let gateway = Start::new(json!({ "proxy": { "prefix": "never" }, "servers": all })).ready().await;
        let client = Client::open(era, gateway.port, "/mcp").await;
        assert_eq!(client.names("tools/list").await.len(), 2);
        assert_eq!(client.said("tool-001", json!({})).await["server"], "one", "{era:?}");
        line.cut();
        for _ in 0..3 {
            let reply = client.call("tool-001", json!({})).await;
            assert!(reply.rpc().get("error").is_some(), "{era:?}: never at another server: {reply:?}");
            assert_eq!(client.names("tools/list").await.len(), 2, "{era:?}");
        }
        assert!(servers[1].calls("tool-001").is_empty(), "{era:?}");
        servers[0].forget();
        line.mend().await;
        let (what, call) = (format!("{era:?}: it is back"), async || client.call("tool-001", json!({})).await.rpc());
        wait::becomes(Duration::from_secs(35), &what, call, |answer| answer.get("result").is_some()).await;
        assert!(servers[1].calls("tool-001").is_empty(), "{era:?}");
    }
}

#[tokio::test]
async fn a_tool_that_is_renamed_onto_another_never_answers_for_it() {
    for era in ERAS {
        let offer = Catalogue::new("one");
        offer.change(|lists| lists.tools = ["alpha", "beta", "gamma"].iter().map(|name| tool(name)).collect());
        let server = Server::start(era, &offer);
        let edit = json!({ "alpha": { "name": "beta" }, "beta": { "name": "gamma" } });
        let entry = json!({ "url": server.url(), "tools": { "edit": edit } });
        let gateway = Gateway::with(json!({ "one": entry })).await;
        let client = Client::open(era, gateway.port, "/mcp").await;
        let tools = client.list("tools/list").await;
        let names: std::collections::BTreeSet<_> = tools.iter().map(|tool| tool["name"].as_str().unwrap()).collect();
        assert_eq!(names.len(), tools.len(), "{era:?}: every name once: {tools:?}");
        for shown in &tools {
            let said = client.said(shown["name"].as_str().unwrap(), json!({})).await;
            let own = said["tool"].as_str().unwrap();
            assert_eq!(shown["description"], format!("does {own}"), "{era:?}: what is shown is what is called");
        }
    }
}

#[tokio::test]
async fn hidden_tools_are_hidden_under_shortened_and_new_names_too() {
    for era in ERAS {
        let offer = Catalogue::new("one").tool("open").tool(&long(1)).tool("private");
        let server = Server::start(era, &offer);
        let shown = Gateway::with(json!({ "one": server.config() })).await;
        let names = Client::open(era, shown.port, "/mcp").await.names("tools/list").await;
        let shortened = names.iter().find(|name| name.starts_with("one_secret")).unwrap();
        let words = json!({ "deny": ["secret-*", "private"], "edit": { "private": { "name": "public" } } });
        let gateway = Gateway::with(json!({ "one": { "url": server.url(), "tools": words } })).await;
        let client = Client::open(era, gateway.port, "/mcp").await;
        let own = long(1);
        let before = server.calls(&own).len() + server.calls("private").len();
        let tries = [
            shortened.clone(),
            format!("one_{own}"),
            "one_public".into(),
            "one_private".into(),
            own.clone(),
            "private".into(),
        ];
        for listed in [false, true] {
            for name in &tries {
                let reply = client.call(name, json!({})).await;
                assert_eq!(reply.code(), Some(-32602), "{era:?} {name} listed {listed}: {reply:?}");
            }
            assert_eq!(client.names("tools/list").await, ["one_open"], "{era:?}");
        }
        let door = Client::open(era, gateway.port, "/servers/one/mcp").await;
        for name in [own.as_str(), "private", "public", shortened] {
            let reply = door.call(name, json!({})).await;
            assert_eq!(reply.code(), Some(-32602), "{era:?} {name}: {reply:?}");
        }
        assert_eq!(server.calls(&own).len() + server.calls("private").len(), before);
    }
}

#[tokio::test]
async fn arguments_that_headers_mirror_stay_what_the_headers_say() {
    let offer = Catalogue::new("one");
    let property = |name: &str| json!({ "type": "string", "x-mcp-header": name });
    let schema = json!({ "type": "object", "properties": { "region": property("Region"), "tenant": property("Tenant"), "q": { "type": "string" } } });
    offer.change(|lists| lists.tools.push(json!({ "name": "query", "inputSchema": schema })));
    let server = Server::start(Era::Modern, &offer);
    let edit =
        json!({ "query": { "name": "ask", "forced": { "tenant": "forced-é" }, "defaults": { "region": "eu" } } });
    let plain = server.config();
    let gateway =
        Gateway::with(json!({ "one": { "url": server.url(), "tools": { "edit": edit } }, "plain": plain })).await;
    let client = Client::open(Era::Modern, gateway.port, "/mcp").await;
    let listed = client.list("tools/list").await;
    let shown = listed.iter().find(|tool| tool["name"] == "one_ask").unwrap();
    assert!(shown["inputSchema"]["properties"].get("tenant").is_none(), "{shown}");
    let told = |n: usize| {
        let call = server.calls("query")[n].clone();
        let header = |name: &str| sluice_tests::message::header_name(call.header(name).unwrap_or_default()).unwrap();
        (call.message()["params"]["arguments"].clone(), header("mcp-param-region"), header("mcp-param-tenant"))
    };
    let call =
        |name: &str, arguments: Value| client.prepare("tools/call", json!({ "name": name, "arguments": arguments }));
    let reply =
        call("one_ask", json!({ "q": "x", "region": "us" })).header("mcp-param-region", "us").send(gateway.port).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(told(0), (json!({ "q": "x", "region": "us", "tenant": "forced-é" }), "us".into(), "forced-é".into()));
    let reply = call("one_ask", json!({ "q": "x" })).send(gateway.port).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(told(1), (json!({ "q": "x", "region": "eu", "tenant": "forced-é" }), "eu".into(), "forced-é".into()));
    let reply = call("plain_query", json!({ "tenant": "t", "region": "r" }))
        .header("mcp-param-tenant", "t")
        .header("mcp-param-region", "r");
    assert_eq!(reply.send(gateway.port).await.status, 200);
    assert_eq!(told(2), (json!({ "tenant": "t", "region": "r" }), "r".into(), "t".into()));
}
