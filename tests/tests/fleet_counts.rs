//! What comes in at one node and is held by another counts once in the metrics of the fleet, and by the share of the node where it came in,
//! whatever door it came by.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::time::Instant;

use serde_json::{Value, json};
use sluice_contract::v1;
use sluice_tests::fleet::{Fleet, object};
use sluice_tests::sse::Sse;
use sluice_tests::upstream::Legacy;
use sluice_tests::{Session, message, wait};

const NAMES: [&str; 3] = ["edge-1", "edge-2", "edge-3"];
const ALICE: &str = "alice-key-0123456789abcdef";
/// Doors of sessions, with what they call the tool `echo` of the server `one`.
const DOORS: [(&str, &str); 4] =
    [("/servers/one/mcp", "echo"), ("/mcp", "one_echo"), ("/servers/one/sse", "echo"), ("/sse", "one_echo")];

/// A client with a session at one node.
enum Client {
    Http(Session),
    Sse(Box<Sse>),
}

impl Client {
    async fn open(port: u16, path: &str) -> Self {
        if !path.ends_with("/sse") {
            return Self::Http(Session::with(port, path, json!({}), Some(ALICE)).await);
        }
        let mut client = Sse::with(port, path, Some(ALICE)).await;
        client.initialize(json!({})).await;
        Self::Sse(Box::new(client))
    }

    /// Calls a tool by way of a node: whether it was done; else it was too often.
    async fn call(&mut self, port: u16, tool: &str, id: i64) -> bool {
        match self {
            Self::Http(session) => {
                let reply = session.at(port).call(tool, json!({})).await;
                assert!([200, 429].contains(&reply.status), "{reply:?}");
                reply.status == 200
            }
            Self::Sse(client) => {
                let taken = client.post(&message::call(tool, id, json!({}))).send(port).await;
                assert!([202, 429].contains(&taken.status), "{taken:?}");
                taken.status == 202 && client.answer(&json!(id)).await.0.get("result").is_some()
            }
        }
    }
}

fn objects(server: &Value, limit: u32) -> Vec<v1::Object> {
    let policy =
        json!({ "who": ["client:*"], "allow": [{}], "limit": [{ "tools": ["echo"], "requests_per_minute": limit }] });
    vec![
        object("server", "one", server),
        object("client", "alice", &json!({ "api_key": ALICE })),
        object("policy", "all", &policy),
    ]
}

/// A metric of all nodes together.
async fn sum(fleet: &Fleet, name: &str, labels: &[&str]) -> f64 {
    let mut sum = 0.0;
    for node in &fleet.nodes {
        sum += node.metric(name, labels).await;
    }
    sum
}

#[tokio::test]
async fn a_call_that_is_handed_on_is_one_request_of_the_fleet() {
    let server = Legacy::start();
    let fleet = Fleet::running(&NAMES, objects(&server.config(), 10_000)).await;
    for (path, tool) in DOORS {
        let calls = async || sum(&fleet, "sluice_requests_total", &["method=\"tools/call\""]).await;
        let all = async || sum(&fleet, "sluice_requests_total", &[]).await;
        let handed = async || sum(&fleet, "sluice_handed_on_total", &[]).await;
        let mut client = Client::open(fleet.nodes[0].port, path).await;
        // the client has its answer a moment before it is counted
        let mut settled = all().await;
        wait::becomes(wait::SOON, "nothing is counted any more", all, |now| {
            std::mem::replace(&mut settled, *now) == *now
        })
        .await;
        let (calls_before, all_before, handed_before) = (calls().await, all().await, handed().await);
        for id in 1..=9 {
            let node = &fleet.nodes[usize::try_from(id).unwrap() % 3];
            assert!(client.call(node.port, tool, id).await, "{path}");
        }
        let new = async || (calls().await - calls_before, handed().await - handed_before);
        wait::becomes(wait::SOON, &format!("nine calls by {path}, six of them handed on"), new, |new| {
            *new == (9.0, 6.0)
        })
        .await;
        assert_eq!(all().await - all_before, 9.0, "{path}: nor anything else");
    }
    assert_eq!(sum(&fleet, "sluice_refused_total", &[]).await, 0.0);
    assert_eq!(server.calls("echo").len(), 9 * DOORS.len());
}

#[tokio::test]
async fn whoever_comes_by_one_node_has_its_share_wherever_their_sessions_are() {
    for (path, tool) in DOORS {
        let server = Legacy::start();
        let fleet = Fleet::running(&NAMES, objects(&server.config(), 9)).await;
        for node in &fleet.nodes {
            node.logged("\"among\":3").await;
        }
        let mut clients = Vec::new();
        for node in &fleet.nodes {
            clients.push(Client::open(node.port, path).await);
        }
        let (start, mut done) = (Instant::now(), 0);
        for id in 1..=6 {
            for client in &mut clients {
                done += u64::from(client.call(fleet.nodes[0].port, tool, id).await);
            }
        }
        // one more after twenty seconds, which a slow machine may take
        let most = 3 + start.elapsed().as_secs() / 20;
        assert!((3..=most).contains(&done), "{path}: {done}");
        assert_eq!(server.calls("echo").len() as u64, done, "{path}");
    }
}
