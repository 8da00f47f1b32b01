//! Servers of HTTP+SSE (2024-11-05): where their messages may go, how POSTs are answered, what their streams look like.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sluice_tests::turn::Turn;
use sluice_tests::upstream::piped::{Body, Kind, Manner, Posts};
use sluice_tests::upstream::{Answer, Legacy, Piped, Upstream};
use sluice_tests::{Call, Gateway, Reply, Session, message, until, wait};

const PATH: &str = "/servers/one/mcp";
const INTERNAL: Option<i64> = Some(-32603);

async fn server(manner: Manner) -> (Piped, Gateway) {
    let server = Piped::with(Kind::Sse, manner);
    let secret = json!({ "headers": { "Authorization": "Bearer hidden-secret" } });
    let gateway = Gateway::with(json!({ "one": server.config_with(secret) })).await;
    (server, gateway)
}

async fn initialize(gateway: &Gateway) -> Reply {
    Call::post(PATH, message::initialize(message::LEGACY, json!({})).to_string()).send(gateway.port).await
}

#[tokio::test]
async fn requests_carry_what_the_transport_and_the_configuration_want() {
    let (server, gateway) = server(Manner::default()).await;
    let session = Session::open(gateway.port, PATH).await;
    session.call("echo", json!({})).await;
    let requests = server.requests();
    let (get, post) = (&requests[0], &requests[1]);
    assert_eq!((&*get.verb, &*get.path, get.header("accept")), ("GET", "/sse", Some("text/event-stream")));
    assert_eq!((&*post.verb, &*post.path), ("POST", "/messages?link=0"));
    assert_eq!(post.header("content-type"), Some("application/json"));
    for request in &requests {
        assert_eq!(request.header("authorization"), Some("Bearer hidden-secret"), "{request:?}");
        assert_eq!(request.header("host"), Some(&*format!("127.0.0.1:{}", server.port)));
    }
    assert!(!gateway.log().contains("hidden-secret"));
}

#[tokio::test]
async fn an_endpoint_of_another_origin_gets_nothing() {
    let elsewhere = Upstream::always(Answer::accepted);
    let foreign: [&'static str; 6] = [
        Box::leak(format!("http://127.0.0.1:{}/messages", elsewhere.port).into_boxed_str()),
        Box::leak(format!("//127.0.0.1:{}/messages", elsewhere.port).into_boxed_str()),
        Box::leak(format!("http://127.0.0.1@localhost:{}/messages", elsewhere.port).into_boxed_str()),
        "http://localhost/messages",
        "https://127.0.0.1/messages",
        "file:///etc/passwd",
    ];
    for endpoint in foreign {
        let (server, gateway) = server(Manner { endpoint: Some(endpoint), ..Manner::default() }).await;
        let reply = initialize(&gateway).await;
        assert_eq!(reply.verdict(), (502, INTERNAL), "{endpoint}: {reply:?}");
        assert!(reply.text().contains("another origin"), "{endpoint}: {reply:?}");
        assert_eq!(server.requests().len(), 1, "the GET and nothing else");
    }
    assert!(elsewhere.received().is_empty(), "the credential went to another origin");
}

#[tokio::test]
async fn the_same_address_under_another_name_is_another_origin() {
    let probe = Piped::start(Kind::Sse);
    let endpoint = Box::leak(format!("http://localhost:{}/messages?link=0", probe.port).into_boxed_str());
    probe.behave(|manner| manner.endpoint = Some(endpoint));
    let gateway = Gateway::with(json!({ "one": probe.config() })).await;
    let reply = initialize(&gateway).await;
    assert_eq!(reply.verdict(), (502, INTERNAL), "{reply:?}");
    assert!(reply.text().contains("another origin"), "{reply:?}");
    assert!(probe.got("initialize").is_empty());
}

#[tokio::test]
async fn an_absolute_endpoint_of_the_same_origin_is_used() {
    let server = Piped::start(Kind::Sse);
    let endpoint = Box::leak(format!("http://127.0.0.1:{}/x/../messages?link=0", server.port).into_boxed_str());
    server.behave(|manner| manner.endpoint = Some(endpoint));
    let gateway = Gateway::with(json!({ "one": server.config() })).await;
    assert_eq!(Session::open(gateway.port, PATH).await.call("echo", json!({})).await.status, 200);
}

#[tokio::test]
async fn a_stream_without_an_endpoint_is_no_server() {
    let events = "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{}}\n\n";
    for answer in [
        || Answer::events(""),
        || Answer::events("event: endpoint\ndata: /mess ages\n\n"),
        || Answer::new(200, "text/html", "<html>hello</html>"),
        || Answer::json("{}"),
    ] {
        let odd = Upstream::always(answer);
        let config = json!({ "transport": "sse", "url": odd.url() });
        let gateway = Gateway::with(json!({ "one": config })).await;
        let reply = initialize(&gateway).await;
        assert_eq!(reply.verdict(), (502, INTERNAL), "{reply:?}");
        assert!(reply.text().contains("endpoint"), "{reply:?}");
    }
    let odd = Upstream::always(move || Answer::events(events));
    let gateway = Gateway::with(json!({ "one": { "transport": "sse", "url": odd.url() } })).await;
    assert!(initialize(&gateway).await.text().contains("endpoint"));
}

#[tokio::test]
async fn streams_are_read_however_they_are_written() {
    let preface = "\u{feff}: a comment\r\n\r\n";
    for event in [
        "data:{}\n\n",
        "data: {}\r\n\r\n",
        "event:message\rdata:{}\r\r",
        "id: 7\nretry: 100\nevent: message\ndata: {}\n\n",
        ": ping\n\nevent: ping\ndata: 2026-01-01\n\nevent: message\ndata: {}\n\n",
        "event: endpoint\ndata: http://evil.example/\n\ndata: {}\n\n",
    ] {
        let (_server, gateway) = server(Manner { event, preface, ..Manner::default() }).await;
        let session = Session::open(gateway.port, PATH).await;
        let reply = session.call("echo", json!({ "n": 1 })).await;
        assert_eq!(reply.result()["content"][0]["text"], "{\"n\":1}", "{event:?}");
    }
}

#[tokio::test]
async fn a_message_may_span_lines() {
    let (_server, gateway) = server(Manner::default()).await;
    let session = Session::open(gateway.port, PATH).await;
    let mut stream = session.listen(None).await;
    let raw = "data: {\"jsonrpc\": \"2.0\",\ndata:   \"method\": \"notifications/tools/list_changed\"\ndata: }\n\n";
    session.call("raw", json!({ "bytes": raw })).await;
    assert_eq!(stream.message().await["method"], "notifications/tools/list_changed");
}

#[tokio::test]
async fn an_answer_in_the_place_of_an_acknowledgement_is_taken() {
    for (kind, body) in [
        ("application/json", Body::Json),
        ("text/event-stream", Body::Event),
        ("text/event-stream", Body::Json),
        ("application/json", Body::Event),
    ] {
        let (_server, gateway) = server(Manner { posts: Posts::InPlace(kind, body), ..Manner::default() }).await;
        let session = Session::open(gateway.port, PATH).await;
        let reply = session.call("echo", json!({ "n": 1 })).await;
        assert_eq!(reply.result()["content"][0]["text"], "{\"n\":1}", "{kind} {body:?}");
        gateway.logged("answers-in-posts").await;
    }
}

#[tokio::test]
async fn a_server_that_keeps_posts_open_does_not_block_others() {
    let (server, gateway) = server(Manner { posts: Posts::Held, ..Manner::default() }).await;
    let session = Session::open(gateway.port, PATH).await;
    let port = gateway.port;
    let mut waiting = Vec::new();
    for n in 0..5 {
        let call = session.post(&message::call("hang", n, json!({})));
        waiting.push(tokio::spawn(async move { call.try_send(port).await }));
    }
    server.receives("tools/call", 5).await;
    let start = Instant::now();
    assert_eq!(session.call("echo", json!({})).await.status, 200);
    assert!(start.elapsed() < Duration::from_millis(400), "a request waited: {:?}", start.elapsed());
    session.notify("notifications/cancelled", json!({ "requestId": 0 })).await;
    server.receives("notifications/cancelled", 1).await;
    session.call("release", json!({})).await;
    for call in waiting.into_iter().skip(1) {
        assert_eq!(call.await.unwrap().unwrap().status, 200);
    }
}

#[tokio::test]
async fn messages_keep_their_order() {
    let (server, gateway) = server(Manner::default()).await;
    let session = Session::open(gateway.port, PATH).await;
    for n in 0..30 {
        session.notify("notifications/odd", json!({ "n": n })).await;
    }
    let got: Vec<Value> = server.receives("notifications/odd", 30).await;
    let order: Vec<_> = got.iter().map(|m| m["params"]["n"].as_i64().unwrap()).collect();
    assert_eq!(order, (0..30).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_message_that_is_refused_is_answered_at_once() {
    for (status, said) in [(400, "400"), (401, "credential"), (429, "429"), (500, "500")] {
        let (server, gateway) = server(Manner::default()).await;
        let session = Session::open(gateway.port, PATH).await;
        session.call("echo", json!({})).await;
        server.behave(|manner| manner.posts = Posts::Refused(status));
        let reply = session.call("echo", json!({})).await;
        assert!(reply.text().contains(said) && reply.text().contains("-32603"), "{status}: {reply:?}");
        server.behave(|manner| manner.posts = Posts::Accepted);
        assert_eq!(session.call("echo", json!({})).await.status, 200, "{status}");
        assert_eq!(server.links().len(), 1, "the connection goes on");
    }
}

#[tokio::test]
async fn a_server_that_no_longer_knows_the_connection_is_connected_to_again() {
    let (server, gateway) = server(Manner::default()).await;
    let session = Session::open(gateway.port, PATH).await;
    session.call("echo", json!({})).await;
    server.behave(|manner| manner.posts = Posts::Refused(404));
    let reply = session.call("echo", json!({})).await;
    assert!(reply.text().contains("404"), "{reply:?}");
    server.behave(|manner| manner.posts = Posts::Accepted);
    until("the old connection is closed", || (server.open() == 0).then_some(())).await;
    passes(&session).await;
    assert_eq!(server.links().len(), 2);
}

#[tokio::test]
async fn a_modern_client_is_told_that_the_server_is_legacy() {
    let (server, gateway) = server(Manner::default()).await;
    let reply = Call::modern(PATH, "tools/list", 1, json!({})).send(gateway.port).await;
    assert_eq!(reply.status, 400, "{reply:?}");
    assert!(reply.text().contains("initialize"), "{reply:?}");
    assert!(server.requests().is_empty(), "known without asking");
}

#[tokio::test]
async fn a_modern_client_is_told_so_where_nobody_says_the_transport() {
    for streamable in [400, 404, 405] {
        let server = Piped::with(Kind::Sse, Manner { streamable, ..Manner::default() });
        let mut config = server.config();
        config.as_object_mut().unwrap().remove("transport");
        let gateway = Gateway::with(json!({ "one": config })).await;
        let reply = Call::modern(PATH, "tools/list", 1, json!({})).send(gateway.port).await;
        assert_eq!(reply.status, 400, "{streamable}: {reply:?}");
        assert!(reply.text().contains("initialize"), "{reply:?}");
        let session = Session::open(gateway.port, PATH).await;
        assert_eq!(session.call("echo", json!({})).await.status, 200, "{streamable}");
    }
}

#[tokio::test]
async fn the_transport_is_found_out_where_nobody_says_it() {
    for streamable in [400, 404, 405] {
        let server = Piped::with(Kind::Sse, Manner { streamable, ..Manner::default() });
        let mut config = server.config();
        config.as_object_mut().unwrap().remove("transport");
        let gateway = Gateway::with(json!({ "one": config })).await;
        let session = Session::open(gateway.port, PATH).await;
        assert_eq!(session.call("echo", json!({})).await.status, 200, "{streamable}");
        let posts = |path: &str| server.requests().iter().filter(|r| r.verb == "POST" && r.path == path).count();
        assert_eq!(posts("/sse"), 1, "streamable HTTP is tried first");
        let second = Session::open(gateway.port, PATH).await;
        assert_eq!(second.call("echo", json!({})).await.status, 200);
        assert_eq!(posts("/sse"), 1, "and not again");
    }
}

/// Calls until the call passes.
async fn passes(session: &Session) {
    let call = async || session.call("echo", json!({})).await;
    wait::becomes(wait::SOON, "a call passes", call, |reply| reply.status == 200 && reply.code().is_none()).await;
}

#[tokio::test]
async fn a_session_goes_on_when_another_transport_takes_the_place_of_the_first() {
    for streamable in [404, 405] {
        let http = Legacy::start();
        let sse = Piped::with(Kind::Sse, Manner { streamable, ..Manner::default() });
        let turn = Turn::of(http.port).await;
        let url = format!("http://127.0.0.1:{}/mcp", turn.port);
        let gateway = Gateway::with(json!({ "one": { "url": url } })).await;
        let session = Session::open(gateway.port, PATH).await;
        assert_eq!(session.call("echo", json!({})).await.status, 200);
        turn.take(sse.port);
        passes(&session).await;
        assert_eq!(sse.got("initialize").len(), 1, "{streamable}: with the client's own message");
        http.forget(404);
        turn.take(http.port);
        passes(&session).await;
        assert_eq!(http.got("initialize").len(), 2, "{streamable}");
    }
}

#[tokio::test]
async fn what_was_found_out_is_found_out_anew_after_a_redeployment() {
    let legacy = Legacy::start();
    let server = Piped::start(Kind::Sse);
    let mut config = server.config();
    config.as_object_mut().unwrap().remove("transport");
    let gateway = Gateway::with(json!({ "one": config, "two": legacy.config() })).await;
    let session = Session::open(gateway.port, PATH).await;
    assert_eq!(session.call("echo", json!({})).await.status, 200);
    // from now on it knows no streams: another transport has taken its place
    server.behave(|manner| manner.status = Some(405));
    server.dies();
    server.back();
    let call = async || {
        let reply = session.call("echo", json!({})).await;
        (server.requests().iter().filter(|r| r.verb == "POST" && r.path == "/sse").count(), reply)
    };
    wait::becomes(wait::SOON, "streamable HTTP is tried again", call, |(tries, _)| *tries > 1).await;
    // a server that is neither is told as it is
    assert_eq!(initialize(&gateway).await.verdict(), (502, INTERNAL));
    assert_eq!(Session::open(gateway.port, "/servers/two/mcp").await.call("echo", json!({})).await.status, 200);
}

#[tokio::test]
async fn a_stream_that_names_no_endpoint_is_waited_for_as_long_as_the_server_may_take() {
    let server = Upstream::start(async |_| {
        let (pipe, answer) = Answer::stream("text/event-stream");
        tokio::spawn(async move {
            pipe.send(": hello\n\n").await;
            pipe.closed().await;
        });
        answer
    });
    let config = json!({ "url": server.url(), "transport": "sse", "timeout": 2 });
    let gateway = Gateway::with(json!({ "one": config })).await;
    let start = Instant::now();
    let call = Call::post(PATH, message::initialize(message::LEGACY, json!({})).to_string());
    let reply = call.send_patiently(gateway.port).await;
    let time = start.elapsed();
    assert_eq!(reply.verdict(), (502, INTERNAL), "{reply:?}");
    assert!((Duration::from_millis(1900)..Duration::from_secs(12)).contains(&time), "{time:?}");
}
