//! Answers in HTTP: replies of the path, refusals, and the header fields browsers ask for.

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Response, StatusCode};
use sluice_mcp::error_body;

use super::body::{Body, Inner};
use crate::exchange::call::{Content, Refusal, Reply};
use crate::reason::Reason;

/// A reply of the path.
pub(super) fn http(reply: Reply) -> Response<Body> {
    let mut response = match reply.content {
        Content::Empty => Response::new(Body::of(Inner::Full(Bytes::new()))),
        Content::Json(body) => json(reply.status, body),
        Content::Pieces { pieces, held } => {
            let mut response = Response::new(Body::pieces(pieces, held));
            response.headers_mut().insert(header::CONTENT_TYPE, JSON);
            response
        }
        Content::JsonStream(stream) => {
            let mut response = Response::new(Body::of(Inner::JsonStream(stream)));
            response.headers_mut().insert(header::CONTENT_TYPE, JSON);
            response
        }
        Content::Messages(relay) => events(Inner::Events(relay)),
    };
    *response.status_mut() = reply.status;
    if let Some(id) = reply.session.and_then(|id| HeaderValue::from_str(&id).ok()) {
        response.headers_mut().insert(sluice_mcp::header::SESSION_ID, id);
    }
    response
}

/// An event stream.
pub(super) fn events(stream: Inner) -> Response<Body> {
    let mut response = Response::new(Body::of(stream));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, no-transform"));
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    response
}

/// A message was taken; its answer comes by another way.
pub(super) fn accepted() -> Response<Body> {
    let mut response = Response::new(Body::full(Bytes::from_static(b"Accepted")));
    *response.status_mut() = StatusCode::ACCEPTED;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

const JSON: HeaderValue = HeaderValue::from_static("application/json");

pub(super) fn json(status: StatusCode, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::full(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, JSON);
    response
}

/// A refusal in HTTP: the table's status and code, the sentence, and what the status asks for beside it.
pub(super) fn refused(refusal: &Refusal) -> Response<Body> {
    let row = refusal.reason.row();
    let body = error_body(refusal.id.as_deref(), row.code, &refusal.reason.text(), refusal.reason.data().as_deref());
    let mut response = json(row.status, body.into());
    let headers = response.headers_mut();
    if let Some(seconds) = row.retry_after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    match refusal.reason {
        Reason::MethodNotAllowed(allow) => drop(headers.insert(header::ALLOW, HeaderValue::from_static(allow))),
        Reason::Unauthenticated => {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        Reason::NotWebSocket => {
            headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
            headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
            headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        }
        _ => {}
    }
    response
}

pub(super) fn preflight() -> Response<Body> {
    let mut response = Response::new(Body::of(Inner::Full(Bytes::new())));
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST, GET, DELETE, OPTIONS"));
    // a wildcard does not cover Authorization, so that is named; Mcp-Param-* are too many to name
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_HEADERS,
        HeaderValue::from_static(
            "*, Authorization, Content-Type, Accept, X-API-Key, Mcp-Session-Id, MCP-Protocol-Version, Mcp-Method, Mcp-Name, Last-Event-ID",
        ),
    );
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    response
}

pub(super) fn allow_origin(headers: &mut HeaderMap, origin: HeaderValue) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    headers.insert(
        header::ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static(
            "Mcp-Session-Id, MCP-Protocol-Version, Mcp-Method, Mcp-Name, Retry-After, WWW-Authenticate",
        ),
    );
}
