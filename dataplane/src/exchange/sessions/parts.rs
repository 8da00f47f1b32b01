//! The parts of a merged session: one session per server, opened when it is needed first.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use sluice_mcp::{Era, ScanLimits, Version, decode_string, scan};
use sluice_snapshot::model::Protocol;

use crate::catalog::About;
use crate::exchange::ask::answer_to;
use crate::limit;
use crate::node::Worker;
use crate::reason::Reason;
use crate::session::{Merged, Opening, Session};
use crate::upstream::pipe::Caller;
use crate::upstream::{Carrier, Upstream};

use super::greeting::{Greeting, Opened, greet, modern_versions};
use super::{attached, end_upstream, kept, own, restoration};

/// The part of a merged session that is with this server, opened with the client's own `initialize` if it is not open.
/// One opening at a time; whoever waited for one that failed fails with it.
pub(in crate::exchange) async fn part(
    worker: &Rc<Worker>,
    upstream: &Arc<Upstream>,
    whole: &Arc<Session>,
) -> Result<Arc<Session>, Reason> {
    let Some(merged) = &whole.merged else { return Err(Reason::SessionUnknown) };
    if let Some(part) = merged.open_part(upstream.name()).filter(|part| part.definition == upstream.id) {
        return Ok(part);
    }
    Box::pin(open_part(worker, upstream, whole, merged)).await
}

async fn open_part(
    worker: &Rc<Worker>,
    upstream: &Arc<Upstream>,
    whole: &Arc<Session>,
    merged: &Merged,
) -> Result<Arc<Session>, Reason> {
    let place = merged.part(upstream.name());
    let waiting = Instant::now();
    let mut failed = place.opening.lock().await;
    if let Some(part) = place.session(upstream.id) {
        return Ok(part);
    }
    if let Some((at, reason)) = failed.as_ref().filter(|(at, _)| *at >= waiting) {
        tracing::trace!(?at, "failed with whom it waited for");
        return Err(reason.clone());
    }
    let opened = greet_part(worker, upstream, whole, merged).await;
    *failed = opened.as_ref().err().map(|reason| (Instant::now(), reason.clone()));
    let part = opened?;
    let is_ours = kept::add(worker, whole, &part).await;
    if is_ours != Ok(true) {
        // another node was faster, or nobody will know of this one
        end_upstream(worker, upstream, &part).await;
        is_ours?;
        return place.session(upstream.id).ok_or(Reason::Busy);
    }
    if let Some(part) = place.session(upstream.id) {
        // as it was added, it was found there and opened
        return Ok(part);
    }
    if let Some(before) = place.open(Arc::clone(&part)) {
        // the server is configured otherwise than it was: its old session is nobody's any more
        before.end();
    }
    if whole.is_over() {
        // ended meanwhile: nobody else would end this one
        end_upstream(worker, upstream, &part).await;
        return Err(Reason::SessionUnknown);
    }
    merged.opened.notify_waiters();
    Ok(part)
}

async fn greet_part(
    worker: &Rc<Worker>,
    upstream: &Arc<Upstream>,
    whole: &Arc<Session>,
    merged: &Merged,
) -> Result<Arc<Session>, Reason> {
    if upstream.era.configured() == Protocol::Modern {
        return Err(Reason::ServerIsModern { requested: String::new(), supported: modern_versions(upstream) });
    }
    let message =
        scan(&whole.initialize, ScanLimits { depth: u16::MAX }).map_err(|_| Reason::ServerGarbage("initialize"))?;
    let greeting = Greeting {
        initialize: &whole.initialize,
        message: &message,
        headers: None,
        caller: Caller { principal: whole.principal, session: Some(whole.id.0) },
        declared: whole.declared,
    };
    let opened = greet(worker, upstream, &greeting).await.map_err(|trouble| trouble.reason)?;
    let (session_id, place, attachment, body) = match opened {
        Opened::Session { upstream, place, attachment, body } => (upstream, place, attachment, body),
        Opened::Refused { body, .. } => return Err(Reason::ServerRefused(error_text(&body))),
    };
    let answer = scan(&body, ScanLimits { depth: u16::MAX }).map_err(|_| Reason::ServerGarbage("initialize"))?;
    let version = answer.r.protocol_version.map(|s| decode_string(s.of(&body)).into_owned());
    let known = version.as_ref().and_then(|version| Version::parse(version.as_bytes()));
    let strange = known.is_none_or(|version| version.era() != Era::Legacy).then(|| version.clone().unwrap_or_default());
    let opening = Opening {
        owner: whole.owner,
        principal: whole.principal,
        subject: Arc::clone(&whole.subject),
        server: Arc::clone(upstream.name()),
        definition: upstream.id,
        initialize: whole.initialize.clone(),
        declared: whole.declared,
        upstream: session_id,
        place,
        version: version.filter(|version| version.bytes().all(|b| b.is_ascii_graphic())).map(Bytes::from),
        attachment,
        merged: None,
        whole: Some(Arc::downgrade(whole)),
        created: whole.created,
        account: None,
        held: None,
    };
    let part = Arc::new(Session::new(whole.id, opening, worker.node.clock.ms()));
    if let Some(strange) = strange {
        // 2025-11-25 Lifecycle, Version Negotiation: a client that does not know the version gives up the connection
        end_upstream(worker, upstream, &part).await;
        return Err(Reason::ServerVersion(strange.chars().take(limit::SHOWN_NAME_CHARS).collect()));
    }
    if let Some(result) = answer.result {
        let audience = upstream.audience(&merged.audience, whole.principal, whole.id.0);
        upstream.catalogue.entry(&audience).about.store(Some(Arc::new(About::of(result.of(&body)))));
    }
    let left = merged.part(upstream.name()).take_subscriptions();
    if !left.is_empty() {
        part.update(|state| {
            state.subscriptions.extend(left.iter().cloned());
            true
        });
    }
    let level = merged.log_level.load_full();
    if let Some(level) = &level {
        part.update(|state| {
            state.log_level = Some(Bytes::clone(level));
            true
        });
    }
    if upstream.carrier() == Carrier::Requests {
        let initialized = Bytes::from_static(br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
        let state = part.state();
        for message in [initialized].into_iter().chain(restoration(&state)) {
            if let Some(response) = own(worker, upstream, &state, message).await {
                let _ = answer_to(None, response, limit::SMALL_REPLY_BYTES).await;
            }
        }
    } else if let Some(attachment) = part.rare().attachment.lock().await.as_ref() {
        for body in restoration(&part.state()) {
            if let Ok(message) = scan(&body, ScanLimits { depth: u16::MAX }) {
                // the answer is of no interest: its queue is dropped
                let _ = attachment.child.request(greeting.caller, body, message);
            }
        }
    }
    Ok(part)
}

/// The message of a JSON-RPC error.
pub(in crate::exchange) fn error_text(body: &[u8]) -> String {
    let value: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    value["error"]["message"].as_str().unwrap_or("no reason given").chars().take(limit::SHOWN_NAME_CHARS).collect()
}

/// A notification of the client to the server of a part.
pub(in crate::exchange) async fn tell_part(
    worker: &Rc<Worker>,
    upstream: &Arc<Upstream>,
    part: &Arc<Session>,
    body: Bytes,
) -> Result<(), Reason> {
    if upstream.carrier() == Carrier::Pipe {
        let child = attached(upstream, part).await?;
        let message = scan(&body, ScanLimits { depth: u16::MAX }).map_err(|_| Reason::ServerGarbage("notification"))?;
        return child.tell(Caller { principal: part.principal, session: Some(part.id.0) }, body, message);
    }
    own(worker, upstream, &part.state(), body).await.map(drop).ok_or(Reason::ServerUnreachable)
}
