//! The HTTP door: which path, who comes, what is asked; then the path of the call; then the answer in HTTP.

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use http::{Method as Verb, StatusCode};
use sluice_http1::Fields;

use super::berth::Berths;
use super::body::Inner;
use super::mailbox::Mailboxes;
use super::path::{self, Door, Path};
use super::received::Received;
use super::request::{EVENTS, Head, Request, accepts, check_post, read};
use super::response::{Response, allow_origin, events, http, json, options, preflight, refused, text};
use super::{sse, websocket};
use crate::auth::Principal;
use crate::auth::certificate::Certificate;
use crate::auth::challenge::challenge;
use crate::auth::known::{Asking, Refused};
use crate::auth::origin::Rules;
use crate::auth::resource::{Approach, Resource, metadata};
use crate::auth::shares::Via;
use crate::exchange::call::{Base, Call, Refusal, Scope};
use crate::exchange::permission::out_of_reach;
use crate::exchange::record::Record;
use crate::exchange::{delete, get, post};
use crate::node::Worker;
use crate::observe::metrics::Levels;
use crate::plane::Plane;
use crate::reason::Reason;

/// Where a request comes from.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    pub address: IpAddr,
    /// The listener is bound to a loopback address.
    pub loopback: bool,
    /// Its port.
    pub port: u16,
    pub tls: bool,
    /// What the client showed when the connection was made (mutual TLS).
    pub certificate: Option<Arc<Certificate>>,
}

impl Peer {
    fn approach<'r>(&self, host: Option<&'r str>, path: &'r str) -> Approach<'r> {
        Approach { host, path, tls: self.tls, loopback: self.loopback, port: self.port }
    }
}

/// What one worker's doors work with.
pub(crate) struct House {
    pub worker: Rc<Worker>,
    pub mailboxes: Arc<Mailboxes>,
    pub berths: Arc<Berths>,
}

/// Who came in, and where to.
pub(super) struct Guest {
    pub scope: Scope,
    pub base: Box<Base>,
}

/// An answer, and what the connection becomes after it.
pub(super) struct Answer {
    pub response: Response,
    pub upgrade: Option<Box<websocket::Upgrade>>,
}

impl From<Response> for Answer {
    fn from(response: Response) -> Self {
        Self { response, upgrade: None }
    }
}

/// Answers one HTTP request. What it leaves unread of the body is the connection's to read on.
pub(super) async fn answer(house: &House, peer: &Peer, request: &mut Request) -> Answer {
    let plane = house.worker.plane();
    let Request { head, body } = request;
    let mut record = Record::begin(&house.worker, &plane);
    let admitted = admit_host(&plane.rules, peer, head).map(|origin| origin.map(str::to_owned));
    let origin = admitted.as_ref().ok().cloned().flatten();
    // kept for who is refused on the way, where the fields are gone
    let host = if plane.known.has_issuers() { named_host(head).map(str::to_owned) } else { None };
    let answer: Answer = match admitted.map(|_| path::find(head.target.path(), &plane)) {
        Err(reason) => {
            record.stranger = Some(peer.address);
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
        Ok(Path::Door(_, _) | Path::Resource(_)) if head.verb == Verb::OPTIONS && origin.is_some() => {
            record.outcome = "ok";
            preflight().into()
        }
        Ok(Path::Door(door, scope)) if head.verb == Verb::OPTIONS && !matches!(scope, Err(Reason::NoSuchDoor)) => {
            record.outcome = "ok";
            options(door.allow()).into()
        }
        Ok(Path::Resource(_)) if head.verb == Verb::OPTIONS => {
            record.outcome = "ok";
            options("GET, HEAD, OPTIONS").into()
        }
        Ok(Path::Resource(path)) => {
            record.other_method = Some("GET /.well-known/oauth-protected-resource".to_owned());
            resource(&plane, plane.known.resource(peer.approach(host.as_deref(), &path)), head, record).into()
        }
        Ok(Path::Door(door, scope)) => {
            if door == Door::WebSocket {
                websocket::handshake::take_key(&mut head.headers);
            }
            let approach = peer.approach(host.as_deref(), head.target.path());
            let through = match admit(&house.worker, &plane, peer, approach, scope, &head.headers, record).await {
                Ok(guest) => match door {
                    Door::Mcp => mcp(&house.worker, guest, head, body).await.map(Answer::from),
                    Door::Sse => {
                        sse::open(house, guest, head).map(|stream| events(Inner::Pipe(Box::new(stream))).into())
                    }
                    // boxed: each call's future would otherwise have room for it
                    Door::Messages => Box::pin(sse::deliver(house, guest, head, body)).await.map(Answer::from),
                    Door::WebSocket => Box::pin(websocket::upgrade(house, guest, head)).await,
                },
                Err(reason) => Err(reason.into()),
            };
            through.unwrap_or_else(|refusal| {
                let asked = plane.known.resource(peer.approach(host.as_deref(), head.target.path()));
                refused(&refusal).challenged(challenge(&refusal.reason, &plane.snapshot, asked)).into()
            })
        }
    };
    match origin {
        Some(origin) => Answer { response: allow_origin(answer.response, origin), ..answer },
        None => answer,
    }
}

/// Refuses a request whose head could not be taken: all that is known of it is where it comes from.
pub(super) fn turn_away(house: &House, peer: &Peer, reason: Reason) -> Response {
    let mut record = Record::begin(&house.worker, &house.worker.plane());
    record.stranger = Some(peer.address);
    record.fail(&reason);
    refused(&Refusal::from(reason))
}

fn admit_host<'h>(rules: &Rules, peer: &Peer, head: &'h Head) -> Result<Option<&'h str>, Reason> {
    if head.target.is_https() && !peer.tls {
        return Err(Reason::Misdirected);
    }
    rules.check_host(&head.target, &head.headers, peer.loopback)?;
    rules.check_origin(&head.target, &head.headers, peer.tls)
}

/// The host that a request names.
fn named_host(head: &Head) -> Option<&str> {
    head.target.authority().or_else(|| head.headers.text("host"))
}

/// Authenticates a request and takes its place among its principal's.
async fn admit(
    worker: &Worker,
    plane: &Arc<Plane>,
    peer: &Peer,
    approach: Approach<'_>,
    scope: Result<Scope, Reason>,
    headers: &Fields,
    mut record: Record,
) -> Result<Guest, Reason> {
    let certificate = peer.certificate.as_deref();
    let asking = Asking { headers, address: peer.address, certificate, approach };
    let judged = match plane.known.authenticate(&worker.tokens, asking) {
        Ok(principal) => Ok(principal),
        Err(Refused::No(reason)) => Err(reason),
        // boxed: hardly any request waits for keys
        Err(Refused::Unproven(unproven)) => {
            Box::pin(unproven.prove(&plane.known, &worker.tokens, plane.known.resource(approach))).await
        }
    };
    if judged.is_err() {
        record.stranger = Some(peer.address);
    }
    enter(worker, plane, judged, scope, Via::Door, record)
}

/// Lets somebody in who was judged, and takes their place among their requests.
#[inline]
pub(super) fn enter(
    worker: &Worker,
    plane: &Arc<Plane>,
    judged: Result<Principal, Reason>,
    scope: Result<Scope, Reason>,
    via: Via,
    mut record: Record,
) -> Result<Guest, Reason> {
    let admitted = (|| {
        let principal = judged?;
        record.principal = Some(Arc::clone(&principal.name));
        let scope = scope?;
        let plane = plane.seen_by(&principal);
        if let Scope::Server(upstream) = &scope
            && plane.server(upstream.name()).is_none()
        {
            out_of_reach(worker, &principal, &mut record, upstream.name());
            return Err(Reason::UnknownServer);
        }
        if let Scope::Server(upstream) = &scope {
            record.upstream = Some(Arc::clone(upstream));
        }
        let account = worker.node.quotas.account(principal.id);
        let ticket = worker.node.quotas.admit(&account, &plane.snapshot.limits, via, record.started())?;
        Ok((plane, principal, scope, account, ticket))
    })();
    match admitted {
        Ok((plane, principal, scope, account, ticket)) => {
            let (naming, headers) = (scope.naming(&plane), Fields::default());
            let base = Base { plane, principal, account, headers, synthesized: false, record, ticket, naming };
            Ok(Guest { scope, base: Box::new(base) })
        }
        Err(reason) => {
            record.fail(&reason);
            Err(reason)
        }
    }
}

/// Streamable HTTP: reads the body where there is one, and sends the call down the path.
pub(super) async fn mcp(
    worker: &Rc<Worker>,
    guest: Guest,
    head: &mut Head,
    body: &mut Received,
) -> Result<Response, Refusal> {
    let Guest { scope, mut base } = guest;
    base.record.other_method = match head.verb {
        // no message, and so no method of one
        Verb::GET => Some("GET /mcp".to_owned()),
        Verb::DELETE => Some("DELETE /mcp".to_owned()),
        _ => None,
    };
    let read = match head.verb {
        Verb::POST => match check_post(&head.headers) {
            Ok(()) => read(worker, base.plane.snapshot.limits.body_bytes, &head.headers, body).await.map(Some),
            Err(reason) => Err(reason),
        },
        Verb::GET if !accepts(&head.headers, EVENTS) => Err(Reason::NotAcceptable(EVENTS)),
        Verb::GET | Verb::DELETE => Ok(None),
        _ => Err(Reason::MethodNotAllowed("POST, GET, DELETE")),
    };
    let read = match read {
        Ok(read) => read,
        Err(reason) => {
            base.record.fail(&reason);
            return Err(reason.into());
        }
    };
    base.headers = std::mem::take(&mut head.headers);
    let call = Call { upstream: scope, base };
    let reply = match read {
        Some((body, held)) => post(worker, call, body, held).await,
        None if head.verb == Verb::GET => Box::pin(get(worker, call)).await,
        None => Box::pin(delete(worker, call)).await,
    };
    reply.map(http)
}

/// The metadata of a protected resource: open to everybody, as whoever needs them has no credential yet.
fn resource(plane: &Plane, asked: Resource<'_>, head: &Head, mut record: Record) -> Response {
    let answered = match head.verb {
        Verb::GET | Verb::HEAD => metadata(&plane.snapshot, asked).ok_or(Reason::HostMalformed),
        _ => Err(Reason::MethodNotAllowed("GET")),
    };
    match answered {
        Ok(metadata) => {
            record.outcome = "ok";
            json(StatusCode::OK, metadata.into())
        }
        Err(reason) => {
            record.fail(&reason);
            refused(&Refusal::from(reason))
        }
    }
}

/// `/health` says only ok or degraded, and counts; names need a key or the admin port.
fn health(worker: &Worker, plane: &Plane, mut record: Record) -> Response {
    record.outcome = "ok";
    let down = plane.servers().filter(|u| u.is_down()).count();
    let unproven = plane.servers().filter(|u| u.credentials.trouble().is_some()).count();
    let keeps_sessions = worker.node.sessions.trouble().is_none();
    let endpoints = plane.servers().filter_map(|u| u.endpoints.as_ref()).flat_map(|all| all.levels());
    let body = serde_json::json!({
        "status": if down + unproven == 0 && keeps_sessions { "ok" } else { "degraded" },
        "servers": plane.snapshot.servers.len(),
        "servers_down": down,
        "servers_without_credential": unproven,
        "endpoints_out": endpoints.filter(|(_, level)| !level.in_service).count(),
        "sessions": worker.node.sessions.len(),
    });
    json(StatusCode::OK, body.to_string().into())
}

fn metrics(worker: &Worker, plane: &Plane, mut record: Record) -> Response {
    record.outcome = "ok";
    let body = render_metrics(worker.node.as_ref(), plane);
    text(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", body.into())
}

/// The metrics of a node, as both doors show them.
pub(crate) fn render_metrics(node: &crate::node::Node, plane: &Plane) -> String {
    let up = plane.servers().map(|u| (Arc::clone(u.name()), !u.is_down())).collect();
    let sought = plane.servers().filter(|u| u.credentials.are_elsewhere());
    let credentials = sought.map(|u| (Arc::clone(u.name()), u.credentials.trouble().is_none())).collect();
    let store = node.sessions.shared().map(|shared| (shared.word(), node.sessions.trouble().is_none()));
    let several =
        || plane.servers().filter_map(|u| Some((u.name(), u.endpoints.as_ref().filter(|all| all.are_shown())?)));
    let endpoints = several().flat_map(|(name, all)| all.levels().map(|(n, level)| ((Arc::clone(name), n), level)));
    let endpoints = endpoints.collect();
    let retried = several().map(|(name, all)| (Arc::clone(name), all.retried())).collect();
    let (sessions, revision) = (node.sessions.len(), plane.snapshot.revision);
    node.metrics.render(&Levels { up, credentials, endpoints, retried, store, sessions, revision })
}
