//! A modern server: stateless, `server/discover`, and strict about headers and metadata, as the specification wants it.

use std::ops::Deref;
use std::sync::Mutex;

use base64::Engine;
use serde_json::{Value, json};

use super::{Answer, Received, Upstream};
use crate::message::{self, CAPABILITIES_KEY, MODERN, VERSION_KEY};

/// The server; dereferences to what it received.
pub struct Modern {
    upstream: Upstream,
}

impl Deref for Modern {
    type Target = Upstream;

    fn deref(&self) -> &Upstream {
        &self.upstream
    }
}

impl Modern {
    /// A server whose every tool answers with its arguments.
    #[must_use]
    pub fn start() -> Self {
        Self::scripted(|_| None)
    }

    /// A server that first asks `script`, for every request that is as the specification wants it.
    pub fn scripted(script: impl Fn(&Received) -> Option<Answer> + Send + Sync + 'static) -> Self {
        let script = Mutex::new(script);
        let upstream = Upstream::start(move |received| {
            let answer = refusal(&received).or_else(|| script.lock().unwrap()(&received)).or_else(|| usual(&received));
            async move { if let Some(answer) = answer { answer } else { Answer::never().await } }
        });
        Self { upstream }
    }
}

/// The result of `server/discover`.
#[must_use]
fn discovery() -> Value {
    json!({
        "resultType": "complete", "supportedVersions": [MODERN], "capabilities": { "tools": { "listChanged": true } },
        "ttlMs": 0, "cacheScope": "public",
        "_meta": { "io.modelcontextprotocol/serverInfo": { "name": "scripted", "version": "1" } },
    })
}

fn refuse(id: &Value, code: i64, text: &str) -> Option<Answer> {
    Some(Answer::new(400, "application/json", message::error(id, code, text).to_string()))
}

fn refusal(received: &Received) -> Option<Answer> {
    if received.verb != "POST" {
        return Some(Answer::empty(405).header("allow", "POST"));
    }
    let message = received.message();
    let (id, meta) = (&message["id"], &message["params"]["_meta"]);
    if id.is_null() {
        return None;
    }
    let version = received.header("mcp-protocol-version").unwrap_or_default();
    if version.is_empty() || received.header("mcp-method") != message["method"].as_str() {
        return refuse(id, -32020, "Header mismatch: Mcp-Method");
    }
    if !meta[VERSION_KEY].is_string() || !meta[CAPABILITIES_KEY].is_object() {
        return refuse(id, -32602, "metadata is missing");
    }
    if meta[VERSION_KEY] != version {
        return refuse(id, -32020, "Header mismatch: MCP-Protocol-Version");
    }
    if version != MODERN {
        let data = json!({ "supported": [MODERN], "requested": version });
        let error = json!({ "code": -32022, "message": "Unsupported protocol version", "data": data });
        let body = json!({ "jsonrpc": "2.0", "id": id, "error": error });
        return Some(Answer::new(400, "application/json", body.to_string()));
    }
    let name = match message["method"].as_str()? {
        "tools/call" | "prompts/get" => &message["params"]["name"],
        "resources/read" => &message["params"]["uri"],
        "tasks/get" | "tasks/update" | "tasks/cancel" => &message["params"]["taskId"],
        _ => return None,
    };
    let header = decoded(received.header("mcp-name").unwrap_or_default());
    if header.as_deref() == name.as_str() { None } else { refuse(id, -32020, "Header mismatch: Mcp-Name") }
}

fn decoded(value: &str) -> Option<String> {
    let Some(inner) = value.strip_prefix("=?base64?").and_then(|rest| rest.strip_suffix("?=")) else {
        return Some(value.to_owned());
    };
    String::from_utf8(base64::engine::general_purpose::STANDARD.decode(inner).ok()?).ok()
}

fn usual(received: &Received) -> Option<Answer> {
    let message = received.message();
    let id = &message["id"];
    match message["method"].as_str() {
        Some("server/discover") => Some(Answer::message(&message::response(id, discovery()))),
        Some("tools/call") if message["params"]["name"] == "hang" => None,
        Some("tools/call") => {
            Some(Answer::message(&message::response(id, message::text(&message["params"]["arguments"].to_string()))))
        }
        Some("tools/list") => {
            let tools = json!([{ "name": "echo", "inputSchema": { "type": "object" } }]);
            let result = json!({ "resultType": "complete", "tools": tools, "ttlMs": 0, "cacheScope": "public" });
            Some(Answer::message(&message::response(id, result)))
        }
        Some(_) if !id.is_null() => {
            let error = message::error(id, -32601, "Method not found");
            Some(Answer::new(404, "application/json", error.to_string()))
        }
        _ => Some(Answer::accepted()),
    }
}
