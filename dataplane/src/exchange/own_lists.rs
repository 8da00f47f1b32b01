//! Lists on an HTTP server's own door: the server's own bytes, from the catalogue where that is faithful, else from the server.
//!
//! An answer is kept while the server promises that it is good (`ttlMs`, 2026-07-28 *Caching*), or while a stream is open on
//! which the server tells of changes (and it says that it does). It is given to clients that are alike in everything the
//! server sees of them. Whatever asks for more than the first page of a list goes to the server.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::StatusCode;
use serde_json::{Map, Value};
use sluice_mcp::path::member;
use sluice_mcp::{Edit, Message, ScanLimits, Span, list_page, scan, splice};
use sluice_snapshot::model::Isolation;
use smallvec::SmallVec;

mod watch;

use super::call::{Call, Content, Pieces, Posted, Reply};
use super::{Outcome, http_server};
use crate::budget::Held;
use crate::catalog::answers::{Answer, Moment, Question};
use crate::catalog::{Holder, Kind as Kinds};
use crate::limit;
use crate::node::Worker;
use crate::session::InUse;
use crate::upstream::Upstream;
use crate::wire::MemoryFile;

/// A list in a legacy session.
pub(super) async fn legacy(worker: &Rc<Worker>, call: Call, posted: Posted, in_use: InUse, kind: Kinds) -> Outcome {
    let session = Arc::clone(&in_use.session);
    let holder = match call.upstream.config.isolation {
        Isolation::Auto | Isolation::Shared => Some(Holder::Everybody),
        Isolation::PerPrincipal => Some(Holder::Principal(session.principal)),
        // whatever is kept was another session's
        Isolation::PerSession => None,
    };
    let plain = posted.message.params.is_none_or(|params| params.of(&posted.body) == b"{}");
    let upstream = Arc::clone(&call.upstream);
    let answers = &upstream.catalogue.answers;
    let shares = plain && answers.is_announced(kind) && !session.has_own_lists(kind);
    let Some(holder) = holder.filter(|_| shares) else {
        return http_server::legacy(worker, call, posted, in_use).await;
    };
    let question = Question { kind, holder, view: view(&call), said: session.initialize.clone() };
    let begun = call.record.started();
    if let Some(answer) = answers.get(&question, begun) {
        return Ok(written(call, &posted, &answer, begun));
    }
    let asked = answers.moment(kind);
    if !asked.is_watched() {
        if let Some(watch) = answers.wants_watch(kind, begun) {
            watch::begin(worker, &upstream, watch);
        }
        return http_server::legacy(worker, call, posted, in_use).await;
    }
    let mut reply = http_server::legacy(worker, call, posted, in_use).await?;
    if let Some(body) = whole(&mut reply).await
        // told meanwhile: it may be the only one
        && !session.has_own_lists(kind)
        && let Some(answer) = watched(worker, &body, asked, begun)
    {
        answers.keep(&question, answer);
    }
    Ok(reply)
}

/// A modern list.
pub(super) async fn modern(worker: &Rc<Worker>, call: Call, posted: Posted, kind: Kinds) -> Outcome {
    let holder = match call.upstream.config.isolation {
        Isolation::Auto | Isolation::Shared => Some(Holder::Everybody),
        Isolation::PerPrincipal if !call.principal.anonymous => Some(Holder::Principal(call.principal.id)),
        // such calls share nothing
        Isolation::PerPrincipal | Isolation::PerSession => None,
    };
    let (Some(holder), Some(said)) = (holder, posted.raw(posted.message.params)) else {
        return http_server::modern(worker, call, posted).await;
    };
    let upstream = Arc::clone(&call.upstream);
    let answers = &upstream.catalogue.answers;
    let question = Question { kind, holder, view: view(&call), said };
    let begun = Instant::now();
    if let Some(answer) = answers.get(&question, begun) {
        return Ok(written(call, &posted, &answer, begun));
    }
    let asked = answers.moment(kind);
    let mut reply = http_server::modern(worker, call, posted).await?;
    if let Some(body) = whole(&mut reply).await
        && is_plain(&question.said)
        && let Some(answer) = promised(worker, &body, kind, asked, begun)
    {
        answers.keep(&question, answer);
    }
    Ok(reply)
}

/// By what policies let the client see, answers are kept apart.
fn view(call: &Call) -> u64 {
    call.plane.permits.as_ref().map_or(0, |permits| permits.number)
}

/// What a server says of itself as a session begins: of which lists it tells changes.
pub(super) fn note(upstream: &Upstream, initialized: &[u8]) {
    let Ok(message) = scan(initialized, ScanLimits { depth: u16::MAX }) else { return };
    let Some(capabilities) = message.r.capabilities.map(|span| span.of(initialized)) else { return };
    let part = |object, name| Some(member(object, name).ok()??.of(object));
    let tells = |kind: &Kinds| {
        part(capabilities, kind.capability()).and_then(|kind| part(kind, "listChanged")) == Some(&b"true"[..])
    };
    upstream.catalogue.answers.announces(Kinds::ALL.into_iter().filter(tells));
}

/// An answer that is kept as the answer to this request.
fn written(mut call: Call, posted: &Posted, answer: &Answer, now: Instant) -> Reply {
    call.record.outcome = "ok";
    let mut edits: SmallVec<[Edit; 2]> = SmallVec::new();
    edits.extend(posted.id().map(|id| Edit { span: answer.id, with: id }));
    edits.extend(answer.ttl.map(|span| {
        let left = answer.until.saturating_duration_since(now).as_millis();
        Edit { span, with: left.to_string().into() }
    }));
    let chunks = splice(answer.body.bytes(), &mut edits);
    let file = Some(Arc::clone(&answer.body));
    Reply::of(StatusCode::OK, Content::Pieces(Box::new(Pieces { chunks, file, _held: Vec::new() })))
}

/// The one message a reply consists of, if it is small enough to be kept. Of a stream, that is the first message, where it is
/// the answer.
async fn whole(reply: &mut Reply) -> Option<Bytes> {
    if reply.status != StatusCode::OK {
        return None;
    }
    let body = match &mut reply.content {
        Content::Json(body) => body.clone(),
        Content::Messages(relay) => {
            let (item, status) = relay.first().await?;
            let body = item.data.clone().filter(|_| status == Some(StatusCode::OK));
            relay.unread(item);
            body?
        }
        Content::Empty | Content::Pieces(_) | Content::JsonStream(_) | Content::Handed(_) | Content::Batch(_) => {
            return None;
        }
    };
    (body.len() <= limit::ANSWER_BYTES).then_some(body)
}

/// An answer of a server that is watched.
fn watched(worker: &Worker, body: &Bytes, asked: Moment, begun: Instant) -> Option<Answer> {
    let message = only_page(body)?;
    let held = room(worker, body.len())?;
    let until = begun + limit::ANSWER_WATCHED;
    Some(Answer {
        body: MemoryFile::new(Bytes::copy_from_slice(body)),
        id: message.id?,
        ttl: None,
        until,
        asked,
        _held: held,
    })
}

/// An answer that its server promises to be good for a time.
fn promised(worker: &Worker, body: &Bytes, kind: Kinds, asked: Moment, begun: Instant) -> Option<Answer> {
    let message = only_page(body)?;
    let page = list_page(body, &message, kind.method()).ok()?;
    let promised = page.ttl_ms.filter(|ttl| *ttl > 0 && !page.private)?;
    let result = message.result?;
    let ttl = member(result.of(body), "ttlMs").ok()??;
    let ttl = Span { start: result.start + ttl.start, end: result.start + ttl.end };
    let held = room(worker, body.len())?;
    let until = begun + Duration::from_millis(promised).min(limit::CATALOGUE_WATCHED);
    Some(Answer {
        body: MemoryFile::new(Bytes::copy_from_slice(body)),
        id: message.id?,
        ttl: Some(ttl),
        until,
        asked,
        _held: held,
    })
}

/// Room for what is kept, while there is plenty.
fn room(worker: &Worker, bytes: usize) -> Option<Held> {
    let budget = &worker.node.metrics.held;
    (budget.used() + bytes <= limit::ANSWERS_ROOM).then(|| budget.hold(bytes).ok())?
}

/// A list's result that is all of it: a cursor is good for the client only that got it.
fn only_page(body: &Bytes) -> Option<Message> {
    let message = scan(body, ScanLimits { depth: u16::MAX }).ok()?;
    let next = message.r.next_cursor.filter(|span| span.of(body) != b"null");
    (message.result.is_some() && next.is_none()).then_some(message)
}

/// Whether the `params` of a modern request are those that every list has, and no more.
fn is_plain(params: &[u8]) -> bool {
    const SAID: [&str; 3] = ["protocolVersion", "clientInfo", "clientCapabilities"];
    let Ok(params) = serde_json::from_slice::<Map<String, Value>>(params) else { return false };
    let is_said =
        |name: &String| name.strip_prefix("io.modelcontextprotocol/").is_some_and(|name| SAID.contains(&name));
    params.iter().all(|(name, value)| name == "_meta" && value.as_object().is_some_and(|meta| meta.keys().all(is_said)))
}
