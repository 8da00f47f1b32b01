//! A credential that a node cannot have shows wherever people look, with its cause and without the secret, and goes away by itself.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};
use sluice_contract::v1;
use sluice_tests::control::messages;
use sluice_tests::node::{self, seen};
use sluice_tests::upstream::{Answer, Modern, Upstream};
use sluice_tests::{Call, ControlPlane, Node, wait};

const SECRET: &str = "s3cret-of-the-client";
const REFUSED: &str = "credential `crm`: the token endpoint refused with status 401: invalid_client";
/// Nodes report every few seconds, and ask for a token again after at most half a minute.
const SOON: Duration = Duration::from_secs(60);

struct House {
    control: ControlPlane,
    node: Node,
}

async fn house(auth: Value, server: &Modern) -> House {
    let control = ControlPlane::empty().await;
    let object = |kind: &str, name: &str, spec: Value| v1::Object {
        kind: kind.into(),
        name: name.into(),
        spec_json: spec.to_string(),
        revision: 0,
    };
    let spec = json!({ "url": server.url(), "auth": { "credential": "crm" } });
    let objects = vec![object("credential", "crm", auth), object("server", "one", spec)];
    let answer = control.admin().await.apply(v1::ApplyRequest { objects, ..Default::default() }).await.unwrap();
    assert!(answer.faults.is_empty(), "{:?}", messages(&answer.faults));
    let node = Node::of(&control, "edge", &[]).await.ready().await;
    seen(&control, "edge", "current", |seen| seen.state() == v1::NodeState::Current).await;
    House { control, node }
}

async fn call(node: &Node) -> u16 {
    let params = json!({ "name": "echo", "arguments": {} });
    Call::modern("/servers/one/mcp", "tools/call", 1, params).send(node.port).await.status
}

impl House {
    /// All that people see, once the node has told how the credential is.
    async fn seen(&self, lacks: bool) -> Vec<(&'static str, String)> {
        seen(&self.control, "edge", "telling how the credential is", |seen| {
            seen.servers.iter().any(|server| server.credential_trouble.is_empty() != lacks)
        })
        .await;
        let typed = |args: &[&str]| {
            let done = self.control.sluice(args);
            assert!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
            String::from_utf8(done.stdout).unwrap()
        };
        let asked = async |path: &str| self.control.rest("GET", path, Value::Null).await.1.to_string();
        let local = format!("127.0.0.1:{}", self.node.admin);
        vec![
            ("status", typed(&["status"])),
            ("status -o json", typed(&["status", "-o", "json"])),
            ("get servers", typed(&["get", "servers"])),
            ("get servers --admin", typed(&["get", "servers", "--admin", &local])),
            ("/nodes", asked("/nodes").await),
            ("/integrations", asked("/integrations").await),
            ("/servers of the node", self.node.admin("/servers").await.text()),
        ]
    }

    /// What is told without names.
    async fn counted(&self) -> (Value, Value, f64) {
        let health = Call::get("/health").bare().send(self.node.port).await;
        let health: Value = serde_json::from_slice(&health.body).unwrap();
        let summary = self.control.rest("GET", "/summary", Value::Null).await.1;
        let up = self.node.metric("sluice_credential_up", &["one"]).await;
        (health["servers_without_credential"].clone(), summary["without_credential"].clone(), up)
    }

    async fn shows(&self, cause: &str) {
        for (place, text) in self.seen(true).await {
            assert!(text.contains(cause) && text.contains("one"), "{place}: {text}");
            assert!(!text.contains("s3cret"), "{place}: {text}");
        }
        assert_eq!(self.counted().await, (json!(1), json!(["one"]), 0.0));
        assert_eq!(self.node.readiness().await, Some(200), "one server that is not well does not make a node unready");
        let since = node::status(&self.control, "edge").await.unwrap().servers[0].credential_since_ms;
        assert!(since > 0);
    }

    async fn shows_nothing(&self, cause: &str) {
        for (place, text) in self.seen(false).await {
            assert!(!text.contains(cause), "{place}: {text}");
        }
        assert_eq!(self.counted().await, (json!(0), json!([]), 1.0));
    }
}

#[tokio::test]
async fn a_token_that_cannot_be_had_is_seen_until_it_can() {
    let works = Arc::new(AtomicBool::new(false));
    let issuer = {
        let works = Arc::clone(&works);
        Upstream::start(move |_| {
            let answer = if works.load(Ordering::Relaxed) {
                Answer::json(json!({ "access_token": "t", "token_type": "Bearer", "expires_in": 3600 }).to_string())
            } else {
                let said = json!({ "error": "invalid_client", "error_description": format!("not {SECRET}") });
                Answer::new(401, "application/json", said.to_string())
            };
            async move { answer }
        })
    };
    let server = Modern::start();
    let auth = json!({
        "type": "oauth_client_credentials", "token_url": format!("http://127.0.0.1:{}/token", issuer.port),
        "client_id": "gateway", "client_secret": SECRET,
    });
    let house = house(auth, &server).await;
    house.shows_nothing(REFUSED).await;
    assert_eq!(call(&house.node).await, 502);
    house.shows(REFUSED).await;
    // nobody has to ask for it to go away
    works.store(true, Ordering::Relaxed);
    let trouble = async || node::status(&house.control, "edge").await.unwrap().servers[0].credential_trouble.clone();
    wait::becomes(SOON, "the trouble is over", trouble, String::is_empty).await;
    house.shows_nothing(REFUSED).await;
    assert_eq!(call(&house.node).await, 200);
}

/// Replaces a file as whoever mounts secrets does: at once.
fn replace(file: &Path, text: &str) {
    let beside = file.with_extension("new");
    std::fs::write(&beside, text).unwrap();
    std::fs::rename(beside, file).unwrap();
}

#[tokio::test]
async fn a_file_that_is_gone_or_empty_is_seen_until_it_is_there_again_also_by_a_node_that_starts_without_it() {
    let (server, folder) = (Modern::start(), tempfile::tempdir().unwrap());
    let file = folder.path().join("token");
    std::fs::write(&file, SECRET).unwrap();
    let mut house = house(json!({ "type": "bearer", "token": { "file": file } }), &server).await;
    house.shows_nothing("cannot be read").await;
    std::fs::remove_file(&file).unwrap();
    house.shows("cannot be read").await;
    assert_eq!(call(&house.node).await, 200, "with what it was last");
    replace(&file, "");
    wait::eventually_within(SOON, "it is said to be empty", async || {
        let trouble = node::status(&house.control, "edge").await.unwrap().servers[0].credential_trouble.clone();
        trouble.contains("is empty").then_some(())
    })
    .await;
    replace(&file, SECRET);
    house.shows_nothing("is empty").await;

    std::fs::remove_file(&file).unwrap();
    house.node.signal(Signal::TERM);
    house.node.ended().await;
    house.node.again();
    seen(&house.control, "edge", "refusing what it lacks the credential for", |seen| {
        seen.connected && seen.state() == v1::NodeState::Rejected && seen.revision == 0
    })
    .await;
    let status = String::from_utf8(house.control.sluice(&["status"]).stdout).unwrap();
    assert!(status.contains("cannot be read") && status.contains("has nothing to run"), "{status}");
    replace(&file, SECRET);
    house.node.is_ready().await;
    seen(&house.control, "edge", "current", |seen| seen.state() == v1::NodeState::Current).await;
}
