//! How a session with a server begins: the client's own `initialize`, over HTTP or on a pipe, and what the server makes of it.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::StatusCode;
use sluice_http1::Fields;
use sluice_mcp::{Kind, Message, ScanLimits, decode_string, header, is_modern_refusal, scan};
use sluice_snapshot::model::Protocol;

use crate::exchange::ask::{Discovered, answer_to, probe, send, turned_away, unusual, what_failed};
use crate::exchange::forward;
use crate::limit;
use crate::node::Worker;
use crate::reason::Reason;
use crate::session::Declared;
use crate::upstream::endpoint::Place;
use crate::upstream::http::{Request, Response};
use crate::upstream::pipe::{Attachment, Caller, NoChild};
use crate::upstream::{Carrier, Upstream};

/// How a session with a server begins.
pub(super) struct Greeting<'a> {
    /// The client's `initialize`.
    pub initialize: &'a Bytes,
    pub message: &'a Message,
    /// The client's header fields, where they belong to this message.
    pub headers: Option<&'a Fields>,
    pub caller: Caller,
    pub declared: Declared,
}

/// Why it did not begin.
pub(super) struct Trouble {
    pub reason: Reason,
    /// What is told inside only.
    pub cause: Option<String>,
}

impl From<Reason> for Trouble {
    fn from(reason: Reason) -> Self {
        Self { reason, cause: None }
    }
}

/// How a server answered `initialize`.
pub(super) enum Opened {
    Session { upstream: Option<Bytes>, place: Option<Place>, attachment: Option<Attachment>, body: Bytes },
    Refused { body: Bytes, status: StatusCode },
}

pub(super) async fn greet(
    worker: &Rc<Worker>,
    upstream: &Arc<Upstream>,
    greeting: &Greeting<'_>,
) -> Result<Opened, Trouble> {
    match upstream.carrier() {
        Carrier::Requests => greet_http(worker, upstream, greeting).await,
        Carrier::Pipe => greet_child(upstream, greeting).await,
    }
}

async fn greet_http(worker: &Rc<Worker>, upstream: &Arc<Upstream>, greeting: &Greeting<'_>) -> Result<Opened, Trouble> {
    let mut request = Request::post(greeting.initialize);
    if let Some(headers) = greeting.headers {
        forward(headers, &mut request.headers);
    }
    let response = send(worker, upstream, &request, Instant::now()).await.map_err(|failure| {
        let (reason, cause) = what_failed(upstream, failure);
        Trouble { reason, cause: Some(cause) }
    })?;
    let status = response.status;
    let away = turned_away(&response);
    if status.is_server_error() || status.is_redirection() || unusual(status) == Reason::ServerCredential {
        return Err(away.unwrap_or_else(|| unusual(status)).into());
    }
    let (session, place) = session_of(upstream, &response);
    let asked = greeting.message.id.map(|id| id.of(greeting.initialize));
    let body = answer_to(asked, response, limit::SMALL_REPLY_BYTES).await.unwrap_or_default();
    let message = scan(&body, ScanLimits::default()).ok().filter(|m| m.kind == Kind::Response);
    if let (true, Some(message)) = (status.is_success(), &message)
        && message.result.is_some()
    {
        return Ok(Opened::Session { upstream: session, place, attachment: None, body });
    }
    // refused: by a legacy server that has its reasons, or by a modern one that does not know the method
    let modern_error = message.as_ref().is_some_and(|m| is_modern_refusal(&body, m));
    // boxed: rare, and every future would otherwise have room for it
    if !modern_error && Box::pin(upstream.detect(status)).await {
        return greet_child(upstream, greeting).await;
    }
    let maybe = upstream.era.configured() == Protocol::Auto && away.is_none();
    if modern_error || (maybe && probe(worker, upstream).await == Ok(Discovered::Modern)) {
        return Err(is_modern(upstream, greeting).into());
    }
    match message {
        Some(message) if message.error.is_some() => Ok(Opened::Refused { body, status }),
        _ => {
            let reason = match status.is_success() {
                true => Reason::ServerGarbage("no answer to `initialize`"),
                false => away.unwrap_or_else(|| unusual(status)),
            };
            upstream.trouble.is(reason.phrase());
            Err(reason.into())
        }
    }
}

async fn greet_child(upstream: &Arc<Upstream>, greeting: &Greeting<'_>) -> Result<Opened, Trouble> {
    let children = &upstream.children;
    let caller = greeting.caller;
    let key = children.legacy_key(caller, greeting.initialize, greeting.message, greeting.declared.asks);
    let child = children.legacy(&key, caller, greeting.initialize).await;
    crate::exchange::pipe_server::note(upstream, child.as_ref().err());
    match child {
        Ok(child) => {
            child.attach(caller);
            let id = greeting.message.id.map(|s| s.of(greeting.initialize));
            let body = answer(id, child.initialize_result());
            Ok(Opened::Session { upstream: None, place: None, attachment: Some(Attachment { child, key }), body })
        }
        Err(NoChild::Reason(reason)) => Err(reason.into()),
        Err(NoChild::Refused(error)) => {
            if upstream.era.configured() == Protocol::Auto && children.modern(&upstream.era).await.is_ok() {
                return Err(is_modern(upstream, greeting).into());
            }
            Ok(Opened::Refused { body: error, status: StatusCode::OK })
        }
    }
}

fn answer(id: Option<&[u8]>, result: Option<&Bytes>) -> Bytes {
    let mut body = br#"{"jsonrpc":"2.0","id":"#.to_vec();
    body.extend_from_slice(id.unwrap_or(b"null"));
    body.extend_from_slice(br#","result":"#);
    body.extend_from_slice(result.map_or(b"{}", |r| r));
    body.push(b'}');
    body.into()
}

fn is_modern(upstream: &Upstream, greeting: &Greeting<'_>) -> Reason {
    let requested = greeting.message.p.protocol_version.map(|s| decode_string(s.of(greeting.initialize)).into_owned());
    Reason::ServerIsModern { requested: requested.unwrap_or_default(), supported: modern_versions(upstream) }
}

pub(super) fn modern_versions(upstream: &Upstream) -> Vec<String> {
    let known = upstream.era.modern().filter(|v| !v.is_empty());
    known.map_or_else(|| vec!["2026-07-28".to_owned()], |v| v.to_vec())
}

/// The session id a server gave, and which of its endpoints has the session. Where there is no id, there is nothing to stay with.
pub(super) fn session_of(upstream: &Upstream, response: &Response) -> (Option<Bytes>, Option<Place>) {
    let id = response.headers.get(header::SESSION_ID).filter(|v| !v.is_empty()).map(Bytes::copy_from_slice);
    let endpoints = upstream.endpoints.as_ref().filter(|_| id.is_some());
    (id, endpoints.and_then(|endpoints| endpoints.place_of(response.from)))
}
