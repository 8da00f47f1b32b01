//! Whoever is not to come in any more is out within a second, on every node that is connected.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};
use sluice_contract::v1;
use sluice_tests::catalogue::Catalogue;
use sluice_tests::client::{Client, Era};
use sluice_tests::control::{Admin, code};
use sluice_tests::fleet::object;
use sluice_tests::issuer::Issuer;
use sluice_tests::node::{Start, seen, status};
use sluice_tests::server::Server;
use sluice_tests::{ControlPlane, Node, Session, wait};
use tonic::Code;

/// From the answer to whoever revoked.
const BOUND: Duration = Duration::from_secs(1);

async fn key(admin: &Admin, name: &str) -> String {
    let kind = v1::TokenKind::Client.into();
    let request = v1::CreateTokenRequest { kind, name: name.into(), ..v1::CreateTokenRequest::default() };
    admin.client().create_token(admin.with(request)).await.unwrap().into_inner().token
}

/// Waits for something, and says how long after `since` that was; it may take twice the bound to be told rather than waited for.
async fn after(since: Instant, what: &str, is_so: impl AsyncFn() -> bool) -> Duration {
    wait::eventually_within(2 * BOUND, what, async || is_so().await.then(|| since.elapsed())).await
}

#[tokio::test]
async fn a_revoked_key_is_refused_on_every_connected_node_and_ends_what_it_opened() {
    let (control, server) = (ControlPlane::empty().await, Server::start(Era::Legacy, &Catalogue::new("one").tools(1)));
    let admin = control.admin().await;
    let locked = object("features", "features", &json!({ "authentication": true }));
    let objects = vec![object("server", "one", &server.config()), locked];
    let first = admin.apply(v1::ApplyRequest { objects, ..v1::ApplyRequest::default() }).await.unwrap();
    assert!(first.faults.is_empty());
    let nodes =
        [Node::of(&control, "east", &[]).await.ready().await, Node::of(&control, "west", &[]).await.ready().await];
    for _ in 0..5 {
        let (bad, good) = (key(&admin, "mallory").await, key(&admin, "alice").await);
        let revision = admin.client().history(admin.with(v1::HistoryRequest::default())).await.unwrap().into_inner();
        for node in &nodes {
            let newest = revision.revisions[0].revision;
            seen(&control, &node.name, "current", |seen| seen.revision == newest).await;
        }
        let mut streams = Vec::new();
        for node in &nodes {
            let session = Session::with(node.port, "/mcp", json!({}), Some(&bad)).await;
            assert_eq!(session.call("tool-000", json!({})).await.status, 200);
            streams.push(session.listen(None).await);
        }
        let request = v1::RevokeTokenRequest { token: "mallory".into() };
        admin.client().revoke_token(admin.with(request)).await.unwrap();
        let since = Instant::now();
        for node in &nodes {
            let took = after(since, "the key is refused", async || {
                let client = sluice_tests::Call::modern("/mcp", "tools/list", 1, json!({})).key(&bad);
                client.send(node.port).await.status == 401
            })
            .await;
            assert!(took < BOUND, "refused on {} after {took:?}", node.name);
        }
        for mut stream in streams {
            wait::soon("the stream ends", stream.rest()).await;
        }
        let took = since.elapsed();
        assert!(took < BOUND, "streams ended after {took:?}");
        for node in &nodes {
            Session::with(node.port, "/mcp", json!({}), Some(&good)).await;
        }
        admin.client().revoke_token(admin.with(v1::RevokeTokenRequest { token: "alice".into() })).await.unwrap();
    }
}

const CAROL: &str = "carol-key-0123456789abcdef";

async fn applied(admin: &Admin, kind: &str, name: &str, spec: &Value) -> u64 {
    let objects = vec![object(kind, name, spec)];
    let answer = admin.apply(v1::ApplyRequest { objects, ..v1::ApplyRequest::default() }).await.unwrap();
    assert!(answer.faults.is_empty());
    answer.revision
}

async fn deleted(admin: &Admin, kind: &str, name: &str) -> u64 {
    let request = v1::DeleteRequest { kind: kind.into(), name: name.into(), ..v1::DeleteRequest::default() };
    admin.client().delete(admin.with(request)).await.unwrap().into_inner().revision
}

/// Whether a key is taken, whatever comes of the request.
async fn takes(node: &Node, key: &str) -> bool {
    sluice_tests::Call::modern("/mcp", "tools/list", 1, json!({})).key(key).send(node.port).await.status != 401
}

/// A server that no node can have: a variable of theirs is missing.
async fn unfit(control: &ControlPlane, admin: &Admin) {
    let auth = json!({ "type": "bearer", "token": { "env": "NOT_ON_THIS_NODE" } });
    let server = json!({ "url": "http://127.0.0.1:9/mcp", "auth": auth });
    let revision = applied(admin, "server", "unfit", &server).await;
    seen(control, "edge", "refusing", |seen| seen.rejected_revision == revision).await;
}

#[tokio::test]
async fn who_is_taken_away_is_refused_by_a_node_that_refuses_the_revision_also_when_it_starts_again_alone() {
    let (mut control, server) =
        (ControlPlane::empty().await, Server::start(Era::Legacy, &Catalogue::new("one").tools(1)));
    let admin = control.admin().await;
    applied(&admin, "server", "one", &server.config()).await;
    applied(&admin, "features", "features", &json!({ "authentication": true })).await;
    applied(&admin, "client", "carol", &json!({ "api_key": CAROL })).await;
    let (bad, good) = (key(&admin, "mallory").await, key(&admin, "alice").await);
    let mut node = Node::of(&control, "edge", &[]).await.ready().await;
    unfit(&control, &admin).await;
    let runs = node.revision().await;
    let mut stream = Session::with(node.port, "/mcp", json!({}), Some(&bad)).await.listen(None).await;
    let refused = async |since: Instant, what: &str, key: &str| {
        let took = after(since, what, async || !takes(&node, key).await).await;
        assert!(took < BOUND, "{what} after {took:?}");
    };
    admin.client().revoke_token(admin.with(v1::RevokeTokenRequest { token: "mallory".into() })).await.unwrap();
    let since = Instant::now();
    refused(since, "a revoked key is refused", &bad).await;
    wait::soon("the stream ends", stream.rest()).await;
    assert!(since.elapsed() < BOUND, "the stream ended after {:?}", since.elapsed());
    assert!(takes(&node, &good).await && takes(&node, CAROL).await);
    // an end that came nearer
    let ended = json!({ "api_key": CAROL, "expires": "2020-01-01T00:00:00Z" });
    applied(&admin, "client", "carol", &ended).await;
    refused(Instant::now(), "a key that has ended is refused", CAROL).await;
    applied(&admin, "client", "carol", &json!({ "api_key": CAROL })).await;
    after(Instant::now(), "it is good again", async || takes(&node, CAROL).await).await;
    let gone = deleted(&admin, "client", "carol").await;
    refused(Instant::now(), "a client that is gone is refused", CAROL).await;
    assert_eq!(node.revision().await, runs, "the rest is as before");
    seen(&control, "edge", "going by it", |seen| seen.entitled_revision == gone).await;
    // what is not run is in no ledger
    control.signal(Signal::KILL);
    node.kill().await;
    node.again();
    node.is_ready().await;
    assert!(!takes(&node, &bad).await && !takes(&node, CAROL).await && takes(&node, &good).await);
    control.again().await;
    let admin = control.admin().await;
    let last = deleted(&admin, "server", "unfit").await;
    node.runs(last).await;
    assert!(!takes(&node, &bad).await && !takes(&node, CAROL).await && takes(&node, &good).await);
    let raw = std::fs::read(node.state().join("entitled")).unwrap();
    assert!(!raw.windows(5).any(|bytes| bytes == b"alice"), "it is sealed");
}

#[tokio::test]
async fn tokens_of_an_issuer_that_is_taken_away_are_refused_by_a_node_that_refuses_the_revision() {
    let (control, server) = (ControlPlane::empty().await, Server::start(Era::Legacy, &Catalogue::new("one").tools(1)));
    let (admin, gone, stays) = (control.admin().await, Issuer::start(), Issuer::start());
    applied(&admin, "server", "one", &server.config()).await;
    applied(&admin, "issuer", "gone", &gone.config(json!({}))).await;
    applied(&admin, "issuer", "stays", &stays.config(json!({}))).await;
    let node = Node::of(&control, "edge", &[]).await.ready().await;
    let audience = format!("http://127.0.0.1:{}/mcp", node.port);
    let [bad, good] = [&gone, &stays].map(|issuer| issuer.token(&audience, json!({})));
    for token in [&bad, &good] {
        after(Instant::now(), "the token is good", async || takes(&node, token).await).await;
    }
    unfit(&control, &admin).await;
    let runs = node.revision().await;
    let mut stream = Session::with(node.port, "/mcp", json!({}), Some(&bad)).await.listen(None).await;
    deleted(&admin, "issuer", "gone").await;
    let since = Instant::now();
    let took = after(since, "its tokens are refused", async || !takes(&node, &bad).await).await;
    assert!(took < BOUND, "{took:?}");
    wait::soon("the stream ends", stream.rest()).await;
    assert!(since.elapsed() < BOUND, "the stream ended after {:?}", since.elapsed());
    assert!(takes(&node, &good).await, "those of another issuer are good");
    assert_eq!(node.revision().await, runs, "the rest is as before");
}

#[tokio::test]
async fn that_somebody_is_taken_away_is_told_when_it_is_kept_or_the_disk_was_waited_for() {
    let (control, server) = (ControlPlane::empty().await, Server::start(Era::Legacy, &Catalogue::new("one").tools(1)));
    let admin = control.admin().await;
    applied(&admin, "server", "one", &server.config()).await;
    applied(&admin, "features", "features", &json!({ "authentication": true })).await;
    let key = key(&admin, "mallory").await;
    let node = Node::of(&control, "edge", &[]).await.ready().await;
    after(Instant::now(), "the key is good", async || takes(&node, &key).await).await;
    unfit(&control, &admin).await;
    seen(&control, "edge", "told", |seen| seen.entitled_revision == seen.rejected_revision).await;
    // a pipe that nobody reads, in the place of the file that is kept: writing it never begins
    let pipe = node.state().join("entitled.new");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let before = status(&control, "edge").await.unwrap().entitled_revision;
    let since = Instant::now();
    admin.client().revoke_token(admin.with(v1::RevokeTokenRequest { token: "mallory".into() })).await.unwrap();
    let took = after(since, "the key is refused", async || !takes(&node, &key).await).await;
    assert!(took < BOUND, "{took:?}");
    let told =
        after(since, "it is told", async || status(&control, "edge").await.unwrap().entitled_revision > before).await;
    assert!(told >= Duration::from_millis(500), "before it was kept, after {told:?}");
}

#[tokio::test]
async fn whoever_revokes_or_sets_a_secret_hears_which_nodes_do_not_run_it() {
    let (control, server) = (ControlPlane::empty().await, Server::start(Era::Legacy, &Catalogue::new("one").tools(1)));
    let admin = control.admin().await;
    let mut config = server.config();
    config["auth"] = json!({ "type": "bearer", "token": { "secret": "token" } });
    let said = |output: std::process::Output| (output.status.code(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(said(control.sluice_fed("first", &["secret", "set", "token"])).0, Some(0), "there is no node");
    applied(&admin, "server", "one", &config).await;
    key(&admin, "mallory").await;
    let node = Node::of(&control, "edge", &[]).await.ready().await;
    unfit(&control, &admin).await;
    let (code, told) = said(control.sluice(&["token", "revoke", "mallory"]));
    assert!(told.contains("edge refuses the key after") && told.contains("NOT_ON_THIS_NODE"), "{told}");
    assert_eq!(code, Some(0), "the key is of no use any more: {told}");
    let (code, told) = said(control.sluice_fed("second", &["secret", "set", "token"]));
    assert!(told.contains("edge refused revision") && told.contains("NOT_ON_THIS_NODE"), "{told}");
    assert_eq!(code, Some(1), "{told}");
    deleted(&admin, "server", "unfit").await;
    let (code, told) = said(control.sluice_fed("third", &["secret", "set", "token"]));
    assert!(code == Some(0) && told.contains("edge runs revision"), "{told}");
    drop(node);
}

#[tokio::test]
async fn a_revoked_node_hears_nothing_any_more_and_its_certificate_is_of_no_use_to_others() {
    let (control, server) =
        (ControlPlane::empty().await, Server::start(Era::Modern, &Catalogue::new("one").tools(1).ttl(600_000)));
    let admin = control.admin().await;
    let first = admin.servers(&[("one", &server.config().to_string())]).await.revision;
    let node = Node::of(&control, "edge", &[]).await.ready().await;
    seen(&control, "edge", "current", |seen| seen.revision == first).await;
    // somebody has copied all it has
    let mut thief = Node::of(&control, "thief", &[]).await.ready().await;
    thief.kill().await;
    std::fs::copy(node.state().join("identity.pem"), thief.state().join("identity.pem")).unwrap();
    admin.client().revoke_node(admin.with(v1::RevokeNodeRequest { node: "edge".into() })).await.unwrap();
    let since = Instant::now();
    let took = after(since, "the node is sent away", async || node.log().contains("sent away")).await;
    assert!(took < BOUND, "sent away after {took:?}");
    let second = admin.servers(&[("two", &server.config().to_string())]).await.revision;
    thief.again();
    thief.logged("the node was revoked").await;
    let claims = |line: &str| line.contains("connected to the control plane") && !line.contains("not connected");
    assert!(!thief.log().lines().any(claims), "it never was: {}", thief.log());
    assert!(node.revision().await < second && thief.revision().await < second, "nothing new for either");
    let client = Client::open(Era::Modern, node.port, "/servers/one/mcp").await;
    assert_eq!(client.call("tool-000", json!({})).await.status, 200, "its clients do not notice");
}

#[tokio::test]
async fn tokens_are_exchanged_by_making_a_new_one_and_revoking_the_old() {
    let control = ControlPlane::empty().await;
    let admin = control.admin().await;
    let revoke = async |token: String| {
        admin.client().revoke_token(admin.with(v1::RevokeTokenRequest { token })).await.unwrap().into_inner().revoked
    };
    let reads = async |token: &str| {
        let person = Admin::at(control.grpc, token).await;
        code(person.client().list_secrets(person.with(v1::ListSecretsRequest {})).await)
    };
    let (old, new) = (admin.person("old", "viewer").await, admin.person("new", "viewer").await);
    assert_eq!((reads(&old).await, reads(&new).await), (Code::Ok, Code::Ok));
    assert_eq!(revoke("old".to_owned()).await, 1);
    assert_eq!((reads(&old).await, reads(&new).await), (Code::Unauthenticated, Code::Ok), "at once");
    // that of the first start is one like the others
    let next = admin.person("next", "admin").await;
    let next = Admin::at(control.grpc, &next).await;
    let all = next.client().list_tokens(next.with(v1::ListTokensRequest {})).await.unwrap().into_inner().tokens;
    let first = all.iter().find(|token| token.role == "admin" && token.name != "next").unwrap();
    let request = v1::RevokeTokenRequest { token: first.id.clone() };
    next.client().revoke_token(next.with(request)).await.unwrap();
    assert_eq!(reads(&control.token()).await, Code::Unauthenticated);
    // a join token that fell into wrong hands
    let create = v1::CreateTokenRequest { kind: v1::TokenKind::Join.into(), name: "edge".into(), ..Default::default() };
    let join = next.client().create_token(next.with(create)).await.unwrap().into_inner();
    let request = v1::RevokeTokenRequest { token: join.about.unwrap().id };
    assert_eq!(next.client().revoke_token(next.with(request)).await.unwrap().into_inner().revoked, 1);
    let node = Start::new("edge", control.grpc, &join.token).start();
    node.logged("the join token is unknown, used, expired").await;
}
