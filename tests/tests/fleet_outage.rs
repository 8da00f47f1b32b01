//! A fleet without its control plane: for as long as a restart takes, for a week, and for longer than certificates can be renewed.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::time::Duration;

use rustix::process::Signal;
use sluice_contract::v1;
use sluice_tests::catalogue::Catalogue;
use sluice_tests::client::Era;
use sluice_tests::clock::Clock;
use sluice_tests::node::{join_token, seen, status};
use sluice_tests::server::Server;
use sluice_tests::traffic::{Caller, Traffic};
use sluice_tests::{ControlPlane, Node, control};

const DAY: Duration = Duration::from_secs(24 * 3600);

fn serve() -> Server {
    Server::start(Era::Modern, &Catalogue::new("one").tools(1).ttl(600_000))
}

async fn apply(control: &ControlPlane, name: &str, server: &Server) -> u64 {
    control.admin().await.servers(&[(name, &server.config().to_string())]).await.revision
}

async fn current(control: &ControlPlane, nodes: &[Node], revision: u64) {
    for node in nodes {
        seen(control, &node.name, "current", |seen| seen.connected && seen.revision == revision).await;
    }
}

#[tokio::test]
async fn nodes_are_restarted_one_after_the_other_without_a_control_plane_and_no_call_fails() {
    let (mut control, server) = (ControlPlane::empty().await, serve());
    let revision = apply(&control, "one", &server).await;
    let mut nodes = Vec::new();
    for name in ["east", "west"] {
        nodes.push(Node::of(&control, name, &[]).await.ready().await);
    }
    current(&control, &nodes, revision).await;
    control.signal(Signal::KILL);
    control.ended().await;
    let both = [[0, 1], [1, 0]];
    let callers = both.iter().cycle().take(8).map(|order| {
        let nodes = order.map(|at| &nodes[at]);
        Caller::of_server(nodes[0].port, "one").balanced(nodes)
    });
    let traffic = Traffic::of(callers.map(|caller| caller.pausing(Duration::from_millis(2))));
    for _ in 0..2 {
        for node in &mut nodes {
            traffic.goes_on(200).await;
            node.signal(Signal::TERM);
            assert_eq!(node.ended().await.code(), Some(0));
            node.again();
            node.is_ready().await;
            assert_eq!(node.revision().await, revision);
        }
    }
    traffic.goes_on(200).await;
    let records = traffic.was_well().await;
    assert!(records.iter().all(|record| record.connections > 2), "each had to go elsewhere");
}

#[tokio::test]
async fn after_a_week_nodes_with_expired_certificates_come_back_by_themselves_and_after_a_month_with_a_token() {
    let (clock, server) = (Clock::default(), serve());
    let start =
        clock.environment().iter().fold(control::Start::default(), |start, (name, value)| start.env(name, value));
    let mut control = start.ready().await;
    let first = apply(&control, "one", &server).await;
    let mut nodes = Vec::new();
    for name in ["steady", "restarted"] {
        let start = Node::of(&control, name, &[]).await;
        let start = clock.environment().iter().fold(start, |start, (name, value)| start.env(name, value));
        nodes.push(start.ready().await);
    }
    current(&control, &nodes, first).await;
    let traffic = Traffic::of([Caller::of_server(nodes[0].port, "one").pausing(Duration::from_millis(5))]);

    let expires = status(&control, "steady").await.unwrap().certificate_expires_ms;
    control.signal(Signal::KILL);
    control.ended().await;
    clock.is_ahead(DAY * 8);
    traffic.goes_on(50).await;
    nodes[1].kill().await;
    nodes[1].again();
    nodes[1].is_ready().await;
    assert_eq!(nodes[1].revision().await, first, "with what it had");
    let after = Traffic::of([Caller::of_server(nodes[1].port, "one").pausing(Duration::from_millis(5))]);
    after.goes_on(50).await;
    control.again().await;
    current(&control, &nodes, first).await;
    let second = apply(&control, "two", &server).await;
    for node in &nodes {
        node.runs(second).await;
        node.logged("the certificate of this node was renewed").await;
        let renewed = status(&control, &node.name).await.unwrap().certificate_expires_ms;
        assert!(renewed > expires + u64::try_from((DAY * 7).as_millis()).unwrap(), "{renewed}, before {expires}");
    }
    current(&control, &nodes, second).await;

    control.signal(Signal::KILL);
    control.ended().await;
    clock.is_ahead(DAY * 48);
    traffic.goes_on(50).await;
    control.again().await;
    for node in &nodes {
        node.logged("the certificate ended more than 30 days ago: join again with a new token").await;
        seen(&control, &node.name, "stale", |seen| seen.state() == v1::NodeState::Stale).await;
        assert_eq!(node.readiness().await, Some(200), "it serves what it has");
    }
    traffic.goes_on(50).await;
    let third = apply(&control, "three", &server).await;
    for node in &nodes {
        node.give(&join_token(&control, &node.name).await);
        node.runs(third).await;
    }
    current(&control, &nodes, third).await;
    traffic.was_well().await;
    after.was_well().await;
}
