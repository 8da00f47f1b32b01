//! Requests of a server to a client: sampling, elicitation, roots; on the stream of the call that caused them and on the
//! GET stream. The answers come back under the server's own ids, to the session that asked.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use serde_json::{Value, json};
use sluice_tests::events::Events;
use sluice_tests::message;
use sluice_tests::peer::Peer;
use sluice_tests::upstream::{Answer, Legacy};
use sluice_tests::{Gateway, Session};

const PATH: &str = "/servers/one/mcp";

fn everything() -> Value {
    json!({ "sampling": {}, "elicitation": { "form": {}, "url": {} }, "roots": { "listChanged": true } })
}

fn questions() -> Vec<(&'static str, Value, Value)> {
    let schema = json!({ "type": "object", "properties": { "n": { "type": "string" } } });
    let text = json!({ "role": "user", "content": { "type": "text", "text": "2+2?" } });
    vec![
        (
            "elicitation/create",
            json!({ "mode": "form", "message": "name?", "requestedSchema": schema }),
            json!({ "action": "accept", "content": { "n": "Ada" } }),
        ),
        (
            "elicitation/create",
            json!({ "mode": "url", "message": "go", "url": "https://example.com/?a=b", "elicitationId": "e1" }),
            json!({ "action": "decline" }),
        ),
        (
            "sampling/createMessage",
            json!({ "messages": [text], "maxTokens": 10 }),
            json!({ "role": "assistant", "content": { "type": "text", "text": "4" }, "model": "m" }),
        ),
        ("roots/list", json!({}), json!({ "roots": [{ "uri": "file:///home", "name": "home" }] })),
    ]
}

/// Waits for the question, answers it, and returns the result of the call that asked.
async fn converse(session: &Session, stream: &mut Events, method: &str, params: &Value, answer: Value) -> Value {
    let asked = stream.message().await;
    assert_eq!((&asked["method"], &asked["params"]), (&json!(method), params), "{asked}");
    session.answer(&asked["id"], answer).await;
    stream.message().await["result"].clone()
}

#[tokio::test]
async fn questions_on_the_stream_of_a_call_are_asked_and_answered() {
    for (method, params, result) in questions() {
        let question = message::request(method, 5, params.clone());
        let asked = question.clone();
        let server = Legacy::scripted(move |received| {
            let id = received.message()["id"].clone();
            (received.tool() == "ask").then(|| {
                let (pipe, answer) = Answer::stream("text/event-stream");
                let asked = asked.clone();
                tokio::spawn(async move {
                    pipe.event(&asked).await;
                    pipe.event(&message::response(&id, message::text("asked"))).await;
                });
                answer
            })
        });
        let gateway = Gateway::with(json!({ "one": server.config() })).await;
        let session = Session::with(gateway.port, PATH, everything(), None).await;
        let mut stream = session.stream("ask", json!({})).await;
        let ended = converse(&session, &mut stream, method, &params, result.clone()).await;
        assert_eq!(ended["content"][0]["text"], "asked");
        let answered = server.receives("the answer", |received| received.message().get("result").is_some()).await;
        assert_eq!(answered.message(), message::response(&question["id"], result), "under the id of the server");
        assert_eq!(answered.header("mcp-session-id"), Some("upstream-session-0"));
    }
}

#[tokio::test]
async fn questions_on_the_get_stream_reach_the_session_they_are_for() {
    let server = Legacy::start();
    let gateway = Gateway::with(json!({ "one": server.config() })).await;
    let session = Session::with(gateway.port, PATH, everything(), None).await;
    let mut stream = session.listen(None).await;
    let pipe = server.stream().await;
    let other = Session::with(gateway.port, PATH, everything(), None).await;
    for id in [json!(0), json!("q-1"), json!(9_007_199_254_740_993_i64)] {
        let question = json!({ "jsonrpc": "2.0", "id": id, "method": "roots/list", "params": {} });
        assert!(pipe.event(&question).await);
        let asked = stream.message().await;
        assert_eq!(asked["method"], "roots/list");
        let stray = other.post(&message::response(&asked["id"], json!({ "roots": ["stolen"] })));
        let _ = stray.send(gateway.port).await;
        session.answer(&asked["id"], json!({ "roots": [] })).await;
        let answered = server
            .receives("the answer", |received| {
                let message = received.message();
                message["id"] == id && message["result"] == json!({ "roots": [] })
            })
            .await;
        assert_eq!(answered.header("mcp-session-id"), Some("upstream-session-0"));
    }
    let stolen = server.received().into_iter().filter(|r| r.message()["result"]["roots"][0] == "stolen");
    assert!(
        stolen.into_iter().all(|r| r.header("mcp-session-id") == Some("upstream-session-1")),
        "in its own session only"
    );
}

#[tokio::test]
async fn an_error_is_an_answer_too() {
    let peer = Peer::new("legacy");
    let gateway = Gateway::with(json!({ "one": peer.config() })).await;
    let session = Session::with(gateway.port, PATH, everything(), None).await;
    let mut stream = session.stream("ask", json!({ "method": "sampling/createMessage", "params": {} })).await;
    let asked = stream.message().await;
    let refusal = message::error(&asked["id"], -1, "user said no");
    assert_eq!(session.post(&refusal).send(gateway.port).await.status, 202);
    let text = stream.message().await["result"]["content"][0]["text"].as_str().unwrap().to_owned();
    assert!(text.contains("user said no"), "{text}");
}

#[tokio::test]
async fn a_stdio_server_asks_the_client_whose_call_it_runs() {
    let peer = Peer::new("legacy");
    let gateway = Gateway::with(json!({ "one": peer.config() })).await;
    let first = Session::with(gateway.port, PATH, everything(), None).await;
    let second = Session::with(gateway.port, PATH, everything(), None).await;
    for (method, params, result) in questions() {
        let arguments = json!({ "method": method, "params": params });
        let mut one = first.stream("ask", arguments.clone()).await;
        let mut two = second.stream("ask", arguments).await;
        // Both servers use the same ids; the answers differ.
        let late = converse(&second, &mut two, method, &params, json!({ "who": "second" })).await;
        let early = converse(&first, &mut one, method, &params, result.clone()).await;
        let text =
            |ended: &Value| serde_json::from_str::<Value>(ended["content"][0]["text"].as_str().unwrap()).unwrap();
        assert_eq!(text(&early), result);
        assert_eq!(text(&late), json!({ "who": "second" }));
    }
}

#[tokio::test]
async fn an_answer_nobody_waits_for_harms_nobody() {
    let peer = Peer::new("legacy");
    let gateway = Gateway::with(json!({ "one": peer.config() })).await;
    let session = Session::with(gateway.port, PATH, everything(), None).await;
    for id in [json!(1), json!("ask-0"), json!("nonsense")] {
        let reply = session.post(&message::response(&id, json!({ "forged": true }))).send(gateway.port).await;
        assert!([202, 400].contains(&reply.status), "{reply:?}");
    }
    assert_eq!(session.call("echo", json!({})).await.status, 200);
}
