//! The servers: which one a path names, whose a session is, and what each method answers.

use sluice_load::protocol::MODERN;

use crate::call::Calls;
use crate::catalogue::Catalogue;
use crate::http::{Head, Method};
use crate::message::Message;
use crate::options::Options;
use crate::reply::{Form, Reply};
use crate::session::{NoSession, Sessions, agreed};

/// What every modern result has.
const COMPLETE: &str = r#""resultType":"complete","#;
/// What every server can.
const CAPABILITIES: &str = r#""capabilities":{"tools":{"listChanged":true}}"#;
/// How long modern lists may be kept: longer than any measurement.
const LIST_IS_GOOD: &str = r#","ttlMs":600000,"cacheScope":"public""#;

/// What becomes of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    /// The next request is read.
    Next,
    /// It is an event stream now.
    Stream,
    /// It ends once everything was written.
    End,
}

/// All servers of the process.
pub(crate) struct Servers {
    count: usize,
    catalogue: Catalogue,
    sessions: Sessions,
    calls: Calls,
    /// Whether calls are answered by events.
    pub sse: bool,
}

impl Servers {
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            count: options.servers,
            catalogue: Catalogue::new(options.tools, options.page),
            sessions: Sessions::default(),
            calls: Calls::new(options.fault),
            sse: options.sse,
        }
    }

    /// Answers one request over HTTP.
    pub(crate) fn answer(&mut self, head: &Head<'_>, body: &[u8], out: &mut Vec<u8>) -> After {
        let form = if self.sse { Form::Event } else { Form::Json };
        let mut reply = Reply { out, form };
        if head.path == "/count" {
            reply.form = Form::Json;
            reply.json("200 OK", None, &[self.calls.count().to_string().as_bytes()]);
            return After::Next;
        }
        let Some(server) = self.named(head.path) else {
            reply.empty("404 Not Found");
            return After::Next;
        };
        match head.method {
            Method::Post => self.post(server, head, body, &mut reply),
            Method::Get => self.stream(server, head, &mut reply),
            Method::Delete => self.end(server, head, &mut reply),
            Method::Other => {
                reply.empty("405 Method Not Allowed");
                After::Next
            }
        }
    }

    /// Answers one line: sessions and headers are HTTP's.
    pub(crate) fn answer_line(&mut self, line: &[u8], out: &mut Vec<u8>) {
        let mut reply = Reply { out, form: Form::Line };
        let Some(message) = Message::read(line) else {
            return reply.error("", None, -32700, "no message");
        };
        let Some(id) = message.id.map(|id| id.get()) else { return };
        if message.method == "initialize" {
            self.initialize(0, id, &message, &mut reply);
        } else {
            let is_modern = message.params.meta.version == Some(MODERN);
            self.request(0, id, &message, is_modern, &mut reply);
        }
    }

    /// The server in a path such as `/servers/s17/mcp`.
    fn named(&self, path: &str) -> Option<usize> {
        let number = path.strip_prefix("/servers/s")?.strip_suffix("/mcp")?;
        number.parse().ok().filter(|number| *number < self.count)
    }

    fn post(&mut self, server: usize, head: &Head<'_>, body: &[u8], reply: &mut Reply<'_>) -> After {
        if !head.is_json {
            reply.empty("415 Unsupported Media Type");
            return After::Next;
        }
        if !head.accepts_both {
            reply.empty("406 Not Acceptable");
            return After::Next;
        }
        let Some(message) = Message::read(body) else {
            reply.error("400 Bad Request", None, -32700, "no message");
            return After::Next;
        };
        let is_modern = head.version == Some(MODERN.as_bytes());
        let id = message.id.map(|id| id.get());
        if !is_modern && message.method == "initialize" {
            match id {
                Some(id) => self.initialize(server, id, &message, reply),
                None => reply.empty("400 Bad Request"),
            }
            return After::Next;
        }
        if is_modern {
            if let Err((code, text)) = agrees(head, &message) {
                reply.error("400 Bad Request", id, code, text);
                return After::Next;
            }
        } else if let Err(reason) = self.sessions.find(server, head.session, head.version) {
            refuse(reason, id, reply);
            return After::Next;
        }
        match id {
            Some(id) => self.request(server, id, &message, is_modern, reply),
            None => {
                reply.empty("202 Accepted");
                After::Next
            }
        }
    }

    fn stream(&mut self, server: usize, head: &Head<'_>, reply: &mut Reply<'_>) -> After {
        if !head.accepts_events {
            reply.empty("406 Not Acceptable");
            return After::Next;
        }
        match self.sessions.find(server, head.session, head.version) {
            Ok(_) => {
                reply.stream();
                After::Stream
            }
            Err(reason) => {
                refuse(reason, None, reply);
                After::Next
            }
        }
    }

    fn end(&mut self, server: usize, head: &Head<'_>, reply: &mut Reply<'_>) -> After {
        match self.sessions.find(server, head.session, head.version) {
            Ok(id) => {
                self.sessions.end(&id);
                reply.empty("200 OK");
            }
            Err(reason) => refuse(reason, None, reply),
        }
        After::Next
    }

    fn initialize(&mut self, server: usize, id: &str, message: &Message<'_>, reply: &mut Reply<'_>) {
        let version = agreed(message.params.version);
        let session = self.sessions.open(server, version);
        let about = format!(r#","protocolVersion":"{version}","serverInfo":{{"name":"s{server}","version":"1"}}"#);
        reply.result(id, Some(&session), &[CAPABILITIES.as_bytes(), about.as_bytes()]);
    }

    /// A request whose session or headers are as they must be.
    fn request(
        &mut self,
        server: usize,
        id: &str,
        message: &Message<'_>,
        modern: bool,
        reply: &mut Reply<'_>,
    ) -> After {
        let (before, after) = if modern { (COMPLETE, LIST_IS_GOOD) } else { ("", "") };
        match message.method {
            "tools/call" => {
                let name = message.params.name.unwrap_or_default();
                if name == "echo" || self.catalogue.has(name) {
                    return self.calls.answer(server, name, id, &message.params.arguments, before, reply);
                }
                reply.error("200 OK", Some(id), -32602, "Unknown tool");
            }
            "tools/list" => match self.catalogue.page(message.params.cursor) {
                Some(page) => reply.result(id, None, &[before.as_bytes(), page.as_bytes(), after.as_bytes()]),
                None => reply.error("200 OK", Some(id), -32602, "Unknown cursor"),
            },
            "ping" if !modern => reply.result(id, None, &[]),
            "server/discover" if modern => {
                let about = format!(
                    r#","supportedVersions":["{MODERN}"],"_meta":{{"io.modelcontextprotocol/serverInfo":{{"name":"s{server}","version":"1"}}}}"#
                );
                let members = [before, CAPABILITIES, &about, after].map(str::as_bytes);
                reply.result(id, None, &members);
            }
            _ => {
                let status = if modern { "404 Not Found" } else { "200 OK" };
                reply.error(status, Some(id), -32601, "Method not found");
            }
        }
        After::Next
    }
}

/// Whether the headers of a modern request say what its body says (2026-07-28 *Streamable HTTP*, *Standard headers*).
fn agrees(head: &Head<'_>, message: &Message<'_>) -> Result<(), (i32, &'static str)> {
    let name = if message.method == "tools/call" { message.params.name } else { None };
    if head.mcp_method != Some(message.method.as_bytes()) {
        return Err((-32020, "Mcp-Method is not the method"));
    }
    if name.is_some() && head.mcp_name != name.map(str::as_bytes) {
        return Err((-32020, "Mcp-Name is not the name"));
    }
    // notifications may come without metadata
    if message.id.is_some() {
        if message.params.meta.version != Some(MODERN) {
            return Err((-32020, "MCP-Protocol-Version is not the version in _meta"));
        }
        if message.params.meta.capabilities.is_none() {
            return Err((-32602, "_meta is not as it must be"));
        }
    }
    Ok(())
}

fn refuse(reason: NoSession, id: Option<&str>, reply: &mut Reply<'_>) {
    match reason {
        NoSession::Missing => reply.error("400 Bad Request", id, -32000, "Mcp-Session-Id is missing"),
        NoSession::Unknown => reply.error("404 Not Found", id, -32001, "Session not found"),
        NoSession::Version => reply.error("400 Bad Request", id, -32000, "MCP-Protocol-Version is not this session's"),
    }
}
