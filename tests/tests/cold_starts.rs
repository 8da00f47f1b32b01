//! The first use of a server by many at once: it is started, probed and opened as often as it must be and no more.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use futures_util::future::join_all;
use rustix::process::Signal;
use serde_json::json;
use sluice_tests::message::{self, LEGACY};
use sluice_tests::peer::Peer;
use sluice_tests::upstream::{Legacy, Modern};
use sluice_tests::{Call, Gateway, Session, process, until, wait};

const PATH: &str = "/servers/one/mcp";

fn initialize() -> Call {
    Call::post(PATH, message::initialize(LEGACY, json!({})).to_string())
}

fn echo(n: usize) -> Call {
    Call::modern(PATH, "tools/call", 1, json!({ "name": "echo", "arguments": { "n": n } }))
}

#[tokio::test]
async fn many_first_clients_start_one_shared_process() {
    for era in ["legacy", "modern"] {
        let peer = Peer::new(era);
        let gateway = Gateway::with(json!({ "one": peer.config() })).await;
        let calls: Vec<Call> = (0..40).map(|n| if era == "legacy" { initialize() } else { echo(n) }).collect();
        for reply in join_all(calls.iter().map(|call| call.send(gateway.port))).await {
            assert_eq!(reply.status, 200, "{era}: {reply:?}");
        }
        assert_eq!((peer.starts(), peer.processes().len()), (1, 1), "{era}");
        assert!(peer.got("server/discover").len() <= 1, "{era}: one probe");
    }
}

#[tokio::test]
async fn many_first_clients_of_an_http_server_are_all_served() {
    let (legacy, modern) = (Legacy::start(), Modern::start());
    let gateway = Gateway::with(json!({ "one": legacy.config(), "two": modern.config() })).await;
    let first: Vec<Call> = (0..40).map(|_| initialize()).collect();
    for reply in join_all(first.iter().map(|call| call.send(gateway.port))).await {
        assert_eq!(reply.status, 200, "{reply:?}");
    }
    assert_eq!(legacy.got("initialize").len(), 40, "each client has a session of its own");
    let call = Call::modern("/servers/two/mcp", "tools/call", 1, json!({ "name": "echo", "arguments": {} }));
    for reply in join_all((0..40).map(|_| call.send(gateway.port))).await {
        assert_eq!(reply.status, 200, "{reply:?}");
    }
    assert_eq!(modern.calls("echo").len(), 40);
}

#[tokio::test]
async fn a_process_that_is_killed_from_outside_comes_back_for_all_its_clients() {
    let peer = Peer::new("legacy");
    let gateway = Gateway::with(json!({ "one": peer.config() })).await;
    let sessions = join_all((0..10).map(|_| Session::open(gateway.port, PATH))).await;
    process::signal(peer.processes()[0], Signal::KILL);
    peer.gone().await;
    let all_pass = async {
        for session in &sessions {
            let call = async || session.call("echo", json!({})).await.status;
            wait::becomes(wait::SOON, "the server comes back", call, |status| *status == 200).await;
        }
    };
    wait::soon("the server comes back for all", all_pass).await;
    assert_eq!((peer.starts(), peer.processes().len()), (2, 1));
}

#[tokio::test]
async fn a_subscription_ends_with_the_process_that_fed_it() {
    let peer = Peer::new("modern");
    let gateway = Gateway::with(json!({ "one": peer.config() })).await;
    let listen =
        Call::modern(PATH, "subscriptions/listen", 1, json!({ "notifications": { "toolsListChanged": true } }));
    let mut stream = listen.open(gateway.port).await;
    assert_eq!(stream.message().await["method"], "notifications/subscriptions/acknowledged");
    process::signal(peer.processes()[0], Signal::KILL);
    let rest = stream.rest().await;
    assert!(rest.iter().all(|message| message.get("method").is_none()), "{rest:?}");
}

#[tokio::test]
async fn a_modern_process_asks_for_input_with_a_sealed_state() {
    let peer = Peer::new("modern");
    let gateway = Gateway::with(json!({ "one": peer.config() })).await;
    let ask = Call::modern(PATH, "tools/call", 1, json!({ "name": "input", "arguments": { "a": 1 } }));
    let asked = ask.send(gateway.port).await.result();
    assert_eq!(
        (&asked["resultType"], &asked["inputRequests"]["q"]["method"]),
        (&json!("input_required"), &json!("elicitation/create"))
    );
    let state = asked["requestState"].as_str().unwrap();
    assert!(!state.contains("peer"), "{state}");
    let answers = json!({ "q": { "action": "accept", "content": {} } });
    let again = |state: &str, arguments: i64| {
        let params = json!({ "name": "input", "arguments": { "a": arguments }, "requestState": state, "inputResponses": answers });
        Call::modern(PATH, "tools/call", 2, params)
    };
    let text = again(state, 1).send(gateway.port).await.result()["content"][0]["text"].as_str().unwrap().to_owned();
    assert!(text.contains("\"requestState\":\"state-of-the-peer\""), "{text}");
    for call in [again(state, 2), again("state-of-the-peer", 1)] {
        assert_eq!(call.send(gateway.port).await.code(), Some(-32602));
    }
    assert_eq!(peer.got("tools/call").len(), 2);
}

#[tokio::test]
async fn two_calls_of_one_session_with_the_same_id_are_not_mixed_up() {
    let peer = Peer::new("legacy");
    let gateway = Gateway::with(json!({ "one": peer.config() })).await;
    let session = Session::open(gateway.port, PATH).await;
    let hang = session.post(&message::call("hang", 1, json!({})));
    let port = gateway.port;
    let waiting = tokio::spawn(async move { hang.send_patiently(port).await });
    until("the first call", || peer.got("tools/call").pop()).await;
    let second = session.post(&message::call("echo", 1, json!({ "second": true }))).send(gateway.port).await;
    assert!([200, 400].contains(&second.status), "{second:?}");
    if second.status == 200 {
        assert_eq!(second.result()["content"][0]["text"], r#"{"second":true}"#);
    }
    assert_eq!(session.call("release", json!({})).await.status, 200);
    assert_eq!(waiting.await.unwrap().result()["content"][0]["text"], "released");
}
