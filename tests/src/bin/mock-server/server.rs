//! The servers: which one a path names, whose a session is, and what each method answers.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use sluice_tests::message::{CAPABILITIES_KEY, LEGACY, MODERN};

use crate::answer::{Answer, empty, error, result, silence};
use crate::message::Message;
use crate::tools::Tools;

const SESSION: &str = "mcp-session-id";
/// What every modern result has.
const COMPLETE: &str = r#""resultType":"complete","#;
/// What every server can.
const CAPABILITIES: &str = r#""capabilities":{"tools":{"listChanged":true}}"#;
/// Where a modern result says who gave it.
const SERVER_KEY: &str = "io.modelcontextprotocol/serverInfo";
/// How long modern lists may be kept: longer than any measurement.
const LIST_IS_GOOD: &str = r#","ttlMs":600000,"cacheScope":"public""#;
/// Bytes of text in the answer to a call.
const TEXT: usize = 200;

/// Why a request belongs to no session (2025-11-25 *Session Management*).
enum NoSession {
    Missing,
    Unknown,
}

impl NoSession {
    fn answer(self) -> Answer {
        match self {
            Self::Missing => error(StatusCode::BAD_REQUEST, None, -32000, "Bad Request: Mcp-Session-Id is missing"),
            Self::Unknown => error(StatusCode::NOT_FOUND, None, -32001, "Session not found"),
        }
    }
}

/// All servers of the process.
pub(crate) struct Servers {
    count: usize,
    tools: Tools,
    streams: bool,
    /// The server of each open session.
    sessions: RefCell<HashMap<String, usize>>,
    opened: Cell<u64>,
}

impl Servers {
    pub(crate) fn new(count: usize, tools: usize, streams: bool) -> Self {
        let tools = Tools::new(tools);
        Self { count, tools, streams, sessions: RefCell::default(), opened: Cell::default() }
    }

    /// Answers one request.
    ///
    /// # Errors
    /// When the client breaks off within its body.
    pub(crate) async fn answer(&self, request: Request<Incoming>) -> Result<Answer, hyper::Error> {
        let (head, body) = request.into_parts();
        let Some(server) = self.named(head.uri.path()) else { return Ok(empty(StatusCode::NOT_FOUND)) };
        Ok(match head.method {
            Method::POST => self.post(server, &head.headers, &body.collect().await?.to_bytes()),
            Method::GET => self.stream(server, &head.headers).unwrap_or_else(NoSession::answer),
            Method::DELETE => self.end(server, &head.headers).unwrap_or_else(NoSession::answer),
            _ => empty(StatusCode::METHOD_NOT_ALLOWED),
        })
    }

    fn post(&self, server: usize, headers: &HeaderMap, body: &[u8]) -> Answer {
        let Some(message) = Message::read(body) else {
            return error(StatusCode::BAD_REQUEST, None, -32700, "no message");
        };
        if headers.get("mcp-protocol-version").is_some_and(|version| version == MODERN) {
            return self.modern(server, headers, &message);
        }
        if message.method == "initialize" {
            return self.initialize(server, &message);
        }
        self.legacy(server, headers, &message).unwrap_or_else(NoSession::answer)
    }

    fn stream(&self, server: usize, headers: &HeaderMap) -> Result<Answer, NoSession> {
        self.session_of(server, headers)?;
        Ok(if self.streams { silence() } else { empty(StatusCode::METHOD_NOT_ALLOWED) })
    }

    fn end(&self, server: usize, headers: &HeaderMap) -> Result<Answer, NoSession> {
        let session = self.session_of(server, headers)?;
        self.sessions.borrow_mut().remove(session);
        Ok(empty(StatusCode::OK))
    }

    /// The server in a path such as `/s17/mcp`.
    fn named(&self, path: &str) -> Option<usize> {
        let number = path.strip_prefix("/s")?.strip_suffix("/mcp")?;
        number.parse().ok().filter(|number| *number < self.count)
    }

    /// The session a request names, if it is this server's.
    fn session_of<'h>(&self, server: usize, headers: &'h HeaderMap) -> Result<&'h str, NoSession> {
        let session = headers.get(SESSION).and_then(|session| session.to_str().ok()).ok_or(NoSession::Missing)?;
        let whose = self.sessions.borrow().get(session).copied();
        whose.filter(|whose| *whose == server).map(|_| session).ok_or(NoSession::Unknown)
    }

    /// A message inside a session.
    fn legacy(&self, server: usize, headers: &HeaderMap, message: &Message) -> Result<Answer, NoSession> {
        self.session_of(server, headers)?;
        let Some(id) = message.id else { return Ok(empty(StatusCode::ACCEPTED)) };
        Ok(match message.method {
            "ping" => result(id, &[]),
            "tools/list" => self.list(id, message, "", ""),
            "tools/call" => self.call(server, id, message, ""),
            _ => error(StatusCode::OK, Some(id), -32601, "Method not found"),
        })
    }

    fn initialize(&self, server: usize, message: &Message) -> Answer {
        let Some(id) = message.id else { return empty(StatusCode::BAD_REQUEST) };
        let asked = message.text("protocolVersion").unwrap_or_default();
        // a legacy revision there is, or the newest
        let version = if asked.starts_with("2024-") || asked.starts_with("2025-") { asked } else { LEGACY };
        let opened = self.opened.get();
        self.opened.set(opened + 1);
        // as long as the ids of real servers
        let session = format!("{opened:08x}-0000-4000-8000-{server:012x}");
        let Ok(header) = HeaderValue::from_str(&session) else { return empty(StatusCode::INTERNAL_SERVER_ERROR) };
        self.sessions.borrow_mut().insert(session, server);
        let about = format!(r#","protocolVersion":"{version}","serverInfo":{{"name":"s{server}","version":"1"}}"#);
        let mut answer = result(id, &[CAPABILITIES, &about]);
        answer.headers_mut().insert(SESSION, header);
        answer
    }

    fn modern(&self, server: usize, headers: &HeaderMap, message: &Message) -> Answer {
        let Some(id) = message.id else { return empty(StatusCode::ACCEPTED) };
        let mirrors = |name: &str, value: &str| headers.get(name).is_some_and(|header| header == value);
        let name = (message.method == "tools/call").then(|| message.text("name").unwrap_or_default());
        if !mirrors("mcp-method", message.method) || name.is_some_and(|name| !mirrors("mcp-name", name)) {
            return error(StatusCode::BAD_REQUEST, Some(id), -32020, "Header mismatch");
        }
        if !message.meta_has(CAPABILITIES_KEY) {
            return error(StatusCode::BAD_REQUEST, Some(id), -32602, "_meta is not as it must be");
        }
        match message.method {
            "server/discover" => {
                let versions = format!(r#","supportedVersions":["{MODERN}"]"#);
                let info = format!(r#","_meta":{{"{SERVER_KEY}":{{"name":"s{server}","version":"1"}}}}"#);
                result(id, &[COMPLETE, CAPABILITIES, &versions, &info, LIST_IS_GOOD])
            }
            "tools/list" => self.list(id, message, COMPLETE, LIST_IS_GOOD),
            "tools/call" => self.call(server, id, message, COMPLETE),
            _ => error(StatusCode::NOT_FOUND, Some(id), -32601, "Method not found"),
        }
    }

    fn list(&self, id: &str, message: &Message, before: &str, after: &str) -> Answer {
        match self.tools.page(message.text("cursor")) {
            Some(page) => result(id, &[before, page, after]),
            None => error(StatusCode::OK, Some(id), -32602, "Unknown cursor"),
        }
    }

    fn call(&self, server: usize, id: &str, message: &Message, before: &str) -> Answer {
        let Some(tool) = message.text("name").filter(|name| self.tools.has(name)) else {
            return error(StatusCode::OK, Some(id), -32602, "Unknown tool");
        };
        let text = format!("s{server} {tool} ");
        let content = format!(r#""content":[{{"type":"text","text":"{text:x<TEXT$}"}}],"isError":false"#);
        result(id, &[before, &content])
    }
}
