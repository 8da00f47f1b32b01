//! Resource URIs inside answers of the merged door: a link leads back to the server that gave it, wherever it stands and
//! however large the answer is; what only looks like a link is left alone.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use serde_json::{Value, json};
use sluice_tests::Gateway;
use sluice_tests::catalogue::{Catalogue, tool};
use sluice_tests::client::{Client, ERAS, Era};
use sluice_tests::events::messages;
use sluice_tests::gateway::Start;
use sluice_tests::message;
use sluice_tests::server::Server;
use sluice_tests::upstream::{Answer, Received};

const LINKED: [&str; 8] = [
    "file:///link",
    "file:///embedded",
    "ui://app/index.html",
    "note://x?a=b#c",
    "file:///deep",
    "file:///blob",
    "ui://w/2",
    "file:///%7Euser/%C3%A9",
];

/// A result with every kind of link, and text of so many bytes before, between and behind them.
fn linked(padding: usize) -> Value {
    let text = |n: usize| json!({ "type": "text", "text": format!("{n}: {} file:///link \"uri\":\"file:///link\"", "x".repeat(padding)) });
    let link = |uri: &str| json!({ "type": "resource_link", "uri": uri, "name": "file:///link" });
    json!({
        "resultType": "complete",
        "content": [
            text(1), link(LINKED[0]), text(2),
            { "type": "resource", "resource": { "uri": LINKED[1], "mimeType": "text/plain", "text": "file:///embedded" } },
            { "type": "resource", "resource": { "mimeType": "text/html;profile=mcp-app", "text": "<p>", "uri": LINKED[2] } },
            { "type": "resource", "resource": { "blob": "AAAA", "uri": LINKED[5] } },
            { "name": "n", "uri": LINKED[3], "_meta": { "k": [1, { "z": null }] }, "type": "resource_link" },
            link(LINKED[7]), text(3),
        ],
        "structuredContent": {
            "uri": "file:///plain", "type": "report", "list": [[{ "a": { "b": [link(LINKED[4])] } }]],
            "said": "{\"type\":\"resource_link\",\"uri\":\"file:///link\"}",
        },
        "_meta": { "ui": { "resourceUri": LINKED[6] }, "vendor.example/x": "file:///link" },
    })
}

/// Answers `links` with [`linked`]: `bytes` of padding, as JSON or as events.
fn script(received: &Received) -> Option<Answer> {
    let message = received.message();
    let arguments = &message["params"]["arguments"];
    let padding = usize::try_from(arguments["bytes"].as_u64().unwrap_or_default()).unwrap();
    if message["method"] == "prompts/get" {
        let contents = linked(padding)["content"].as_array().unwrap().clone();
        let entry = |content| json!({ "role": "user", "content": content });
        let result =
            json!({ "messages": contents.into_iter().map(entry).collect::<Vec<_>>(), "resultType": "complete" });
        return Some(Answer::message(&message::response(&message["id"], result)));
    }
    if received.tool() != "links" {
        return None;
    }
    let answer = message::response(&message["id"], linked(padding));
    if arguments["events"] == true {
        let note = json!({ "level": "info", "data": { "type": "resource_link", "uri": "file:///link" } });
        let note = message::notification("notifications/message", note);
        return Some(Answer::events(format!("event: message\ndata: {note}\n\nid: 7\ndata: {answer}\n\n")));
    }
    Some(Answer::message(&answer))
}

async fn two(era: Era, proxy: Value) -> (Gateway, Vec<Server>) {
    let offer = |name| Catalogue::new(name).tool("links").prompts(1).resources(1);
    let servers = ["left", "right"].map(|name| Server::scripted(era, &offer(name), script));
    let entries = json!({ "left": servers[0].config(), "right": servers[1].config() });
    let gateway = Start::new(json!({ "proxy": proxy, "servers": entries })).ready().await;
    (gateway, servers.into())
}

/// Takes the links out of a result: what they are, in the order of [`LINKED`], and the rest with the servers' own in place.
fn taken(result: &mut Value) -> Vec<String> {
    let places = [
        "/content/1/uri",
        "/content/3/resource/uri",
        "/content/4/resource/uri",
        "/content/6/uri",
        "/structuredContent/list/0/0/a/b/0/uri",
        "/content/5/resource/uri",
        "/_meta/ui/resourceUri",
        "/content/7/uri",
    ];
    let mut uris = Vec::new();
    for (place, own) in places.iter().zip(LINKED) {
        let value = result.pointer_mut(place).unwrap_or_else(|| panic!("nothing at {place}"));
        uris.push(value.as_str().unwrap().to_owned());
        *value = json!(own);
    }
    uris
}

#[tokio::test]
async fn links_in_results_lead_back_to_their_server_in_answers_of_every_size() {
    for era in ERAS {
        let (gateway, _servers) = two(era, json!({})).await;
        let client = Client::open(era, gateway.port, "/mcp").await;
        for (events, bytes) in
            [(false, 0), (true, 0), (false, 40_000), (true, 40_000), (false, 700_000), (true, 700_000)]
        {
            for server in ["left", "right"] {
                let what = format!("{era:?} {server} events {events} bytes {bytes}");
                let reply = client.call(&format!("{server}_links"), json!({ "events": events, "bytes": bytes })).await;
                let mut result = reply.result();
                let uris = taken(&mut result);
                assert_eq!(result, linked(bytes), "{what}: nothing else is changed");
                if events {
                    let data = messages(&reply.text())[0]["params"]["data"].clone();
                    assert!(data.is_object(), "{what}: {data}");
                }
                if bytes == 0 {
                    for (uri, own) in uris.iter().zip(LINKED) {
                        let (answered, said) = client.read(uri).await;
                        assert_eq!(
                            (said["server"].as_str(), said["uri"].as_str()),
                            (Some(server), Some(own)),
                            "{what}"
                        );
                        assert_eq!(answered, uri.as_str(), "{what}");
                    }
                } else {
                    let other = client.call(&format!("{server}_links"), json!({})).await;
                    assert_eq!(uris, taken(&mut other.result()), "{what}: the same links as in a small answer");
                }
            }
        }
    }
}

#[tokio::test]
async fn links_in_prompts_lead_back_too() {
    for era in ERAS {
        let (gateway, _servers) = two(era, json!({})).await;
        let client = Client::open(era, gateway.port, "/mcp").await;
        for server in ["left", "right"] {
            for bytes in [0, 100_000] {
                let params = json!({ "name": format!("{server}_prompt-000"), "arguments": { "bytes": bytes } });
                let got = client.request("prompts/get", params).await.result();
                for (place, own) in [(1, LINKED[0]), (6, LINKED[3])] {
                    let uri = got["messages"][place]["content"]["uri"].as_str().unwrap();
                    assert_eq!(client.read(uri).await.1, json!({ "server": server, "uri": own }), "{era:?} {bytes}");
                }
                for (place, own) in [(3, LINKED[1]), (4, LINKED[2]), (5, LINKED[5])] {
                    let uri = got["messages"][place]["content"]["resource"]["uri"].as_str().unwrap();
                    assert_eq!(client.read(uri).await.1, json!({ "server": server, "uri": own }), "{era:?} {bytes}");
                }
                let text = got["messages"][0]["content"]["text"].as_str().unwrap();
                assert!(text.ends_with("file:///link \"uri\":\"file:///link\""), "text is left alone");
            }
        }
    }
}

#[tokio::test]
async fn the_page_of_an_app_that_a_listed_tool_names_can_be_read() {
    for era in ERAS {
        let page = "ui://app/index.html";
        let offer = Catalogue::new("left").resources(1);
        offer.change(|lists| {
            let mut nested = tool("nested");
            nested["_meta"] = json!({ "ui": { "resourceUri": page, "visibility": ["model"] } });
            let mut flat = tool("flat");
            flat["_meta"] = json!({ "ui/resourceUri": page });
            lists.tools = vec![nested, flat];
            lists.resources.push(json!({ "uri": page, "name": "page", "mimeType": "text/html;profile=mcp-app" }));
        });
        let server = Server::start(era, &offer);
        let gateway = Gateway::with(json!({ "left": server.config() })).await;
        let client = Client::open(era, gateway.port, "/mcp").await;
        let tools = client.list("tools/list").await;
        let uris = client.names("resources/list").await;
        for uri in [&tools[0]["_meta"]["ui"]["resourceUri"], &tools[1]["_meta"]["ui/resourceUri"]] {
            let uri = uri.as_str().unwrap();
            assert!(uri.starts_with("ui://"), "hosts look for the scheme: {uri}");
            assert!(uris.contains(&uri.to_owned()), "{era:?}: {uri} in {uris:?}");
            assert_eq!(client.read(uri).await.1["uri"], page, "{era:?}");
        }
        assert_eq!(tools[0]["_meta"]["ui"]["visibility"], json!(["model"]));
    }
}

#[tokio::test]
async fn without_a_prefix_nothing_in_an_answer_is_touched() {
    for era in ERAS {
        let (gateway, _servers) = two(era, json!({ "prefix": "never" })).await;
        let client = Client::open(era, gateway.port, "/mcp").await;
        for (events, bytes) in [(false, 0), (true, 0), (false, 100_000), (true, 100_000)] {
            let result = client.call("links", json!({ "events": events, "bytes": bytes })).await.result();
            assert_eq!(result, linked(bytes), "{era:?} {events} {bytes}");
        }
        // A link of the first server is found at it although no list names it.
        assert_eq!(client.read("file:///r000").await.1["server"], "left");
    }
}

#[tokio::test]
async fn on_the_door_of_one_server_nothing_is_touched() {
    for era in ERAS {
        let (gateway, _servers) = two(era, json!({})).await;
        let client = Client::open(era, gateway.port, "/servers/right/mcp").await;
        for bytes in [0, 100_000] {
            let result = client.call("links", json!({ "bytes": bytes })).await.result();
            assert_eq!(result, linked(bytes), "{era:?}");
        }
        assert_eq!(client.names("resources/list").await, ["file:///r000"]);
        assert_eq!(client.names("tools/list").await, ["links"]);
    }
}

#[tokio::test]
async fn the_uri_in_an_error_is_the_one_the_client_knows() {
    for era in ERAS {
        let offer = Catalogue::new("left").resources(1);
        let server = Server::scripted(era, &offer, |received| {
            let message = received.message();
            (message["method"] == "resources/read").then(|| {
                let data = json!({ "uri": message["params"]["uri"] });
                let error = json!({ "code": -32002, "message": "Resource not found", "data": data });
                Answer::message(&json!({ "jsonrpc": "2.0", "id": message["id"], "error": error }))
            })
        });
        let gateway = Gateway::with(json!({ "left": server.config(), "other": server.config() })).await;
        let client = Client::open(era, gateway.port, "/mcp").await;
        let uri = "left+file:///gone";
        let reply = client.request("resources/read", json!({ "uri": uri })).await;
        assert_eq!(reply.rpc()["error"]["data"]["uri"], uri, "{era:?}: {reply:?}");
    }
}
