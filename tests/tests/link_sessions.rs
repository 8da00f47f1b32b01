//! Three nodes behind a balancer that sends each connection to the next of them: sessions, their streams and their servers' questions
//! work as at one node, whichever holds them.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use serde_json::json;
use sluice_tests::fleet::{Fleet, apply, object};
use sluice_tests::issuer::Issuer;
use sluice_tests::peer::Peer;
use sluice_tests::sse::Sse;
use sluice_tests::upstream::Legacy;
use sluice_tests::{Call, Redis, Session, message, wait};

const NAMES: [&str; 3] = ["edge-1", "edge-2", "edge-3"];
const HTTP: &str = "/servers/http/mcp";
const PIPE: &str = "/servers/pipe/mcp";

async fn text(session: &Session, tool: &str) -> String {
    let result = session.call(tool, json!({ "k": 1 })).await.result();
    result["content"][0]["text"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn sessions_of_every_kind_of_server_go_on_at_every_node() {
    let (http, pipe) = (Legacy::start(), Peer::new("legacy"));
    let fleet = Fleet::of(&NAMES, &[("http", http.config()), ("pipe", pipe.config())]).await;
    // of the merged door, too
    for path in [HTTP, PIPE, "/mcp"] {
        let session = Session::open(fleet.port(), path).await;
        for _ in 0..9 {
            let listed = session.request("tools/list", json!({})).await;
            assert_eq!(listed.status, 200, "{path}: {listed:?}");
        }
        assert_eq!(session.delete().await.status, 200, "{path}");
        for _ in 0..3 {
            assert_eq!(session.request("ping", json!({})).await.status, 404, "{path}: it is over at every node");
        }
    }
    let session = Session::open(fleet.port(), PIPE).await;
    let first = text(&session, "pid").await;
    for _ in 0..6 {
        assert_eq!(text(&session, "pid").await, first, "the one process of the session");
    }
    // accounted once at the node that was asked and once at the one that holds it
    let lines: String = fleet.nodes.iter().map(|node| node.log()).collect();
    assert!(lines.contains("held by edge-") && lines.contains("handed on by edge-"), "{lines}");
}

#[tokio::test]
async fn questions_streams_and_cancellations_find_their_session() {
    let (http, pipe) = (Legacy::start(), Peer::new("legacy"));
    let fleet = Fleet::of(&NAMES, &[("http", http.config()), ("pipe", pipe.config())]).await;
    let asks = json!({ "elicitation": { "form": {} }, "roots": {} });
    // on the stream of the call that caused it; the answer comes in at another node
    for _ in 0..3 {
        let session = Session::with(fleet.port(), PIPE, asks.clone(), None).await;
        let question = json!({ "method": "elicitation/create", "params": { "message": "?" } });
        let mut stream = session.stream("ask", question).await;
        let asked = stream.message().await;
        assert_eq!(asked["method"], "elicitation/create", "{asked}");
        session.answer(&asked["id"], json!({ "action": "accept", "content": { "n": "Ada" } })).await;
        let ended = stream.message().await;
        assert!(ended["result"]["content"][0]["text"].as_str().unwrap().contains("Ada"), "{ended}");
        session.delete().await;
    }
    // on the standing stream
    for round in 0..3 {
        let session = Session::with(fleet.port(), HTTP, asks.clone(), None).await;
        let mut stream = session.listen(None).await;
        assert_eq!(stream.status, 200);
        let server = http.stream().await;
        assert!(server.event(&json!({ "jsonrpc": "2.0", "id": round, "method": "roots/list", "params": {} })).await);
        let asked = stream.message().await;
        session.answer(&asked["id"], json!({ "roots": [round] })).await;
        http.receives("the answer", |received| received.message()["result"]["roots"][0] == round).await;
        // a client that goes away is gone at the server, too
        drop(stream);
        server.closed().await;
        session.delete().await;
    }
    // a call that hangs is cancelled by a message that comes in elsewhere
    for _ in 0..3 {
        let session = Session::open(fleet.port(), PIPE).await;
        let id = session.next_id();
        let hanging = session.post(&message::call("hang", id, json!({})));
        let port = fleet.port();
        let before = pipe.got("tools/call").len();
        let call = tokio::spawn(async move { hanging.send(port).await });
        sluice_tests::until("the call at the server", || (pipe.got("tools/call").len() > before).then_some(())).await;
        let cancelled = pipe.got("notifications/cancelled").len();
        session.notify("notifications/cancelled", json!({ "requestId": id })).await;
        let ended = call.await.unwrap();
        assert!([200, 202].contains(&ended.status), "{ended:?}");
        sluice_tests::until("the cancellation", || {
            (pipe.got("notifications/cancelled").len() > cancelled).then_some(())
        })
        .await;
        session.delete().await;
    }
}

#[tokio::test]
async fn a_stream_that_broke_is_resumed_at_another_node() {
    let http = Legacy::start();
    let fleet = Fleet::of(&NAMES, &[("http", http.config())]).await;
    let session = Session::open(fleet.port(), HTTP).await;
    let mut stream = session.listen(None).await;
    let server = http.stream().await;
    assert!(server.numbered("7", &message::notification("notifications/message", json!({ "n": 7 }))).await);
    let event = stream.next().await;
    let last = event.id.clone().expect("an id to resume by");
    drop(stream);
    server.closed().await;
    for _ in 0..3 {
        let resumed = session.listen(Some(&last)).await;
        assert_eq!(resumed.status, 200);
        http.receives("the resumption", |received| received.header("last-event-id") == Some("7")).await;
    }
}

#[tokio::test]
async fn the_event_stream_of_2024_takes_messages_that_come_in_anywhere() {
    let pipe = Peer::new("legacy");
    let fleet = Fleet::of(&NAMES, &[("pipe", pipe.config())]).await;
    let mut client = Sse::open(fleet.port(), "/servers/pipe/sse").await;
    client.initialize(json!({})).await;
    for id in 1..7 {
        client.call("echo", id, json!({ "n": id })).await;
    }
    drop(client);
}

#[tokio::test]
async fn a_session_is_its_owners_at_every_node_and_nobody_elses() {
    let pipe = Peer::new("legacy");
    let fleet = Fleet::of(&NAMES, &[("pipe", pipe.config())]).await;
    let admin = fleet.control.admin().await;
    let mut keys = Vec::new();
    for name in ["ann", "bob"] {
        let request = sluice_contract::v1::CreateTokenRequest {
            kind: sluice_contract::v1::TokenKind::Client.into(),
            name: name.into(),
            ..Default::default()
        };
        keys.push(admin.client().create_token(admin.with(request)).await.unwrap().into_inner().token);
    }
    let revision =
        apply(&fleet.control, vec![object("features", "features", &json!({ "authentication": true }))]).await;
    for node in &fleet.nodes {
        node.runs(revision).await;
    }
    let session = Session::with(fleet.port(), PIPE, json!({}), Some(&keys[0])).await;
    let ping = |id: i64| session.post(&message::request("ping", id, json!({})));
    for id in 0..3 {
        assert_eq!(ping(id).send(fleet.port()).await.status, 200);
        assert_eq!(ping(id).key(&keys[1]).send(fleet.port()).await.status, 404, "another principal");
        assert_eq!(ping(id).without("authorization").send(fleet.port()).await.status, 401, "nobody");
        let voucher = ping(id).key(&keys[1]).header("sluice-principal", "eyJ9");
        assert_eq!(voucher.send(fleet.port()).await.status, 404, "only nodes vouch for somebody");
        let foreign = session.dressed(Call::delete(PIPE)).key(&keys[1]);
        assert_eq!(foreign.send(fleet.port()).await.status, 404, "nor ended by others");
    }
    // a key that is revoked is refused wherever the session is
    let revoke = sluice_contract::v1::RevokeTokenRequest { token: "ann".to_owned() };
    let _ = admin.client().revoke_token(admin.with(revoke)).await.unwrap();
    for _ in 0..3 {
        sluice_tests::wait::eventually("the key is refused", async || {
            (ping(9).send(fleet.port()).await.status == 401).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn who_misses_a_scope_is_told_so_as_where_the_session_is_held() {
    let (pipe, issuer) = (Peer::new("legacy"), Issuer::start());
    let scopes = json!({ "audiences": ["fleet"], "required_scopes": ["mcp:read"] });
    let policy =
        json!({ "who": ["jwt:corp:*"], "allow": [{ "tools": ["echo"], "scopes": ["tools:write", "tools:call"] }] });
    let objects = vec![
        object("server", "pipe", &pipe.config()),
        object("issuer", "corp", &issuer.config(scopes)),
        object("policy", "all", &policy),
    ];
    let fleet = Fleet::running(&NAMES[..2], objects).await;
    let token = issuer.token("fleet", json!({ "scope": "mcp:read tools:call" }));
    for path in [PIPE, "/mcp"] {
        let session = Session::with(fleet.nodes[0].port, path, json!({}), Some(&token)).await;
        let tool = if path == PIPE { "echo" } else { "pipe_echo" };
        let mut told = Vec::new();
        for node in &fleet.nodes {
            let refused = session.post(&message::call(tool, 7, json!({}))).send(node.port).await;
            assert_eq!(refused.status, 403, "{path}: {refused:?}");
            let challenge = refused.header("www-authenticate").unwrap_or_else(|| panic!("{path}: {refused:?}"));
            assert!(challenge.contains("scope=\"mcp:read tools:call tools:write\""), "{path}: {challenge}");
            // the metadata are where the client came in
            let own = format!("127.0.0.1:{}", node.port);
            assert!(challenge.contains(&own), "{path}: {challenge}");
            told.push((challenge.replace(&own, ""), refused.rpc()));
            assert!(refused.header("sluice-scopes").is_none(), "{path}: {refused:?}");
        }
        assert_eq!(told[0], told[1], "{path}");
    }
    assert!(pipe.got("tools/call").is_empty());
}

#[tokio::test]
async fn a_session_that_stays_at_a_node_is_found_there_while_redis_is_down() {
    let (pipe, mut redis) = (Peer::new("legacy"), Redis::start().await);
    let mut fleet = Fleet::keeping(&redis, &NAMES[..2], vec![object("server", "pipe", &pipe.config())]).await;
    let (home, other) = (fleet.nodes[0].port, fleet.nodes[1].port);
    let session = Session::open(home, PIPE).await;
    let pid = text(&session, "pid").await;
    redis.kill().await;
    for _ in 0..5 {
        assert_eq!(text(&session.at(other), "pid").await, pid);
    }
    fleet.nodes[0].kill().await;
    // nobody can say that it is over
    let asked = async || session.at(other).request("ping", json!({})).await.status;
    let gone = wait::becomes(wait::SOON, "its node is missed", asked, |status| *status != 200).await;
    assert_eq!(gone, 503);
    for _ in 0..20 {
        assert_eq!(asked().await, 503);
    }
}
