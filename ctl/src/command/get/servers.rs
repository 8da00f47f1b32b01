//! What a running gateway knows of its servers, asked at its admin port. What nobody has asked for yet is not known: a
//! server that was never used shows no tools.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

use crate::output::{self, Failure, Field, Format, time};

/// An answer that takes longer comes from something that is not well.
const WAIT: Duration = Duration::from_secs(5);
/// Bytes of an answer: a thousand servers take some hundred kilobytes.
const MOST: u64 = 64 << 20;

/// Asks, and shows the answer; of one server only where it is named.
pub(super) fn show(admin: SocketAddr, name: Option<&str>, format: Format) -> Result<(), Failure> {
    let mut known = ask(admin, "/servers")?;
    let Some(Value::Array(mut servers)) = known.get_mut("servers").map(Value::take) else {
        return Err(Failure::other(format_args!("what answers at {admin} is no gateway of this version")));
    };
    if let Some(name) = name {
        servers.retain(|server| server["name"] == *name);
        if servers.is_empty() {
            return Err(Failure::other(format_args!("no server is called `{name}`; `sluice get servers` lists them")));
        }
    }
    let header = ["SERVER", "TRANSPORT", "ERA", "STATE", "TOOLS", "PROMPTS", "RESOURCES", "QUIRKS", "TROUBLE"];
    output::list(format, &servers, "no server is configured", header, row, Value::clone)
}

fn row(server: &Value) -> [Field; 9] {
    let text = |key: &str| match &server[key] {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    let quirks = server["quirks"].as_array().into_iter().flatten().filter_map(Value::as_str);
    [
        text("name"),
        text("transport"),
        text("era"),
        text("state"),
        text("tools"),
        text("prompts"),
        text("resources"),
        quirks.collect::<Vec<_>>().join(" "),
        credential(server).unwrap_or_else(|| text("trouble")),
    ]
    .map(Field::from)
}

/// Why what the server is shown cannot be had, and since when; `None`: it can.
fn credential(server: &Value) -> Option<String> {
    let credential = &server["credential"];
    let since = time::iso(credential["since_ms"].as_u64()?)?;
    Some(format!("{}, since {since}", credential["trouble"].as_str()?))
}

/// Asks the admin port. It is on this machine and answers one small request: no HTTP client is needed for that.
fn ask(admin: SocketAddr, path: &str) -> Result<Value, Failure> {
    let unreachable = |error: std::io::Error| {
        Failure::other(format_args!(
            "no gateway answers at {admin} ({error}); is it running, with another --admin?\n  \
             = is there a control plane instead? name it with --control-plane, or its folder with --state-dir"
        ))
    };
    let mut connection = TcpStream::connect_timeout(&admin, WAIT).map_err(unreachable)?;
    connection.set_read_timeout(Some(WAIT)).map_err(unreachable)?;
    connection.set_write_timeout(Some(WAIT)).map_err(unreachable)?;
    let request = format!("GET {path} HTTP/1.0\r\nHost: {admin}\r\nConnection: close\r\n\r\n");
    connection.write_all(request.as_bytes()).map_err(unreachable)?;
    let mut answer = Vec::new();
    connection.take(MOST).read_to_end(&mut answer).map_err(unreachable)?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    let status = head.split(' ').nth(1).unwrap_or("nothing");
    if status != "200" {
        return Err(Failure::other(format_args!("{admin} answers {status} to {path}: {}", body.trim())));
    }
    serde_json::from_str(body).map_err(|_| Failure::other(format_args!("{admin} does not answer with JSON")))
}
