//! Servers behind one connection for both directions, WebSocket and HTTP+SSE alike: who shares it, what passes over it,
//! and what clients see when it ends.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sluice_tests::gateway::Start;
use sluice_tests::upstream::Piped;
use sluice_tests::upstream::piped::{Kind, Manner};
use sluice_tests::{Call, Gateway, Reply, Session, message, until, wait};

const PATH: &str = "/servers/one/mcp";
const INTERNAL: Option<i64> = Some(-32603);
const ALICE: &str = "alice-key-0123456789abcdef";
const BOB: &str = "bob-key-0123456789abcdef";
const KINDS: [Kind; 2] = [Kind::Sse, Kind::WebSocket];

fn text(reply: &Reply) -> String {
    reply.result()["content"][0]["text"].as_str().unwrap().to_owned()
}

async fn before(kind: Kind) -> (Piped, Gateway) {
    let server = Piped::start(kind);
    let gateway = Gateway::with(json!({ "one": server.config() })).await;
    (server, gateway)
}

/// Asks until the answer is no longer the one of a server that is held back.
async fn after_backoff(session: &Session, tool: &str) -> Reply {
    let call = async || {
        let reply = session.call(tool, json!({})).await;
        assert!([200, 502, 503].contains(&reply.status), "{reply:?}");
        assert_eq!(reply.status == 503, reply.header("retry-after").is_some(), "{reply:?}");
        reply
    };
    wait::becomes(wait::SOON, "the server is reached again", call, |reply| {
        reply.status == 200 && reply.code().is_none()
    })
    .await
}

#[tokio::test]
async fn lists_and_calls_pass() {
    for kind in KINDS {
        let (server, gateway) = before(kind).await;
        let session = Session::open(gateway.port, PATH).await;
        assert_eq!(session.opened["serverInfo"]["name"], "piped");
        assert_eq!(session.request("tools/list", json!({})).await.result()["tools"][0]["name"], "echo");
        let odd = json!({ "text": "line\nbreak \u{2028} \u{1f600} \"quoted\"", "n": 9_007_199_254_740_993_i64 });
        assert_eq!(serde_json::from_str::<Value>(&text(&session.call("echo", odd.clone()).await)).unwrap(), odd);
        let unknown = session.request("no/such", json!({})).await;
        assert_eq!(unknown.rpc()["error"]["code"], -32601);
        let order: Vec<_> = server.links()[0].received().iter().map(|m| m["method"].clone()).collect();
        assert_eq!(order[..3], ["initialize", "notifications/initialized", "tools/list"], "{kind:?}");
        assert_eq!(server.got("initialize")[0]["params"]["clientInfo"]["name"], "test-client", "the client's own");
    }
}

#[tokio::test]
async fn concurrent_calls_are_answered_in_any_order() {
    for kind in KINDS {
        let (server, gateway) = before(kind).await;
        let session = Session::open(gateway.port, PATH).await;
        let port = gateway.port;
        let mut waiting = Vec::new();
        for n in 0..8 {
            let call = session.post(&message::call("hang", n, json!({ "n": n })));
            waiting.push(tokio::spawn(async move { call.send(port).await }));
        }
        server.receives("tools/call", 8).await;
        assert_eq!(session.call("echo", json!({})).await.status, 200, "calls that wait do not block others");
        session.call("release", json!({})).await;
        for (n, reply) in waiting.into_iter().enumerate() {
            let reply = reply.await.unwrap();
            assert_eq!(reply.rpc()["id"], n);
            assert_eq!(serde_json::from_str::<Value>(&text(&reply)).unwrap(), json!({ "n": n }), "{kind:?}");
        }
    }
}

#[tokio::test]
async fn a_question_in_mid_call_reaches_the_asking_client_only() {
    for kind in KINDS {
        let (server, gateway) = before(kind).await;
        let capable = json!({ "sampling": {}, "elicitation": {} });
        let first = Session::with(gateway.port, PATH, capable.clone(), None).await;
        let second = Session::with(gateway.port, PATH, capable, None).await;
        let simple = Session::open(gateway.port, PATH).await;
        let arguments = json!({ "method": "sampling/createMessage", "params": { "maxTokens": 1 } });
        let mut one = first.stream("ask", arguments.clone()).await;
        let mut two = second.stream("ask", arguments.clone()).await;
        // both servers ask under the same id
        for (session, stream, who) in [(&second, &mut two, "second"), (&first, &mut one, "first")] {
            let asked = stream.message().await;
            assert_eq!(asked["method"], "sampling/createMessage");
            session.answer(&asked["id"], json!({ "who": who })).await;
            let ended = stream.message().await;
            assert!(ended["result"]["content"][0]["text"].as_str().unwrap().contains(who), "{kind:?}: {ended}");
        }
        let refused = simple.call("ask", arguments).await;
        assert!(text(&refused).contains("-32601"), "a client that declared nothing is not asked: {refused:?}");
        assert_eq!(server.open(), 3, "a connection for each that may be asked, one for the rest");
        first.delete().await;
        until("the connection of the ended session is closed", || (server.open() == 2).then_some(())).await;
    }
}

#[tokio::test]
async fn clients_that_share_a_connection_do_not_see_each_other() {
    for kind in KINDS {
        let server = Piped::start(kind);
        let clients = json!({ "alice": { "api_key": ALICE }, "bob": { "api_key": BOB } });
        let start = Start::new(json!({ "servers": { "one": server.config() }, "clients": clients }));
        let gateway = start.ready().await;
        let first = Session::with(gateway.port, PATH, json!({}), Some(ALICE)).await;
        let second = Session::with(gateway.port, PATH, json!({}), Some(BOB)).await;
        let call = |session: &Session, mark: &str| {
            let mut body = message::call("progress", 1, json!({ "mark": mark }));
            body["params"]["_meta"] = json!({ "progressToken": "token" });
            session.post(&body)
        };
        for _ in 0..5 {
            let (one, two) = (call(&first, "one"), call(&second, "two"));
            let (mut one, mut two) = tokio::join!(one.open(gateway.port), two.open(gateway.port));
            for (stream, mark, other) in [(&mut one, "one", "two"), (&mut two, "two", "one")] {
                let all = stream.rest().await;
                assert_eq!(all.len(), 4, "three steps and the answer: {all:?}");
                assert!(all[..3].iter().all(|m| m["params"]["progressToken"] == "token"), "{all:?}");
                let all = json!(all).to_string();
                assert!(all.contains(mark) && !all.contains(other), "{kind:?}: {all}");
            }
        }
        let shared = server.links();
        assert_eq!(shared.len(), 1, "one connection for both");
        // what names nobody could be anybody's
        shared[0].say(&message::notification("notifications/message", json!({ "level": "info", "data": "secret" })));
        let mut stream = first.listen(None).await;
        assert_eq!(first.call("changed", json!({})).await.status, 200);
        assert_eq!(stream.message().await["method"], "notifications/tools/list_changed");
    }
}

#[tokio::test]
async fn a_cancellation_reaches_the_server_under_the_id_it_knows() {
    for kind in KINDS {
        let (server, gateway) = before(kind).await;
        let session = Session::open(gateway.port, PATH).await;
        let (call, port) = (session.post(&message::call("hang", 77, json!({}))), gateway.port);
        let waiting = tokio::spawn(async move { call.try_send(port).await });
        let called = server.receives("tools/call", 1).await;
        session.notify("notifications/cancelled", json!({ "requestId": 77 })).await;
        let cancelled = server.receives("notifications/cancelled", 1).await;
        assert_eq!(cancelled[0]["params"]["requestId"], called[0]["id"], "{kind:?}");
        waiting.abort();
        assert_eq!(session.call("echo", json!({})).await.status, 200);
    }
}

#[tokio::test]
async fn a_changed_list_is_told_to_every_session() {
    for kind in KINDS {
        let (server, gateway) = before(kind).await;
        let (first, second) = (Session::open(gateway.port, PATH).await, Session::open(gateway.port, PATH).await);
        let (mut one, mut two) = (first.listen(None).await, second.listen(None).await);
        server.links()[0].say(&message::notification("notifications/tools/list_changed", json!({})));
        for stream in [&mut one, &mut two] {
            assert_eq!(stream.message().await["method"], "notifications/tools/list_changed", "{kind:?}");
        }
    }
}

#[tokio::test]
async fn a_server_that_dies_in_mid_call_is_told_as_it_is_and_the_session_goes_on() {
    for kind in KINDS {
        let (server, gateway) = before(kind).await;
        let (caller, bystander) = (Session::open(gateway.port, PATH).await, Session::open(gateway.port, PATH).await);
        let (hang, port) = (bystander.post(&message::call("hang", 3, json!({}))), gateway.port);
        let hang = tokio::spawn(async move { hang.send(port).await });
        server.receives("tools/call", 1).await;
        let start = Instant::now();
        for reply in [caller.call("die", json!({})).await, hang.await.unwrap()] {
            assert_eq!(reply.verdict(), (502, INTERNAL), "{kind:?}: {reply:?}");
            assert!(reply.text().contains("may have run"), "{reply:?}");
        }
        assert!(start.elapsed() < Duration::from_secs(1), "told within a second, not {:?}", start.elapsed());
        assert_eq!(text(&after_backoff(&bystander, "who").await), "1", "{kind:?}: over a new connection");
        assert_eq!(server.got("tools/call").iter().filter(|c| c["params"]["name"] == "die").count(), 1, "run once");
        assert_eq!(server.got("initialize").len(), 2, "initialised again with the client's own message");
    }
}

#[tokio::test]
async fn a_server_that_restarts_is_found_again_with_what_the_session_had() {
    for kind in KINDS {
        let (server, gateway) = before(kind).await;
        let session = Session::open(gateway.port, PATH).await;
        assert_eq!(session.request("logging/setLevel", json!({ "level": "warning" })).await.status, 200);
        assert_eq!(session.request("resources/subscribe", json!({ "uri": "file:///a" })).await.status, 200);
        server.dies();
        let reply = until("the end is noticed", || server.links().iter().all(|link| !link.is_open()).then_some(()));
        reply.await;
        let start = Instant::now();
        let refused = loop {
            let reply = session.call("echo", json!({})).await;
            // before the end of the stream is seen, a POST is refused as one of a link that is unknown: a message refused
            let unknown = matches!(kind, Kind::Sse) && reply.status == 200 && reply.text().contains("status 404");
            assert!(unknown || [502, 503].contains(&reply.status), "{kind:?}: {reply:?}");
            assert!(!reply.text().contains("127.0.0.1"), "addresses are not told outside: {reply:?}");
            if reply.status == 503 {
                break reply;
            }
            assert!(start.elapsed() < Duration::from_secs(5), "no breaker: {reply:?}");
        };
        assert!(refused.text().contains("tried again"), "{refused:?}");
        assert_eq!(gateway.metric("sluice_server_up", &["one"]).await, 0.0, "and shown");
        server.back();
        after_backoff(&session, "echo").await;
        assert_eq!(gateway.metric("sluice_server_up", &["one"]).await, 1.0);
        assert_eq!(server.got("logging/setLevel").len(), 2, "{kind:?}: the level is restored");
        assert_eq!(server.got("resources/subscribe").len(), 2, "the subscription is restored");
        let mut stream = session.listen(None).await;
        assert_eq!(stream.message().await["method"], "notifications/tools/list_changed", "lists may have changed");
    }
}

#[tokio::test]
async fn a_server_that_is_slow_to_start_is_waited_for() {
    for kind in KINDS {
        let server = Piped::with(kind, Manner { slow: Duration::from_secs(2), ..Manner::default() });
        let gateway = Gateway::with(json!({ "one": server.config() })).await;
        let session = Session::open(gateway.port, PATH).await;
        assert_eq!(session.call("echo", json!({})).await.status, 200, "{kind:?}");
    }
}

#[tokio::test]
async fn a_server_that_refuses_the_credential_or_redirects_is_told_so() {
    for kind in KINDS {
        for (status, outcome) in
            [(401, "credential"), (403, "credential"), (307, "redirect"), (404, "404"), (500, "500")]
        {
            let server = Piped::with(kind, Manner { status: Some(status), ..Manner::default() });
            let secret = json!({ "headers": { "Authorization": "Bearer hidden-secret" } });
            let gateway = Gateway::with(json!({ "one": server.config_with(secret) })).await;
            let reply =
                Call::post(PATH, message::initialize(message::LEGACY, json!({})).to_string()).send(gateway.port).await;
            assert_eq!(reply.verdict(), (502, INTERNAL), "{kind:?} {status}: {reply:?}");
            assert!(reply.text().contains(outcome), "{kind:?} {status}: {reply:?}");
            assert_eq!(server.requests()[0].header("authorization"), Some("Bearer hidden-secret"));
            assert!(!gateway.log().contains("hidden-secret"), "secrets are not logged");
        }
    }
}

#[tokio::test]
async fn messages_that_are_not_mcp_hurt_nobody() {
    for kind in KINDS {
        let (server, gateway) = before(kind).await;
        let session = Session::open(gateway.port, PATH).await;
        for bytes in ["no JSON", "{\"jsonrpc\":\"2.0\",", "[]", "{}", "{\"jsonrpc\":\"2.0\",\"id\":1e99,\"result\":{}}"]
        {
            let raw = if kind == Kind::Sse { format!("data: {bytes}\n\n") } else { bytes.to_owned() };
            assert_eq!(text(&session.call("raw", json!({ "bytes": raw })).await), "said", "{kind:?} {bytes}");
        }
        assert_eq!(server.open(), 1);
    }
}

#[tokio::test]
async fn a_flood_and_a_giant_message_are_bounded() {
    for kind in KINDS {
        let (server, gateway) = before(kind).await;
        let (session, other) = (Session::open(gateway.port, PATH).await, Session::open(gateway.port, PATH).await);
        let mut flooded = session.stream("flood", json!({ "messages": 3000 })).await;
        let last = flooded.rest().await.pop().unwrap();
        assert_eq!(last["result"]["content"][0]["text"], "flooded", "{kind:?}: a client that reads gets its answer");
        let large = session.call("huge", json!({ "bytes": 8 << 20 })).await;
        assert_eq!(text(&large).len(), 8 << 20, "{kind:?}");
        let giant = session.call("huge", json!({ "bytes": 20 << 20 })).await;
        assert_eq!(giant.verdict(), (502, INTERNAL), "{kind:?}: {:?}", giant.status);
        gateway.logged("larger than the limit").await;
        after_backoff(&other, "echo").await;
        assert_eq!(server.open(), 1);
    }
}

#[tokio::test]
async fn a_connection_that_gives_no_sign_of_life_is_given_up() {
    for kind in KINDS {
        let server = Piped::with(kind, Manner { deaf: true, ..Manner::default() });
        let gateway = Gateway::with(json!({ "one": server.config_with(json!({ "timeout": 2 })) })).await;
        let session = Session::open(gateway.port, PATH).await;
        let reply = session.call("echo", json!({})).await;
        assert_eq!(reply.status, 504, "{kind:?}: {reply:?}");
        server.behave(|manner| manner.deaf = false);
        gateway.logged("no sign of life").await;
        after_backoff(&session, "echo").await;
    }
}

#[tokio::test]
async fn a_connection_nobody_uses_is_ended_whatever_the_server_says_on_it() {
    for kind in KINDS {
        let server = Piped::start(kind);
        let limits = json!({ "limits": { "child_idle_seconds": 1 } });
        let start = Start::new(json!({ "proxy": limits, "servers": { "one": server.config() } }));
        let gateway = start.ready().await;
        let session = Session::open(gateway.port, PATH).await;
        assert_eq!(text(&session.call("who", json!({})).await), "0");
        let note = message::notification("notifications/tools/list_changed", json!({}));
        until("the connection is ended", || {
            let link = &server.links()[0];
            link.ping();
            link.say(&note);
            (!link.is_open()).then_some(())
        })
        .await;
        assert_eq!(text(&after_backoff(&session, "who").await), "1", "{kind:?}: the session goes on");
    }
}

#[tokio::test]
async fn connections_are_ended_with_the_gateway() {
    for kind in KINDS {
        let (server, mut gateway) = before(kind).await;
        let _session = Session::open(gateway.port, PATH).await;
        assert_eq!(server.open(), 1);
        gateway.signal(rustix::process::Signal::TERM);
        gateway.ended().await;
        until("the connection is closed", || (server.open() == 0).then_some(())).await;
    }
}
