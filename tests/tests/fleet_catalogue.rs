//! What servers offer, as a control plane knows it from its nodes: the same by every door, by name only what everybody is shown.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::time::Duration;

use serde_json::{Value, json};
use sluice_contract::v1;
use sluice_tests::catalogue::{Catalogue, tool};
use sluice_tests::client::{Client, Era};
use sluice_tests::node::seen;
use sluice_tests::server::Server;
use sluice_tests::{ControlPlane, Node, wait};

/// Nodes report every few seconds.
const SOON: Duration = Duration::from_secs(30);

async fn apply(control: &ControlPlane, servers: &[(&str, Value)]) {
    let object = |(name, config): &(&str, Value)| v1::Object {
        kind: "server".into(),
        name: (*name).into(),
        spec_json: config.to_string(),
        revision: 0,
    };
    let request = v1::ApplyRequest { objects: servers.iter().map(object).collect(), ..v1::ApplyRequest::default() };
    let answer = control.admin().await.apply(request).await.unwrap();
    assert!(answer.faults.is_empty());
}

async fn list_all(node: &Node) {
    let client = Client::open(Era::Modern, node.port, "/mcp").await;
    for method in ["tools/list", "prompts/list", "resources/list", "resources/templates/list"] {
        client.names(method).await;
    }
}

/// What a path answers, once it is as it should be.
async fn becomes(control: &ControlPlane, path: &str, fits: impl Fn(&Value) -> bool) -> Value {
    wait::becomes(SOON, path, async || control.rest("GET", path, Value::Null).await.1, |answer| fits(answer)).await
}

fn names(answer: &Value) -> Vec<&str> {
    answer["items"].as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn what_servers_offer_is_known_by_every_door_alike() {
    let control = ControlPlane::empty().await;
    let catalogue = Catalogue::new("one").tools(2).prompts(1).resources(1).templates(1).ttl(600_000);
    // as the SDKs say unless they are told otherwise
    catalogue.change(|lists| lists.private = true);
    let one = Server::start(Era::Modern, &catalogue);
    let own = Server::start(Era::Modern, &Catalogue::new("own").tool("canary").ttl(600_000));
    let mut isolated = own.config();
    isolated["isolation"] = "per_principal".into();
    apply(&control, &[("one", one.config()), ("own", isolated)]).await;
    let (a, b) = (Node::of(&control, "a", &[]).await.ready().await, Node::of(&control, "b", &[]).await.ready().await);
    let none = control.sluice(&["get", "tools"]);
    assert!(
        none.status.success() && String::from_utf8_lossy(&none.stderr).contains("no node has heard of any tool yet")
    );
    let explained = |tool: &str| {
        let shown = control.sluice(&["explain", "call", tool]);
        let said: Value =
            serde_json::from_slice(&control.sluice(&["explain", "call", tool, "-o", "json"]).stdout).unwrap();
        (shown.status.success(), String::from_utf8(shown.stdout).unwrap(), said["offered"].clone())
    };
    let (success, shown, offered) = explained("one_tool-009");
    assert!(success && shown.starts_with("allowed, if the server has it, on a by revision"), "{shown}");
    assert!(shown.contains("has not heard of its tools") && offered == "unknown", "{shown} {offered}");
    list_all(&a).await;
    list_all(&b).await;

    let tools = becomes(&control, "/tools", |tools| tools["items"][0]["nodes"] == 2).await;
    assert_eq!((names(&tools), &tools["total"]), (vec!["one_tool-000", "one_tool-001"], &2.into()));
    assert_eq!(tools["items"][0]["description"], "does tool-000");
    assert!(!tools.to_string().contains("canary"), "what is one person's is not told by name: {tools}");
    let (_, same) = control.rest("GET", "/catalogue/tool?server=one", Value::Null).await;
    assert_eq!(same, tools);
    let (_, page) = control.rest("GET", "/tools?limit=1&offset=1", Value::Null).await;
    assert_eq!((names(&page), &page["total"]), (vec!["one_tool-001"], &2.into()));
    for name in ["one_tool-001", "tool-001"] {
        let (status, tool) = control.rest("GET", &format!("/tools/{name}"), Value::Null).await;
        assert_eq!((status, &tool["own"], &tool["server"]), (200, &"tool-001".into(), &"one".into()), "{name}");
    }
    assert_eq!(control.rest("GET", "/tools/nothing", Value::Null).await.0, 404);
    assert_eq!(control.rest("GET", "/catalogue/gadget", Value::Null).await.0, 400);
    let resources = becomes(&control, "/resources", |found| found["total"] == 2).await;
    let uri = resources["items"][0]["name"].as_str().unwrap().replace(':', "%3A").replace('/', "%2F");
    assert_eq!(control.rest("GET", &format!("/resources/{uri}"), Value::Null).await.0, 200, "{uri}");
    assert_eq!(resources["items"].as_array().unwrap().iter().filter(|item| item["template"] == true).count(), 1);
    assert_eq!(names(&becomes(&control, "/prompts", |found| found["total"] == 1).await), ["one_prompt-000"]);

    let shown = control.sluice(&["get", "tools", "-o", "json"]);
    assert_eq!(serde_json::from_slice::<Value>(&shown.stdout).unwrap()[1]["name"], "one_tool-001");
    let table = String::from_utf8(control.sluice(&["get", "tool", "one_tool-000"]).stdout).unwrap();
    assert!(table.contains("one_tool-000") && table.contains("does tool-000"), "{table}");
    assert_eq!(control.sluice(&["get", "tool", "nothing"]).status.code(), Some(1));
    // what nodes heard counts for what is explained
    for (tool, verdict, heard) in [("one_tool-000", "allowed", "yes"), ("one_tool-009", "unknown", "no")] {
        let (success, shown, offered) = explained(tool);
        assert!(success && shown.starts_with(&format!("{verdict} on a by revision")) && offered == heard, "{shown}");
        assert!(shown.contains("transport http, era modern: as a, b found out"), "{shown}");
    }
    assert_eq!(control.sluice(&["explain", "call", "one_tool-000", "--as", "client:nobody"]).status.code(), Some(1));
    let (_, summary) = control.rest("GET", "/summary", Value::Null).await;
    let offered = json!({ "tools": 3, "prompts": 1, "resources": 1 });
    assert_eq!((&summary["offered"], &summary["nodes"]["current"]), (&offered, &2.into()), "counts are everybody's");
}

#[tokio::test]
async fn what_changes_is_told_anew_and_what_goes_is_forgotten() {
    let mut control = ControlPlane::empty().await;
    let catalogue = Catalogue::new("one").tools(1).ttl(0);
    let one = Server::start(Era::Modern, &catalogue);
    apply(&control, &[("one", one.config())]).await;
    let mut node = Node::of(&control, "a", &[]).await.ready().await;
    list_all(&node).await;
    becomes(&control, "/tools", |tools| tools["total"] == 1).await;
    catalogue.change(|lists| lists.tools.push(tool("another")));
    list_all(&node).await;
    becomes(&control, "/tools", |tools| names(tools) == ["one_another", "one_tool-000"]).await;

    // a control plane that starts again asks again
    control.signal(rustix::process::Signal::TERM);
    control.again().await;
    becomes(&control, "/tools", |tools| tools["total"] == 2).await;
    // what a node knew is not forgotten with it, and said to be of then
    node.kill().await;
    seen(&control, "a", "gone", |seen| !seen.connected).await;
    let kept = |tools: &Value| tools["total"] == 2 && tools["items"][0]["nodes"] == 0;
    let heard = becomes(&control, "/tools", kept).await["items"][0]["heard_ms"].clone();
    node.again();
    seen(&control, "a", "back", |seen| seen.connected && seen.ready).await;
    let tools = becomes(&control, "/tools", kept).await;
    assert!(tools["items"][0]["heard_ms"] == heard && heard.as_u64() > Some(0), "{tools}");
    let table = String::from_utf8(control.sluice(&["get", "tools"]).stdout).unwrap();
    assert!(table.contains("HEARD") && table.contains("one_another"), "{table}");
    list_all(&node).await;
    becomes(&control, "/tools", |tools| tools["total"] == 2 && tools["items"][0]["nodes"] == 1).await;
    // what no server that is configured offers is
    assert!(control.sluice(&["delete", "server", "one"]).status.success());
    becomes(&control, "/tools", |tools| tools["total"] == 0).await;
    let (_, explained) = control.rest("POST", "/explain", json!({ "tool": "one_another" })).await;
    assert_eq!(explained["verdict"], "unknown", "{explained}");
}

#[tokio::test]
async fn health_and_metrics_are_at_the_api_as_well() {
    let control = ControlPlane::empty().await;
    let one = Server::start(Era::Modern, &Catalogue::new("one").tools(1));
    apply(&control, &[("one", one.config())]).await;
    for (path, says) in [("/api/v1/health", "\"ok\""), ("/api/v1/metrics", "sluice_controlplane_revision 1")] {
        let open = control.get(path).await;
        assert!(open.status == 200 && open.text().contains(says), "{path}");
    }
}
