//! A thousand clients at three nodes that all choose the same id and the same progress token, legacy and modern, at the doors of
//! single servers and at the one of all: nobody is told what is somebody else's. `SLUICE_LONG=1`: a thousand of each kind.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::iter;
use serde_json::{Value, json};
use sluice_tests::catalogue::Catalogue;
use sluice_tests::client::{ERAS, Era};
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

/// One client of each era: a door, the name of its tool there, and whether the door is one of sessions.
struct Kind {
    era: Era,
    path: &'static str,
    tool: &'static str,
}

const KINDS: [Kind; 6] = [
    Kind { era: Era::Legacy, path: "/servers/old/mcp", tool: "progress" },
    Kind { era: Era::Legacy, path: "/mcp", tool: "old_progress" },
    Kind { era: Era::Modern, path: "/servers/new/mcp", tool: "progress" },
    Kind { era: Era::Modern, path: "/mcp", tool: "new_progress" },
    // one process for all who come to a node
    Kind { era: Era::Modern, path: "/servers/pipe/mcp", tool: "progress" },
    Kind { era: Era::Modern, path: "/mcp", tool: "pipe_progress" },
];

async fn call(port: u16, kind: &Kind, mark: usize) -> (Call, usize) {
    let params = json!({ "name": kind.tool, "arguments": { "mark": mark }, "_meta": { "progressToken": TOKEN } });
    let call = match kind.era {
        Era::Legacy => Session::open(port, kind.path).await.post(&message::request("tools/call", ID, params)),
        Era::Modern => Call::modern(kind.path, "tools/call", ID, params),
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

#[tokio::test]
async fn a_thousand_clients_with_the_same_ids_get_their_own_answers() {
    let each = form(170, 1_000);
    let redis = Redis::start().await;
    let [old, new] = ERAS.map(|era| Server::scripted(era, &Catalogue::new("any").tool("progress"), with_progress));
    let pipe = Peer::new("modern");
    let servers = [("old", old.config()), ("new", new.config()), ("pipe", pipe.config())];
    let servers = servers.iter().map(|(name, spec)| object("server", name, spec)).collect();
    let fleet = Fleet::keeping(&redis, &NAMES, servers).await;
    let port = fleet.port();
    // neighbours are of different kinds
    let clients = (0..each * KINDS.len()).map(|mark| call(port, &KINDS[mark % KINDS.len()], mark));
    let clients: Vec<_> = iter(clients).buffered(OPENING).collect().await;
    assert!(clients.len() >= 1_000);
    iter(&clients).for_each_concurrent(OPEN, |(call, mark)| is_its_own(port, call, *mark)).await;
    assert!(pipe.starts() <= NAMES.len(), "one process at each node");
    for (server, kinds) in [(old.calls("progress"), 2), (new.calls("progress"), 2)] {
        assert_eq!(server.len(), each * kinds, "each ran once");
    }
    assert_eq!(pipe.got("tools/call").len(), each * 2, "each ran once");
}
