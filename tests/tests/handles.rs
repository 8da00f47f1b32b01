//! Handles a server gives out (request states, cursors) are sealed: ours to the client, the server's own to the
//! server, bound to who got them, and worthless to anybody else.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use serde_json::{Value, json};
use sluice_tests::gateway::Start;
use sluice_tests::message;
use sluice_tests::upstream::{Answer, Modern, Received};
use sluice_tests::{Call, Gateway, Reply};

const PATH: &str = "/servers/one/mcp";
const ALICE: &str = "alice-key-0123456789abcdef";
const BOB: &str = "bob-key-0123456789abcdef";
const STATE: &str = "state of the server";
const CURSOR: &str = "cursor of the server";
/// What JSON-RPC says of a wrong parameter; nothing is wrong with the HTTP request.
const INVALID_PARAMS: (u16, Option<i64>) = (200, Some(-32602));

/// A modern server that asks once, remembers by `requestState`, and pages its lists.
fn script(received: &Received) -> Option<Answer> {
    let message = received.message();
    let (id, params) = (&message["id"], &message["params"]);
    let complete = |result: Value| Some(Answer::message(&message::response(id, result)));
    match (message["method"].as_str()?, params["name"].as_str()) {
        ("tools/call" | "prompts/get", Some("ask")) if params.get("requestState").is_none() => {
            let question = json!({ "method": "elicitation/create", "params": { "mode": "form", "message": "?" } });
            complete(
                json!({ "resultType": "input_required", "inputRequests": { "q": question }, "requestState": STATE, "_meta": { "k": 1 } }),
            )
        }
        ("tools/call" | "prompts/get", Some("ask")) => {
            complete(message::text(&format!("state {} answers {}", params["requestState"], params["inputResponses"])))
        }
        ("tools/list", _) => {
            let page = json!({ "resultType": "complete", "tools": [], "ttlMs": 0, "cacheScope": "public" });
            let (mut page, given) = (page, params.get("cursor").is_some());
            if given {
                page["tools"] = json!([{ "name": params["cursor"], "inputSchema": { "type": "object" } }]);
            } else {
                page["nextCursor"] = json!(CURSOR);
            }
            complete(page)
        }
        _ => None,
    }
}

async fn two_clients(server: &Value) -> Gateway {
    let clients = json!({ "alice": { "api_key": ALICE }, "bob": { "api_key": BOB } });
    let server = json!({ "one": server });
    Start::new(json!({ "servers": server, "clients": clients })).ready().await
}

async fn send(gateway: &Gateway, key: &str, method: &str, params: Value) -> Reply {
    Call::modern(PATH, method, 1, params).key(key).send(gateway.port).await
}

fn retry(name: &str, arguments: &Value, state: &str) -> Value {
    let answers = json!({ "q": { "action": "accept", "content": { "n": 1 } } });
    json!({ "name": name, "arguments": arguments, "requestState": state, "inputResponses": answers })
}

fn tampered(handle: &str) -> Vec<String> {
    let flip = |at: usize| {
        let mut bytes = handle.as_bytes().to_vec();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        String::from_utf8(bytes).unwrap()
    };
    let mut all = vec![flip(0), flip(handle.len() / 2), flip(handle.len() - 2), format!("{handle}AAAA")];
    all.extend([
        handle[..handle.len() - 4].to_owned(),
        String::new(),
        "AAAA".into(),
        "\u{0}\n".into(),
        STATE.into(),
        CURSOR.into(),
    ]);
    all
}

#[tokio::test]
async fn a_request_state_goes_around_sealed() {
    let server = Modern::scripted(script);
    let gateway = two_clients(&server.config()).await;
    let arguments = json!({ "a": 1, "b": [1.0, 2e3] });
    let asked = send(&gateway, ALICE, "tools/call", json!({ "name": "ask", "arguments": arguments })).await.result();
    assert_eq!(asked["resultType"], "input_required");
    assert_eq!(asked["inputRequests"]["q"]["method"], "elicitation/create");
    assert_eq!(asked["_meta"]["k"], 1);
    let state = asked["requestState"].as_str().unwrap();
    assert!(!state.contains("server"), "{state}");
    let ended = send(&gateway, ALICE, "tools/call", retry("ask", &arguments, state)).await.result();
    let text = ended["content"][0]["text"].as_str().unwrap();
    assert!(text.contains(&format!("state {:?}", STATE)) && text.contains("accept"), "{text}");
    // The same arguments in another spelling are the same arguments.
    let other = r#"{"b" : [1.0,2e3],"\u0061": 1}"#;
    let body =
        message::modern("tools/call", 2, retry("ask", &json!("HERE"), state)).to_string().replace("\"HERE\"", other);
    let call = Call::modern(PATH, "tools/call", 2, json!({ "name": "ask" })).key(ALICE);
    let reply = call.clone().body(body).send(gateway.port).await;
    assert_eq!(reply.status, 200, "{reply:?}");
}

#[tokio::test]
async fn a_request_state_is_bound_to_principal_method_name_and_arguments() {
    let server = Modern::scripted(script);
    let gateway = two_clients(&server.config()).await;
    let arguments = json!({ "a": 1 });
    let asked = send(&gateway, ALICE, "tools/call", json!({ "name": "ask", "arguments": arguments })).await.result();
    let state = asked["requestState"].as_str().unwrap();
    let before = server.received().len();
    let cases = [
        ("another principal", BOB, "tools/call", retry("ask", &arguments, state)),
        ("another tool", ALICE, "tools/call", retry("echo", &arguments, state)),
        ("other arguments", ALICE, "tools/call", retry("ask", &json!({ "a": 2 }), state)),
        ("more arguments", ALICE, "tools/call", retry("ask", &json!({ "a": 1, "b": 2 }), state)),
        ("another method", ALICE, "prompts/get", retry("ask", &arguments, state)),
    ];
    for (what, key, method, params) in cases {
        let reply = send(&gateway, key, method, params).await;
        assert_eq!(reply.verdict(), INVALID_PARAMS, "{what}: {reply:?}");
    }
    for state in tampered(state) {
        let reply = send(&gateway, ALICE, "tools/call", retry("ask", &arguments, &state)).await;
        assert_eq!(reply.verdict(), INVALID_PARAMS, "{state:?}: {reply:?}");
    }
    for state in [json!(1), json!({}), json!(["x"]), json!(true)] {
        let params = json!({ "name": "ask", "arguments": arguments, "requestState": state });
        let reply = send(&gateway, ALICE, "tools/call", params).await;
        assert_eq!(reply.verdict(), INVALID_PARAMS, "{state}: {reply:?}");
    }
    assert_eq!(server.received().len(), before, "{:?}", server.received().last());
}

#[tokio::test]
async fn a_request_state_of_one_server_is_refused_at_another() {
    let (one, two) = (Modern::scripted(script), Modern::scripted(script));
    let gateway = Gateway::with(json!({ "one": one.config(), "two": two.config() })).await;
    let params = json!({ "name": "ask", "arguments": {} });
    let asked = Call::modern(PATH, "tools/call", 1, params).send(gateway.port).await.result();
    let state = asked["requestState"].as_str().unwrap();
    let elsewhere = Call::modern("/servers/two/mcp", "tools/call", 2, retry("ask", &json!({}), state));
    assert_eq!(elsewhere.send(gateway.port).await.verdict(), INVALID_PARAMS);
    assert!(two.calls("ask").is_empty());
}

#[tokio::test]
async fn cursors_are_ours_and_lead_to_the_servers() {
    let server = Modern::scripted(script);
    let gateway = two_clients(&server.config()).await;
    let first = send(&gateway, ALICE, "tools/list", json!({})).await.result();
    let cursor = first["nextCursor"].as_str().unwrap();
    assert!(!cursor.contains("server"), "{cursor}");
    let next = send(&gateway, ALICE, "tools/list", json!({ "cursor": cursor })).await.result();
    assert_eq!(next["tools"][0]["name"], CURSOR);
    let before = server.received().len();
    let reply = send(&gateway, BOB, "tools/list", json!({ "cursor": cursor })).await;
    assert_eq!(reply.verdict(), INVALID_PARAMS, "another principal: {reply:?}");
    for cursor in tampered(cursor) {
        let reply = send(&gateway, ALICE, "tools/list", json!({ "cursor": cursor })).await;
        assert_eq!(reply.verdict(), INVALID_PARAMS, "{cursor:?}: {reply:?}");
    }
    assert_eq!(server.received().len(), before);
}

#[tokio::test]
async fn handles_inside_an_event_stream_are_sealed_too() {
    let server = Modern::scripted(|received| {
        let message = received.message();
        (received.tool() == "stream").then(|| {
            let note = message::notification(
                "notifications/message",
                json!({ "level": "info", "data": { "requestState": "not a handle" } }),
            );
            let asked = json!({ "resultType": "input_required", "requestState": STATE });
            Answer::events(format!("data: {note}\n\ndata: {}\n\n", message::response(&message["id"], asked)))
        })
    });
    let gateway = two_clients(&server.config()).await;
    let reply = send(&gateway, ALICE, "tools/call", json!({ "name": "stream", "arguments": {} })).await;
    let messages = sluice_tests::events::messages(&reply.text());
    assert_eq!(
        messages[0]["params"]["data"]["requestState"], "not a handle",
        "what only looks like a handle is left alone"
    );
    let state = messages[1]["result"]["requestState"].as_str().unwrap();
    assert!(!state.is_empty() && !state.contains("server"), "{state}");
}
