//! Answers in HTTP: replies of the path, refusals, and the header fields browsers ask for.

use std::borrow::Cow;

use bytes::Bytes;
use http::StatusCode;
use sluice_mcp::error_body;
use smallvec::SmallVec;

use super::body::{Body, Inner};
use super::request::{EVENTS, JSON};
use crate::exchange::call::{Content, Refusal, Reply};
use crate::exchange::handed::Handed;
use crate::exchange::relay::Attended;
use crate::reason::Reason;

/// An answer.
pub(super) struct Response {
    pub status: StatusCode,
    /// Beside what frames the body.
    pub headers: Headers,
    pub body: Body,
}

/// The header fields of an answer: names and values we wrote ourselves, or that came as header fields.
pub(super) type Headers = SmallVec<[(&'static str, Cow<'static, str>); 1]>;

impl Response {
    pub(super) fn new(status: StatusCode, body: Body) -> Self {
        Self { status, headers: Headers::new(), body }
    }

    /// Without a body.
    pub(super) fn empty(status: StatusCode) -> Self {
        Self::new(status, Body::full(Bytes::new()))
    }

    /// With what a refused client is told to do about it, if there is something.
    pub(super) fn challenged(self, challenge: Option<String>) -> Self {
        match challenge {
            Some(challenge) => self.with("www-authenticate", challenge),
            None => self,
        }
    }

    /// As a HEAD is answered: with the length of the content, and without it (RFC 9110 section 9.3.2).
    pub(super) fn without_body(self) -> Self {
        let length = self.body.whole();
        let empty = Self { body: Body::full(Bytes::new()), ..self };
        match length {
            Some(length) => empty.with("content-length", length.to_string()),
            None => empty,
        }
    }

    /// With one more header field.
    pub(super) fn with(mut self, name: &'static str, value: impl Into<Cow<'static, str>>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

const CONTENT_TYPE: &str = "content-type";

/// A reply of the path.
pub(super) fn http(reply: Reply) -> Response {
    let status = reply.status;
    let typed = |body, kind| Response::new(status, body).with(CONTENT_TYPE, kind);
    let response = match reply.content {
        Content::Empty => Response::empty(status),
        Content::Json(body) => typed(Body::full(body), JSON),
        Content::Pieces(pieces) => typed(Body::pieces(pieces), JSON),
        Content::JsonStream(stream) => typed(Body::of(Inner::JsonStream(stream)), JSON),
        Content::Messages(relay) => Response { status, ..events(Inner::Events(Attended::new(relay))) },
        Content::Batch(batch) => events(Inner::Batch(batch)),
        Content::Handed(handed) => return handed_on(status, handed),
    };
    let response = match reply.retry_after {
        Some(seconds) => response.with("retry-after", seconds.to_string()),
        None => response,
    };
    match reply.session {
        Some(id) => response.with(sluice_mcp::header::SESSION_ID, id),
        None => response,
    }
}

/// What another node answered.
fn handed_on(status: StatusCode, mut handed: Box<Handed>) -> Response {
    let headers = std::mem::take(&mut handed.headers);
    let body = match handed.take_whole() {
        Some(whole) => Body::full(whole),
        None => Body::of(Inner::Handed(handed)),
    };
    headers.into_iter().fold(Response::new(status, body), |response, (name, value)| response.with(name, value))
}

/// An event stream.
pub(super) fn events(stream: Inner) -> Response {
    Response::new(StatusCode::OK, Body::of(stream))
        .with(CONTENT_TYPE, EVENTS)
        .with("cache-control", "no-cache, no-transform")
        .with("x-accel-buffering", "no")
}

/// A message was taken; its answer comes by another way.
pub(super) fn accepted() -> Response {
    text(StatusCode::ACCEPTED, "text/plain; charset=utf-8", Bytes::from_static(b"Accepted"))
}

pub(super) fn json(status: StatusCode, body: Bytes) -> Response {
    text(status, JSON, body)
}

/// A whole body of that type.
pub(super) fn text(status: StatusCode, kind: &'static str, body: Bytes) -> Response {
    Response::new(status, Body::full(body)).with(CONTENT_TYPE, kind)
}

/// A refusal in HTTP: the table's status and code, the sentence, and what the status asks for beside it.
pub(super) fn refused(refusal: &Refusal) -> Response {
    let row = refusal.reason.row();
    let body = error_body(refusal.id.as_deref(), row.code, &refusal.reason.text(), refusal.reason.data().as_deref());
    let response = json(row.status, body.into());
    let response = match row.retry_after {
        Some(seconds) => response.with("retry-after", seconds.to_string()),
        None => response,
    };
    match refusal.reason {
        // that one is taken at every path (RFC 9110 section 9.3.7)
        Reason::MethodNotAllowed(allow) => response.with("allow", format!("{allow}, OPTIONS")),
        Reason::NotWebSocket => {
            response.with("upgrade", "websocket").with("connection", "Upgrade").with("sec-websocket-version", "13")
        }
        _ => response,
    }
}

/// What a path takes, for who asks so outside a web page (RFC 9110 section 9.3.7).
pub(super) fn options(allow: &'static str) -> Response {
    Response::empty(StatusCode::NO_CONTENT).with("allow", allow)
}

pub(super) fn preflight() -> Response {
    Response::empty(StatusCode::NO_CONTENT)
        .with("access-control-allow-methods", "POST, GET, DELETE, OPTIONS")
        // a wildcard does not cover Authorization, so that is named; Mcp-Param-* are too many to name
        .with(
            "access-control-allow-headers",
            "*, Authorization, Content-Type, Accept, X-API-Key, Mcp-Session-Id, MCP-Protocol-Version, Mcp-Method, Mcp-Name, Last-Event-ID",
        )
        .with("access-control-max-age", "600")
}

/// What a browser needs to show an answer to a page of that origin.
pub(super) fn allow_origin(response: Response, origin: String) -> Response {
    response.with("access-control-allow-origin", origin).with("vary", "Origin").with(
        "access-control-expose-headers",
        "Mcp-Session-Id, MCP-Protocol-Version, Mcp-Method, Mcp-Name, Retry-After, WWW-Authenticate",
    )
}
