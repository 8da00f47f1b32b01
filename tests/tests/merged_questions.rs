//! Questions of several servers to one client of the merged door: each is asked once, under an id of its own, and its
//! answer goes to the one server that asked.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use serde_json::{Value, json};
use sluice_tests::catalogue::Catalogue;
use sluice_tests::client::Era;
use sluice_tests::message;
use sluice_tests::server::Server;
use sluice_tests::upstream::Answer;
use sluice_tests::{Gateway, Session, until};

fn everything() -> Value {
    json!({ "sampling": {}, "elicitation": { "form": {}, "url": {} }, "roots": { "listChanged": true } })
}

async fn two() -> (Gateway, [Server; 2]) {
    let offer = |name| Catalogue::new(name).tool("ask").tool("echo");
    let servers = ["left", "right"].map(|name| Server::start(Era::Legacy, &offer(name)));
    let entries = json!({ "left": servers[0].config(), "right": servers[1].config() });
    (Gateway::with(entries).await, servers)
}

fn said(message: &Value) -> Value {
    serde_json::from_str(message["result"]["content"][0]["text"].as_str().unwrap()).unwrap()
}

#[tokio::test]
async fn two_servers_that_ask_with_the_same_id_get_their_own_answers() {
    let (gateway, servers) = two().await;
    let session = Session::with(gateway.port, "/mcp", everything(), None).await;
    for id in [json!(0), json!(1), json!("q"), json!(9_007_199_254_740_993_i64)] {
        for method in ["elicitation/create", "sampling/createMessage", "roots/list"] {
            let ask = |mark: &str| json!({ "id": id, "method": method, "params": { "message": mark, "maxTokens": 1 } });
            let mut left = session.stream("left_ask", ask("left")).await;
            let mut right = session.stream("right_ask", ask("right")).await;
            let (first, second) = (left.message().await, right.message().await);
            assert_eq!((&first["method"], &second["method"]), (&json!(method), &json!(method)));
            assert_eq!((&first["params"]["message"], &second["params"]["message"]), (&json!("left"), &json!("right")));
            assert_ne!(first["id"], second["id"], "the client must be able to tell them apart");
            session.answer(&second["id"], json!({ "for": "right" })).await;
            session.answer(&first["id"], json!({ "for": "left" })).await;
            assert_eq!(said(&left.message().await), json!({ "server": "left", "answer": { "for": "left" } }));
            assert_eq!(said(&right.message().await), json!({ "server": "right", "answer": { "for": "right" } }));
        }
    }
    for (server, own) in servers.iter().zip(["left", "right"]) {
        for answer in server.received().iter().map(sluice_tests::upstream::Received::message) {
            assert!(answer["result"].is_null() || answer["result"]["for"] == own, "{own} got {answer}");
        }
    }
}

#[tokio::test]
async fn questions_on_the_standing_stream_are_kept_apart_too() {
    let (gateway, servers) = two().await;
    let session = Session::with(gateway.port, "/mcp", everything(), None).await;
    let mut stream = session.listen(None).await;
    for name in ["left", "right"] {
        assert_eq!(session.call(&format!("{name}_echo"), json!({})).await.status, 200);
    }
    let own = |server: &Server| server.calls("echo").pop().unwrap().header("mcp-session-id").unwrap().to_owned();
    let question = json!({ "jsonrpc": "2.0", "id": 1, "method": "roots/list", "params": {} });
    for server in &servers {
        let part = own(server);
        let listener = until("the stream of the session's part", || {
            server.listeners().into_iter().find(|listener| listener.session == part)
        });
        assert!(listener.await.pipe.event(&question).await);
    }
    let asked = [stream.message().await, stream.message().await];
    assert_ne!(asked[0]["id"], asked[1]["id"]);
    for (n, asked) in asked.iter().enumerate() {
        assert_eq!(asked["method"], "roots/list");
        session.answer(&asked["id"], json!({ "roots": [], "n": n })).await;
    }
    let mut seen = Vec::new();
    for server in &servers {
        let answered = server.receives("the answer", |r| r.message().get("result").is_some()).await;
        assert_eq!(answered.message()["id"], 1, "under the server's own id");
        assert_eq!(answered.header("mcp-session-id"), Some(own(server).as_str()));
        seen.push(answered.message()["result"]["n"].as_u64().unwrap());
        let answers = server.received().into_iter().filter(|r| r.message().get("result").is_some()).count();
        assert_eq!(answers, 1, "and once");
    }
    seen.sort_unstable();
    assert_eq!(seen, [0, 1]);
}

#[tokio::test]
async fn an_error_is_an_answer_and_another_sessions_answer_is_none() {
    let (gateway, servers) = two().await;
    let session = Session::with(gateway.port, "/mcp", everything(), None).await;
    let other = Session::with(gateway.port, "/mcp", everything(), None).await;
    let question = json!({ "id": 7, "method": "sampling/createMessage", "params": {} });
    let mut stream = session.stream("right_ask", question).await;
    let asked = stream.message().await;
    for id in [&asked["id"], &json!(7), &json!("7"), &json!("nonsense"), &json!(0)] {
        let stray = other.post(&message::response(id, json!({ "stolen": true }))).send(gateway.port).await;
        assert!([202, 400, 404].contains(&stray.status), "{stray:?}");
    }
    let refusal = message::error(&asked["id"], -1, "user said no");
    assert_eq!(session.post(&refusal).send(gateway.port).await.status, 202);
    assert_eq!(said(&stream.message().await)["answer"]["message"], "user said no");
    let stolen =
        servers.iter().flat_map(|server| server.received()).filter(|r| r.message()["result"]["stolen"] == true);
    let own = servers[1].calls("ask").pop().unwrap().header("mcp-session-id").unwrap().to_owned();
    assert!(stolen.into_iter().all(|r| r.header("mcp-session-id") != Some(own.as_str())), "never in the other's name");
}

#[tokio::test]
async fn a_question_that_is_withdrawn_is_withdrawn_under_the_id_the_client_knows() {
    let offer = |name| Catalogue::new(name).tool("withdraw");
    let servers = ["left", "right"].map(|name| {
        Server::scripted(Era::Legacy, &offer(name), move |received| {
            (received.tool() == "withdraw").then(|| {
                let (pipe, answer) = Answer::stream("text/event-stream");
                let id = received.message()["id"].clone();
                tokio::spawn(async move {
                    pipe.event(&json!({ "jsonrpc": "2.0", "id": "q", "method": "roots/list", "params": {} })).await;
                    let gone = json!({ "requestId": "q", "reason": name });
                    pipe.event(&message::notification("notifications/cancelled", gone)).await;
                    pipe.event(&message::response(&id, message::text("ended"))).await;
                });
                answer
            })
        })
    });
    let gateway = Gateway::with(json!({ "left": servers[0].config(), "right": servers[1].config() })).await;
    let session = Session::with(gateway.port, "/mcp", everything(), None).await;
    for name in ["left", "right"] {
        let mut stream = session.stream(&format!("{name}_withdraw"), json!({})).await;
        let asked = stream.message().await;
        let gone = stream.message().await;
        assert_eq!(gone["method"], "notifications/cancelled");
        assert_eq!(gone["params"], json!({ "requestId": asked["id"], "reason": name }));
        assert_eq!(stream.message().await["result"]["content"][0]["text"], "ended");
        let late = session.post(&message::response(&asked["id"], json!({ "roots": [] }))).send(gateway.port).await;
        assert!([202, 400].contains(&late.status), "{late:?}");
    }
    assert_eq!(session.request("ping", json!({})).await.status, 200);
}

#[tokio::test]
async fn changed_roots_are_told_to_every_open_server() {
    let (gateway, servers) = two().await;
    let session = Session::with(gateway.port, "/mcp", everything(), None).await;
    for name in ["left", "right"] {
        assert_eq!(session.call(&format!("{name}_echo"), json!({})).await.status, 200);
    }
    session.notify("notifications/roots/list_changed", json!({})).await;
    for server in &servers {
        let told = server.receives("the change", |r| r.method() == "notifications/roots/list_changed").await;
        let own = server.calls("echo").pop().unwrap();
        assert_eq!(told.header("mcp-session-id"), own.header("mcp-session-id"));
    }
}

#[tokio::test]
async fn servers_hear_of_the_client_what_it_said_of_itself() {
    let (gateway, servers) = two().await;
    let session = Session::with(gateway.port, "/mcp", everything(), None).await;
    assert_eq!(session.call("left_echo", json!({})).await.status, 200);
    let own = servers[0].calls("echo").pop().unwrap();
    let number: usize = own.header("mcp-session-id").unwrap().rsplit('-').next().unwrap().parse().unwrap();
    let opened = servers[0].got("initialize")[number].message();
    assert_eq!(opened["params"]["capabilities"], everything());
    assert_eq!(opened["params"]["clientInfo"]["name"], "test-client");
    let told = servers[0].got("notifications/initialized");
    let told = told.iter().filter(|r| r.header("mcp-session-id") == own.header("mcp-session-id")).count();
    assert_eq!(told, 1, "initialized is told once");
    for opened in servers.iter().flat_map(|server| server.got("initialize")) {
        let params = &opened.message()["params"];
        let ours = params["clientInfo"]["name"] == "sluice";
        assert!(
            !ours || params["capabilities"] == json!({}),
            "who listens on its own behalf declares nothing: {params}"
        );
    }
}
