//! Calls are explained as the node they come to would do them.

use sluice_contract::v1;

use super::*;
use crate::service::Asked;

fn asked(tool: &str, node: &str) -> Asked {
    let request = v1::ExplainRequest { tool: tool.to_owned(), node: node.to_owned(), ..v1::ExplainRequest::default() };
    Asked::new(&request).unwrap()
}

fn node(name: &str, zone: &str, revision: u64) -> v1::NodeStatus {
    v1::NodeStatus {
        node: name.to_owned(),
        labels: [("zone".to_owned(), zone.to_owned())].into(),
        revision,
        connected: true,
        ..v1::NodeStatus::default()
    }
}

#[tokio::test]
async fn the_first_node_that_has_the_server_answers() {
    let folder = tempfile::tempdir().unwrap();
    let service = service(folder.path());
    apply(&service, &[("server", "w", r#"{"url":"http://w/mcp","nodes":{"zone":"eu"}}"#)]).await;
    let nodes = [node("us-1", "us", 1), node("eu-1", "eu", 0)];
    let viewer = caller(Role::Viewer);
    let answer = service.explain(&viewer, &asked("w_get", ""), &nodes).await.unwrap();
    assert_eq!((answer.verdict.as_str(), answer.node.as_str(), answer.revision), ("allowed", "eu-1", 1));
    assert_eq!(answer.steps.last().unwrap().value, "eu-1 runs nothing yet");
    let elsewhere = service.explain(&viewer, &asked("w_get", "us-1"), &nodes).await.unwrap();
    assert_eq!((elsewhere.verdict.as_str(), elsewhere.node.as_str()), ("unknown", "us-1"));
    let nowhere = service.explain(&viewer, &asked("w_get", "us-2"), &nodes).await;
    assert!(matches!(nowhere, Err(ServiceError::NotFound(_))));
    let alone = service.explain(&viewer, &asked("w_get", ""), &[]).await.unwrap();
    assert_eq!((alone.verdict.as_str(), alone.node.as_str()), ("unknown", ""), "no node without labels has it");
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
