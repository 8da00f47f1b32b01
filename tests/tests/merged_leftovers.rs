//! Nothing of clients that are gone stays behind the merged door: no session or stream at a server, no process, no memory.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::time::Duration;

use serde_json::json;
use sluice_tests::catalogue::Catalogue;
use sluice_tests::client::{Client, Era};
use sluice_tests::peer::Peer;
use sluice_tests::server::Server;
use sluice_tests::wait::within;
use sluice_tests::{Gateway, Session, wait};

/// Resident memory right now, in KiB.
fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[tokio::test]
async fn clients_of_many_kinds_leave_no_sessions_at_the_servers() {
    let servers = ["one", "two"].map(|name| Server::start(Era::Legacy, &Catalogue::new(name).tools(3)));
    let gateway = Gateway::with(json!({ "one": servers[0].config(), "two": servers[1].config() })).await;
    for n in 0..400 {
        // Each declares something else: lists of its own.
        let capabilities = json!({ "experimental": { format!("x{n}"): {} }, "sampling": {} });
        let session = Session::with(gateway.port, "/mcp", capabilities, None).await;
        assert_eq!(session.request("tools/list", json!({})).await.status, 200);
        assert_eq!(session.call("one_tool-000", json!({})).await.status, 200);
        if n % 10 == 0 {
            drop(session.listen(None).await);
        }
        assert_eq!(session.delete().await.status / 100, 2);
    }
    let left = || servers.each_ref().map(|server| (server.sessions().len(), server.listeners().len()));
    let few = |left: &[(usize, usize); 2]| left.iter().all(|(sessions, streams)| *sessions <= 2 && *streams <= 2);
    wait::becomes(Duration::from_secs(20), "few sessions and streams are left", async || left(), few).await;
}

#[tokio::test]
async fn sessions_that_come_and_go_take_no_more_memory() {
    let servers = ["one", "two"].map(|name| Server::start(Era::Legacy, &Catalogue::new(name).tools(30)));
    let gateway = Gateway::with(json!({ "one": servers[0].config(), "two": servers[1].config() })).await;
    let round = async |count: usize| {
        for _ in 0..count {
            let session = Session::with(gateway.port, "/mcp", json!({ "roots": {} }), None).await;
            assert_eq!(session.request("tools/list", json!({})).await.status, 200);
            for server in ["one", "two"] {
                assert_eq!(session.call(&format!("{server}_tool-000"), json!({})).await.status, 200);
            }
            assert_eq!(session.delete().await.status / 100, 2);
        }
        resident_kib(gateway.pid())
    };
    round(300).await;
    let before = round(100).await;
    let after = round(600).await;
    assert!(after < before + 8 * 1024, "{before} KiB, after 600 more sessions {after} KiB");
}

#[tokio::test]
async fn modern_clients_leave_nothing_behind() {
    let servers = ["one", "two"].map(|name| Server::start(Era::Modern, &Catalogue::new(name).tools(3)));
    let peer = Peer::new("modern");
    let entries = json!({ "one": servers[0].config(), "two": servers[1].config(), "peer": peer.config() });
    let gateway = Gateway::with(entries).await;
    let client = Client::open(Era::Modern, gateway.port, "/mcp").await;
    for n in 0..100 {
        let filter = json!({ "toolsListChanged": true, "resourceSubscriptions": [format!("one+file:///{n}")] });
        let call = client.prepare("subscriptions/listen", json!({ "notifications": filter }));
        let mut stream = call.open(gateway.port).await;
        assert_eq!(stream.message().await["method"], "notifications/subscriptions/acknowledged");
    }
    assert_eq!(client.names("tools/list").await.len(), 7);
    for server in &servers {
        within(Duration::from_secs(20), "the subscriptions of clients that are gone are closed", || {
            (server.listeners().len() <= 2).then_some(())
        })
        .await;
    }
    assert_eq!(peer.starts(), 1);
}

#[tokio::test]
async fn children_of_sessions_that_end_are_ended() {
    let peers = [Peer::new("legacy"), Peer::new("legacy")];
    let gateway = Gateway::with(json!({ "one": peers[0].config(), "two": peers[1].config() })).await;
    for _ in 0..10 {
        let session = Session::with(gateway.port, "/mcp", json!({ "sampling": {} }), None).await;
        for server in ["one", "two"] {
            assert_eq!(session.call(&format!("{server}_pid"), json!({})).await.status, 200);
        }
        assert_eq!(session.delete().await.status / 100, 2);
    }
    for peer in &peers {
        within(Duration::from_secs(20), "only what watches is left", || (peer.processes().len() <= 1).then_some(()))
            .await;
    }
}
