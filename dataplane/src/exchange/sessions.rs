//! The life of a legacy session towards its server: opened with the client's own `initialize`, renewed with it when the
//! server forgets, ended with the client's.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::header::HeaderValue;
use http::{Method as Verb, StatusCode};
use sluice_mcp::{Kind, Method, ScanLimits, header, is_modern_error, scan};
use sluice_snapshot::model::Protocol;

use super::call::{Call, Content, Posted, Reply};
use super::http_server::{failed, first_message, probe, send, unusual};
use super::{Outcome, caller, forwarded, refuse};
use crate::limit;
use crate::node::Worker;
use crate::reason::Reason;
use crate::session::{Declared, Opening, Session, SessionId, State};
use crate::upstream::http::{Answer, Outgoing};
use crate::upstream::stdio::{Attachment, Caller, Child, NoChild};
use crate::upstream::{Carrier, Upstream};

/// `initialize`: the server is asked with the client's own bytes; a session begins when it agrees.
pub(super) async fn open(worker: &Rc<Worker>, mut call: Call, posted: Posted) -> Outcome {
    let Some(id) = posted.id() else {
        return Err(refuse(&mut call, Reason::Message { code: -32600, text: "`initialize` needs an id".into() }, None));
    };
    if call.upstream.era.configured() == Protocol::Modern {
        let reason = is_modern(&call.upstream, &posted);
        return Err(refuse(&mut call, reason, Some(id)));
    }
    if posted.body.len() > limit::INITIALIZE_BYTES {
        return Err(refuse(&mut call, Reason::BodyTooLarge { limit: limit::INITIALIZE_BYTES }, Some(id)));
    }
    if worker.node.drain.phase() != crate::drain::Phase::Serving {
        return Err(refuse(&mut call, Reason::Draining, Some(id)));
    }
    let limit = call.plane.snapshot.limits.sessions_per_principal;
    if let Err(reason) = call.account.open_session(limit) {
        return Err(refuse(&mut call, reason, Some(id)));
    }
    let place = Place(Some(Arc::clone(&call.account)));
    let held = match worker.node.hold(posted.body.len()) {
        Ok(held) => held,
        Err(reason) => return Err(refuse(&mut call, reason, Some(id))),
    };
    let session = SessionId::random();
    let owner = call.principal.id;
    call.principal.act_in(&session);
    let opened = match call.upstream.carrier() {
        Carrier::Requests => open_http(worker, &mut call, &posted).await?,
        Carrier::Pipe => open_child(&mut call, &posted, session).await?,
    };
    let (upstream, attachment, body, status) = match opened {
        Opened::Session { upstream, attachment, body } => (upstream, attachment, body, StatusCode::OK),
        Opened::Refused { body, status } => {
            call.record.outcome = "error";
            call.record.status = status;
            return Ok(Reply::json(status, body));
        }
    };
    let sealed = session.sealed(&worker.node.seal, owner);
    let opening = Opening {
        owner,
        principal: call.principal.id,
        server: Arc::clone(call.upstream.name()),
        definition: call.upstream.id,
        // a copy of its own: the body is a slice of a larger read buffer, which a session would keep alive
        initialize: Bytes::copy_from_slice(&posted.body),
        declared: declared(&posted),
        upstream,
        attachment,
        account: place.keep(),
        held,
    };
    let now = worker.node.clock.ms();
    worker.node.sessions.insert(Arc::new(Session::new(session, opening, now))).await;
    call.record.outcome = "ok";
    Ok(Reply { status, session: Some(sealed), content: Content::Json(body) })
}

/// How a server answered `initialize`.
enum Opened {
    Session { upstream: Option<HeaderValue>, attachment: Option<Attachment>, body: Bytes },
    Refused { body: Bytes, status: StatusCode },
}

/// The place of a session in its principal's limit, given back unless the session begins.
struct Place(Option<Arc<crate::auth::quota::Account>>);

impl Place {
    fn keep(mut self) -> Arc<crate::auth::quota::Account> {
        self.0.take().unwrap_or_default()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(account) = &self.0 {
            account.close_session();
        }
    }
}

async fn open_http(worker: &Rc<Worker>, call: &mut Call, posted: &Posted) -> Result<Opened, super::Refusal> {
    let id = posted.id();
    let Some(target) = &call.upstream.target else {
        return Err(refuse(call, Reason::ServerUnreachable, id));
    };
    let mut request = target.request(Verb::POST, Outgoing::whole(posted.body.clone()));
    for (name, value) in forwarded(call) {
        request.headers_mut().append(name, value.clone());
    }
    let response = match send(worker, &call.upstream, request).await {
        Ok(response) => response,
        Err(failure) => return Err(failed(call, failure, id)),
    };
    let status = response.status();
    if status.is_server_error() || status.is_redirection() || unusual(status) == Reason::ServerCredential {
        let reason = unusual(status);
        return Err(refuse(call, reason, id));
    }
    let upstream = session_of(&response);
    let body = first_message(response).await.unwrap_or_default();
    let message = scan(&body, ScanLimits::default()).ok().filter(|m| m.kind == Kind::Response);
    if let (true, Some(message)) = (status.is_success(), &message)
        && message.result.is_some()
    {
        return Ok(Opened::Session { upstream, attachment: None, body });
    }
    // refused: by a legacy server that has its reasons, or by a modern one that does not know the method
    let modern_error = message.as_ref().and_then(|m| m.error_code).is_some_and(is_modern_error);
    let maybe = call.upstream.era.configured() == Protocol::Auto;
    if modern_error || (maybe && probe(worker, &call.upstream).await == Ok(true)) {
        let reason = is_modern(&call.upstream, posted);
        return Err(refuse(call, reason, id));
    }
    match message {
        Some(message) if message.error.is_some() => Ok(Opened::Refused { body, status }),
        _ if status.is_success() => Err(refuse(call, Reason::ServerGarbage("no answer to `initialize`"), id)),
        _ => Err(refuse(call, unusual(status), id)),
    }
}

async fn open_child(call: &mut Call, posted: &Posted, session: SessionId) -> Result<Opened, super::Refusal> {
    let id = posted.id();
    let caller = caller(call, Some(&session));
    let children = &call.upstream.children;
    let key = children.legacy_key(caller, &posted.body, &posted.message, declared(posted).asks);
    let child = children.legacy(&key, caller, &posted.body).await;
    super::stdio_server::note(&call.upstream, child.as_ref().err());
    match child {
        Ok(child) => {
            child.attach(caller);
            let body = answer(id.as_deref(), child.initialize_result());
            Ok(Opened::Session { upstream: None, attachment: Some(Attachment { child, key }), body })
        }
        Err(NoChild::Reason(reason)) => Err(refuse(call, reason, id)),
        Err(NoChild::Refused(error)) => {
            if call.upstream.era.configured() == Protocol::Auto && children.modern(&call.upstream.era).await.is_ok() {
                let reason = is_modern(&call.upstream, posted);
                return Err(refuse(call, reason, id));
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

fn is_modern(upstream: &Upstream, posted: &Posted) -> Reason {
    let known = upstream.era.modern().filter(|v| !v.is_empty());
    let supported = known.map_or_else(|| vec!["2026-07-28".to_owned()], |v| v.to_vec());
    let requested = posted.text(posted.message.p.protocol_version).unwrap_or_default();
    Reason::ServerIsModern { requested, supported }
}

/// The session id a server gave, in memory of its own: the header is a slice of the connection's read buffer, which a
/// session would keep alive.
fn session_of<B>(response: &http::Response<B>) -> Option<HeaderValue> {
    let given = response.headers().get(header::SESSION_ID).filter(|v| !v.is_empty())?;
    HeaderValue::from_bytes(given.as_bytes()).ok()
}

/// Whether the client declared that it answers a server's requests.
fn declared(posted: &Posted) -> Declared {
    let capabilities = posted.message.p.capabilities.map(|s| s.of(&posted.body));
    let capabilities: serde_json::Map<String, serde_json::Value> =
        capabilities.and_then(|raw| serde_json::from_slice(raw).ok()).unwrap_or_default();
    Declared { asks: ["sampling", "elicitation", "roots", "tasks"].iter().any(|key| capabilities.contains_key(*key)) }
}

/// Keeps what must be restored when the server forgets the session: log level and subscriptions.
pub(super) fn remember(session: &Session, posted: &Posted) {
    match posted.message.method {
        _ if posted.body.len() > limit::REMEMBERED_BYTES => {}
        Method::LoggingSetLevel => session.update(|state| state.log_level = Some(Bytes::copy_from_slice(&posted.body))),
        Method::ResourcesSubscribe => {
            if let Some(uri) = posted.raw(posted.message.p.uri) {
                session.update(|state| {
                    if state.subscriptions.len() < limit::SUBSCRIPTIONS {
                        state.subscriptions.insert(Bytes::copy_from_slice(&uri));
                    }
                });
            }
        }
        Method::ResourcesUnsubscribe => {
            if let Some(uri) = posted.raw(posted.message.p.uri) {
                session.update(|state| {
                    state.subscriptions.remove(&uri);
                });
            }
        }
        _ => {}
    }
}

/// Whether an answer means that the server no longer knows our session: 404, or 400 when it does not even take a ping.
pub(super) async fn is_lost(worker: &Rc<Worker>, upstream: &Upstream, state: &State, status: StatusCode) -> bool {
    match status {
        StatusCode::NOT_FOUND => true,
        // boxed: rare, and every call's future would otherwise have room for it
        StatusCode::BAD_REQUEST => Box::pin(is_gone(worker, upstream, state, status)).await,
        _ => false,
    }
}

/// The same for an answer that may have other causes (a 404 to a GET: no such route): the session is asked by a ping.
pub(super) async fn is_gone(worker: &Rc<Worker>, upstream: &Upstream, state: &State, status: StatusCode) -> bool {
    if !matches!(status, StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND) {
        return false;
    }
    let ping = br#"{"jsonrpc":"2.0","id":"sluice-ping","method":"ping"}"#;
    let answer = own(worker, upstream, state.upstream.as_ref(), Bytes::from_static(ping)).await;
    answer.is_some_and(|r| matches!(r.status(), StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND))
}

/// Initialises the server again with the client's own message, restores what the session had, and notes that lists may
/// have changed. One renewal at a time; whoever comes second finds it done.
pub(super) async fn renew(
    worker: &Rc<Worker>,
    upstream: &Arc<Upstream>,
    session: &Session,
    epoch: u64,
) -> Result<(), Reason> {
    let waiting = Instant::now();
    let mut failed = session.renewal.lock().await;
    if session.state().epoch != epoch {
        return Ok(());
    }
    if failed.is_some_and(|at| at >= waiting) {
        return Err(Reason::ServerForgot);
    }
    let renewed = initialize_again(worker, upstream, session, epoch).await;
    *failed = renewed.is_err().then(Instant::now);
    renewed
}

async fn initialize_again(
    worker: &Rc<Worker>,
    upstream: &Arc<Upstream>,
    session: &Session,
    epoch: u64,
) -> Result<(), Reason> {
    tracing::info!(server = %upstream.name(), "the server forgot a session; initialising it again");
    let response = own(worker, upstream, None, session.initialize.clone()).await.ok_or(Reason::ServerUnreachable)?;
    if !response.status().is_success() {
        return Err(Reason::ServerForgot);
    }
    let fresh = session_of(&response);
    let body = first_message(response).await.ok_or(Reason::ServerForgot)?;
    let message = scan(&body, ScanLimits::default()).map_err(|_| Reason::ServerForgot)?;
    let Some(result) = message.result else { return Err(Reason::ServerForgot) };
    let state = session.state();
    let restoring = [Bytes::from_static(br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#)]
        .into_iter()
        .chain(restoration(&state));
    for message in restoring {
        if let Some(response) = own(worker, upstream, fresh.as_ref(), message).await {
            let _ = first_message(response).await;
        }
    }
    session.update(|state| {
        state.epoch = epoch + 1;
        state.upstream = fresh.clone();
    });
    session.leave_notes(changed_notes(result.of(&body)));
    Ok(())
}

/// The requests that bring a fresh server session to where the old one was.
fn restoration(state: &State) -> Vec<Bytes> {
    let subscriptions = state.subscriptions.iter().enumerate().map(|(n, uri)| {
        let mut body = format!(
            r#"{{"jsonrpc":"2.0","id":"sluice-subscribe-{n}","method":"resources/subscribe","params":{{"uri":"#
        )
        .into_bytes();
        body.extend_from_slice(uri);
        body.extend_from_slice(b"}}");
        Bytes::from(body)
    });
    state.log_level.iter().cloned().chain(subscriptions).collect()
}

/// The `list_changed` notifications a server's capabilities allow.
fn changed_notes(initialize_result: &[u8]) -> Vec<Bytes> {
    let result: serde_json::Value = serde_json::from_slice(initialize_result).unwrap_or_default();
    ["tools", "prompts", "resources"]
        .iter()
        .filter(|kind| result["capabilities"][**kind]["listChanged"] == true)
        .map(|kind| format!(r#"{{"jsonrpc":"2.0","method":"notifications/{kind}/list_changed"}}"#).into())
        .collect()
}

/// A message of our own inside a server session.
async fn own(
    worker: &Rc<Worker>,
    upstream: &Upstream,
    session: Option<&HeaderValue>,
    body: Bytes,
) -> Option<http::Response<Answer>> {
    let mut request = upstream.target.as_ref()?.request(Verb::POST, Outgoing::whole(body));
    if let Some(session) = session {
        request.headers_mut().insert(header::SESSION_ID, session.clone());
    }
    send(worker, upstream, request).await.ok()
}

/// Tells the server that nobody waits for this request any more.
pub(super) fn cancel_later(worker: &Rc<Worker>, upstream: &Arc<Upstream>, session: &Arc<Session>, id: &Bytes) {
    let body = format!(
        r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{},"reason":"no answer in time"}}}}"#,
        String::from_utf8_lossy(id)
    );
    let (worker, upstream, session) = (Rc::clone(worker), Arc::clone(upstream), Arc::clone(session));
    tokio::task::spawn_local(async move {
        let state = session.state();
        drop(own(&worker, &upstream, state.upstream.as_ref(), body.into()).await);
    });
}

/// Ends a session towards its server.
pub(crate) async fn end_upstream(worker: &Rc<Worker>, upstream: &Arc<Upstream>, session: &Session) {
    if let Some(attachment) = session.attachment.lock().await.take() {
        upstream.children.release(&attachment, session.id.0);
    }
    let state = session.state();
    let (Some(target), Some(id)) = (&upstream.target, &state.upstream) else { return };
    let mut request = target.request(Verb::DELETE, Outgoing::empty());
    request.headers_mut().insert(header::SESSION_ID, id.clone());
    if let Err(failure) = send(worker, upstream, request).await {
        tracing::debug!(server = %upstream.name(), ?failure, "could not end the server's session");
    }
}

/// The child of a session: the one it has, or a new one initialised with the client's own message and brought to where
/// the old one was.
pub(super) async fn attached(upstream: &Arc<Upstream>, session: &Session) -> Result<Arc<Child>, Reason> {
    let mut attachment = session.attachment.lock().await;
    if let Some(attachment) = attachment.as_ref().filter(|a| a.child.is_running()) {
        return Ok(Arc::clone(&attachment.child));
    }
    let caller = Caller { principal: session.principal, session: Some(session.id.0) };
    let message = scan(&session.initialize, ScanLimits { depth: u16::MAX }).map_err(|_| Reason::ServerForgot)?;
    let key = upstream.children.legacy_key(caller, &session.initialize, &message, session.declared.asks);
    let child = upstream.children.legacy(&key, caller, &session.initialize).await;
    super::stdio_server::note(upstream, child.as_ref().err());
    let child = match child {
        Ok(child) => child,
        Err(NoChild::Reason(reason)) => return Err(reason),
        Err(NoChild::Refused(_)) => return Err(Reason::ServerForgot),
    };
    child.attach(caller);
    for body in restoration(&session.state()) {
        if let Ok(message) = scan(&body, ScanLimits { depth: u16::MAX }) {
            // the answer is of no interest: its queue is dropped
            let _ = child.request(caller, body, message);
        }
    }
    session.leave_notes(child.initialize_result().map(|r| changed_notes(r)).unwrap_or_default());
    *attachment = Some(Attachment { child: Arc::clone(&child), key });
    Ok(child)
}
