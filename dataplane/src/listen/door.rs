//! The HTTP door: which path, who comes, what is asked; then the path of the call; then the answer in HTTP.

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use http::header::{self, HeaderValue};
use http::{HeaderMap, Method as Verb, Request, Response, StatusCode};
use http_body::Body as _;
use hyper::body::Incoming;

use super::body::{Body, Inner};
use super::mailbox::Mailboxes;
use super::path::{self, Door, Path};
use super::request::{accepts, check_post, discard, read};
use super::response::{accepted, allow_origin, events, http, json, preflight, refused};
use super::{sse, websocket};
use crate::auth::Principal;
use crate::auth::origin::Rules;
use crate::auth::quota::{Account, Ticket};
use crate::exchange::call::{Call, Refusal, Scope};
use crate::exchange::record::Record;
use crate::exchange::{delete, get, post};
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

/// What one worker's doors work with.
pub(crate) struct House {
    pub worker: Rc<Worker>,
    pub mailboxes: Arc<Mailboxes>,
}

/// Who came in, and where to.
pub(super) struct Guest {
    pub plane: Arc<Plane>,
    pub principal: Principal,
    pub account: Arc<Account>,
    pub scope: Scope,
    pub ticket: Ticket,
    pub record: Record,
}

/// An answer, and what the connection becomes after it.
pub(super) struct Answer {
    pub response: Response<Body>,
    pub upgrade: Option<websocket::Upgrade>,
}

impl From<Response<Body>> for Answer {
    fn from(response: Response<Body>) -> Self {
        Self { response, upgrade: None }
    }
}

/// Answers one HTTP request.
pub(super) async fn answer(house: &House, peer: Peer, request: Request<Incoming>) -> Answer {
    let plane = house.worker.plane();
    let (mut parts, body) = request.into_parts();
    let mut unread = body;
    let mut record = Record::begin(&house.worker, plane.snapshot.monitoring.access_log);
    let admitted = admit_host(&plane.rules, peer, &parts).map(|origin| origin.cloned());
    let origin = admitted.as_ref().ok().cloned().flatten();
    let mut answer: Answer = match admitted.map(|_| path::find(parts.uri.path(), &plane)) {
        Err(reason) => {
            record.fail(&reason);
            refused(&Refusal::from(reason)).into()
        }
        Ok(Path::Health) => {
            record.other_method = Some("GET /health".to_owned());
            health(&house.worker, &plane, record).into()
        }
        Ok(Path::Metrics) => {
            record.other_method = Some("GET /metrics".to_owned());
            metrics(&house.worker, &plane, record).into()
        }
        Ok(Path::Door(_, _)) if parts.method == Verb::OPTIONS && origin.is_some() => {
            record.outcome = "ok";
            preflight().into()
        }
        Ok(Path::Door(door, scope)) => {
            if door == Door::WebSocket {
                websocket::handshake::take_key(&mut parts.headers);
            }
            let through = match admit(&house.worker, plane, peer, scope, &parts.headers, record) {
                Ok(guest) => through(house, door, guest, parts, &mut unread).await,
                Err(reason) => Err(reason.into()),
            };
            through.unwrap_or_else(|refusal| refused(&refusal).into())
        }
    };
    if let Some(origin) = origin {
        allow_origin(answer.response.headers_mut(), origin);
    }
    if !unread.is_end_stream() {
        tokio::task::spawn_local(discard(unread));
    }
    answer
}

fn admit_host<'p>(
    rules: &Rules,
    peer: Peer,
    parts: &'p http::request::Parts,
) -> Result<Option<&'p HeaderValue>, Reason> {
    rules.check_host(&parts.uri, &parts.headers, peer.loopback)?;
    rules.check_origin(&parts.uri, &parts.headers, peer.tls)
}

/// Authenticates a request and takes its place among its principal's.
fn admit(
    worker: &Worker,
    plane: Arc<Plane>,
    peer: Peer,
    scope: Result<Scope, Reason>,
    headers: &HeaderMap,
    mut record: Record,
) -> Result<Guest, Reason> {
    let admitted = (|| {
        let required = plane.snapshot.access.required;
        let principal = plane.known.authenticate(required, peer.address, headers)?.clone();
        record.principal = Some(Arc::clone(&principal.name));
        let scope = scope?;
        if let Scope::Server(upstream) = &scope {
            record.upstream = Some(Arc::clone(upstream));
        }
        let account = worker.node.quotas.account(principal.id);
        let ticket = worker.node.quotas.admit(&account, &plane.snapshot.limits, Instant::now())?;
        Ok((principal, scope, account, ticket))
    })();
    match admitted {
        Ok((principal, scope, account, ticket)) => Ok(Guest { plane, principal, account, scope, ticket, record }),
        Err(reason) => {
            record.fail(&reason);
            Err(reason)
        }
    }
}

/// Lets a guest through a door.
async fn through(
    house: &House,
    door: Door,
    guest: Guest,
    parts: http::request::Parts,
    body: &mut Incoming,
) -> Result<Answer, Refusal> {
    match door {
        Door::Mcp => mcp(&house.worker, guest, parts, body).await.map(Answer::from),
        Door::Sse => sse::open(house, guest, &parts).map(|stream| events(Inner::Pipe(Box::new(stream))).into()),
        Door::Messages => Box::pin(sse::deliver(house, guest, &parts, body)).await.map(|()| accepted().into()),
        Door::WebSocket => websocket::upgrade(&house.worker, guest, &parts),
    }
}

/// Streamable HTTP: reads the body where there is one, and sends the call down the path.
async fn mcp(
    worker: &Rc<Worker>,
    guest: Guest,
    parts: http::request::Parts,
    body: &mut Incoming,
) -> Result<Response<Body>, Refusal> {
    let Guest { plane, principal, account, scope, ticket, mut record } = guest;
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
        naming: scope.naming(&plane),
        plane,
        upstream: scope,
        principal,
        account,
        headers: parts.headers,
        synthesized: false,
        record,
        ticket,
    };
    let reply = match read {
        Some((body, held)) => post(worker, call, body, held).await,
        None if parts.method == Verb::GET => Box::pin(get(worker, call)).await,
        None => Box::pin(delete(worker, call)).await,
    };
    reply.map(http)
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
