//! A gateway on this machine, asked at its admin port: what there is to ask where there is no control plane.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

use crate::output::Failure;

/// An answer that takes longer comes from something that is not well.
const WAIT: Duration = Duration::from_secs(5);
/// Bytes of an answer: a thousand servers, or sessions, take some hundred kilobytes.
const MOST: u64 = 64 << 20;

/// Asks the admin port; with a body, by POST. It is on this machine and answers one small request: no HTTP client is needed for that.
pub(crate) fn ask(admin: SocketAddr, path: &str, body: Option<&Value>) -> Result<Value, Failure> {
    let unreachable = |error: std::io::Error| {
        Failure::other(format_args!(
            "no gateway answers at {admin} ({error}); is it running, with another --admin?\n  \
             = is there a control plane instead? name it with --control-plane, or its folder with --state-dir"
        ))
    };
    let mut connection = TcpStream::connect_timeout(&admin, WAIT).map_err(unreachable)?;
    connection.set_read_timeout(Some(WAIT)).map_err(unreachable)?;
    connection.set_write_timeout(Some(WAIT)).map_err(unreachable)?;
    let (method, body) = body.map_or(("GET", String::new()), |body| ("POST", body.to_string()));
    let length = body.len();
    let head =
        format!("{method} {path} HTTP/1.0\r\nHost: {admin}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
    connection.write_all(&[head.as_bytes(), body.as_bytes()].concat()).map_err(unreachable)?;
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
