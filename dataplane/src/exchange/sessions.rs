//! The life of a legacy session towards its server: opened with the client's own `initialize`, renewed with it when the
//! server forgets, ended with the client's.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::{Method as Verb, StatusCode};
use sluice_mcp::{Method, ScanLimits, header, scan};
use sluice_snapshot::model::Protocol;

mod census;
mod expiry;
mod greeting;
mod kept;
mod own;
mod parts;
mod stream;
mod untold;

use super::ask::{answer_to, send};
use super::call::{Call, Posted, Reply};
use super::{Outcome, caller, own_lists, refuse};
use crate::budget::Held;
use crate::catalog::Kind as Kinds;
use crate::clock::epoch_seconds;
use crate::drain::Phase;
use crate::limit;
use crate::node::Worker;
use crate::plane::Plane;
use crate::reason::Reason;
use crate::session::{Declared, Opening, Session, SessionId, State};
use crate::upstream::http::{Request, Response};
use crate::upstream::pipe::{Attachment, Caller, Child, Key, NoChild};
use crate::upstream::quirks::Quirk;
use crate::upstream::{Carrier, Upstream};

pub(crate) use census::{end_asked, end_for, list};
pub(crate) use expiry::Expiry;
use greeting::{Greeting, Opened, greet, modern_versions, session_of};
pub(crate) use kept::follow;
pub(super) use kept::{begin, find, note_lists, read, remove, set_log_level};
pub(super) use own::{OwnSession, Unopened};
pub(super) use parts::{error_text, part, tell_part};
pub(super) use stream::{give_stream_back, take_stream};
pub(super) use untold::{leave_all, take as take_untold};

/// `initialize`: the server is asked with the client's own bytes; a session begins when it agrees.
pub(super) async fn open(worker: &Rc<Worker>, mut call: Call, posted: Posted) -> Outcome {
    if call.upstream.era.configured() == Protocol::Modern {
        let requested = posted.text(posted.message.p.protocol_version).unwrap_or_default();
        let reason = Reason::ServerIsModern { requested, supported: modern_versions(&call.upstream) };
        let id = posted.id();
        return Err(refuse(&mut call, reason, id));
    }
    let goes_on = call.upstream.carrier() == Carrier::Requests;
    let (id, place, held) = admit(worker, &mut call, &posted, goes_on)?;
    let session = SessionId::held_by(worker.node.peers.home);
    let owner = call.principal.id;
    call.principal.act_in(&session);
    let greeting = Greeting {
        initialize: &posted.body,
        message: &posted.message,
        headers: Some(&call.headers),
        caller: caller(&call, Some(&session)),
        declared: declared(&posted),
    };
    let opened = match greet(worker, &call.upstream, &greeting).await {
        Ok(opened) => opened,
        Err(trouble) => {
            call.record.cause = trouble.cause;
            return Err(refuse(&mut call, trouble.reason, Some(id)));
        }
    };
    let (upstream, at, attachment, body) = match opened {
        Opened::Session { upstream, place, attachment, body } => (upstream, place, attachment, body),
        Opened::Refused { body, status } => {
            call.record.outcome = "error";
            call.record.status = status;
            return Ok(Reply::json(status, body));
        }
    };
    own_lists::note(&call.upstream, &body);
    let sealed = session.sealed(&worker.node.seal, owner);
    let opening = Opening {
        owner,
        principal: call.principal.id,
        subject: Arc::clone(&call.principal.subject),
        server: Arc::clone(call.upstream.name()),
        definition: call.upstream.id,
        // a copy of its own: the body is a slice of a larger read buffer, which a session would keep alive
        initialize: Bytes::copy_from_slice(&posted.body),
        declared: declared(&posted),
        upstream,
        place: at,
        version: None,
        attachment,
        merged: None,
        whole: None,
        created: epoch_seconds(),
        account: Some(place.keep()),
        held: Some(held),
    };
    let session = Arc::new(Session::new(session, opening, worker.node.clock.ms()));
    if let Err(reason) = begin(worker, Arc::clone(&session)).await {
        let (worker, upstream) = (Rc::clone(worker), Arc::clone(&call.upstream));
        tokio::task::spawn_local(async move { end_upstream(&worker, &upstream, &session).await });
        return Err(refuse(&mut call, reason, Some(id)));
    }
    call.record.outcome = "ok";
    Ok(Reply { session: Some(sealed), ..Reply::json(StatusCode::OK, body) })
}

/// What a session must satisfy before it begins, on any door: the id to answer to, its place in the principal's limit, and
/// the room that what it keeps takes. `goes_on`: nothing of it is bound to this process, should it be kept elsewhere.
pub(super) fn admit<To>(
    worker: &Worker,
    call: &mut Call<To>,
    posted: &Posted,
    goes_on: bool,
) -> Result<(Bytes, Place, Held), super::Refusal> {
    let Some(id) = posted.id() else {
        return Err(refuse(call, Reason::Message { code: -32600, text: "`initialize` needs an id".into() }, None));
    };
    let admitted = (|| {
        if posted.body.len() > limit::INITIALIZE_BYTES {
            return Err(Reason::BodyTooLarge { limit: limit::INITIALIZE_BYTES });
        }
        // who comes to a node that leaves, and begins what outlives it, need not come again
        let outlives = goes_on && worker.node.sessions.shared().is_some();
        if worker.node.drain.phase() != Phase::Serving && !outlives {
            return Err(Reason::Draining);
        }
        if worker.node.sessions.shared().is_some_and(|shared| !shared.is_up()) {
            // before a server is asked
            return Err(Reason::SessionStore);
        }
        // a node has those of a store of all nodes at hand that came to it
        let anywhere = worker.node.sessions.shared().is_some() && !worker.node.sessions.returns_with_its_node();
        let most = worker.node.quotas.sessions(&call.account, &call.plane.snapshot.limits, anywhere);
        let place = Place::take(&call.account, most)?;
        Ok((place, worker.node.hold(posted.body.len())?))
    })();
    match admitted {
        Ok((place, held)) => Ok((id, place, held)),
        Err(reason) => Err(refuse(call, reason, Some(id))),
    }
}

/// The place of a session in its principal's limit, given back unless the session begins.
pub(super) struct Place(Option<Arc<crate::auth::quota::Account>>);

impl Place {
    /// Takes a place.
    pub(super) fn take(account: &Arc<crate::auth::quota::Account>, limit: u32) -> Result<Self, Reason> {
        account.open_session(limit)?;
        Ok(Self(Some(Arc::clone(account))))
    }

    pub(super) fn keep(mut self) -> Arc<crate::auth::quota::Account> {
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

/// Whether the client declared that it answers a server's requests.
pub(super) fn declared(posted: &Posted) -> Declared {
    let capabilities = posted.message.p.capabilities.map(|s| s.of(&posted.body));
    let capabilities: serde_json::Map<String, serde_json::Value> =
        capabilities.and_then(|raw| serde_json::from_slice(raw).ok()).unwrap_or_default();
    Declared { asks: ["sampling", "elicitation", "roots", "tasks"].iter().any(|key| capabilities.contains_key(*key)) }
}

/// Keeps what must be restored when the server forgets the session: log level and subscriptions.
///
/// # Errors
/// It is not known to be kept.
pub(super) async fn remember(worker: &Worker, session: &Arc<Session>, posted: &Posted) -> Result<(), Reason> {
    if posted.body.len() > limit::REMEMBERED_BYTES {
        return Ok(());
    }
    let uri = || posted.sent(posted.message.p.uri);
    let kept = match posted.message.method {
        Method::LoggingSetLevel => {
            let level = Bytes::copy_from_slice(&posted.body);
            kept::change(worker, session, |state| state.log_level.replace(level.clone()).as_ref() != Some(&level)).await
        }
        Method::ResourcesSubscribe => match uri() {
            Some(uri) => {
                let uri = Bytes::copy_from_slice(&uri);
                let has_room = |state: &State| state.subscriptions.len() < limit::SUBSCRIPTIONS;
                kept::change(worker, session, |state| has_room(state) && state.subscriptions.insert(uri.clone())).await
            }
            None => Ok(false),
        },
        Method::ResourcesUnsubscribe => match uri() {
            Some(uri) => kept::change(worker, session, |state| state.subscriptions.remove(&*uri)).await,
            None => Ok(false),
        },
        _ => Ok(false),
    };
    kept.map(drop)
}

/// Whether something of a message must be restored when the server forgets the session.
pub(super) fn is_remembered(posted: &Posted) -> bool {
    use Method::{LoggingSetLevel, ResourcesSubscribe, ResourcesUnsubscribe};
    matches!(posted.message.method, LoggingSetLevel | ResourcesSubscribe | ResourcesUnsubscribe)
}

/// Whether an answer means that the server no longer knows our session: 404, or 400 when it does not even take a ping; or
/// that it speaks another transport by now.
pub(super) async fn is_lost(worker: &Rc<Worker>, upstream: &Upstream, state: &State, status: StatusCode) -> bool {
    match status {
        StatusCode::NOT_FOUND => true,
        // the event stream of HTTP+SSE takes no POST
        StatusCode::METHOD_NOT_ALLOWED => upstream.may_change_transport(),
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
    let answer = own(worker, upstream, state, Bytes::from_static(ping)).await;
    let gone = answer.is_some_and(|r| matches!(r.status, StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND));
    if gone && status == StatusCode::BAD_REQUEST {
        upstream.quirks.saw(upstream.name(), Quirk::DeadSession400);
    }
    gone
}

/// Why a server has to be initialised again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lost {
    /// It does not know the session any more.
    Forgotten,
    /// The endpoint that has the session is out of service, gone, or not known here.
    Moved,
}

/// Initialises the server again with the client's own message, restores what the session had, and notes that lists may
/// have changed. One renewal at a time; whoever comes second finds it done.
pub(super) async fn renew(
    worker: &Rc<Worker>,
    upstream: &Arc<Upstream>,
    session: &Arc<Session>,
    epoch: u64,
    lost: Lost,
) -> Result<(), Reason> {
    let waiting = Instant::now();
    let mut failed = session.rare().renewal.lock().await;
    if session.state().epoch != epoch {
        return Ok(());
    }
    if session.is_over() {
        // its server forgot it because we told it to
        return Err(Reason::SessionUnknown);
    }
    if failed.is_some_and(|at| at >= waiting) {
        return Err(Reason::ServerForgot);
    }
    if session.tie.is_kept() || session.whole().is_some() {
        // another node may have done it
        find(worker, &session.id).await?;
        if session.state().epoch != epoch {
            return Ok(());
        }
    }
    let renewed = initialize_again(worker, upstream, session, epoch, lost).await;
    if session.is_over() {
        // ended meanwhile: nobody else would end this one
        end_upstream(worker, upstream, session).await;
        return Err(Reason::SessionUnknown);
    }
    *failed = renewed.is_err().then(Instant::now);
    renewed
}

async fn initialize_again(
    worker: &Rc<Worker>,
    upstream: &Arc<Upstream>,
    session: &Arc<Session>,
    epoch: u64,
    lost: Lost,
) -> Result<(), Reason> {
    let before = session.state();
    match lost {
        // of many sessions at once: the endpoint's own line says why
        Lost::Moved => tracing::debug!(server = %upstream.name(), "a session moves to another endpoint"),
        Lost::Forgotten => {
            tracing::info!(server = %upstream.name(), "the server forgot a session; initialising it again")
        }
    }
    let nothing = State::default();
    let request = own_request(&nothing, &session.initialize);
    if let (Lost::Moved, Some(endpoints), Some(place)) = (lost, &upstream.endpoints, before.place) {
        // not where it is: should that be back by now, it still has the session
        request.last.set(endpoints.group().former(place).map(|former| former.key));
    }
    let sent = send(worker, upstream, &request, Instant::now()).await;
    let response = sent.map_err(|_| Reason::ServerUnreachable)?;
    if !response.status.is_success() {
        // the client's next request finds the other transport, if that is what took its place
        Box::pin(upstream.detect(response.status)).await;
        return Err(Reason::ServerForgot);
    }
    let (fresh, place) = session_of(upstream, &response);
    let body = answer_to(None, response, limit::SMALL_REPLY_BYTES).await.ok_or(Reason::ServerForgot)?;
    let message = scan(&body, ScanLimits::default()).map_err(|_| Reason::ServerForgot)?;
    let Some(result) = message.result else { return Err(Reason::ServerForgot) };
    let renewed = State { upstream: fresh.clone(), place, ..State::clone(&session.state()) };
    let restoring = [Bytes::from_static(br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#)]
        .into_iter()
        .chain(restoration(&renewed));
    for message in restoring {
        if let Some(response) = own(worker, upstream, &renewed, message).await {
            let _ = answer_to(None, response, limit::SMALL_REPLY_BYTES).await;
        }
    }
    upstream.catalogue.changed(&Kinds::ALL);
    let may_have_changed = untold::declared(result.of(&body));
    let is_kept = kept::change(worker, session, |state| {
        if state.epoch != epoch {
            return false;
        }
        state.epoch = epoch + 1;
        state.upstream = fresh.clone();
        state.place = place;
        state.untold |= may_have_changed;
        true
    })
    .await;
    if is_kept != Ok(true) {
        // another node was faster, or nobody will know of this one
        end_state(worker, upstream, &renewed).await;
        return is_kept.map(drop);
    }
    end_former(worker, upstream, before);
    Ok(())
}

/// Ends what a session left behind at an endpoint it moved away from, should that be able to hear it: its streams end as well.
fn end_former(worker: &Rc<Worker>, upstream: &Arc<Upstream>, before: Arc<State>) {
    let (Some(endpoints), Some(place), Some(id)) = (&upstream.endpoints, before.place, before.upstream.clone()) else {
        return;
    };
    let Some(former) = endpoints.group().former(place).cloned() else { return };
    let worker = Rc::clone(worker);
    tokio::task::spawn_local(async move {
        let mut request = Request::empty(Verb::DELETE);
        // it came as a field value
        let _ = request.headers.push(header::SESSION_ID.as_bytes(), &id);
        let sent = worker.pools.send(former.key, &former.target, &request, Instant::now(), limit::PROBE).await;
        tracing::trace!(ended = sent.is_ok(), "a session that moved");
    });
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

/// A message of our own inside a server session.
async fn own(worker: &Rc<Worker>, upstream: &Upstream, state: &State, body: Bytes) -> Option<Response> {
    send(worker, upstream, &own_request(state, &body), Instant::now()).await.ok()
}

/// A request of our own inside a server session.
pub(super) fn own_request<'b>(state: &State, body: &'b Bytes) -> Request<'b> {
    let mut request = Request::post(body);
    in_session(&mut request, state);
    request
}

/// What a request inside a server session says of it, and where it goes.
pub(super) fn in_session(request: &mut Request<'_>, state: &State) {
    request.place = state.place;
    for (name, value) in [(header::SESSION_ID, &state.upstream), (header::PROTOCOL_VERSION, &state.version)] {
        if let Some(value) = value {
            // it came as a field value
            let _ = request.headers.push(name.as_bytes(), value);
        }
    }
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
        drop(own(&worker, &upstream, &state, body.into()).await);
    });
}

/// Ends a session towards its server, or the servers of its parts.
pub(crate) async fn end(worker: &Rc<Worker>, plane: &Plane, session: &Session) {
    let Some(merged) = &session.merged else {
        if let Some(upstream) = plane.server(&session.server) {
            end_upstream(worker, upstream, session).await;
        }
        return;
    };
    let parts = merged.parts();
    let ending = parts.iter().filter_map(|part| Some((plane.server(&part.server)?, part)));
    futures_util::future::join_all(ending.map(|(upstream, part)| end_upstream(worker, upstream, part))).await;
}

/// The configuration changed: sessions with servers that are gone, or are configured otherwise, are over. On the merged
/// door that is a part; the client's own session goes on. A server is told when the calls that are under way have their answers:
/// it would let go of them.
pub(crate) async fn end_gone(worker: &Rc<Worker>, before: Arc<Plane>, now: Arc<Plane>) {
    let is_there = |session: &Session| now.server(&session.server).is_some_and(|u| u.id == session.definition);
    let mut gone = Vec::new();
    for session in worker.node.sessions.those(|session| session.merged.is_some() || !is_there(session)) {
        match &session.merged {
            Some(merged) => gone.extend(kept::take_out(worker, &session, merged.take_gone(is_there)).await),
            None => gone.extend((kept::remove(worker, &session).await == Ok(true)).then_some(session)),
        }
    }
    let ended = gone.into_iter().filter_map(|session| {
        session.end();
        let upstream = before.server(&session.server).filter(|upstream| upstream.id == session.definition)?;
        Some((Arc::clone(upstream), session))
    });
    let ended: Vec<_> = ended.collect();
    // nothing holds the planes meanwhile: processes of other servers need not wait for these sessions
    drop((before, now));
    end_unused(worker, ended).await;
}

/// Ends sessions that are over towards their servers, each as soon as nothing is under way in it; all of them when the node ends.
async fn end_unused(worker: &Rc<Worker>, mut ended: Vec<(Arc<Upstream>, Arc<Session>)>) {
    let over = Instant::now();
    let drain = worker.node.drain.clone();
    let mut emptying = std::pin::pin!(drain.reached(Phase::Emptying));
    let mut hurries = false;
    loop {
        let unused = |(_, session): &mut (_, Arc<Session>)| {
            let since = over.elapsed();
            // how busy it is at other nodes is not known here
            let elsewhere = session.tie.is_kept() && since < limit::DRAIN;
            hurries || since >= limit::CALL_ABSOLUTE || !session.is_in_use() && !elsewhere
        };
        let unused: Vec<_> = ended.extract_if(.., unused).collect();
        for few in unused.chunks(limit::SESSIONS_ENDING) {
            let ending = few.iter().map(|(upstream, session)| end_upstream(worker, upstream, session));
            futures_util::future::join_all(ending).await;
        }
        if ended.is_empty() {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(limit::LETTING_GO) => {}
            () = &mut emptying => hurries = true,
        }
    }
}

async fn end_upstream(worker: &Rc<Worker>, upstream: &Arc<Upstream>, session: &Session) {
    if let Some(attachment) = session.take_attachment().await {
        upstream.children.release(&attachment, session.id.0);
    }
    end_state(worker, upstream, &session.state()).await;
}

/// Ends what a server knows of a session.
async fn end_state(worker: &Rc<Worker>, upstream: &Arc<Upstream>, state: &State) {
    let Some(id) = &state.upstream else { return };
    let mut request = Request::empty(Verb::DELETE);
    request.place = state.place;
    // it came as a field value
    let _ = request.headers.push(header::SESSION_ID.as_bytes(), id);
    if let Err(failure) = send(worker, upstream, &request, Instant::now()).await {
        tracing::debug!(server = %upstream.name(), ?failure, "could not end the server's session");
    }
}

/// The child of a session: the one it has, or a new one initialised with the client's own message and brought to where
/// the old one was.
pub(super) async fn attached(upstream: &Arc<Upstream>, session: &Session) -> Result<Arc<Child>, Reason> {
    let mut attachment = session.rare().attachment.lock().await;
    // what a server asks during a call is answered to the child that asked
    let serves = |a: &&Attachment| a.child.is_current() || (matches!(a.key, Key::Session(_)) && a.child.is_finishing());
    if let Some(attachment) = attachment.as_ref().filter(serves) {
        return Ok(Arc::clone(&attachment.child));
    }
    if session.is_over() {
        return Err(Reason::SessionUnknown);
    }
    let caller = Caller { principal: session.principal, session: Some(session.id.0) };
    let message = scan(&session.initialize, ScanLimits { depth: u16::MAX }).map_err(|_| Reason::ServerForgot)?;
    let key = upstream.children.legacy_key(caller, &session.initialize, &message, session.declared.asks);
    let child = upstream.children.legacy(&key, caller, &session.initialize).await;
    super::pipe_server::note(upstream, child.as_ref().err());
    let child = match child {
        Ok(child) => child,
        Err(NoChild::Reason(reason)) => return Err(reason),
        Err(NoChild::Refused(_)) => return Err(Reason::ServerForgot),
    };
    child.attach(caller);
    if session.is_over() {
        // ended meanwhile: nobody else would let this one go
        upstream.children.release(&Attachment { child, key }, session.id.0);
        return Err(Reason::SessionUnknown);
    }
    for body in restoration(&session.state()) {
        if let Ok(message) = scan(&body, ScanLimits { depth: u16::MAX }) {
            // the answer is of no interest: its queue is dropped
            let _ = child.request(caller, body, message);
        }
    }
    let may_have_changed = child.initialize_result().map(|result| untold::declared(result)).unwrap_or_default();
    // it cannot leave this node
    session.update(|state| std::mem::replace(&mut state.untold, may_have_changed) != may_have_changed);
    upstream.catalogue.changed(&Kinds::ALL);
    *attachment = Some(Attachment { child: Arc::clone(&child), key });
    Ok(child)
}
