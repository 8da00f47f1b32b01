//! The same message in other spellings and other pieces: escaped slashes, escaped letters, spaces, keys in any order, bytes
//! that arrive one by one. What it means does not change, and neither does what the merged door makes of it.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::fmt::Write;
use std::time::Duration;

use serde_json::{Value, json};
use sluice_tests::catalogue::{Catalogue, tool};
use sluice_tests::client::{Client, ERAS, Era};
use sluice_tests::message;
use sluice_tests::server::Server;
use sluice_tests::upstream::Answer;
use sluice_tests::{Call, Gateway, Session, until};

/// A text with every slash, every character of the link's own words, or nothing but what must be escaped.
fn spelt(text: &str, how: usize) -> String {
    match how {
        0 => text.to_owned(),
        1 => text.replace('/', "\\/"),
        2 => text.replace("resource_link", "resource\\u005flink").replace("\"uri\"", "\"u\\u0072i\""),
        3 => text.replace("\":", "\" :\t").replace(",\"", ",\r\n \""),
        _ => text.replace("file", "\\u0066\\u0069le"),
    }
}

/// A result as servers write it: the link's keys in an unusual order, so many bytes of text around.
fn result(padding: usize, how: usize) -> String {
    let text = "x".repeat(padding);
    let link = spelt(r#"{"annotations":{},"uri":"file:///r000","size":3,"name":"n","type":"resource_link"}"#, how);
    let embedded = spelt(r#"{"resource":{"text":"t","uri":"file:///r000"},"type":"resource"}"#, how);
    format!(
        r#"{{"content":[{{"text":"{text}","type":"text"}},{link},{{"type":"text","text":"{text}"}},{embedded}],"structuredContent":{{"deep":[[{link}]]}},"resultType":"complete"}}"#
    )
}

fn links(result: &Value) -> [&str; 3] {
    ["/content/1/uri", "/content/3/resource/uri", "/structuredContent/deep/0/0/uri"]
        .map(|at| result.pointer(at).unwrap_or_else(|| panic!("nothing at {at}")).as_str().unwrap())
}

/// Answers `spelt` as told: bytes of padding, spelling, JSON or events, bytes per piece.
async fn speller(era: Era) -> (Gateway, Server) {
    let offer = Catalogue::new("one").tool("spelt").resources(1);
    let server = Server::scripted(era, &offer, |received| {
        let message = received.message();
        (received.tool() == "spelt").then(|| {
            let number = |key: &str| usize::try_from(message["params"]["arguments"][key].as_u64().unwrap()).unwrap();
            let mut body = format!(
                r#"{{"jsonrpc":"2.0","result":{},"id":{}}}"#,
                result(number("bytes"), number("how")),
                message["id"]
            );
            let mut kind = "application/json";
            if number("events") == 1 {
                // An event's lines are joined with a line break, which JSON takes for a space.
                let mut text = String::new();
                for line in body.split("\r\n") {
                    writeln!(text, "data: {line}").unwrap();
                }
                (body, kind) = (text + "\n", "text/event-stream");
            }
            let (pipe, answer) = Answer::stream(kind);
            let piece = number("piece");
            tokio::spawn(async move {
                for piece in body.as_bytes().chunks(piece) {
                    if !pipe.send(piece.to_vec()).await {
                        return;
                    }
                    tokio::task::yield_now().await;
                }
            });
            answer
        })
    });
    let gateway = Gateway::with(json!({ "one": server.config() })).await;
    (gateway, server)
}

#[tokio::test]
async fn links_are_found_in_every_spelling_and_every_split() {
    for era in ERAS {
        let (gateway, _server) = speller(era).await;
        let client = Client::open(era, gateway.port, "/mcp").await;
        for (bytes, piece) in [(0, 1), (0, 100_000), (50_000, 997), (300_000, 4093), (600_000, 1 << 20)] {
            for how in 0..5 {
                for events in 0..2 {
                    let arguments = json!({ "bytes": bytes, "how": how, "events": events, "piece": piece });
                    let what = format!("{era:?} {arguments}");
                    let answered = client.prepare("tools/call", json!({ "name": "one_spelt", "arguments": arguments }));
                    let answered = answered.send_patiently(gateway.port).await.result();
                    assert_eq!(links(&answered), ["one+file:///r000"; 3], "{what}");
                    assert_eq!(answered["content"][0]["text"].as_str().unwrap().len(), bytes, "{what}");
                }
            }
        }
        assert_eq!(client.read("one+file:///r000").await.1["uri"], "file:///r000");
    }
}

#[tokio::test]
async fn a_large_resource_comes_back_under_the_uri_it_was_asked_for() {
    for era in ERAS {
        let server = Server::scripted(era, &Catalogue::new("one").resources(1), |received| {
            let message = received.message();
            (message["method"] == "resources/read").then(|| {
                let own = spelt(&message["params"]["uri"].to_string(), 1);
                // The URI behind three megabytes, and a second content that has another.
                let blob = "QUJD".repeat(750_000);
                let contents =
                    format!(r#"[{{"blob":"{blob}","uri":{own}}},{{"text":"two","uri":"file:\/\/\/other"}}]"#);
                let result =
                    format!(r#"{{"contents":{contents},"resultType":"complete","ttlMs":0,"cacheScope":"public"}}"#);
                Answer::json(format!(r#"{{"jsonrpc":"2.0","id":{},"result":{result}}}"#, message["id"]))
            })
        });
        let gateway = Gateway::with(json!({ "one": server.config() })).await;
        let client = Client::open(era, gateway.port, "/mcp").await;
        let uri = client.names("resources/list").await.remove(0);
        let read = client.prepare("resources/read", json!({ "uri": uri })).send_patiently(gateway.port).await.result();
        assert_eq!(read["contents"][0]["blob"].as_str().unwrap().len(), 3_000_000);
        let uris = [&read["contents"][0]["uri"], &read["contents"][1]["uri"]];
        assert_eq!(uris, [&json!(uri), &json!(uri.replace("r000", "other"))], "{era:?}");
    }
}

#[tokio::test]
async fn requests_are_understood_in_every_spelling() {
    for era in ERAS {
        let offer = Catalogue::new("one").tool("a_b").resources(1).prompts(1);
        let server = Server::start(era, &offer);
        let gateway = Gateway::with(json!({ "one": server.config(), "two": server.config() })).await;
        let client = Client::open(era, gateway.port, "/mcp").await;
        for spelling in [r#""one_a_b""#, r#""one\u005fa_b""#, r#""\u006fne_a\u005Fb""#, r#"   "one_a_b"   "#] {
            let body = |name: &str| match era {
                Era::Legacy => message::request("tools/call", 9, json!({ "name": name, "arguments": { "x": 1 } })),
                Era::Modern => message::modern("tools/call", 9, json!({ "name": name, "arguments": { "x": 1 } })),
            };
            let text = body("HERE").to_string().replace("\"HERE\"", spelling);
            let call = client.prepare("tools/call", json!({ "name": "one_a_b" })).body(text);
            let said = call.send(gateway.port).await.result();
            assert!(said["content"][0]["text"].as_str().unwrap().contains("\"a_b\""), "{era:?} {spelling}: {said}");
            // A name given twice is refused, whichever a server would take.
            let twice = body("one_a_b").to_string().replacen(
                "\"name\":\"one_a_b\"",
                r#""name":"one_a_b","n\u0061me":"two_a_b""#,
                1,
            );
            let before = server.calls("a_b").len();
            let reply = client.prepare("tools/call", json!({ "name": "one_a_b" })).body(twice).send(gateway.port).await;
            assert!(reply.code().is_some() && server.calls("a_b").len() == before, "{era:?}: {reply:?}");
        }
        for spelling in [r#""one+file:///r000""#, r#""one+file:\/\/\/r000""#, r#""one\u002Bfile:///r000""#] {
            let body = match era {
                Era::Legacy => message::request("resources/read", 9, json!({ "uri": "HERE" })),
                Era::Modern => message::modern("resources/read", 9, json!({ "uri": "HERE" })),
            };
            let call = client.prepare("resources/read", json!({ "uri": "one+file:///r000" }));
            let read = call.body(body.to_string().replace("\"HERE\"", spelling)).send(gateway.port).await.result();
            assert_eq!(read["contents"][0]["uri"], "one+file:///r000", "{era:?} {spelling}");
        }
    }
}

#[tokio::test]
async fn headers_that_say_something_else_than_the_body_are_refused() {
    let servers = ["one", "two"].map(|name| Server::start(Era::Modern, &Catalogue::new(name).tools(2).resources(2)));
    let gateway = Gateway::with(json!({ "one": servers[0].config(), "two": servers[1].config() })).await;
    let call = Call::modern("/mcp", "tools/call", 1, json!({ "name": "one_tool-000", "arguments": {} }));
    for wrong in ["two_tool-000", "tool-000", "one_tool-001", "", "=?base64?b25l?="] {
        let reply = call.clone().header("mcp-name", wrong).send(gateway.port).await;
        assert_eq!(reply.verdict(), (400, Some(-32020)), "{wrong}: {reply:?}");
    }
    for wrong in ["tools/list", "resources/read", ""] {
        let reply = call.clone().header("mcp-method", wrong).send(gateway.port).await;
        assert_eq!(reply.verdict(), (400, Some(-32020)), "{wrong}: {reply:?}");
    }
    let reply = call.clone().without("mcp-name").send(gateway.port).await;
    assert_eq!(reply.verdict(), (400, Some(-32020)), "{reply:?}");
    assert!(servers.iter().all(|server| server.calls("tool-000").is_empty()));
    let encoded = call.header("mcp-name", "=?base64?b25lX3Rvb2wtMDAw?=").send(gateway.port).await;
    assert_eq!(encoded.status, 200, "{encoded:?}");
}

#[tokio::test]
async fn updates_are_told_under_the_exposed_uri_however_they_are_spelt() {
    let server = Server::start(Era::Legacy, &Catalogue::new("one").resources(1).tools(1));
    let gateway = Gateway::with(json!({ "one": server.config() })).await;
    let session = Session::open(gateway.port, "/mcp").await;
    assert_eq!(session.request("resources/list", json!({})).await.status, 200);
    let mut stream = session.listen(None).await;
    assert_eq!(session.request("resources/subscribe", json!({ "uri": "one+file:///r000" })).await.status, 200);
    let part = server.got("resources/subscribe")[0].header("mcp-session-id").unwrap().to_owned();
    let own = until("the part's stream", || server.listeners().into_iter().find(|l| l.session == part)).await;
    for spelling in [r#""file:\/\/\/r000""#, r#""\u0066ile:///r000""#, r#" "file:///r000" "#] {
        let text =
            format!(r#"{{"params":{{"uri":{spelling}}},"method":"notifications/resources/updated","jsonrpc":"2.0"}}"#);
        own.pipe.send(format!("data: {text}\n\n")).await;
        let got = stream.message().await;
        assert_eq!(got["params"]["uri"], "one+file:///r000", "{spelling}");
    }
    assert!(stream.quiet(Duration::from_millis(100)).await);
}

#[tokio::test]
async fn lists_arrive_whole_however_a_server_sends_them() {
    // As JSON, as events with something before, in small pieces, with an empty cursor at the end, with a stray answer before.
    for how in 0..5 {
        let server = Server::scripted(Era::Legacy, &Catalogue::new("one").tools(5).page(2), move |received| {
            let message = received.message();
            if message["method"] != "tools/list" {
                return None;
            }
            let start = message["params"]["cursor"].as_str().map_or(0, |cursor| cursor.parse::<usize>().unwrap());
            let tools: Vec<_> = (start..(start + 2).min(5))
                .map(|n| json!({ "name": format!("t{n}"), "inputSchema": { "type": "object" } }))
                .collect();
            let mut result = json!({ "tools": tools });
            if start + 2 < 5 {
                result["nextCursor"] = json!((start + 2).to_string());
            } else if how == 3 {
                result["nextCursor"] = Value::Null;
            }
            let text = message::response(&message["id"], result).to_string();
            let note = message::notification("notifications/message", json!({ "level": "info", "data": "tools" }));
            Some(match how {
                0 | 3 => Answer::json(text),
                1 => Answer::events(format!(": hello\n\nevent: message\ndata: {note}\n\nid: 1\ndata: {text}\n\n")),
                2 => {
                    let (pipe, answer) = Answer::stream("text/event-stream");
                    tokio::spawn(async move {
                        for piece in format!("data: {text}\r\n\r\n").as_bytes().chunks(3) {
                            pipe.send(piece.to_vec()).await;
                        }
                        // A server that leaves its stream open after the answer.
                        tokio::time::sleep(Duration::from_secs(30)).await;
                    });
                    answer
                }
                _ => {
                    let stray = message::response(&json!("stray"), json!({ "tools": [tool("stray")] }));
                    Answer::events(format!("data: {stray}\n\ndata: {text}\n\n"))
                }
            })
        });
        let gateway = Gateway::with(json!({ "one": server.config() })).await;
        let client = Client::open(Era::Legacy, gateway.port, "/mcp").await;
        let names = client.names("tools/list").await;
        assert_eq!(names, ["one_t0", "one_t1", "one_t2", "one_t3", "one_t4"], "how {how}");
    }
}
