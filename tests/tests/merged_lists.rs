//! The lists of the merged door: every entry of every server over all pages, under names and URIs that lead back to the
//! server they came from, in both eras.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::collections::BTreeSet;

use serde_json::{Value, json};
use sluice_tests::Gateway;
use sluice_tests::catalogue::{Catalogue, KINDS, tool};
use sluice_tests::client::{Client, ERAS, Era};
use sluice_tests::gateway::Start;
use sluice_tests::server::Server;

const SERVERS: [&str; 3] = ["files", "mail", "web-2"];

/// Three servers with fifty entries of each kind, three on a page, all of the same names.
async fn three(era: Era) -> (Gateway, Vec<Server>) {
    let offer = |name| Catalogue::new(name).tools(50).prompts(50).resources(50).templates(50).page(3);
    let servers: Vec<_> = SERVERS.iter().map(|name| Server::start(era, &offer(name))).collect();
    let entries = SERVERS.iter().zip(&servers).map(|(name, server)| ((*name).to_owned(), server.config()));
    (Gateway::with(Value::Object(entries.collect())).await, servers)
}

#[tokio::test]
async fn every_list_is_complete_over_all_pages_of_all_servers() {
    for era in ERAS {
        let (gateway, _servers) = three(era).await;
        let client = Client::open(era, gateway.port, "/mcp").await;
        for (method, ..) in KINDS {
            let names = client.names(method).await;
            let distinct: BTreeSet<_> = names.iter().collect();
            assert_eq!((names.len(), distinct.len()), (150, 150), "{era:?} {method}: {names:?}");
            assert_eq!(client.names(method).await, names, "{era:?} {method}: the same order each time");
        }
    }
}

#[tokio::test]
async fn tools_and_prompts_are_named_after_their_server_and_reach_it() {
    for era in ERAS {
        let (gateway, _servers) = three(era).await;
        let client = Client::open(era, gateway.port, "/mcp").await;
        let expected = |kind: &str| -> BTreeSet<String> {
            SERVERS.iter().flat_map(|server| (0..50).map(move |n| format!("{server}_{kind}-{n:03}"))).collect()
        };
        assert_eq!(BTreeSet::from_iter(client.names("tools/list").await), expected("tool"));
        assert_eq!(BTreeSet::from_iter(client.names("prompts/list").await), expected("prompt"));
        for server in SERVERS {
            let said = client.said(&format!("{server}_tool-049"), json!({ "a": [1, "é"] })).await;
            assert_eq!(said, json!({ "server": server, "tool": "tool-049", "arguments": { "a": [1, "é"] } }));
            let params = json!({ "name": format!("{server}_prompt-007"), "arguments": { "who": "me" } });
            let got = client.request("prompts/get", params).await.result();
            let text = got["messages"][0]["content"]["text"].as_str().unwrap();
            let said: Value = serde_json::from_str(text).unwrap();
            assert_eq!(said, json!({ "server": server, "prompt": "prompt-007", "arguments": { "who": "me" } }));
        }
        for unknown in ["tool-001", "files_tool-999", "nobody_tool-001", "files", "files_", "_", "", "Files_tool-001"] {
            let reply = client.call(unknown, json!({})).await;
            assert_eq!(reply.code(), Some(-32602), "{era:?} {unknown:?}: {reply:?}");
        }
    }
}

#[tokio::test]
async fn every_listed_uri_is_read_at_its_server_and_comes_back_as_it_was_listed() {
    for era in ERAS {
        let (gateway, _servers) = three(era).await;
        let client = Client::open(era, gateway.port, "/mcp").await;
        let mut seen = BTreeSet::new();
        for uri in client.names("resources/list").await.iter().step_by(7) {
            let (answered, said) = client.read(uri).await;
            assert_eq!(answered, uri.as_str(), "{era:?}: the content has the URI that was asked for");
            seen.insert(said["server"].as_str().unwrap().to_owned());
            let own = said["uri"].as_str().unwrap();
            assert!(own.starts_with("file:///r") && uri.ends_with(own), "{era:?} {uri}: {said}");
        }
        assert_eq!(seen.len(), 3, "{seen:?}");
        for template in client.names("resources/templates/list").await.iter().step_by(31) {
            let uri = template.replace("{path}", "deep/er%20x?q=1");
            let (answered, said) = client.read(&uri).await;
            assert_eq!(answered, uri.as_str());
            assert!(said["uri"].as_str().unwrap().ends_with("/deep/er%20x?q=1"), "{era:?} {uri}: {said}");
            assert!(said["uri"].as_str().unwrap().starts_with("file:///t"), "{era:?} {uri}: {said}");
        }
        for unknown in ["file:///r000", "nobody+file:///r000", "files+file:///none", "nonsense", ""] {
            let reply = client.request("resources/read", json!({ "uri": unknown })).await;
            let code = Some(if era == Era::Legacy { -32002 } else { -32602 });
            // What the server may have without listing it is the server's to refuse.
            assert!(reply.code() == code || unknown == "files+file:///none", "{era:?} {unknown:?}: {reply:?}");
        }
    }
}

#[tokio::test]
async fn long_names_are_shortened_to_64_characters_and_stay_callable() {
    for era in ERAS {
        let long: Vec<String> = (0..3).map(|n| format!("{}{n}", "a-very-long-name".repeat(7))).collect();
        let exact = "x".repeat(64 - "files_".len());
        let offer = Catalogue::new("files").tool(&exact);
        offer.change(|lists| lists.tools.extend(long.iter().map(|name| tool(name))));
        offer.change(|lists| lists.prompts.extend(long.iter().map(|name| json!({ "name": name }))));
        let server = Server::start(era, &offer);
        let gateway = Gateway::with(json!({ "files": server.config() })).await;
        let client = Client::open(era, gateway.port, "/mcp").await;
        let names = client.names("tools/list").await;
        let distinct: BTreeSet<_> = names.iter().collect();
        assert_eq!(distinct.len(), 4, "{names:?}");
        assert!(names.contains(&format!("files_{exact}")), "64 characters fit: {names:?}");
        let mut called = BTreeSet::new();
        for name in &names {
            assert!(name.chars().count() <= 64 && name.starts_with("files_"), "{name}");
            called.insert(client.said(name, json!({})).await["tool"].as_str().unwrap().to_owned());
        }
        assert_eq!(called, BTreeSet::from_iter(long.iter().chain([&exact]).cloned()), "{era:?}");
        for name in client.names("prompts/list").await {
            assert!(name.chars().count() <= 64, "{name}");
            let got = client.request("prompts/get", json!({ "name": name })).await.result();
            assert!(got["messages"][0]["content"]["text"].as_str().unwrap().contains("a-very-long-name"), "{got}");
        }
    }
}

#[tokio::test]
async fn names_with_odd_characters_are_listed_and_callable() {
    let odd = [
        "with space",
        "a/b.c:d",
        "under_score_d",
        "ümläut",
        "名前",
        "emoji🦀",
        "quo\"te",
        "back\\slash",
        "_x",
        "=?x?=",
    ];
    for era in ERAS {
        let offer = Catalogue::new("odd");
        offer.change(|lists| lists.tools = odd.iter().map(|name| tool(name)).collect());
        let server = Server::start(era, &offer);
        let gateway = Gateway::with(json!({ "odd": server.config(), "odd-2": server.config() })).await;
        let client = Client::open(era, gateway.port, "/mcp").await;
        let names = client.names("tools/list").await;
        assert_eq!(names.len(), 2 * odd.len(), "{era:?}: {names:?}");
        for (server, name) in ["odd", "odd-2"].iter().flat_map(|server| odd.iter().map(move |name| (server, name))) {
            let exposed = format!("{server}_{name}");
            assert!(names.contains(&exposed), "{era:?} {exposed}: {names:?}");
            assert_eq!(client.said(&exposed, json!({})).await["tool"], *name, "{era:?}");
        }
    }
}

#[tokio::test]
async fn without_a_prefix_the_first_configured_server_has_the_name() {
    for era in ERAS {
        let one = Catalogue::new("one").tools(2).prompts(2).resources(2).templates(1);
        let two = Catalogue::new("two").tools(4).prompts(3).resources(3).templates(1).tool("only");
        let (first, second) = (Server::start(era, &one), Server::start(era, &two));
        // In the order of the file, which is not that of the alphabet.
        let servers = format!(r#"{{ "zeta": {}, "alpha": {} }}"#, first.config(), second.config());
        let config = format!(r#"{{ "proxy": {{ "prefix": "never" }}, "servers": {servers} }}"#);
        let gateway = Start::written(&config).ready().await;
        let client = Client::open(era, gateway.port, "/mcp").await;
        let names = client.names("tools/list").await;
        let sorted: BTreeSet<_> = names.iter().map(String::as_str).collect();
        let expected = ["only", "tool-000", "tool-001", "tool-002", "tool-003"];
        assert_eq!((names.len(), sorted), (5, BTreeSet::from(expected)), "{era:?}: {names:?}");
        assert_eq!(client.said("tool-001", json!({})).await["server"], "one", "{era:?}");
        assert_eq!(client.said("tool-003", json!({})).await["server"], "two", "{era:?}");
        let prompts = client.names("prompts/list").await;
        assert_eq!(prompts.len(), 3, "{era:?}: {prompts:?}");
        let got = client.request("prompts/get", json!({ "name": "prompt-000", "arguments": {} })).await.result();
        assert!(got["messages"][0]["content"]["text"].as_str().unwrap().contains("\"server\":\"one\""), "{got}");
        let uris = client.names("resources/list").await;
        assert_eq!(uris.len(), 3, "{era:?}: {uris:?}");
        assert!(uris.contains(&"file:///r000".to_owned()), "URIs are untouched, too: {uris:?}");
        assert_eq!(client.read("file:///r001").await.1["server"], "one", "{era:?}");
        assert_eq!(client.read("file:///r002").await.1["server"], "two", "{era:?}");
        gateway.logged("prompt-000").await;
    }
}

#[tokio::test]
async fn whatever_a_server_says_of_an_entry_is_shown_unchanged() {
    let whole = json!({
        "name": "full", "title": "Full", "description": "d \u{2028} \u{1F980} \\ \"q\" </script>",
        "inputSchema": { "type": "object", "$defs": { "x": { "name": "inner" } }, "properties": {
            "name": { "type": "string", "default": "full" }, "n": { "const": 12_345_678_901_234_567_890_u64 } } },
        "outputSchema": { "type": "object", "properties": { "uri": { "type": "string" } } },
        "annotations": { "readOnlyHint": true, "title": "T" }, "icons": [{ "src": "https://e.x/i.png" }],
        "_meta": { "vendor.example/x": { "name": "full" } }, "unknownToday": [1.0, null, { "name": "full" }],
    });
    for era in ERAS {
        let offer = Catalogue::new("one");
        offer.change(|lists| lists.tools.push(whole.clone()));
        let server = Server::start(era, &offer);
        let gateway = Gateway::with(json!({ "one": server.config() })).await;
        let client = Client::open(era, gateway.port, "/mcp").await;
        let mut listed = client.list("tools/list").await.remove(0);
        assert_eq!(listed["name"], "one_full");
        listed["name"] = json!("full");
        assert_eq!(listed, whole, "{era:?}");
    }
}

#[tokio::test]
async fn a_modern_server_does_not_disturb_a_legacy_client_of_the_others() {
    let offer = |name| Catalogue::new(name).tools(3).resources(2).prompts(2);
    let (own, strange) = (Server::start(Era::Legacy, &offer("own")), Server::start(Era::Modern, &offer("strange")));
    let gateway = Gateway::with(json!({ "strange": strange.config(), "own": own.config() })).await;
    let client = Client::open(Era::Legacy, gateway.port, "/mcp").await;
    for (method, ..) in KINDS.iter().take(3) {
        let names = client.names(method).await;
        assert!(names.iter().any(|name| name.starts_with("own")), "{method}: {names:?}");
    }
    assert_eq!(client.said("own_tool-002", json!({})).await["server"], "own");
    let reply = client.call("strange_tool-000", json!({})).await;
    assert!(reply.rpc()["error"]["message"].is_string(), "{reply:?}");
}

#[tokio::test]
async fn a_modern_client_is_told_to_start_as_a_legacy_one_where_a_server_is_legacy() {
    let offer = |name| Catalogue::new(name).tools(3);
    let (own, strange) = (Server::start(Era::Modern, &offer("own")), Server::start(Era::Legacy, &offer("strange")));
    let gateway = Gateway::with(json!({ "strange": strange.config(), "own": own.config() })).await;
    let client = Client::open(Era::Modern, gateway.port, "/mcp").await;
    let reply = client.request("tools/list", json!({})).await;
    assert_eq!(reply.status, 400, "{reply:?}");
    let text = reply.rpc()["error"]["message"].as_str().unwrap().to_owned();
    assert!(text.contains("initialize") && text.contains("strange"), "{text}");
    // One server for itself is not affected.
    let client = Client::open(Era::Modern, gateway.port, "/servers/own/mcp").await;
    assert_eq!(client.said("tool-000", json!({})).await["server"], "own");
}

#[tokio::test]
async fn what_has_an_empty_name_is_not_listed() {
    for era in ERAS {
        let server = Server::start(era, &Catalogue::new("one").tool("").tool("good"));
        let gateway = Gateway::with(json!({ "one": server.config() })).await;
        let client = Client::open(era, gateway.port, "/mcp").await;
        for _ in 0..2 {
            assert_eq!(client.names("tools/list").await, ["one_good"], "{era:?}");
        }
        gateway.logged("items-without-a-name").await;
        assert_eq!(gateway.log().matches("items-without-a-name").count(), 1);
    }
}
