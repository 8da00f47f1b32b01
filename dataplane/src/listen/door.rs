//! The HTTP door: which path, who comes, what is asked; then the path of the call; then the answer in HTTP.

use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Method as Verb, Request, Response, StatusCode};
use http_body::Body as _;
use hyper::body::Incoming;
use sluice_mcp::error_body;

use super::body::{Body, Inner};
use crate::auth::origin::Rules;
use crate::budget::Held;
use crate::exchange::call::{Call, Content, Refusal, Reply, Scope};
use crate::exchange::record::Record;
use crate::exchange::{delete, get, post};
use crate::limit;
use crate::node::Worker;
use crate::observe::metrics::Levels;
use crate::plane::Plane;
use crate::reason::Reason;

/// Where a request comes from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer {
    pub address: IpAddr,
    /// The listener is bound to a loopback address.
    pub loopback: bool,
    pub tls: bool,
}

/// Where a path leads.
enum Path {
    /// An MCP door, or why there is none.
    Mcp(Result<Scope, Reason>),
    Health,
    Metrics,
}

fn path(path: &str, plane: &Plane) -> Path {
    if let Some(rest) = path.strip_prefix("/servers/") {
        let name = rest.strip_suffix("/mcp").or_else(|| rest.strip_suffix("/mcp/"));
        let name = name.filter(|name| !name.is_empty() && !name.contains('/'));
        return Path::Mcp(
            name.ok_or(Reason::NoSuchDoor)
                .and_then(|n| plane.server(n).cloned().ok_or(Reason::UnknownServer))
                .map(Scope::Server),
        );
    }
    match path {
        "/mcp" | "/mcp/" => Path::Mcp(Ok(Scope::Merged)),
        "/health" => Path::Health,
        _ if plane.snapshot.monitoring.metrics_path.as_deref() == Some(path) => Path::Metrics,
        _ => Path::Mcp(Err(Reason::NoSuchDoor)),
    }
}

/// Answers one HTTP request.
pub(crate) async fn answer(worker: &Rc<Worker>, peer: Peer, request: Request<Incoming>) -> Response<Body> {
    let plane = worker.plane();
    let (parts, body) = request.into_parts();
    let mut unread = body;
    let mut record = Record::begin(worker, plane.snapshot.monitoring.access_log);
    let admitted = admit_host(&plane.rules, peer, &parts).map(|origin| origin.cloned());
    let origin = admitted.as_ref().ok().cloned().flatten();
    let door = admitted.map(|_| path(parts.uri.path(), &plane));
    let mut response = match door {
        Err(reason) => {
            record.fail(&reason);
            refused(&Refusal::from(reason))
        }
        Ok(Path::Health) => {
            record.other_method = Some("GET /health".to_owned());
            health(worker, &plane, record)
        }
        Ok(Path::Metrics) => {
            record.other_method = Some("GET /metrics".to_owned());
            metrics(worker, &plane, record)
        }
        Ok(Path::Mcp(door)) => {
            if parts.method == Verb::OPTIONS && origin.is_some() {
                record.outcome = "ok";
                preflight()
            } else {
                match call(worker, &plane, peer, door, parts, &mut unread, record).await {
                    Ok(reply) => http(reply),
                    Err(refusal) => refused(&refusal),
                }
            }
        }
    };
    if let Some(origin) = origin {
        allow_origin(response.headers_mut(), origin);
    }
    if !unread.is_end_stream() {
        tokio::task::spawn_local(discard(unread));
    }
    response
}

fn admit_host<'p>(
    rules: &Rules,
    peer: Peer,
    parts: &'p http::request::Parts,
) -> Result<Option<&'p HeaderValue>, Reason> {
    rules.check_host(&parts.uri, &parts.headers, peer.loopback)?;
    rules.check_origin(&parts.uri, &parts.headers, peer.tls)
}

/// Authenticates and admits a request, reads its body, and sends it down the path.
async fn call(
    worker: &Rc<Worker>,
    plane: &Arc<Plane>,
    peer: Peer,
    door: Result<Scope, Reason>,
    parts: http::request::Parts,
    body: &mut Incoming,
    mut record: Record,
) -> Result<Reply, Refusal> {
    let admitted = (|| {
        let required = plane.snapshot.access.required;
        let principal = plane.known.authenticate(required, peer.address, &parts.headers)?.clone();
        record.principal = Some(Arc::clone(&principal.name));
        let scope = door?;
        if let Scope::Server(upstream) = &scope {
            record.upstream = Some(Arc::clone(upstream));
        }
        let account = worker.node.quotas.account(principal.id);
        let ticket = worker.node.quotas.admit(&account, &plane.snapshot.limits, Instant::now())?;
        Ok((principal, scope, account, ticket))
    })();
    let (principal, scope, account, ticket) = match admitted {
        Ok(admitted) => admitted,
        Err(reason) => {
            record.fail(&reason);
            return Err(reason.into());
        }
    };
    let read = match parts.method {
        Verb::POST => match check_post(&parts.headers) {
            Ok(()) => read(worker, plane.snapshot.limits.body_bytes, &parts.headers, body).await.map(Some),
            Err(reason) => Err(reason),
        },
        Verb::GET if !accepts(&parts.headers, "text/event-stream") => Err(Reason::NotAcceptable("text/event-stream")),
        Verb::GET | Verb::DELETE => Ok(None),
        _ => Err(Reason::MethodNotAllowed("POST, GET, DELETE")),
    };
    let read = match read {
        Ok(read) => read,
        Err(reason) => {
            record.fail(&reason);
            return Err(reason.into());
        }
    };
    let call = Call {
        plane: Arc::clone(plane),
        naming: scope.naming(plane),
        upstream: scope,
        principal,
        account,
        headers: parts.headers,
        synthesized: false,
        record,
        ticket,
    };
    match read {
        Some((body, held)) => post(worker, call, body, held).await,
        None if parts.method == Verb::GET => Box::pin(get(worker, call)).await,
        None => Box::pin(delete(worker, call)).await,
    }
}

/// What a POST must declare: a JSON body, and that both forms of an answer can be read (*Sending Messages*).
fn check_post(headers: &HeaderMap) -> Result<(), Reason> {
    let kind = headers.get(header::CONTENT_TYPE).map(|v| v.as_bytes()).unwrap_or_default();
    let kind = kind.split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
    if !kind.eq_ignore_ascii_case(b"application/json") || headers.contains_key(header::CONTENT_ENCODING) {
        return Err(Reason::MediaType);
    }
    if !accepts(headers, "application/json") || !accepts(headers, "text/event-stream") {
        return Err(Reason::NotAcceptable("application/json and text/event-stream"));
    }
    Ok(())
}

/// Whether the Accept header lists a media type, itself or by a wildcard.
fn accepts(headers: &HeaderMap, wanted: &str) -> bool {
    let family = wanted.split('/').next().unwrap_or_default();
    headers.get_all(header::ACCEPT).iter().filter_map(|v| v.to_str().ok()).flat_map(|v| v.split(',')).any(|range| {
        let range = range.split(';').next().unwrap_or_default().trim();
        range.eq_ignore_ascii_case(wanted)
            || range == "*/*"
            || range.strip_suffix("/*").is_some_and(|f| f.eq_ignore_ascii_case(family))
    })
}

/// Reads a body, bounded in size, time and in what the node holds at once.
async fn read(
    worker: &Worker,
    limit: usize,
    headers: &HeaderMap,
    body: &mut Incoming,
) -> Result<(Bytes, Held), Reason> {
    let declared = headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()).and_then(|v| v.parse().ok());
    if declared.is_some_and(|length: u64| length > limit as u64) {
        return Err(Reason::BodyTooLarge { limit });
    }
    let mut held = worker.node.hold(declared.unwrap_or(0) as usize)?;
    let deadline = Instant::now() + limit::BODY_READ;
    let mut whole = Bytes::new();
    let mut more = BytesMut::new();
    loop {
        let next = std::future::poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx));
        let pause = limit::BODY_PAUSE.min(deadline.saturating_duration_since(Instant::now()));
        let frame = match tokio::time::timeout(pause, next).await {
            Err(_) => return Err(Reason::BodyTooSlow),
            Ok(None) => break,
            Ok(Some(Err(_))) => return Err(Reason::BodyBroken),
            Ok(Some(Ok(frame))) => frame,
        };
        let Ok(data) = frame.into_data() else { continue };
        let length = whole.len() + more.len() + data.len();
        if length > limit {
            return Err(Reason::BodyTooLarge { limit });
        }
        if declared.is_none() {
            held = worker.node.hold(length)?;
        }
        if whole.is_empty() && more.is_empty() {
            whole = data;
        } else {
            if more.is_empty() {
                more.reserve(declared.map_or(length, |d| d as usize));
                more.extend_from_slice(&std::mem::take(&mut whole));
            }
            more.extend_from_slice(&data);
        }
        if body.is_end_stream() {
            break;
        }
    }
    Ok((if more.is_empty() { whole } else { more.freeze() }, held))
}

/// Reads on for a moment what was refused unread and throws it away, so that the client can read why: closing at once
/// could reset the connection under the answer.
async fn discard(mut body: Incoming) {
    let mut left = limit::DISCARD_BYTES;
    let reading = async {
        while let Some(Ok(frame)) = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            match left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) {
                Some(rest) => left = rest,
                None => return,
            }
        }
    };
    let _ = tokio::time::timeout(limit::DISCARD, reading).await;
}

/// `/health` says only ok or degraded, and counts; names need a key or the admin port.
fn health(worker: &Worker, plane: &Plane, mut record: Record) -> Response<Body> {
    record.outcome = "ok";
    let down = plane.servers().filter(|u| u.is_down()).count();
    let body = serde_json::json!({
        "status": if down == 0 { "ok" } else { "degraded" },
        "servers": plane.snapshot.servers.len(),
        "servers_down": down,
        "sessions": worker.node.sessions.len(),
    });
    json(StatusCode::OK, body.to_string().into())
}

fn metrics(worker: &Worker, plane: &Plane, mut record: Record) -> Response<Body> {
    record.outcome = "ok";
    let text = render_metrics(worker.node.as_ref(), plane);
    let mut response = Response::new(Body::full(text.into()));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"));
    response
}

/// The metrics of a node, as both doors show them.
pub(crate) fn render_metrics(node: &crate::node::Node, plane: &Plane) -> String {
    let up = plane.servers().map(|u| (Arc::clone(u.name()), !u.is_down())).collect();
    node.metrics.render(&Levels { up, sessions: node.sessions.len(), revision: plane.snapshot.revision })
}

fn http(reply: Reply) -> Response<Body> {
    let mut response = match reply.content {
        Content::Empty => Response::new(Body::of(Inner::Full(Bytes::new()))),
        Content::Json(body) => json(reply.status, body),
        Content::Pieces(pieces) => {
            let mut response = Response::new(Body::pieces(pieces));
            response.headers_mut().insert(header::CONTENT_TYPE, JSON);
            response
        }
        Content::JsonStream(stream) => {
            let mut response = Response::new(Body::of(Inner::JsonStream(stream)));
            response.headers_mut().insert(header::CONTENT_TYPE, JSON);
            response
        }
        Content::Messages(relay) => {
            let mut response = Response::new(Body::of(Inner::Events(relay)));
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, no-transform"));
            headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
            response
        }
    };
    *response.status_mut() = reply.status;
    if let Some(id) = reply.session.and_then(|id| HeaderValue::from_str(&id).ok()) {
        response.headers_mut().insert(sluice_mcp::header::SESSION_ID, id);
    }
    response
}

const JSON: HeaderValue = HeaderValue::from_static("application/json");

fn json(status: StatusCode, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::full(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, JSON);
    response
}

/// A refusal in HTTP: the table's status and code, the sentence, and what the status asks for beside it.
fn refused(refusal: &Refusal) -> Response<Body> {
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
        _ => {}
    }
    response
}

fn preflight() -> Response<Body> {
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

fn allow_origin(headers: &mut HeaderMap, origin: HeaderValue) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    headers.insert(
        header::ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static(
            "Mcp-Session-Id, MCP-Protocol-Version, Mcp-Method, Mcp-Name, Retry-After, WWW-Authenticate",
        ),
    );
}
