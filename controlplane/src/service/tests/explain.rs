//! Calls are explained as the node they come to would do them.

use std::time::Duration;

use prost::Message as _;
use sluice_contract::v1;
use sluice_snapshot::chunk::Name;

use super::*;
use crate::publish::{Labels, Nodes, Visit};
use crate::service::Asked;

fn asked(tool: &str, node: &str) -> Asked {
    let request = v1::ExplainRequest { tool: tool.to_owned(), node: node.to_owned(), ..v1::ExplainRequest::default() };
    Asked::new(&request).unwrap()
}

/// A node that runs a revision, or none yet.
fn node(nodes: &Arc<Nodes>, name: &str, zone: &str, revision: u64) -> Visit {
    let labels: Labels = [("zone".to_owned(), zone.to_owned())].into();
    let hello = v1::Hello { node: name.to_owned(), ..v1::Hello::default() };
    let visit = nodes.greet(&hello, labels, None);
    if revision > 0 {
        visit.accepted(revision, Vec::new(), Duration::ZERO);
    }
    visit
}

fn step<'a>(answer: &'a v1::ExplainResponse, name: &str) -> &'a str {
    answer.steps.iter().find(|step| step.name == name).map_or("", |step| &step.value)
}

#[tokio::test]
async fn the_first_node_that_has_the_server_answers() {
    let folder = tempfile::tempdir().unwrap();
    let service = service(folder.path());
    apply(&service, &[("server", "w", r#"{"url":"http://w/mcp","nodes":{"zone":"eu"}}"#)]).await;
    let nodes = Nodes::in_memory();
    let _visits = [node(&nodes, "a-us", "us", 1), node(&nodes, "b-eu", "eu", 0)];
    let viewer = caller(Role::Viewer);
    let answer = service.explain(&viewer, &asked("w_get", ""), &nodes).await.unwrap();
    assert_eq!((answer.verdict.as_str(), answer.node.as_str(), answer.revision), ("allowed", "b-eu", 1));
    assert_eq!((answer.steps.last().unwrap().value.as_str(), &*answer.offered), ("b-eu runs nothing yet", "unknown"));
    let elsewhere = service.explain(&viewer, &asked("w_get", "a-us"), &nodes).await.unwrap();
    assert_eq!((elsewhere.verdict.as_str(), elsewhere.node.as_str()), ("unknown", "a-us"));
    let nowhere = service.explain(&viewer, &asked("w_get", "c-us"), &nodes).await;
    assert!(matches!(nowhere, Err(ServiceError::NotFound(_))));
    let alone = service.explain(&viewer, &asked("w_get", ""), &Nodes::in_memory()).await.unwrap();
    assert_eq!((alone.verdict.as_str(), alone.node.as_str()), ("unknown", ""), "no node without labels has it");
}

#[tokio::test]
async fn a_server_for_other_nodes_than_there_are_is_said_to_be_that() {
    let folder = tempfile::tempdir().unwrap();
    let service = service(folder.path());
    apply(&service, &[("server", "w", r#"{"url":"http://w/mcp","nodes":{"zone":"mars"}}"#)]).await;
    let nodes = Nodes::in_memory();
    let _visit = node(&nodes, "a", "eu", 1);
    for name in ["w_get", "w/get"] {
        let answer = service.explain(&caller(Role::Viewer), &asked(name, ""), &nodes).await.unwrap();
        assert_eq!(answer.verdict, "unknown");
        assert_eq!(
            step(&answer, "route"),
            "server w is configured, but no connected node carries labels zone=mars",
            "{name}"
        );
    }
    let answer = service.explain(&caller(Role::Viewer), &asked("nothing_get", ""), &nodes).await.unwrap();
    assert!(step(&answer, "route").contains("no server is called by its beginning"), "{}", step(&answer, "route"));
}

#[tokio::test]
async fn an_address_that_is_sealed_is_shown_to_nobody_wherever_it_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let service = service(folder.path());
    let token = "https://w/sk-canary-0123456789/mcp";
    for (server, place) in [
        (format!(r#"{{"url":"{token}"}}"#), "url"),
        (format!(r#"{{"endpoints":[{{"url":"{token}","weight":2}}]}}"#), "endpoints[0].url"),
        (format!(r#"{{"endpoints":["{token}","https://w/mcp"]}}"#), "endpoints[0].url"),
        (r#"{"socket":"/run/canary.sock"}"#.to_owned(), "socket"),
    ] {
        let mut change = named(&[("server", "w", &server)]);
        change.objects[0].secrets.push(place.to_owned());
        assert_eq!(faults(&service.apply(&editor(), change).await.unwrap()), [""; 0], "{server}");
        let answer = service.explain(&caller(Role::Viewer), &asked("w_get", ""), &Nodes::in_memory()).await.unwrap();
        assert_eq!(step(&answer, "endpoint"), "***", "{server}");
        assert!(!answer.steps.iter().any(|step| step.value.contains("canary")), "{server}");
    }
}

#[tokio::test]
async fn what_nodes_heard_of_a_server_counts() {
    let folder = tempfile::tempdir().unwrap();
    let service = service(folder.path());
    apply(&service, &[("server", "w", r#"{"url":"http://w/mcp"}"#)]).await;
    let nodes = Nodes::in_memory();
    let visit = node(&nodes, "a", "eu", 1);
    let item = v1::InventoryItem { name: "w_get".to_owned(), own: "get".to_owned(), ..v1::InventoryItem::default() };
    let inventory = v1::Inventory { server: "w".to_owned(), tools: vec![item], ..v1::Inventory::default() };
    let health = v1::ServerHealth {
        server: "w".to_owned(),
        available: true,
        transport: "http".to_owned(),
        era: "modern".to_owned(),
        inventory: Name::of(&inventory.encode_to_vec()).to_wire(),
        ..v1::ServerHealth::default()
    };
    visit.reported(v1::Report { servers: vec![health], ..v1::Report::default() });
    let ask = async |tool: &str| service.explain(&caller(Role::Viewer), &asked(tool, ""), &nodes).await.unwrap();
    let answer = ask("w_nothing").await;
    assert_eq!((&*answer.verdict, &*answer.offered), ("allowed", "unknown"), "nothing is known of its tools yet");
    assert!(step(&answer, "offered").contains("a has not heard of its tools"), "{}", step(&answer, "offered"));
    assert!(visit.told(inventory));
    let answer = ask("w_get").await;
    assert_eq!((&*answer.verdict, &*answer.offered, step(&answer, "offered")), ("allowed", "yes", ""));
    let answer = ask("w_nothing").await;
    assert_eq!((&*answer.verdict, &*answer.offered), ("unknown", "no"));
    assert!(step(&answer, "offered").starts_with("the server has no tool `nothing`, as a heard at "));
    assert_eq!(step(&answer, "found"), "transport http, era modern: as a found out");
}

#[tokio::test]
async fn the_name_of_a_server_is_the_name_of_nothing_it_has() {
    let folder = tempfile::tempdir().unwrap();
    let service = service(folder.path());
    apply(&service, &[("server", "w", r#"{"url":"http://w/mcp"}"#)]).await;
    let nodes = Nodes::in_memory();
    let mut visits = Vec::new();
    for _ in 0..2 {
        for name in ["w_", "w/"] {
            let answer = service.explain(&caller(Role::Viewer), &asked(name, ""), &nodes).await;
            assert!(matches!(answer, Err(ServiceError::Invalid(_))), "{name}");
        }
        visits.push(node(&nodes, "a", "eu", 1));
    }
}

#[test]
fn questions_that_make_no_sense_are_sent_back() {
    for (tool, method, arguments) in [("", "", ""), ("a_b", "tools/list", ""), ("a_b", "", "[1]"), ("a_b", "", "{")] {
        let request = v1::ExplainRequest {
            tool: tool.to_owned(),
            method: method.to_owned(),
            arguments_json: arguments.to_owned(),
            ..v1::ExplainRequest::default()
        };
        assert!(Asked::new(&request).is_err(), "{tool} {method} {arguments}");
    }
}
