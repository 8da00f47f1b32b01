//! What a scripted server answers. Everything unusual is asked for by the name of the tool that is called.

use serde_json::{Value, json};

use super::Link;
use crate::message::{self, MODERN};

/// The direct answers to a message; whatever else it causes is said on the connection.
pub(super) fn answers(link: &Link, era: &str, message: &Value) -> Vec<Value> {
    let id = &message["id"];
    let (legacy, modern) = (era != "modern", era != "legacy");
    let is_modern = message["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"].is_string();
    let reply = |result: Value| vec![message::response(id, result)];
    match message["method"].as_str() {
        None => answered(link, message),
        Some("initialize") if legacy => {
            let asked = &message["params"]["protocolVersion"];
            let version = if asked == MODERN { json!("2025-11-25") } else { asked.clone() };
            reply(json!({
                "protocolVersion": version,
                "capabilities": { "tools": { "listChanged": true }, "resources": { "subscribe": true }, "logging": {} },
                "serverInfo": { "name": "piped", "version": "1" },
            }))
        }
        Some("server/discover") if modern => reply(json!({
            "resultType": "complete", "supportedVersions": [MODERN], "capabilities": { "tools": {} },
            "ttlMs": 0, "cacheScope": "public",
        })),
        Some("notifications/cancelled") => {
            link.parked.lock().unwrap().retain(|waiting| waiting["id"] != message["params"]["requestId"]);
            vec![]
        }
        Some(_) if message.get("id").is_none() => vec![],
        Some("ping" | "logging/setLevel" | "resources/subscribe") => reply(json!({})),
        Some(_) if is_modern && !modern || !is_modern && !legacy => {
            vec![message::error(id, -32601, "Method not found")]
        }
        Some("tools/list") => reply(json!({
            "resultType": "complete", "ttlMs": 0, "cacheScope": "public",
            "tools": [{ "name": "echo", "inputSchema": { "type": "object" } }],
        })),
        Some("tools/call") => tool(link, message),
        Some(_) => vec![message::error(id, -32601, "Method not found")],
    }
}

fn tool(link: &Link, request: &Value) -> Vec<Value> {
    let (id, arguments) = (&request["id"], &request["params"]["arguments"]);
    let reply = |text: &str| vec![message::response(id, message::text(text))];
    match request["params"]["name"].as_str().unwrap_or_default() {
        "who" => reply(&link.number.to_string()),
        "hang" => {
            link.parked.lock().unwrap().push(request.clone());
            vec![]
        }
        // the last to come is the first to be answered
        "release" => {
            for waiting in link.parked.lock().unwrap().drain(..).rev() {
                link.say(&message::response(
                    &waiting["id"],
                    message::text(&waiting["params"]["arguments"].to_string()),
                ));
            }
            reply("done")
        }
        "ask" => {
            let mut asked = link.asked.lock().unwrap();
            let question = json!({ "jsonrpc": "2.0", "id": format!("ask-{}", asked.len()), "method": arguments["method"], "params": arguments["params"] });
            asked.push(request.clone());
            link.say(&question);
            vec![]
        }
        "changed" => {
            link.say(&message::notification("notifications/tools/list_changed", json!({})));
            reply("changed")
        }
        "progress" => {
            let token = &request["params"]["_meta"]["progressToken"];
            for step in 1..=3 {
                let params = json!({ "progressToken": token, "progress": step, "mark": arguments["mark"] });
                link.say(&message::notification("notifications/progress", params));
            }
            reply(&arguments.to_string())
        }
        "flood" => {
            for n in 0..arguments["messages"].as_u64().unwrap() {
                let params = json!({ "level": "info", "data": format!("{n} {}", "x".repeat(1000)) });
                link.say(&message::notification("notifications/message", params));
            }
            reply("flooded")
        }
        "huge" => reply(&"x".repeat(usize::try_from(arguments["bytes"].as_u64().unwrap()).unwrap())),
        "raw" => {
            link.raw(arguments["bytes"].as_str().unwrap());
            reply("said")
        }
        "die" => {
            link.close();
            vec![]
        }
        _ => reply(&arguments.to_string()),
    }
}

/// An answer to a question: the call that asked ends with it.
fn answered(link: &Link, message: &Value) -> Vec<Value> {
    let number = message["id"].as_str().and_then(|id| id.strip_prefix("ask-")?.parse::<usize>().ok());
    let request = number.and_then(|number| link.asked.lock().unwrap().get(number).cloned());
    let answer = message.get("result").or(message.get("error")).unwrap_or(&Value::Null);
    request.map(|request| message::response(&request["id"], message::text(&answer.to_string()))).into_iter().collect()
}
