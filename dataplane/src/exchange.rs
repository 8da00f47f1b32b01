//! The path of a call, readable from top to bottom: scan → era → session → open handles → server → relay.
//!
//! Doors have authenticated and admitted the call before it comes here ([`call::Call`]); what comes back ([`call::Reply`])
//! they write. Same era on both sides: the body goes on as the bytes it came in, edits are splices.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method as Verb, StatusCode};
use sluice_http1::Fields;
use sluice_mcp::{Era, Kind, Method, Mirror, ScanLimits, decode_string, era_of, header};
use sluice_snapshot::model::Protocol;

mod answered;
mod ask;
mod balanced;
pub(crate) mod batch;
pub(crate) mod call;
mod conflict;
mod curation;
mod detection;
pub(crate) mod handed;
pub(crate) mod handles;
mod holding;
mod http_server;
pub(crate) mod json_stream;
mod merged;
mod own_lists;
mod parameters;
pub(crate) mod permission;
mod pipe_server;
pub(crate) mod record;
pub(crate) mod relay;
mod resumption;
mod sessions;
mod trace;

use call::{Arrival, Call, Content, Posted, Refusal, Reply, Scope};
use record::Record;
use relay::edited;
use resumption::{Anew, Resumed};
pub(crate) use sessions::{
    Expiry, end as end_session, end_asked as end_asked_sessions, end_for as end_sessions_for,
    end_gone as end_gone_sessions, follow as follow_sessions, list as list_sessions,
};

use crate::auth::quota::Ticket;
use crate::budget::Held;
use crate::catalog::Kind as Kinds;
use crate::node::Worker;
use crate::reason::{Elsewhere, Reason};
use crate::session::{InUse, Merged, Presented, SessionId};
use crate::upstream::Carrier;
use crate::upstream::pipe::Caller;

type Outcome = Result<Reply, Refusal>;

/// A POSTed message.
pub(crate) async fn post(worker: &Rc<Worker>, mut arrival: Arrival, body: Bytes, held: Held) -> Outcome {
    if batch::is_one(&body) {
        return batch::take(worker, arrival, body, held).await;
    }
    // scan: one pass, strict; what we saw is what the server sees
    let depth = arrival.plane.snapshot.limits.json_depth;
    let mut posted = match Posted::scan(body, held, ScanLimits { depth }) {
        Ok(posted) => posted,
        Err(Refusal { reason, id }) => return Err(refuse(&mut arrival, reason, id)),
    };
    if arrival.plane.snapshot.monitoring.traces.is_some() {
        trace::begin(&mut arrival, &mut posted);
    }
    note(&mut arrival, &posted);

    // era: said by each request itself
    let era = match era(&arrival, &posted) {
        Ok(era) => era,
        Err(reason) => return Err(refuse(&mut arrival, reason, posted.id())),
    };
    arrival.record.legacy = era == Era::Legacy;
    tracing::trace!(?era, method = posted.message.method.as_str(), "post");
    let mut call = match &arrival.upstream {
        Scope::Server(upstream) => {
            let upstream = Arc::clone(upstream);
            arrival.towards(upstream)
        }
        Scope::Merged => {
            arrival.record.of_door = true;
            return Box::pin(merged::post(worker, arrival, posted, era)).await;
        }
    };
    // what it asks for is judged as it was sent: headers and body must agree on that first
    if era == Era::Modern
        && let Err(reason) = check_modern(&call, &posted)
    {
        return Err(refuse(&mut call, reason, posted.id()));
    }
    if call.plane.permits.is_some() {
        match permission::on_own_door(worker, &mut call, &mut posted) {
            Ok(true) => {}
            Ok(false) => return Ok(Reply::empty(StatusCode::ACCEPTED)),
            Err(reason) => return Err(refuse(&mut call, reason, posted.id())),
        }
    }
    if call.upstream.curates
        && let Err(reason) = curation::apply(&call.upstream, &mut posted)
    {
        return Err(refuse(&mut call, reason, posted.id()));
    }
    match era {
        Era::Modern => modern(worker, call, posted).await,
        Era::Legacy if posted.message.method == Method::Initialize => {
            Box::pin(sessions::open(worker, call, posted)).await
        }
        Era::Legacy => legacy(worker, call, posted).await,
    }
}

/// A modern request, which was checked: stateless, everything it needs is in it.
async fn modern(worker: &Rc<Worker>, mut call: Call, posted: Posted) -> Outcome {
    if call.upstream.era.is_legacy() {
        return Err(refuse(&mut call, Reason::ServerIsLegacy, posted.id()));
    }
    match call.upstream.carrier() {
        Carrier::Requests => match Kinds::of(posted.message.method) {
            Some(kind) => Box::pin(own_lists::modern(worker, call, posted, kind)).await,
            None => http_server::modern(worker, call, posted).await,
        },
        Carrier::Pipe => Box::pin(pipe_server::modern(worker, call, posted)).await,
    }
}

/// A legacy message inside a session.
async fn legacy(worker: &Rc<Worker>, mut call: Call, posted: Posted) -> Outcome {
    let in_use = match find_session(worker, &call, call.upstream.id).await {
        Ok(in_use) => in_use,
        Err(Reason::SessionElsewhere(home)) => return handed::post(worker, call, posted, home).await,
        Err(reason) => return Err(refuse(&mut call, reason, posted.id())),
    };
    call.principal.act_in(&in_use.session.id);
    match call.upstream.carrier() {
        Carrier::Requests => match Kinds::of(posted.message.method) {
            Some(kind) => Box::pin(own_lists::legacy(worker, call, posted, in_use, kind)).await,
            None => http_server::legacy(worker, call, posted, in_use).await,
        },
        Carrier::Pipe => Box::pin(pipe_server::legacy(worker, call, posted, in_use)).await,
    }
}

/// A GET: the standalone stream of a legacy session, or the resumption of one of its streams.
pub(crate) async fn get(worker: &Rc<Worker>, arrival: Arrival) -> Outcome {
    let upstream = match &arrival.upstream {
        Scope::Server(upstream) => Arc::clone(upstream),
        Scope::Merged => return merged::get(worker, arrival).await,
    };
    let mut call = arrival.towards(upstream);
    let in_use = match find_stream_session(worker, &call).await {
        Ok(in_use) => in_use,
        Err(Reason::SessionElsewhere(home)) => return handed::bare(worker, call, Verb::GET, home).await,
        Err(reason) => return Err(refuse(&mut call, reason, None)),
    };
    call.principal.act_in(&in_use.session.id);
    let comes_back = call.headers.has(header::LAST_EVENT_ID);
    let (call, in_use) = match resumption::resume(worker, call, in_use).await {
        Resumed::Here(outcome) => return outcome,
        Resumed::Anew(Anew { call, in_use, .. }) => (call, in_use),
    };
    match call.upstream.carrier() {
        Carrier::Requests => http_server::get(worker, call, in_use, comes_back).await,
        Carrier::Pipe => pipe_server::get(worker, call, in_use, comes_back).await,
    }
}

/// A DELETE: the client ends its session.
pub(crate) async fn delete(worker: &Rc<Worker>, arrival: Arrival) -> Outcome {
    let upstream = match &arrival.upstream {
        Scope::Server(upstream) => Arc::clone(upstream),
        Scope::Merged => return merged::delete(worker, arrival).await,
    };
    let mut call = arrival.towards(upstream);
    let in_use = match find_stream_session(worker, &call).await {
        Ok(in_use) => in_use,
        Err(Reason::SessionElsewhere(home)) => return handed::bare(worker, call, Verb::DELETE, home).await,
        Err(reason) => return Err(refuse(&mut call, reason, None)),
    };
    match sessions::remove(worker, &in_use.session).await {
        // also where policies have taken a server out of reach since
        Ok(true) => sessions::end(worker, &worker.plane(), &in_use.session).await,
        Ok(false) => {}
        Err(reason) => return Err(refuse(&mut call, reason, None)),
    }
    call.record.outcome = "ok";
    Ok(Reply::empty(StatusCode::OK))
}

/// The era a message belongs to: a modern request says so in its `_meta` or its header; everything else is legacy
/// (2026-07-28 *Versioning*); so is `initialize`, whatever version it asks for.
fn era<To>(call: &Call<To>, posted: &Posted) -> Result<Era, Reason> {
    if posted.message.p.meta_protocol_version.is_some() {
        return Ok(Era::Modern);
    }
    if posted.message.method == Method::Initialize {
        return Ok(Era::Legacy);
    }
    let Some(version) = call.headers.get(header::PROTOCOL_VERSION) else { return Ok(Era::Legacy) };
    match era_of(version) {
        Some(Era::Legacy) if sluice_mcp::Version::parse(version).is_none() => Err(Reason::UnsupportedVersionHeader),
        Some(era) => Ok(era),
        None => Err(Reason::UnsupportedVersionHeader),
    }
}

/// What every modern message must satisfy before it goes to a server.
fn check_modern(call: &Call, posted: &Posted) -> Result<(), Reason> {
    check_modern_message(call, posted, call.upstream.era.modern())
}

/// What every modern message must satisfy: required `_meta`, headers that agree with the body, a version that is spoken
/// (`supported`: by the server, where that is known).
fn check_modern_message<To>(call: &Call<To>, posted: &Posted, supported: Option<Arc<[String]>>) -> Result<(), Reason> {
    match posted.message.kind {
        Kind::Response => return Err(Reason::ResponseNotAllowed),
        Kind::Notification => return Ok(()),
        Kind::Request => {}
    }
    if posted.message.p.meta_protocol_version.is_none() {
        return Err(Reason::MissingMeta("io.modelcontextprotocol/protocolVersion"));
    }
    let value = |name| call.headers.get(name);
    let mirror =
        Mirror { version: value(header::PROTOCOL_VERSION), method: value(header::METHOD), name: value(header::NAME) };
    let repeated = [header::PROTOCOL_VERSION, header::METHOD, header::NAME]
        .into_iter()
        .find(|name| call.headers.all(name).nth(1).is_some());
    if let Some(name) = repeated {
        return Err(Reason::HeaderMismatch(format!("Header mismatch: the {name} header is sent more than once")));
    }
    header::check(&mirror, &posted.body, &posted.message).map_err(|error| Reason::HeaderMismatch(error.to_string()))?;
    let version = posted.message.p.meta_protocol_version.map(|span| decode_string(span.of(&posted.body)));
    let version = version.unwrap_or_default();
    if era_of(version.as_bytes()) != Some(Era::Modern) {
        let known = supported.filter(|v| !v.is_empty());
        let supported =
            known.map_or_else(|| vec![sluice_mcp::Version::V2026_07_28.as_str().to_owned()], |v| v.to_vec());
        return Err(Reason::UnsupportedVersion { requested: version.into_owned(), supported });
    }
    Ok(())
}

/// The session a request names. Owner and server are checked on every use; whatever does not fit is unknown.
async fn find_session<To>(worker: &Worker, call: &Call<To>, definition: u64) -> Result<InUse, Reason> {
    let mut named = call.headers.all(header::SESSION_ID);
    // on a pipe the connection has the session, and there are no headers to send
    let missing = || if call.synthesized { Reason::SessionNotBegun } else { Reason::SessionMissing };
    let id = named.next().filter(|id| !id.is_empty()).ok_or_else(missing)?;
    // several values in one field are a list (RFC 9110 section 5.3); our ids hold neither commas nor spaces
    if named.next().is_some() || id.iter().any(|b| matches!(b, b',' | b' ' | b'\t')) {
        return Err(Reason::SessionRepeated);
    }
    let (store, seal) = (&worker.node.sessions, &worker.node.seal);
    let presented = Presented::read(id, call.principal.id).ok_or(Reason::SessionUnknown)?;
    let session = match store.near(&presented.id(), call.record.started()) {
        Some(session) => Some(session).filter(|session| session.is_genuine(&presented, seal)),
        // boxed: with memory never, else rarely needed, and every call's future would have room for it
        None if presented.is_genuine(seal) => match Box::pin(sessions::find(worker, &presented.id())).await {
            // where nobody can look it up, whoever it began with may have it at hand
            found @ (Ok(None) | Err(Reason::SessionStore)) if presented.id().home() != worker.node.peers.home => {
                let (home, unseen) = (presented.id().home().bytes(), found.is_err());
                return Err(Reason::SessionElsewhere(Elsewhere { home, unseen }));
            }
            found => found?,
        },
        None => None,
    };
    let session = session.ok_or(Reason::SessionUnknown)?;
    if session.owner != call.principal.id || session.definition != definition {
        return Err(Reason::SessionUnknown);
    }
    Ok(session.hold(worker.node.clock))
}

/// The session that the fields of a call name, for a connection that goes on with it.
///
/// # Errors
/// It is not known, or not here, or not the client's.
pub(crate) async fn named_session(worker: &Worker, arrival: &Arrival) -> Result<InUse, Reason> {
    let definition = match &arrival.upstream {
        Scope::Server(upstream) => upstream.id,
        Scope::Merged => Merged::DEFINITION,
    };
    find_session(worker, arrival, definition).await
}

/// The session of a GET or DELETE. Towards a modern server, or from a modern client, there is none to name.
async fn find_stream_session(worker: &Worker, call: &Call) -> Result<InUse, Reason> {
    let found = find_session(worker, call, call.upstream.id).await;
    let modern_client = is_modern_client(&call.headers);
    let modern_server = call.upstream.era.modern().is_some() || call.upstream.era.configured() == Protocol::Modern;
    match found {
        Err(Reason::SessionMissing) if modern_client || modern_server => Err(Reason::MethodNotAllowed("POST")),
        found => found,
    }
}

/// Whether the headers say that the client is a modern one.
fn is_modern_client(headers: &Fields) -> bool {
    headers.get(header::PROTOCOL_VERSION).is_some_and(|v| era_of(v) == Some(Era::Modern))
}

/// Fills the record with what the scan found.
fn note<To>(call: &mut Call<To>, posted: &Posted) {
    let message = &posted.message;
    call.record.method = message.method;
    if call.record.is_logged() {
        // without its query, which may hold what is nobody's business
        let uri = || posted.text(message.p.uri).map(|uri| uri.split('?').next().unwrap_or_default().to_owned());
        call.record.name = posted.text(message.p.name).or_else(uri);
        if message.kind == Kind::Response {
            call.record.other_method = Some("response".to_owned());
        } else if message.method == Method::Other {
            call.record.other_method = posted.text(message.method_span);
        }
    }
}

fn refuse<To>(call: &mut Call<To>, mut reason: Reason, id: Option<Bytes>) -> Refusal {
    // as servers of the client's era say it: what is denied cannot be told from what is not there
    if let Reason::UnknownResource { legacy, .. } = &mut reason {
        let names = matches!(
            call.record.method,
            Method::ResourcesRead | Method::ResourcesSubscribe | Method::ResourcesUnsubscribe
        );
        *legacy = call.record.legacy && names;
    }
    call.record.fail(&reason);
    Refusal { reason, id }
}

/// The place of a long-lived stream, in exchange for that of a call.
fn stream_ticket(ticket: Ticket, record: &mut Record, id: Option<&Bytes>) -> Result<Ticket, Refusal> {
    ticket.into_stream().map_err(|reason| {
        record.fail(&reason);
        Refusal { reason, id: id.cloned() }
    })
}

fn caller(call: &Call, session: Option<&SessionId>) -> Caller {
    Caller { principal: call.principal.id, session: session.map(|s| s.0) }
}

/// Turns a relay into a reply: JSON when the answer is the first thing that comes, else a stream.
async fn first_or_stream(mut relay: relay::Relay) -> Reply {
    match relay.first().await {
        Some((item, Some(status))) => {
            relay.record().status = status;
            Reply::json(status, item.data.unwrap_or_default())
        }
        Some((item, None)) => {
            relay.unread(item);
            stream(relay)
        }
        // the client itself cancelled
        None => Reply::empty(StatusCode::ACCEPTED),
    }
}

fn stream(relay: relay::Relay) -> Reply {
    Reply::of(StatusCode::OK, Content::Messages(Box::new(relay)))
}

/// Adds the header fields of a client that servers see: those of the protocol and the trace context. Credentials never.
fn forward(client: &Fields, server: &mut Fields) {
    const PREFIX: &[u8] = b"mcp-";
    let wanted = |name: &[u8]| {
        let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
        // most are others, as their first letter tells
        match name.first() {
            Some(b'm' | b'M') => {
                let of_protocol = name.get(..PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(PREFIX));
                of_protocol && !is(header::SESSION_ID)
            }
            Some(b't' | b'T' | b'b' | b'B') => ["traceparent", "tracestate", "baggage"].into_iter().any(is),
            _ => false,
        }
    };
    // a head has room for them
    let _ = server.extend(client, wanted);
}

/// What the client of a session is told first on a stream that begins: its lists may have changed.
async fn taken_notes(worker: &Worker, session: &Arc<crate::session::Session>) -> VecDeque<relay::Item> {
    let mut notes = sessions::take_untold(worker, session).await;
    notes.extend(session.take_notes());
    let mut told = std::collections::HashSet::new();
    notes.into_iter().filter(|note| told.insert(note.clone())).map(relay::Item::message).collect()
}

/// The handles of a call.
fn handles_of(worker: &Worker, call: &Call, request: Option<Rc<call::Original>>) -> handles::Handles {
    handles_towards(worker, call, &call.upstream, request)
}

/// The handles of what a client asks a server.
fn handles_towards(
    worker: &Worker,
    base: &call::Base,
    upstream: &Arc<crate::upstream::Upstream>,
    request: Option<Rc<call::Original>>,
) -> handles::Handles {
    handles::Handles {
        node: Arc::clone(&worker.node),
        principal: base.principal.id,
        upstream: Arc::clone(upstream),
        shared: upstream.carrier() == Carrier::Pipe,
        naming: base.naming,
        permits: base.plane.permits.clone(),
        request,
    }
}
