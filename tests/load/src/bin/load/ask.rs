//! Requests as bytes: what stays the same is written once, with gaps for the id and the session.

use std::fmt::Write;

use sluice_load::protocol::{CAPABILITIES_KEY, INFO_KEY, LEGACY, MODERN, VERSION_KEY};

use crate::options::{DIGITS, Options};

/// Who asks.
pub(crate) const CLIENT: &str = r#"{"name":"load","version":"1"}"#;

/// Something that is asked again and again.
pub(crate) struct Ask {
    /// Which path it goes to, of [`Asks::paths`].
    pub path: usize,
    before_session: Vec<u8>,
    before_id: Vec<u8>,
    before_text: Vec<u8>,
    after_text: Vec<u8>,
    has_text: bool,
    pub expected: Expected,
}

/// What the answer must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Expected {
    /// These words, the digits of the id, and `x` up to so many bytes in all.
    Text { words: String, length: usize },
    /// So many tools, on one page.
    Tools(usize),
}

/// All that is asked.
pub(crate) struct Asks {
    pub paths: Vec<String>,
    pub asks: Vec<Ask>,
}

impl Asks {
    pub(crate) fn new(options: &Options) -> Self {
        let mut this = Self { paths: Vec::new(), asks: Vec::new() };
        for server in options.first..options.first + options.servers {
            let path = options.path.replace("{s}", &server.to_string());
            if this.paths.last() != Some(&path) {
                this.paths.push(path);
            }
            for tool in 0..options.tools {
                this.asks.push(this.ask(options, server, tool));
            }
        }
        scatter(&mut this.asks);
        this
    }

    fn ask(&self, options: &Options, server: usize, tool: usize) -> Ask {
        let path = self.paths.len() - 1;
        let (server, tool) = (server.to_string(), tool.to_string());
        let name = options.tool.replace("{s}", &server).replace("{t}", &tool);
        let method = if options.list.is_some() { "tools/list" } else { "tools/call" };
        let meta = if options.is_modern { meta() } else { String::new() };
        // the body, with `#` for digits of the id
        let (id, fill) = ("#".repeat(DIGITS), "x".repeat(options.send - DIGITS));
        let params = match (options.list, options.receive) {
            (Some(_), _) => meta.trim_start_matches(',').to_owned(),
            (None, None) => format!(r#""name":"{name}","arguments":{{"text":"{id}{fill}"}}{meta}"#),
            (None, Some(bytes)) => {
                format!(r#""name":"{name}","arguments":{{"bytes":{bytes},"text":"{id}{fill}"}}{meta}"#)
            }
        };
        let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{{{params}}}}}"#);
        let mut head = head("POST", &self.paths[path], options);
        head.push_str("Content-Type: application/json\r\n");
        if options.is_modern {
            let _ = write!(head, "MCP-Protocol-Version: {MODERN}\r\nMcp-Method: {method}\r\n");
            if options.list.is_none() {
                let _ = write!(head, "Mcp-Name: {name}\r\n");
            }
        }
        let mut parts = body.split(&id).map(str::as_bytes);
        let mut part = || parts.next().unwrap_or_default();
        let before_id = [format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes(), part()].concat();
        let words = if options.tool == "echo" { String::new() } else { format!("s{server} tool_{tool} ") };
        let length = words.len() + options.receive.unwrap_or(options.send);
        Ask {
            path,
            before_session: head.into_bytes(),
            before_id,
            before_text: part().to_vec(),
            after_text: part().to_vec(),
            has_text: options.list.is_none(),
            expected: options.list.map_or(Expected::Text { words, length }, Expected::Tools),
        }
    }
}

impl Ask {
    /// Writes the request; `session`: the header lines of one.
    pub(crate) fn write(&self, session: &[u8], id: u64, out: &mut Vec<u8>) {
        let digits = digits(id);
        out.extend_from_slice(&self.before_session);
        out.extend_from_slice(session);
        out.extend_from_slice(&self.before_id);
        out.extend_from_slice(&digits);
        out.extend_from_slice(&self.before_text);
        if self.has_text {
            out.extend_from_slice(&digits);
            out.extend_from_slice(&self.after_text);
        }
    }
}

/// An id has always the same number of digits.
pub(crate) fn digits(id: u64) -> [u8; DIGITS] {
    let (mut digits, mut rest) = ([b'0'; DIGITS], id);
    for digit in digits.iter_mut().rev() {
        *digit += (rest % 10) as u8;
        rest /= 10;
    }
    digits
}

/// A request line and the fields that every request has; the empty line is missing.
fn head(method: &str, path: &str, options: &Options) -> String {
    let accept = if method == "GET" { "text/event-stream" } else { "application/json, text/event-stream" };
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\nAccept: {accept}\r\n", options.connect);
    if let Some(key) = &options.key {
        let _ = write!(head, "Authorization: Bearer {key}\r\n");
    }
    head
}

/// A request that opens or uses a session once: `session` are header lines.
pub(crate) fn single(method: &str, path: &str, session: &[u8], body: &str, options: &Options) -> Vec<u8> {
    let mut bytes = head(method, path, options).into_bytes();
    bytes.extend_from_slice(session);
    if method == "POST" {
        bytes.extend_from_slice(
            format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len()).as_bytes(),
        );
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(body.as_bytes());
    bytes
}

/// The header lines of a session.
pub(crate) fn session_fields(id: &str) -> Vec<u8> {
    format!("MCP-Protocol-Version: {LEGACY}\r\nMcp-Session-Id: {id}\r\n").into_bytes()
}

/// The metadata of a modern request, as one more member.
fn meta() -> String {
    format!(r#","_meta":{{"{VERSION_KEY}":"{MODERN}","{INFO_KEY}":{CLIENT},"{CAPABILITIES_KEY}":{{}}}}"#)
}

/// Brings them into an order that no cache could learn, always the same.
fn scatter(asks: &mut [Ask]) {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for left in (1..asks.len()).rev() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        asks.swap(left, (state % (left as u64 + 1)) as usize);
    }
}
