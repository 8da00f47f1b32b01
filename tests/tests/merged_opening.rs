//! How a client gets to know the merged door: `initialize` and `server/discover` of the union, versions, and what it
//! answers itself.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use serde_json::{Value, json};
use sluice_tests::catalogue::Catalogue;
use sluice_tests::client::{Client, ERAS, Era};
use sluice_tests::gateway::Start;
use sluice_tests::message::{self, LEGACY, MODERN};
use sluice_tests::server::Server;
use sluice_tests::turn::Turn;
use sluice_tests::{Answer, Call, Gateway, Session, Upstream, until, wait};

const VERSIONS: [&str; 4] = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"];

/// One server with tools only, one with all there is; each says how it wants to be used.
async fn two(era: Era) -> (Gateway, [Server; 2]) {
    let bare = Catalogue::new("bare").tools(1);
    let rich = Catalogue::new("rich").tools(1).prompts(1).resources(1).templates(1);
    bare.change(|lists| lists.instructions = Some("Ask bare things of me.".into()));
    rich.change(|lists| lists.instructions = Some("Ask \"rich\" things\nof me.".into()));
    let servers = [Server::start(era, &bare), Server::start(era, &rich)];
    let gateway = Gateway::with(json!({ "bare": servers[0].config(), "rich": servers[1].config() })).await;
    (gateway, servers)
}

fn check(capabilities: &Value, instructions: &Value) {
    for list in ["tools", "prompts", "resources"] {
        assert_eq!(capabilities[list]["listChanged"], true, "{list}: {capabilities}");
    }
    assert_eq!(capabilities["resources"]["subscribe"], true, "{capabilities}");
    assert!(capabilities["completions"].is_object(), "{capabilities}");
    assert!(capabilities["logging"].is_object(), "{capabilities}");
    let instructions = instructions.as_str().unwrap();
    for part in ["Ask bare things of me.", "Ask \"rich\" things\nof me.", "bare", "rich"] {
        assert!(instructions.contains(part), "{part:?}: {instructions}");
    }
}

#[tokio::test]
async fn initialize_describes_the_union() {
    let (gateway, _servers) = two(Era::Legacy).await;
    let opened = Session::open(gateway.port, "/mcp").await.opened;
    check(&opened["capabilities"], &opened["instructions"]);
    assert_eq!(opened["protocolVersion"], LEGACY);
    let info = &opened["serverInfo"];
    assert!(info["name"].as_str().unwrap().to_lowercase().contains("sluice") && info["version"].is_string(), "{info}");
}

#[tokio::test]
async fn discover_describes_the_union() {
    let (gateway, _servers) = two(Era::Modern).await;
    let found = Call::modern("/mcp", "server/discover", 1, json!({})).send(gateway.port).await.result();
    check(&found["capabilities"], &found["instructions"]);
    assert_eq!(found["resultType"], "complete");
    assert!(found["supportedVersions"].as_array().unwrap().contains(&json!(MODERN)), "{found}");
    assert!(found["ttlMs"].as_u64().is_some(), "{found}");
    assert!(["public", "private"].contains(&found["cacheScope"].as_str().unwrap()), "{found}");
    let info = &found["_meta"]["io.modelcontextprotocol/serverInfo"];
    assert!(info["name"].is_string() && info["version"].is_string(), "{found}");
}

#[tokio::test]
async fn every_legacy_version_is_spoken_and_any_other_answered_with_the_newest() {
    let (gateway, servers) = two(Era::Legacy).await;
    for asked in VERSIONS.into_iter().chain([MODERN, "1999-01-01", "2030-01-01", "nonsense", ""]) {
        let call = Call::post("/mcp", message::initialize(asked, json!({})).to_string());
        let reply = call.send(gateway.port).await;
        let session = reply.header("mcp-session-id").unwrap_or_else(|| panic!("{asked}: {reply:?}")).to_owned();
        let spoken = if VERSIONS.contains(&asked) { asked } else { LEGACY };
        assert_eq!(reply.result()["protocolVersion"], spoken, "{asked}");
        let dressed = |call: Call| call.header("mcp-session-id", &session).header("mcp-protocol-version", spoken);
        let listed = dressed(Call::post("/mcp", message::request("tools/list", 1, json!({})).to_string()));
        let listed = listed.send(gateway.port).await.result();
        assert_eq!(listed["tools"].as_array().unwrap().len(), 2, "{asked}: {listed}");
        let called = dressed(Call::post("/mcp", message::call("rich_tool-000", 2, json!({})).to_string()));
        assert_eq!(called.send(gateway.port).await.status, 200);
        let last = servers[1].calls("tool-000").pop().unwrap();
        assert_eq!(last.header("mcp-protocol-version").unwrap_or(spoken), spoken, "{asked}: the server hears the same");
        assert_eq!(dressed(Call::delete("/mcp")).send(gateway.port).await.status / 100, 2);
    }
}

#[tokio::test]
async fn modern_versions_nobody_knows_are_refused_with_those_we_know() {
    let (gateway, _servers) = two(Era::Modern).await;
    let body = message::modern("tools/list", 1, json!({})).to_string().replace(MODERN, "2031-01-01");
    let call = Call::modern("/mcp", "tools/list", 1, json!({})).header("mcp-protocol-version", "2031-01-01").body(body);
    let reply = call.send(gateway.port).await;
    assert_eq!(reply.verdict(), (400, Some(-32022)), "{reply:?}");
    assert!(reply.rpc()["error"]["data"]["supported"].as_array().unwrap().contains(&json!(MODERN)), "{reply:?}");
}

#[tokio::test]
async fn unknown_methods_are_answered_by_the_door_itself() {
    for era in ERAS {
        let (gateway, servers) = two(era).await;
        let client = Client::open(era, gateway.port, "/mcp").await;
        for method in ["vendor/unknown", "tools/unknown", "tools", "x"] {
            let reply = client.request(method, json!({})).await;
            let status = if era == Era::Modern { 404 } else { 200 };
            assert_eq!(reply.verdict(), (status, Some(-32601)), "{era:?} {method}: {reply:?}");
            assert!(reply.text().contains("/servers/"), "the way out is named: {reply:?}");
        }
        assert!(servers.iter().all(|server| server.got("vendor/unknown").is_empty()));
    }
}

#[tokio::test]
async fn ping_is_ours() {
    let (gateway, servers) = two(Era::Legacy).await;
    let session = Session::open(gateway.port, "/mcp").await;
    assert_eq!(session.request("ping", json!({})).await.result(), json!({}));
    assert!(servers.iter().all(|server| server.got("ping").is_empty()));
}

#[tokio::test]
async fn completions_go_to_the_server_of_the_prompt_or_template() {
    for era in ERAS {
        let offer = |name| Catalogue::new(name).prompts(2).templates(2).resources(1).tools(1);
        let servers = ["left", "right"].map(|name| Server::start(era, &offer(name)));
        let gateway = Gateway::with(json!({ "left": servers[0].config(), "right": servers[1].config() })).await;
        let client = Client::open(era, gateway.port, "/mcp").await;
        let argument = json!({ "name": "who", "value": "Ad" });
        for (at, server) in ["left", "right"].into_iter().enumerate() {
            let about = json!({ "type": "ref/prompt", "name": format!("{server}_prompt-001") });
            let params = json!({ "ref": about, "argument": argument, "context": { "arguments": { "x": "y" } } });
            let completed = client.request("completion/complete", params).await.result();
            assert_eq!(completed["completion"]["values"], json!([format!("{server} prompt-001 Ad")]), "{era:?}");
            let asked = servers[at].got("completion/complete").pop().unwrap().message();
            assert_eq!(asked["params"]["context"], json!({ "arguments": { "x": "y" } }));
        }
        for template in client.names("resources/templates/list").await {
            let params = json!({ "ref": { "type": "ref/resource", "uri": template }, "argument": argument });
            let completed = client.request("completion/complete", params).await.result();
            let value = completed["completion"]["values"][0].as_str().unwrap().to_owned();
            let server = if value.starts_with("left") { "left" } else { "right" };
            assert!(template.contains(server), "{era:?} {template}: {value}");
            assert!(value.starts_with(&format!("{server} file:///t00")) && value.ends_with("/{path} Ad"), "{value}");
        }
        let nobody = json!({ "ref": { "type": "ref/prompt", "name": "left_none" }, "argument": argument });
        let reply = client.request("completion/complete", nobody).await;
        assert_eq!(reply.code(), Some(-32602), "{era:?}: {reply:?}");
    }
}

#[tokio::test]
async fn the_end_of_a_session_ends_its_parts_at_all_servers() {
    let (gateway, servers) = two(Era::Legacy).await;
    let session = Session::with(gateway.port, "/mcp", json!({ "roots": {} }), None).await;
    for server in ["bare", "rich"] {
        assert_eq!(session.call(&format!("{server}_tool-000"), json!({})).await.status, 200);
    }
    let part = |server: &Server| server.calls("tool-000").pop().unwrap().header("mcp-session-id").unwrap().to_owned();
    let parts = servers.each_ref().map(part);
    assert_eq!(session.delete().await.status / 100, 2);
    for (server, part) in servers.iter().zip(parts) {
        until(&format!("{part} is ended"), || (!server.sessions().contains(&part)).then_some(())).await;
    }
    assert_eq!(session.call("bare_tool-000", json!({})).await.status, 404);
    assert_eq!(session.delete().await.status, 404);
}

#[tokio::test]
async fn a_session_is_good_at_the_door_that_opened_it_only() {
    let (gateway, servers) = two(Era::Legacy).await;
    let doors = ["/mcp", "/servers/bare/mcp", "/servers/rich/mcp"];
    for own in doors {
        let session = Session::open(gateway.port, own).await;
        for other in doors.into_iter().filter(|other| *other != own) {
            let before: usize = servers.iter().map(|server| server.calls("tool-000").len()).sum();
            for name in ["tool-000", "bare_tool-000"] {
                let call = session.dressed(Call::post(other, message::call(name, 5, json!({})).to_string()));
                assert_eq!(call.send(gateway.port).await.status, 404, "{own} at {other}");
            }
            for call in [Call::get(other), Call::delete(other)] {
                assert_eq!(session.dressed(call).send(gateway.port).await.status, 404, "{own} at {other}");
            }
            let after: usize = servers.iter().map(|server| server.calls("tool-000").len()).sum();
            assert_eq!(before, after, "{own} at {other}");
        }
        assert_eq!(session.request("ping", json!({})).await.status, 200, "{own}: still good");
    }
}

#[tokio::test]
async fn the_door_with_a_slash_behind_it_is_the_same_door() {
    let (gateway, _servers) = two(Era::Legacy).await;
    let session = Session::open(gateway.port, "/mcp/").await;
    let call = session.dressed(Call::post("/mcp", message::call("rich_tool-000", 5, json!({})).to_string()));
    assert_eq!(call.send(gateway.port).await.status, 200);
}

#[tokio::test]
async fn a_merged_session_counts_as_one_whatever_it_opens_behind() {
    let offer = |name| Catalogue::new(name).tools(1);
    let servers = ["a", "b", "c"].map(|name| Server::start(Era::Legacy, &offer(name)));
    let entries = json!({ "a": servers[0].config(), "b": servers[1].config(), "c": servers[2].config() });
    let config = json!({ "servers": entries, "proxy": { "limits": { "sessions_per_principal": 2 } } });
    let gateway = Start::new(config).ready().await;
    let first = Session::open(gateway.port, "/mcp").await;
    for server in ["a", "b", "c"] {
        assert_eq!(first.call(&format!("{server}_tool-000"), json!({})).await.status, 200);
    }
    let second = Session::open(gateway.port, "/mcp").await;
    assert_eq!(second.call("a_tool-000", json!({})).await.status, 200);
    let third = Call::post("/mcp", message::initialize(LEGACY, json!({})).to_string()).send(gateway.port).await;
    assert!([429, 503].contains(&third.status), "{third:?}");
    assert_eq!(first.delete().await.status / 100, 2);
    let third = Call::post("/mcp", message::initialize(LEGACY, json!({})).to_string()).send(gateway.port).await;
    assert_eq!(third.status, 200, "{third:?}");
}

#[tokio::test]
async fn initialize_is_refused_alike_whatever_came_before_where_all_servers_are_modern() {
    for before in [None, Some("tools/list"), Some("server/discover")] {
        let (gateway, _servers) = two(Era::Modern).await;
        if let Some(method) = before {
            assert_eq!(Call::modern("/mcp", method, 1, json!({})).send(gateway.port).await.status, 200);
        }
        for time in 0..3 {
            let call = Call::post("/mcp", message::initialize(LEGACY, json!({})).to_string());
            let reply = call.send(gateway.port).await;
            assert_eq!(reply.verdict(), (400, Some(-32022)), "after {before:?}, {time}: {reply:?}");
            assert_eq!(reply.rpc()["error"]["data"]["supported"], json!([MODERN]));
            assert!(reply.header("mcp-session-id").is_none());
        }
    }
}

#[tokio::test]
async fn a_server_that_is_not_found_does_not_close_the_door_to_modern_clients() {
    let good = Server::start(Era::Modern, &Catalogue::new("good").tools(2));
    let server = Server::start(Era::Modern, &Catalogue::new("late").tools(1));
    let nobody = Upstream::always(|| Answer::new(404, "text/html", "<h1>Not Found</h1>"));
    let turn = Turn::of(nobody.port).await;
    let entries = json!({ "good": good.config(), "late": { "url": format!("http://127.0.0.1:{}/mcp", turn.port) } });
    let gateway = Gateway::with(entries).await;
    for _ in 0..2 {
        let found = Call::modern("/mcp", "server/discover", 1, json!({})).send(gateway.port).await;
        assert!(found.result()["supportedVersions"].is_array(), "{found:?}");
        let client = Client::open(Era::Modern, gateway.port, "/mcp").await;
        assert_eq!(client.names("tools/list").await, ["good_tool-000", "good_tool-001"]);
        assert_eq!(client.call("good_tool-000", json!({})).await.status, 200);
    }
    let shown = gateway.admin("/servers").await.text();
    let shown: Value = serde_json::from_str(&shown).unwrap();
    let late = shown["servers"].as_array().unwrap().iter().find(|server| server["name"] == "late").unwrap();
    assert_eq!(late["era"], "unknown", "{late}");
    assert!(late["trouble"].as_str().is_some_and(|trouble| trouble.contains("404")), "{late}");
    turn.take(server.port);
    let client = Client::open(Era::Modern, gateway.port, "/mcp").await;
    let names = async || client.names("tools/list").await;
    wait::becomes(wait::SOON, "the server is found", names, |names| names.len() == 3).await;
}
