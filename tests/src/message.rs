//! JSON-RPC messages as clients of both eras write them.

use base64::Engine;
use serde_json::{Value, json};

/// The newest legacy revision.
pub const LEGACY: &str = "2025-11-25";
/// The first modern revision.
pub const MODERN: &str = "2026-07-28";

/// Keys of modern request metadata.
pub const VERSION_KEY: &str = "io.modelcontextprotocol/protocolVersion";
/// See [`VERSION_KEY`].
pub const INFO_KEY: &str = "io.modelcontextprotocol/clientInfo";
/// See [`VERSION_KEY`].
pub const CAPABILITIES_KEY: &str = "io.modelcontextprotocol/clientCapabilities";
/// See [`VERSION_KEY`].
pub const SUBSCRIPTION_KEY: &str = "io.modelcontextprotocol/subscriptionId";

/// A request.
#[must_use]
pub fn request(method: &str, id: i64, params: Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })
}

/// A notification.
#[must_use]
pub fn notification(method: &str, params: Value) -> Value {
    json!({ "jsonrpc": "2.0", "method": method, "params": params })
}

/// What answers a `subscriptions/listen` first: all that was asked for is told.
#[must_use]
pub fn acknowledged(listen: &Value) -> Value {
    let meta = json!({ SUBSCRIPTION_KEY: listen["id"] });
    let params = json!({ "_meta": meta, "notifications": listen["params"]["notifications"] });
    notification("notifications/subscriptions/acknowledged", params)
}

/// A response with a result.
#[must_use]
pub fn response(id: &Value, result: Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "result": result })
}

/// A response with an error.
#[must_use]
pub fn error(id: &Value, code: i64, message: &str) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code, "message": message } })
}

/// A call of a tool.
#[must_use]
pub fn call(tool: &str, id: i64, arguments: Value) -> Value {
    request("tools/call", id, json!({ "name": tool, "arguments": arguments }))
}

/// The first message of a legacy client.
#[must_use]
pub fn initialize(version: &str, capabilities: Value) -> Value {
    let info = json!({ "name": "test-client", "version": "1.2.3" });
    request("initialize", 0, json!({ "protocolVersion": version, "capabilities": capabilities, "clientInfo": info }))
}

/// The metadata of a modern request.
#[must_use]
pub fn meta() -> Value {
    json!({
        VERSION_KEY: MODERN,
        INFO_KEY: { "name": "test-client", "version": "1.2.3" },
        CAPABILITIES_KEY: { "elicitation": { "form": {}, "url": {} }, "sampling": {}, "roots": {} },
    })
}

/// A modern request; metadata that `params` brings along is kept.
#[must_use]
pub fn modern(method: &str, id: i64, mut params: Value) -> Value {
    let mut all = meta();
    if let Some(given) = params.get("_meta").and_then(Value::as_object) {
        all.as_object_mut().unwrap().extend(given.clone());
    }
    params["_meta"] = all;
    request(method, id, params)
}

/// A name as `Mcp-Name` carries it: as it is, or in Base64 where a header could not hold it.
#[must_use]
pub fn header_value(name: &str) -> String {
    let plain = name.bytes().all(|byte| matches!(byte, b' '..=b'~')) && name.trim() == name && !name.is_empty();
    if plain && !name.starts_with("=?") {
        return name.to_owned();
    }
    format!("=?base64?{}?=", base64::prelude::BASE64_STANDARD.encode(name))
}

/// The name that [`header_value`] made a header's value of; `None` where the Base64 is none.
#[must_use]
pub fn header_name(value: &str) -> Option<String> {
    let Some(inner) = value.strip_prefix("=?base64?").and_then(|rest| rest.strip_suffix("?=")) else {
        return Some(value.to_owned());
    };
    String::from_utf8(base64::prelude::BASE64_STANDARD.decode(inner).ok()?).ok()
}

/// A successful result with one text.
#[must_use]
pub fn text(text: &str) -> Value {
    json!({ "content": [{ "type": "text", "text": text }], "resultType": "complete" })
}
