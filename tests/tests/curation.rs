//! What a configuration hides, renames and fills in: on the door of all servers and on the door of one, in both eras.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use serde_json::{Value, json};
use sluice_tests::catalogue::{Catalogue, KINDS, tool};
use sluice_tests::client::{Client, ERAS, Era};
use sluice_tests::gateway::Start;
use sluice_tests::message;
use sluice_tests::server::Server;
use sluice_tests::upstream::{Answer, Received};
use sluice_tests::{Call, Gateway, Reply};

const SECRET: &str = "forced-secret-5f1c";
const DEFAULT: &str = "default-secret-77aa";

/// A server with something of each kind to hide and something to show.
fn offer() -> Catalogue {
    let offer = Catalogue::new("one");
    offer.change(|lists| {
        let mut send = tool("send");
        send["title"] = json!("Send it");
        send["annotations"] = json!({ "readOnlyHint": true, "openWorldHint": false });
        send["inputSchema"] = json!({
            "type": "object", "required": ["token", "to", "from"], "additionalProperties": false,
            "properties": {
                "token": { "type": "string" }, "to": { "type": "string" }, "from": { "type": "string" },
                "token2": { "type": "object", "properties": { "token": { "type": "string" } }, "required": ["token"] } },
        });
        lists.tools = vec![tool("read_file"), tool("read_secret"), tool("write_file"), tool("delete_all"), send];
        lists.prompts = ["open", "hidden", "other"].iter().map(|name| json!({ "name": name, "description": "d" })).collect();
        let resource = |uri: &str| json!({ "uri": uri, "name": uri });
        lists.resources = ["file:///open/a", "file:///secret/a", "note://x"].into_iter().map(resource).collect();
        let template = |uri: &str| json!({ "uriTemplate": uri, "name": uri });
        lists.templates = ["file:///open/{p}", "file:///secret/{p}"].into_iter().map(template).collect();
        lists.page = 2;
    });
    offer
}

fn curated(server: &Server) -> Value {
    let mut entry = server.config();
    let words = json!({
        "tools": {
            "allow": ["read_*", "write_file", "send"], "deny": ["*_secret"],
            "edit": {
                "send": {
                    "name": "post", "title": "Post it", "description": "posts", "annotations": { "readOnlyHint": false },
                    "forced": { "token": SECRET }, "defaults": { "from": DEFAULT },
                },
                "write_file": { "description": "writes" },
            },
        },
        "prompts": { "deny": ["hidden"], "edit": { "open": { "name": "start", "title": "Start", "description": "starts" } } },
        "resources": { "deny": ["file:///secret/*"] },
    });
    entry.as_object_mut().unwrap().extend(words.as_object().unwrap().clone());
    entry
}

async fn gateway(server: &Server) -> Gateway {
    let plain = json!({ "url": server.url() });
    Gateway::with(json!({ "one": curated(server), "plain": plain })).await
}

/// The two doors with the prefix that names and URIs have there.
const DOORS: [(&str, &str); 2] = [("/mcp", "one_"), ("/servers/one/mcp", "")];

#[tokio::test]
async fn what_is_hidden_is_in_no_list() {
    for era in ERAS {
        let server = Server::start(era, &offer());
        let gateway = gateway(&server).await;
        let door = Client::open(era, gateway.port, "/servers/one/mcp").await;
        let own = [
            vec!["read_file", "write_file", "send"],
            vec!["open", "other"],
            vec!["file:///open/a", "note://x"],
            vec!["file:///open/{p}"],
        ];
        for ((method, ..), expected) in KINDS.iter().zip(own) {
            assert_eq!(door.names(method).await, expected, "{era:?} {method}");
        }
        let merged = Client::open(era, gateway.port, "/mcp").await;
        let names = merged.names("tools/list").await;
        let mine: Vec<_> = names.iter().filter(|name| name.starts_with("one_")).collect();
        assert_eq!(mine, ["one_read_file", "one_write_file", "one_post"], "{era:?}");
        assert_eq!(names.len(), 8, "another configuration of the same server is not touched: {names:?}");
        let prompts = merged.names("prompts/list").await;
        assert!(
            prompts.contains(&"one_start".to_owned()) && !prompts.iter().any(|name| name.starts_with("one_hidden"))
        );
        let uris = merged.names("resources/list").await;
        assert_eq!(uris.iter().filter(|uri| uri.starts_with("one")).count(), 2, "{uris:?}");
        let templates = merged.names("resources/templates/list").await;
        assert_eq!(templates.len(), 3, "{templates:?}");
    }
}

#[tokio::test]
async fn what_is_hidden_is_answered_as_if_it_did_not_exist() {
    for era in ERAS {
        let server = Server::start(era, &offer());
        let gateway = gateway(&server).await;
        for (door, prefix) in DOORS {
            let client = Client::open(era, gateway.port, door).await;
            let uris = client.names("resources/list").await;
            let open = uris.iter().find(|uri| uri.contains("open/a") && !uri.contains("plain")).unwrap().clone();
            let secret = |path: &str| open.replace("file:///open/a", path);
            let count = |fits: &dyn Fn(&str) -> bool| {
                server.received().iter().filter(|r| fits(&String::from_utf8_lossy(&r.body))).count()
            };
            for tool in ["read_secret", "delete_all", "delete_none"] {
                let reply = client.call(&format!("{prefix}{tool}"), json!({})).await;
                assert_eq!(reply.code(), Some(-32602), "{era:?} {door} {tool}: {reply:?}");
            }
            assert_eq!(server.calls("read_secret").len() + server.calls("delete_all").len(), 0);
            let gone = client.request("prompts/get", json!({ "name": format!("{prefix}hidden") })).await;
            assert_eq!(gone.code(), Some(-32602), "{era:?} {door}: {gone:?}");
            let about = json!({ "type": "ref/prompt", "name": format!("{prefix}hidden") });
            let argument = json!({ "name": "a", "value": "b" });
            let gone = client.request("completion/complete", json!({ "ref": about, "argument": argument })).await;
            assert_eq!(gone.code(), Some(-32602), "{era:?} {door}: {gone:?}");
            let about = json!({ "type": "ref/resource", "uri": secret("file:///secret/{p}") });
            let gone = client.request("completion/complete", json!({ "ref": about, "argument": argument })).await;
            assert_eq!(gone.code(), Some(-32602), "{era:?} {door}: {gone:?}");
            assert_eq!(count(&|body| body.contains("hidden") || body.contains("secret/{p}")), 0, "{era:?} {door}");
            for path in ["file:///secret/a", "file:///secret/not-listed", "file:///secret/deep/er"] {
                let code = Some(if era == Era::Legacy { -32002 } else { -32602 });
                let gone = client.request("resources/read", json!({ "uri": secret(path) })).await;
                assert_eq!(gone.code(), code, "{era:?} {door} {path}: {gone:?}");
                if era == Era::Legacy {
                    let gone = client.request("resources/subscribe", json!({ "uri": secret(path) })).await;
                    assert_eq!(gone.code(), code, "{era:?} {door} {path}: {gone:?}");
                }
            }
            assert_eq!(count(&|body| body.contains("secret/a") || body.contains("not-listed")), 0, "{era:?} {door}");
            assert_eq!(client.read(&open).await.1["uri"], "file:///open/a", "{era:?} {door}");
        }
    }
}

#[tokio::test]
async fn hidden_resources_cannot_be_listened_to() {
    let server = Server::start(Era::Modern, &offer());
    let gateway = gateway(&server).await;
    for (door, _) in DOORS {
        let client = Client::open(Era::Modern, gateway.port, door).await;
        let uris = client.names("resources/list").await;
        let open = uris.iter().find(|uri| uri.contains("open/a") && !uri.contains("plain")).unwrap().clone();
        let wanted = json!([open, open.replace("open/a", "secret/a")]);
        let call =
            client.prepare("subscriptions/listen", json!({ "notifications": { "resourceSubscriptions": wanted } }));
        let mut stream = call.open(gateway.port).await;
        if stream.status == 200 {
            let first = stream.message().await;
            let honoured = &first["params"]["notifications"]["resourceSubscriptions"];
            assert_eq!(honoured, &json!([open]), "{door}: what is not honoured is left out of the acknowledgement");
        }
        let told = |r: &Received| String::from_utf8_lossy(&r.body).contains("secret/a");
        assert!(!server.received().iter().any(told), "{door}");
    }
}

#[tokio::test]
async fn what_is_edited_is_shown_so_and_called_by_its_new_name() {
    for era in ERAS {
        let server = Server::start(era, &offer());
        let gateway = gateway(&server).await;
        for (door, name) in [("/mcp", "one_post"), ("/servers/one/mcp", "send")] {
            let client = Client::open(era, gateway.port, door).await;
            let tools = client.list("tools/list").await;
            let shown = tools.iter().find(|tool| tool["name"] == name).unwrap_or_else(|| panic!("{door} {tools:?}"));
            assert_eq!(
                (&shown["title"], &shown["description"]),
                (&json!("Post it"), &json!("posts")),
                "{era:?} {door}"
            );
            assert_eq!(
                shown["annotations"],
                json!({ "readOnlyHint": false, "openWorldHint": false }),
                "{era:?} {door}"
            );
            let schema = &shown["inputSchema"];
            assert!(schema["properties"].get("token").is_none(), "{era:?} {door}: {schema}");
            assert_eq!(schema["required"], json!(["to"]), "{era:?} {door}: forced and defaulted are not asked for");
            assert_eq!(schema["properties"]["token2"], offer_schema()["properties"]["token2"], "{era:?} {door}");
            assert_eq!(schema["additionalProperties"], false);
            let said = client.said(name, json!({ "to": "me" })).await;
            assert_eq!(said["tool"], "send", "{era:?} {door}");
            assert_eq!(said["arguments"], json!({ "to": "me", "token": SECRET, "from": DEFAULT }), "{era:?} {door}");
            let said = client.said(name, json!({ "to": "me", "from": "here" })).await;
            assert_eq!(said["arguments"]["from"], "here", "{era:?} {door}: what the caller says stays");
        }
        let merged = Client::open(era, gateway.port, "/mcp").await;
        let old = merged.call("one_send", json!({ "to": "me" })).await;
        assert_eq!(old.code(), Some(-32602), "{era:?}: the old name is nobody's: {old:?}");
        let got = merged.request("prompts/get", json!({ "name": "one_start" })).await.result();
        assert!(got["messages"][0]["content"]["text"].as_str().unwrap().contains("\"prompt\":\"open\""), "{got}");
        let prompts = merged.list("prompts/list").await;
        let start = prompts.iter().find(|prompt| prompt["name"] == "one_start").unwrap();
        assert_eq!((&start["title"], &start["description"]), (&json!("Start"), &json!("starts")));
    }
}

fn offer_schema() -> Value {
    json!({ "properties": { "token2": { "type": "object", "properties": { "token": { "type": "string" } }, "required": ["token"] } } })
}

#[tokio::test]
async fn a_forced_argument_cannot_be_overridden_by_any_spelling() {
    let spellings = [
        r#"{}"#,
        r#"{"to":"x"}"#,
        r#"{"token":"mine"}"#,
        r#"{"token":"mine","to":"x"}"#,
        r#"{ "to" : "x" , "token" : "mine" }"#,
        r#"{"\u0074oken":"mine"}"#,
        r#"{"to\u006Ben":"mine","to":"x"}"#,
        r#"{"token":"mine","token":"mine"}"#,
        r#"{"token":"mine","\u0074oken":"mine"}"#,
        r#"{"token":{"token":"mine"}}"#,
        r#"{"token":null}"#,
        r#"{"token":["mine"],"to":1}"#,
        r#"{"TOKEN":"kept","token2":{"token":"kept"},"token":"mine"}"#,
        r#"null"#,
        r#"[]"#,
        r#""mine""#,
        r#"[{"token":"mine"}]"#,
        "",
        r#"{},"arguments":{"token":"mine"}"#,
        r#"{},"\u0061rguments":{"token":"mine"}"#,
    ];
    for era in ERAS {
        let server = Server::start(era, &offer());
        let gateway = gateway(&server).await;
        for (door, name) in [("/mcp", "one_post"), ("/servers/one/mcp", "send")] {
            let client = Client::open(era, gateway.port, door).await;
            let _ = client.names("tools/list").await;
            for spelling in spellings {
                let before = server.calls("send").len();
                let reply = raw_call(&client, era, door, name, spelling).send(gateway.port).await;
                let calls = server.calls("send");
                for call in &calls[before..] {
                    let body = String::from_utf8(call.body.to_vec()).unwrap();
                    assert!(!body.contains("mine"), "{era:?} {door} {spelling}: {body}");
                    assert_eq!(body.matches(SECRET).count(), 1, "{era:?} {door} {spelling}: {body}");
                    assert_eq!(
                        call.message()["params"]["arguments"]["token"],
                        SECRET,
                        "{era:?} {door} {spelling}: {body}"
                    );
                }
                let refused = calls.len() == before;
                assert!(!refused || reply.code().is_some(), "{era:?} {door} {spelling}: {reply:?}");
                if spelling.starts_with("{\"to\"") || spelling.is_empty() {
                    assert!(!refused, "{era:?} {door} {spelling}: {reply:?}");
                }
            }
        }
    }
}

/// A call whose arguments are written as they are; nothing: no `arguments` at all.
fn raw_call(client: &Client, era: Era, door: &str, name: &str, arguments: &str) -> Call {
    let params = json!({ "name": name, "arguments": "HERE" });
    let body = match era {
        Era::Legacy => message::request("tools/call", 77, params),
        Era::Modern => message::modern("tools/call", 77, params),
    };
    let text = if arguments.is_empty() {
        body.to_string().replace(r#""arguments":"HERE","#, "")
    } else {
        body.to_string().replace("\"HERE\"", arguments)
    };
    let call = match &client.session {
        Some(session) => session.dressed(Call::post(door, "")),
        None => Call::modern(door, "tools/call", 77, json!({ "name": name })),
    };
    call.body(text)
}

#[tokio::test]
async fn values_that_are_filled_in_are_shown_nowhere() {
    for era in ERAS {
        let server = Server::scripted(era, &offer(), |received| {
            // A server that answers without repeating what it was told.
            let message = received.message();
            (received.tool() == "send")
                .then(|| Answer::message(&message::response(&message["id"], message::text("sent"))))
        });
        let mut entry = curated(&server);
        entry["tools"]["edit"]["send"]["forced"]["token"] = json!("${FORCED}");
        let servers = json!({ "servers": { "one": entry }, "proxy": { "log_level": "debug" } });
        let gateway = Start::new(servers).env("FORCED", SECRET).ready().await;
        let mut seen: Vec<Reply> = Vec::new();
        for (door, name) in [("/mcp", "one_post"), ("/servers/one/mcp", "send")] {
            let client = Client::open(era, gateway.port, door).await;
            seen.push(client.request("tools/list", json!({})).await);
            seen.push(client.call(name, json!({ "to": "me" })).await);
            seen.push(client.call(name, json!([])).await);
            seen.push(client.call(name, json!({ "token": 1 })).await);
        }
        assert!(server.calls("send").iter().all(|call| call.message()["params"]["arguments"]["token"] == SECRET));
        assert!(!server.calls("send").is_empty());
        for path in ["/config", "/metrics", "/healthz", "/readyz"] {
            seen.push(gateway.admin(path).await);
        }
        for reply in seen {
            let text = reply.text();
            assert!(!text.contains(SECRET), "{era:?}: {text}");
        }
        let log = gateway.log();
        assert!(!log.contains(SECRET) && !log.contains(DEFAULT), "{era:?}: {log}");
        let line = std::fs::read(format!("/proc/{}/cmdline", gateway.pid())).unwrap();
        assert!(!String::from_utf8_lossy(&line).contains(SECRET));
    }
}

#[tokio::test]
async fn a_tool_that_appears_later_is_judged_like_the_others() {
    for era in ERAS {
        let offer = offer();
        let server = Server::start(era, &offer);
        let gateway = gateway(&server).await;
        let client = Client::open(era, gateway.port, "/mcp").await;
        assert_eq!(client.names("tools/list").await.len(), 8);
        offer.change(|lists| lists.tools.extend([tool("top_secret"), tool("read_more")]));
        let reply = client.call("one_top_secret", json!({})).await;
        assert_eq!(reply.code(), Some(-32602), "{era:?}: hidden although no list named it yet: {reply:?}");
        assert!(server.calls("top_secret").is_empty());
        let door = Client::open(era, gateway.port, "/servers/one/mcp").await;
        assert_eq!(door.call("top_secret", json!({})).await.code(), Some(-32602), "{era:?}");
        assert_eq!(door.said("read_more", json!({})).await["tool"], "read_more", "{era:?}");
        assert!(server.calls("top_secret").is_empty());
    }
}

#[tokio::test]
async fn a_hidden_resource_is_hidden_in_other_spellings_of_its_uri_too() {
    // What RFC 3986, 6.2.2 says is the same.
    let spellings = [
        "FILE:///secret/a",
        "file:///%73ecret/a",
        "file:///open/../secret/a",
        "file:///./secret/a",
        "file:///open/%2e%2e/secret/a",
        "file:///secret/./a",
        "file:///SECRET/../secret/a",
    ];
    for era in ERAS {
        let server = Server::start(era, &offer());
        let gateway = gateway(&server).await;
        let mut reached = Vec::new();
        for (door, prefix) in [("/mcp", "one+"), ("/servers/one/mcp", "")] {
            let client = Client::open(era, gateway.port, door).await;
            for spelling in spellings {
                let reply = client.request("resources/read", json!({ "uri": format!("{prefix}{spelling}") })).await;
                if reply.code().is_none() {
                    reached.push(format!("{door} {spelling}"));
                }
            }
            assert_eq!(
                client.read(&format!("{prefix}file:///open/b")).await.1["uri"],
                "file:///open/b",
                "{era:?} {door}"
            );
        }
        assert!(reached.is_empty(), "{era:?}: read although hidden: {reached:#?}");
    }
}

#[tokio::test]
async fn a_question_of_a_tool_with_forced_arguments_is_answered_by_the_same_call() {
    let server = Server::scripted(Era::Modern, &offer(), |received| {
        let message = received.message();
        (received.tool() == "send").then(|| {
            let result = if message["params"].get("requestState").is_none() {
                json!({ "resultType": "input_required", "inputRequests": { "q": { "method": "roots/list" } }, "requestState": "s" })
            } else {
                message::text(&message["params"]["requestState"].to_string())
            };
            Answer::message(&message::response(&message["id"], result))
        })
    });
    let gateway = gateway(&server).await;
    for (door, name) in [("/mcp", "one_post"), ("/servers/one/mcp", "send")] {
        let client = Client::open(Era::Modern, gateway.port, door).await;
        let asked = client.call(name, json!({ "to": "me" })).await;
        assert!(!asked.text().contains(SECRET), "{asked:?}");
        let state = asked.result()["requestState"].clone();
        let answers = json!({ "q": { "roots": [] } });
        let retry = |to: &str| json!({ "name": name, "arguments": { "to": to }, "requestState": state, "inputResponses": answers });
        let ended = client.request("tools/call", retry("me")).await.result();
        assert_eq!(ended["content"][0]["text"], "\"s\"", "{door}");
        let last = server.calls("send").pop().unwrap().message();
        assert_eq!(last["params"]["arguments"], json!({ "to": "me", "token": SECRET, "from": DEFAULT }), "{door}");
        let other = client.request("tools/call", retry("you")).await;
        assert_eq!(other.code(), Some(-32602), "{door}: other arguments: {other:?}");
    }
}
