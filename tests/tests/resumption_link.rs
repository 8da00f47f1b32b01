//! Streams that a node has kept, resumed at other nodes: they reach it over the link, and where it is gone the client is told what
//! became of what it waits for.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use serde_json::{Value, json};
use sluice_tests::fleet::{Fleet, object};
use sluice_tests::works::Works;
use sluice_tests::{Redis, Session, message, until};

const NAMES: [&str; 2] = ["edge-1", "edge-2"];
const PATH: &str = "/servers/one/mcp";

fn note(n: usize) -> Value {
    message::notification("notifications/message", json!({ "level": "info", "data": n }))
}

#[tokio::test]
async fn a_stream_goes_on_at_whichever_node_its_client_comes_back_and_ends_with_the_node_that_keeps_it() {
    let works = Works::start();
    let server = &works.server;
    let redis = Redis::start().await;
    let mut fleet = Fleet::keeping(&redis, &NAMES, vec![object("server", "one", &server.config())]).await;
    let ports = [fleet.nodes[0].port, fleet.nodes[1].port];
    let here = Session::open(ports[0], PATH).await;
    let there = here.at(ports[1]);
    let subscribed = here.request("resources/subscribe", json!({ "uri": "file:///a" })).await;
    assert_eq!(subscribed.status, 200, "{subscribed:?}");

    let mut call = here.stream("work", json!({})).await;
    let (id, pipe) = works.call().await;
    let mut standing = here.listen(None).await;
    let told = server.stream().await;
    let mut last = [call.primed().await, standing.primed().await];
    drop((call, standing));
    // to and fro
    for round in 0..4 {
        let session = if round % 2 == 0 { &there } else { &here };
        for (last, pipe) in last.iter_mut().zip([&pipe, &told]) {
            assert!(pipe.event(&note(2 * round)).await);
            let mut stream = session.listen(Some(last)).await;
            assert_eq!(stream.status, 200);
            assert!(pipe.event(&note(2 * round + 1)).await);
            for expected in 2 * round..2 * round + 2 {
                let event = stream.next().await;
                assert_eq!(event.message()["params"]["data"], expected, "round {round}");
                *last = event.id.unwrap();
            }
        }
    }
    assert_eq!(server.verbs("GET").len(), 1, "the server noticed nothing");

    fleet.nodes[0].kill().await;
    let ended = there.listen(Some(&last[0])).await.rest().await;
    assert_eq!((ended.len(), &ended[0]["id"], &ended[0]["error"]["code"]), (1, &id, &json!(-32603)), "{ended:?}");
    assert!(ended[0]["error"]["message"].as_str().unwrap().contains("may have run"), "{ended:?}");
    let mut stream = there.listen(Some(&last[1])).await;
    assert_eq!(stream.status, 200);
    for list in ["tools", "prompts", "resources"] {
        assert_eq!(stream.message().await["method"], format!("notifications/{list}/list_changed"));
    }
    assert_eq!(stream.message().await["params"]["uri"], "file:///a");
    let again = until("the stream of the other node", || (server.verbs("GET").len() == 2).then_some(()));
    again.await;
    let again = server.stream().await;
    assert!(again.event(&note(100)).await);
    assert_eq!(stream.message().await["params"]["data"], 100);
    assert_eq!(server.calls("work").len(), 1, "nothing ran twice");
}
