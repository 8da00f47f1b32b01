//! What policies let clients see and do, at every door and in both eras. What they must not know of is answered as what does
//! not exist.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use serde_json::{Value, json};
use sluice_tests::catalogue::{Catalogue, KINDS, tool};
use sluice_tests::client::{Client, ERAS, Era};
use sluice_tests::gateway::Start;
use sluice_tests::message;
use sluice_tests::server::Server;
use sluice_tests::sse::Sse;
use sluice_tests::websocket::Socket;
use sluice_tests::{Call, Gateway, Reply};

const ALICE: &str = "alice-key-0123456789abcdef";
const BOB: &str = "bob-key-0123456789abcdef";
const CAROL: &str = "carol-key-0123456789abcdef";

/// The two doors with the prefix that names and URIs have there.
const DOORS: [(&str, &str, &str); 2] = [("/mcp", "one_", "one+"), ("/servers/one/mcp", "", "")];

fn offer(name: &str) -> Catalogue {
    let offer = Catalogue::new(name);
    offer.change(|lists| {
        lists.tools = ["get_a", "get_b", "put_a", "delete_a", "look"].iter().map(|name| tool(name)).collect();
        lists.prompts = ["open", "inner"].iter().map(|name| json!({ "name": name })).collect();
        let resource = |uri: &str| json!({ "uri": uri, "name": uri });
        lists.resources = ["file:///open/a", "file:///secret/a", "note://x"].into_iter().map(resource).collect();
        let template = |uri: &str| json!({ "uriTemplate": uri, "name": uri });
        lists.templates = ["file:///open/{p}", "file:///secret/{p}"].into_iter().map(template).collect();
        lists.page = 2;
        lists.ttl = 600_000;
    });
    offer
}

fn policies() -> Value {
    json!({
        "readers": {
            "who": ["role:reader"],
            "allow": [
                { "servers": ["one"], "tools": ["get_*"], "prompts": ["open"], "resources": ["file:///*"] },
                { "servers": ["one"], "tools": ["look"], "actions": ["list"] },
            ],
        },
        "admins": { "who": ["role:adm*"], "allow": [{}] },
        "never": { "who": ["everybody"], "deny": [{ "tools": ["delete_*"], "resources": ["file:///secret/*"] }] },
    })
}

fn config(one: &Server, two: &Server) -> Value {
    json!({
        "servers": { "one": one.config(), "two": two.config() },
        "clients": {
            "alice": { "api_key": ALICE, "roles": ["reader"] },
            "bob": { "api_key": BOB, "roles": ["admin"] },
            "carol": { "api_key": CAROL },
        },
        "policies": policies(),
    })
}

struct House {
    one: Server,
    two: Server,
    gateway: Gateway,
}

async fn house(era: Era) -> House {
    let (one, two) = (Server::start(era, &offer("one")), Server::start(era, &offer("two")));
    let gateway = Start::new(config(&one, &two)).ready().await;
    House { one, two, gateway }
}

impl House {
    async fn client(&self, era: Era, path: &str, key: &str) -> Client {
        Client::with(era, self.gateway.port, path, Some(key)).await
    }

    /// How often servers were asked to do something.
    fn calls(&self) -> usize {
        let asks = ["tools/call", "prompts/get", "resources/read", "resources/subscribe", "completion/complete", "x/y"];
        let is_ask = |body: &[u8]| asks.iter().any(|ask| String::from_utf8_lossy(body).contains(&format!("\"{ask}\"")));
        [&self.one, &self.two].iter().map(|s| s.received().iter().filter(|r| is_ask(&r.body)).count()).sum()
    }
}

/// An answer as it came, but for what was asked for.
fn shape(reply: &Reply, name: &str) -> (u16, Vec<(String, String)>, String) {
    let headers = reply.headers.iter().filter(|(name, _)| !["date", "mcp-session-id"].contains(&name.as_str()));
    let headers = headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
    (reply.status, headers, reply.text().replace(name, "NAME"))
}

#[tokio::test]
async fn lists_show_what_is_granted_and_no_more() {
    for era in ERAS {
        let house = house(era).await;
        let seen: [(&str, [&[&str]; 4]); 2] = [
            (ALICE, [&["get_a", "get_b", "look"], &["open"], &["file:///open/a"], &["file:///open/{p}"]]),
            (
                BOB,
                [
                    &["get_a", "get_b", "put_a", "look"],
                    &["open", "inner"],
                    &["file:///open/a", "note://x"],
                    &["file:///open/{p}"],
                ],
            ),
        ];
        for (key, expected) in seen {
            let own = house.client(era, "/servers/one/mcp", key).await;
            let merged = house.client(era, "/mcp", key).await;
            for ((method, ..), expected) in KINDS.iter().zip(expected) {
                assert_eq!(own.names(method).await, expected, "{era:?} {method}");
                let all = merged.names(method).await;
                let of = |server: &str| all.iter().filter(|name| name.starts_with(server)).count();
                assert_eq!(of("one"), expected.len(), "{era:?} {method} {all:?}");
                assert_eq!(of("two"), if key == BOB { expected.len() } else { 0 }, "{era:?} {method} {all:?}");
            }
        }
        let nobody = house.client(era, "/mcp", CAROL).await;
        for (method, ..) in KINDS {
            assert!(nobody.names(method).await.is_empty(), "{era:?} {method}");
        }
    }
}

#[tokio::test]
async fn calls_do_what_is_granted_and_nothing_else_reaches_a_server() {
    for era in ERAS {
        let house = house(era).await;
        for (door, prefix, uri) in DOORS {
            let alice = house.client(era, door, ALICE).await;
            assert_eq!(alice.said(&format!("{prefix}get_a"), json!({})).await["tool"], "get_a");
            let prompt = alice.request("prompts/get", json!({ "name": format!("{prefix}open") })).await;
            assert!(prompt.result()["messages"].is_array());
            assert_eq!(alice.read(&format!("{uri}file:///open/a")).await.1["uri"], "file:///open/a");
            let about = json!({ "type": "ref/resource", "uri": format!("{uri}file:///open/{{p}}") });
            let argument = json!({ "name": "p", "value": "v" });
            let completed = alice.request("completion/complete", json!({ "ref": about, "argument": argument })).await;
            assert!(completed.result()["completion"].is_object());

            let before = house.calls();
            for name in ["put_a", "delete_a", "get", "GET_A"].map(|name| format!("{prefix}{name}")) {
                let reply = alice.call(&name, json!({})).await;
                assert_eq!(reply.code(), Some(-32602), "{era:?} {door} {name}: {reply:?}");
            }
            let seen = alice.call(&format!("{prefix}look"), json!({})).await;
            assert_eq!(seen.verdict(), (200, Some(-32600)), "listed, and not for calling: {seen:?}");
            for read in ["file:///secret/a", "file:///open/../secret/a", "file:///open/%2e%2e/secret/a", "note://x"] {
                let reply = alice.request("resources/read", json!({ "uri": format!("{uri}{read}") })).await;
                let missing = if era == Era::Legacy { -32002 } else { -32602 };
                assert_eq!(reply.code(), Some(missing), "{era:?} {door} {read}: {reply:?}");
            }
            let inner = alice.request("prompts/get", json!({ "name": format!("{prefix}inner") })).await;
            assert_eq!(inner.code(), Some(-32602));
            let about = json!({ "type": "ref/prompt", "name": format!("{prefix}inner") });
            let inner = alice.request("completion/complete", json!({ "ref": about, "argument": argument })).await;
            assert_eq!(inner.code(), Some(-32602));
            assert_eq!(house.calls(), before, "{era:?} {door}: nothing of it went on");
        }
        let bob = house.client(era, "/mcp", BOB).await;
        assert_eq!(bob.said("two_put_a", json!({})).await["server"], "two");
        assert_eq!(bob.call("two_delete_a", json!({})).await.code(), Some(-32602), "a denial wins");
    }
}

#[tokio::test]
async fn what_is_hidden_and_what_does_not_exist_are_answered_alike() {
    for era in ERAS {
        let house = house(era).await;
        for (door, prefix, uri) in DOORS {
            let alice = house.client(era, door, ALICE).await;
            alice.names("tools/list").await;
            let before = house.calls();
            let pairs = [("tools/call", "name", "put_a", "put_z"), ("prompts/get", "name", "inner", "nowhere")];
            for (method, key, hidden, unknown) in pairs {
                let ask = async |name: &str| {
                    let name = format!("{prefix}{name}");
                    let params = json!({ key: name, "arguments": {} });
                    let id = alice.session.as_ref().map(|_| 77);
                    let reply = match id {
                        Some(id) => {
                            let call = alice.session.as_ref().unwrap().post(&message::request(method, id, params));
                            call.send(house.gateway.port).await
                        }
                        None => Call::modern(door, method, 77, params).key(ALICE).send(house.gateway.port).await,
                    };
                    shape(&reply, &name)
                };
                let (mut one, mut two) = (ask(hidden).await, ask(unknown).await);
                // the length of the name is the client's own
                for shape in [&mut one, &mut two] {
                    shape.1.retain(|(name, _)| name != "content-length");
                }
                assert_eq!(one, two, "{era:?} {door} {method}");
            }
            let ask = async |read: &str| {
                let read = format!("{uri}{read}");
                let reply = Call::modern(door, "resources/read", 7, json!({ "uri": read })).key(ALICE);
                shape(&reply.send(house.gateway.port).await, &read)
            };
            if era == Era::Modern {
                assert_eq!(ask("file:///secret/a").await, ask("file:///secret/b").await, "{door}");
            }
            assert_eq!(house.calls(), before, "{era:?} {door}: no server was asked");
        }
        // a server that is out of reach, and one that is not there
        let alice = house.client(era, "/mcp", ALICE).await;
        let before = house.two.received().len();
        for (hidden, unknown) in [("two_get_a", "owt_get_a"), ("two_nothing", "owt_nothing")] {
            let (one, two) = (alice.call(hidden, json!({})).await, alice.call(unknown, json!({})).await);
            let plain = |reply: &Reply, name: &str| {
                let mut rpc = reply.rpc();
                rpc["id"] = Value::Null;
                (reply.status, rpc.to_string().replace(name, "NAME"))
            };
            assert_eq!(plain(&one, hidden), plain(&two, unknown), "{era:?}");
        }
        for path in ["/servers/{}/mcp", "/servers/{}/sse", "/servers/{}/ws"] {
            for verb in ["POST", "GET", "DELETE"] {
                let at = async |server: &str| {
                    let call =
                        Call::post(&path.replace("{}", server), message::call("get_a", 1, json!({})).to_string());
                    shape(&call.method(verb).key(ALICE).send(house.gateway.port).await, server)
                };
                let (hidden, unknown) = (at("two").await, at("owt").await);
                assert_eq!(hidden, unknown, "{era:?} {path}");
                assert_eq!(hidden.0, 404);
            }
        }
        assert_eq!(house.two.received().len(), before, "{era:?}: it was asked for nothing");
    }
}

#[tokio::test]
async fn a_method_that_no_policy_is_about_is_refused_with_the_reason() {
    for era in ERAS {
        let house = house(era).await;
        let alice = house.client(era, "/servers/one/mcp", ALICE).await;
        let reply = alice.request("vendor/own", json!({})).await;
        assert_eq!(reply.code(), Some(-32601), "{era:?}: {reply:?}");
        let told = reply.rpc()["error"]["message"].as_str().unwrap().to_owned();
        assert!(told.starts_with("policies name tools, prompts and resources"), "{era:?}: {told}");
        assert_eq!(house.calls(), 0);
    }
}

#[tokio::test]
async fn headers_that_do_not_agree_with_the_body_are_told_before_a_policy_is_asked() {
    let house = house(Era::Modern).await;
    for (door, prefix, _) in DOORS {
        for name in ["get_a", "put_a"] {
            let params = json!({ "name": format!("{prefix}{name}"), "arguments": {} });
            let call = Call::modern(door, "tools/call", 1, params).header("mcp-name", "other").key(ALICE);
            assert_eq!(call.send(house.gateway.port).await.verdict(), (400, Some(-32020)), "{door} {name}");
        }
    }
    assert_eq!(house.calls(), 0);
}

#[tokio::test]
async fn the_doors_that_are_pipes_keep_to_it() {
    let house = house(Era::Legacy).await;
    let mut socket = Socket::with(house.gateway.port, "/ws", &format!("Authorization: Bearer {ALICE}\r\n")).await;
    socket.initialize(json!({})).await;
    socket.send(&message::request("tools/list", 1, json!({}))).await;
    let names = |listed: &Value| {
        let tools = listed["result"]["tools"].as_array().unwrap().clone();
        tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(&socket.answer(&json!(1)).await.0), ["one_get_a", "one_get_b", "one_look"]);
    socket.send(&message::call("one_put_a", 2, json!({}))).await;
    assert_eq!(socket.answer(&json!(2)).await.0["error"]["message"], "Unknown tool: one_put_a");
    let mut sse = Sse::with(house.gateway.port, "/servers/one/sse", Some(ALICE)).await;
    sse.initialize(json!({})).await;
    sse.send(&message::request("tools/list", 1, json!({}))).await;
    let mut listed = names(&sse.answer(&json!(1)).await.0);
    listed.sort_unstable();
    assert!(listed.iter().all(|name| name.starts_with("get_") || name == "look"), "{listed:?}");
    sse.send(&message::call("delete_a", 2, json!({}))).await;
    assert_eq!(sse.answer(&json!(2)).await.0["error"]["message"], "Unknown tool: delete_a");
    assert_eq!(house.calls(), 0);
}

#[tokio::test]
async fn methods_of_a_servers_own_take_the_whole_server() {
    for era in ERAS {
        let house = house(era).await;
        let (alice, bob) =
            (house.client(era, "/servers/one/mcp", ALICE).await, house.client(era, "/servers/one/mcp", BOB).await);
        let before = house.calls();
        assert_eq!(alice.request("x/y", json!({})).await.code(), Some(-32601), "{era:?}");
        assert_eq!(house.calls(), before);
        bob.request("x/y", json!({})).await;
        assert_eq!(house.calls(), before + 1, "{era:?}: the server itself says what it thinks of it");
    }
}

#[tokio::test]
async fn nobody_is_told_of_resources_that_are_not_for_them() {
    for (door, _, uri) in DOORS {
        let house = house(Era::Modern).await;
        let wanted = ["file:///open/a", "file:///secret/a", "note://x"].map(|name| format!("{uri}{name}"));
        let filter = json!({ "notifications": { "resourceSubscriptions": wanted } });
        let alice = house.client(Era::Modern, door, ALICE).await;
        let mut stream = alice.prepare("subscriptions/listen", filter).open(house.gateway.port).await;
        let first = stream.message().await;
        assert_eq!(first["params"]["notifications"]["resourceSubscriptions"], json!([wanted[0]]), "{door}: {first}");
        house.one.listened().await;
        for name in ["file:///secret/a", "note://x", "file:///open/a"] {
            house.one.updated(name).await;
        }
        assert_eq!(stream.message().await["params"]["uri"], wanted[0].as_str(), "{door}");
    }
}

#[tokio::test]
async fn every_denial_is_in_the_log_and_counted_with_the_rule_that_decided() {
    let house = house(Era::Modern).await;
    let bob = house.client(Era::Modern, "/mcp", BOB).await;
    let carol = house.client(Era::Modern, "/mcp", CAROL).await;
    let alice = house.client(Era::Modern, "/mcp", ALICE).await;
    bob.call("one_delete_a", json!({})).await;
    alice.call("one_put_a", json!({})).await;
    alice.call("one_look", json!({})).await;
    carol.call("one_get_a", json!({})).await;
    house.gateway.logged("\"name\":\"one_get_a\"").await;
    let log = house.gateway.log();
    let rule = |name: &str| {
        let line = log.lines().find(|line| line.contains(&format!("\"name\":\"{name}\""))).unwrap();
        serde_json::from_str::<Value>(line).unwrap()["rule"].clone()
    };
    assert_eq!(rule("one_delete_a"), "policies.never.deny[0]");
    assert_eq!(rule("one_put_a"), "policies");
    assert_eq!(rule("one_look"), "policies");
    let count = async |reason: &str| {
        house.gateway.metric("sluice_policy_denials_total", &[&format!("reason=\"{reason}\"")]).await
    };
    assert_eq!(rule("one_get_a"), "policies", "carol's server is nowhere to be found, and we know why");
    assert_eq!((count("hidden").await, count("denied").await), (3.0, 1.0));
}

#[tokio::test]
async fn a_list_for_some_is_not_for_all() {
    let house = house(Era::Modern).await;
    for (door, ..) in DOORS {
        for key in [ALICE, BOB] {
            let page = house.client(Era::Modern, door, key).await.request("tools/list", json!({})).await.result();
            assert_eq!(page["cacheScope"], "private", "{door}");
        }
    }
}
