//! What a running gateway knows of its servers, asked at its admin port. What nobody has asked for yet is not known: a
//! server that was never used shows no tools.

use std::net::SocketAddr;

use serde_json::Value;

use crate::gateway::ask;
use crate::output::{self, Failure, Field, Format, time};

/// Asks, and shows the answer; of one server only where it is named.
pub(super) fn show(admin: SocketAddr, name: Option<&str>, format: Format) -> Result<(), Failure> {
    let servers = match name {
        Some(name) => vec![one(admin, name)?],
        None => all(admin)?,
    };
    let header = ["SERVER", "TRANSPORT", "ERA", "STATE", "TOOLS", "PROMPTS", "RESOURCES", "QUIRKS", "TROUBLE"];
    output::list(format, &servers, "no server is configured", header, row, Value::clone)
}

fn all(admin: SocketAddr) -> Result<Vec<Value>, Failure> {
    match ask(admin, "/servers", None)?.get_mut("servers").map(Value::take) {
        Some(Value::Array(servers)) => Ok(servers),
        _ => Err(Failure::other(format_args!("what answers at {admin} is no gateway of this version"))),
    }
}

/// The server of this name.
pub(super) fn one(admin: SocketAddr, name: &str) -> Result<Value, Failure> {
    all(admin)?
        .into_iter()
        .find(|server| server["name"] == *name)
        .ok_or_else(|| Failure::other(format_args!("no server is called `{name}`; `sluice get servers` lists them")))
}

fn row(server: &Value) -> [Field; 9] {
    let text = |key: &str| match &server[key] {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    // what nobody has listed yet is not nothing
    let count = |key: &str| server[key].as_u64().map_or_else(|| "-".to_owned(), |count| count.to_string());
    let quirks = server["quirks"].as_array().into_iter().flatten().filter_map(Value::as_str);
    [
        text("name"),
        text("transport"),
        text("era"),
        text("state"),
        count("tools"),
        count("prompts"),
        count("resources"),
        quirks.collect::<Vec<_>>().join(" "),
        [credential(server).unwrap_or_default(), text("trouble")]
            .into_iter()
            .filter(|said| !said.is_empty())
            .collect::<Vec<_>>()
            .join("; "),
    ]
    .map(Field::from)
}

/// Why what the server is shown cannot be had, and since when; `None`: it can.
fn credential(server: &Value) -> Option<String> {
    let credential = &server["credential"];
    let since = time::iso(credential["since_ms"].as_u64()?)?;
    Some(format!("credential: {}, since {since}", credential["trouble"].as_str()?))
}
