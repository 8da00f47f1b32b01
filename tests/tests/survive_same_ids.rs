//! A thousand clients at three nodes that all choose the same id and the same progress token, legacy and modern, at the doors of
//! single servers and at the one of all: nobody is told what is somebody else's. `SLUICE_LONG=1`: four thousand.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::iter;
use serde_json::{Value, json};
use sluice_tests::catalogue::Catalogue;
use sluice_tests::client::Era;
use sluice_tests::events::messages;
use sluice_tests::fleet::{Fleet, object};
use sluice_tests::long::form;
use sluice_tests::peer::Peer;
use sluice_tests::server::Server;
use sluice_tests::upstream::{Answer, Received};
use sluice_tests::{Call, Redis, Session, message};

const NAMES: [&str; 3] = ["edge-1", "edge-2", "edge-3"];
/// What all of them say.
const ID: i64 = 1;
const TOKEN: i64 = 1;
/// Progress that is told of each call.
const STEPS: usize = 3;
/// Calls that are open at a time.
const OPEN: usize = 200;
/// Sessions that are opened at a time.
const OPENING: usize = 20;

/// Tells the progress of a call, slowly enough that many of them are on their way at once, and then its mark.
fn with_progress(received: &Received) -> Option<Answer> {
    let message = received.message();
    let params = &message["params"];
    (received.tool() == "progress").then(|| {
        let (id, mark) = (message["id"].clone(), params["arguments"]["mark"].clone());
        let token = params["_meta"]["progressToken"].clone();
        let (pipe, answer) = Answer::stream("text/event-stream");
        tokio::spawn(async move {
            for step in 1..=STEPS {
                let told = json!({ "progressToken": token, "progress": step, "total": STEPS, "mark": mark });
                pipe.event(&message::notification("notifications/progress", told)).await;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            pipe.event(&message::response(&id, message::text(&json!({ "mark": mark }).to_string()))).await;
        });
        answer
    })
}

/// A door, and what the tool is called there. Behind `pipe` is one process for all who come to a node.
const KINDS: [(&str, &str); 4] = [
    ("/servers/http/mcp", "progress"),
    ("/mcp", "http_progress"),
    ("/servers/pipe/mcp", "progress"),
    ("/mcp", "pipe_progress"),
];

async fn call(port: u16, era: Era, mark: usize) -> (Call, usize) {
    // neighbours are of different kinds
    let (path, tool) = KINDS[mark % KINDS.len()];
    let params = json!({ "name": tool, "arguments": { "mark": mark }, "_meta": { "progressToken": TOKEN } });
    let call = match era {
        Era::Legacy => Session::open(port, path).await.post(&message::request("tools/call", ID, params)),
        Era::Modern => Call::modern(path, "tools/call", ID, params),
    };
    (call, mark)
}

/// Its own answer, and all of its own progress.
async fn is_its_own(port: u16, call: &Call, mark: usize) {
    let reply = call.send_patiently(port).await;
    assert_eq!(reply.status, 200, "{mark}: {reply:?}");
    let answer = reply.rpc();
    assert_eq!(answer["id"], ID, "{mark}");
    let own: Value = serde_json::from_str(answer["result"]["content"][0]["text"].as_str().unwrap()).unwrap();
    assert_eq!(own["mark"], mark, "an answer of another client");
    let progress: Vec<_> =
        messages(&reply.text()).into_iter().filter(|message| message["method"] == "notifications/progress").collect();
    assert_eq!(progress.len(), STEPS, "{mark}: {progress:?}");
    for (told, step) in progress.iter().map(|message| &message["params"]).zip(1..) {
        assert_eq!((&told["mark"], &told["progress"]), (&json!(mark), &json!(step)), "progress of another client");
        assert_eq!(told["progressToken"], TOKEN, "a token the client knows");
    }
}

/// So many clients of an era, all at once.
async fn get_their_own_answers(era: Era, clients: usize) {
    let redis = Redis::start().await;
    let http = Server::scripted(era, &Catalogue::new("http").tool("progress"), with_progress);
    let pipe = Peer::new(if era == Era::Legacy { "legacy" } else { "modern" });
    let servers = vec![object("server", "http", &http.config()), object("server", "pipe", &pipe.config())];
    let fleet = Fleet::keeping(&redis, &NAMES, servers).await;
    let port = fleet.port();
    let calls = iter((0..clients).map(|mark| call(port, era, mark))).buffered(OPENING).collect::<Vec<_>>().await;
    iter(&calls).for_each_concurrent(OPEN, |(call, mark)| is_its_own(port, call, *mark)).await;
    assert_eq!(http.calls("progress").len(), clients / 2, "each ran once");
    assert_eq!(pipe.got("tools/call").len(), clients / 2, "each ran once");
}

#[tokio::test]
async fn legacy_clients_with_the_same_ids_get_their_own_answers() {
    get_their_own_answers(Era::Legacy, form(240, 2_000)).await;
}

#[tokio::test]
async fn modern_clients_with_the_same_ids_get_their_own_answers() {
    get_their_own_answers(Era::Modern, form(760, 2_000)).await;
}
