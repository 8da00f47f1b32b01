//! Asking HTTP servers: sending what is asked, minding how they are, and what an answer is by its head. Questions of our own
//! are asked and answered here.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use sluice_http1::Fields;
use sluice_mcp::{Kind, ScanLimits, SseDecoder, is_modern_refusal, protocol_versions, scan};

use super::call::{Call, Refusal};
use super::relay::{Source, same_id};
use super::{balanced, refuse};
use crate::limit;
use crate::node::Worker;
use crate::reason::Reason;
use crate::upstream::Upstream;
use crate::upstream::breaker::{Ended, Rule};
use crate::upstream::era::Known;
use crate::upstream::http::{Answer, Failure, Request, Response};

/// Whether what was typed as JSON is an event stream: it begins with a field of one.
pub(super) fn is_events(begin: &[u8]) -> bool {
    let begin = begin.trim_ascii_start();
    [&b"event:"[..], b"data:", b"id:", b"retry:", b":"].iter().any(|field| begin.starts_with(field))
}

/// What an answer to `server/discover` says of a server's era.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Discovered {
    Modern,
    Legacy,
    /// Nothing: it was refused, perhaps by what is no server of MCP.
    Refused(StatusCode),
}

/// Asks the server for its era with a `server/discover` of our own, and remembers what that says.
pub(super) async fn probe(worker: &Rc<Worker>, upstream: &Arc<Upstream>) -> Result<Discovered, Reason> {
    let Some(endpoints) = &upstream.endpoints else { return Ok(Discovered::Legacy) };
    let body = Bytes::from_static(crate::upstream::pipe::child::DISCOVER.as_bytes());
    let request = Request::post(&body).modern("server/discover");
    let now = Instant::now();
    let sent = match endpoints.only() {
        Some(only) => worker.pools.send(only.key, &only.target, &request, now, limit::PROBE).await,
        None => Box::pin(balanced::send(worker, upstream, endpoints, &request, now, limit::PROBE)).await,
    };
    upstream.hear(&sent);
    let response = sent.map_err(|failure| named(failure).0)?;
    let status = response.status;
    if let Some(away) = turned_away(&response) {
        return Err(away);
    }
    if status.is_server_error() || status.is_redirection() || credential(status).is_some() {
        return Err(unusual(status));
    }
    let body = answer_to(Some(br#""sluice-discover""#), response, limit::SMALL_REPLY_BYTES).await;
    let message = body.as_ref().and_then(|b| scan(b, ScanLimits::default()).ok().map(|m| (b, m)));
    if message.is_none() && status.is_success() {
        // a web page, perhaps: no server of either era
        return Err(Reason::ServerGarbage("no answer to `server/discover`"));
    }
    let versions = message.as_ref().and_then(|(body, m)| {
        let listed = m.r.supported_versions.map(|v| protocol_versions(v.of(body)));
        let refused = is_modern_refusal(body, m).then(|| vec!["2026-07-28".to_owned()]);
        listed.or(refused)
    });
    if let Some(versions) = versions {
        upstream.era.learn(Known::Modern(versions.into()));
        return Ok(Discovered::Modern);
    }
    // a server of MCP that does not know the method, or wants a session first
    let is_legacy = message.is_some() && (status.is_success() || status == StatusCode::BAD_REQUEST);
    if !is_legacy {
        return Ok(Discovered::Refused(status));
    }
    upstream.era.learn(Known::Legacy);
    Ok(Discovered::Legacy)
}

/// The response message of an answer, be it JSON or an event stream, whatever it is typed as: the one to the request of this
/// raw id, the first one where there is none. `limit` bounds it in bytes.
pub(super) async fn answer_to(id: Option<&[u8]>, response: Response, limit: usize) -> Option<Bytes> {
    let answers = |body: &[u8]| {
        let message = scan(body, ScanLimits { depth: u16::MAX }).ok().filter(|m| m.kind == Kind::Response);
        // an error need not say which request it is about
        message.is_some_and(|m| m.id.zip(id).is_none_or(|(theirs, ours)| same_id(theirs.of(body), ours)))
    };
    let in_events = content_type(&response.headers) == Kinds::Events;
    let mut answer = response.body;
    let mut decoder = SseDecoder::new(limit);
    let next = |decoder: &mut SseDecoder| {
        while let Some(event) = decoder.next().ok()? {
            if let Some(data) = event.data.filter(|data| answers(data)) {
                return Some(data);
            }
        }
        None
    };
    if !in_events {
        let body = answer.collect(limit, limit::PROBE).await.ok()?;
        if !is_events(&body) {
            return Some(body).filter(|body| answers(body));
        }
        decoder.push(body);
        return next(&mut decoder);
    }
    let reading = async {
        let mut json: Option<BytesMut> = None;
        let mut begun = false;
        loop {
            if let Some(data) = next(&mut decoder) {
                return Some(data);
            }
            let Some(data) = answer.data().await else {
                return json.map(BytesMut::freeze).filter(|body| answers(body));
            };
            let data = data.ok()?;
            // no field of an event begins with a brace
            if !begun && data.trim_ascii_start().starts_with(b"{") {
                json = Some(BytesMut::new());
            }
            begun |= !data.is_empty();
            match &mut json {
                Some(json) if json.len() + data.len() > limit => return None,
                Some(json) => json.extend_from_slice(&data),
                None => decoder.push(data),
            }
        }
    };
    tokio::time::timeout(limit::CHILD_START, reading).await.ok().flatten()
}

/// Sends a request at `now`, within the server's own time limit.
pub(super) async fn send(
    worker: &Rc<Worker>,
    upstream: &Upstream,
    request: &Request<'_>,
    now: Instant,
) -> Result<Response, Failure> {
    let Some(endpoints) = &upstream.endpoints else {
        return Err(Failure::Unreachable("not an HTTP server".to_owned()));
    };
    // a session that is somewhere else is not for the only one there is
    let only = endpoints.only().filter(|only| request.place.is_none_or(|place| place == only.place));
    let Some(only) = only else {
        // boxed: few servers run in several places, and every future would otherwise have room for it
        let sent = Box::pin(balanced::send(worker, upstream, endpoints, request, now, upstream.config.timeout)).await;
        if !matches!(sent, Err(Failure::Moved)) {
            upstream.hear(&sent);
        }
        return sent;
    };
    if let Err(left) = only.breaker.may_try() {
        return Err(held_back(left));
    }
    let answers = only.breaker.answers();
    let sent = worker.pools.send(only.key, &only.target, request, now, upstream.config.timeout).await;
    only.breaker.note(ended(&sent, now), answers, &Rule::ALONE, || false);
    upstream.hear(&sent);
    sent
}

/// That nobody is to wait for a server that does not answer.
pub(super) fn held_back(left: Duration) -> Failure {
    Failure::Unreachable(format!("it left requests unanswered; tried again in {} s", left.as_secs() + 1))
}

/// What a request that was sent at `now` says of its endpoint.
pub(super) fn ended(sent: &Result<Response, Failure>, now: Instant) -> Ended {
    match sent {
        Ok(response) if balanced::is_out_of_order(response) => Ended::Failed,
        Ok(_) => Ended::Answered,
        Err(Failure::Unreachable(_)) if now.elapsed() < limit::SWALLOWED => Ended::Refused,
        Err(Failure::Broken(_) | Failure::Head) => Ended::Failed,
        // it was not even asked
        Err(Failure::NoToken(_) | Failure::Moved) => Ended::Refused,
        Err(Failure::Unreachable(_) | Failure::Timeout) => Ended::Swallowed,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kinds {
    Json,
    Events,
    Other,
}

pub(super) fn content_type(headers: &Fields) -> Kinds {
    let Some(value) = headers.get("content-type") else { return Kinds::Other };
    let kind = value.split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
    if kind.eq_ignore_ascii_case(b"application/json") {
        Kinds::Json
    } else if kind.eq_ignore_ascii_case(b"text/event-stream") {
        Kinds::Events
    } else {
        Kinds::Other
    }
}

pub(super) fn events(answer: Answer) -> Source {
    Source::Http { answer: Box::new(answer), decoder: SseDecoder::new(limit::EVENT_BYTES) }
}

/// A server's 401 or 403 concerns the gateway's credential; passed on, it would send the client to the wrong place.
pub(super) fn credential(status: StatusCode) -> Option<Reason> {
    matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN).then_some(Reason::ServerCredential)
}

/// That the server takes no more requests for now: a 429, or a 503 that says when it will (RFC 9110 section 10.2.3).
pub(super) fn turned_away(response: &Response) -> Option<Reason> {
    let said = response.headers.get("retry-after").and_then(|value| std::str::from_utf8(value).ok());
    let retry_after = said.and_then(|seconds| seconds.trim().parse::<u32>().ok());
    let status = response.status;
    let away =
        status == StatusCode::TOO_MANY_REQUESTS || status == StatusCode::SERVICE_UNAVAILABLE && retry_after.is_some();
    away.then_some(Reason::ServerLimits { status, retry_after })
}

pub(super) fn unusual(status: StatusCode) -> Reason {
    match credential(status) {
        Some(reason) => reason,
        None if status.is_redirection() => Reason::ServerRedirect,
        None => Reason::ServerStatus(status.as_u16()),
    }
}

pub(super) fn failed(call: &mut Call, failure: Failure, id: Option<Bytes>) -> Refusal {
    let (reason, cause) = what_failed(&call.upstream, failure);
    call.record.cause = Some(cause);
    refuse(call, reason, id)
}

/// What a failure is called, and its cause, which is told inside only.
pub(super) fn what_failed(upstream: &Upstream, failure: Failure) -> (Reason, String) {
    let (reason, cause) = named(failure);
    tracing::warn!(server = %upstream.name(), cause, outcome = reason.row().outcome, "the server gave no answer");
    (reason, cause)
}

fn named(failure: Failure) -> (Reason, String) {
    match failure {
        Failure::Unreachable(cause) => (Reason::ServerUnreachable, cause),
        Failure::Moved => (Reason::ServerUnreachable, "the endpoint that has the session is out of service".to_owned()),
        Failure::Broken(cause) => (Reason::ServerClosed, cause),
        Failure::Head => (Reason::ServerHead, "the head of the answer exceeds a limit".to_owned()),
        Failure::Timeout => (Reason::ServerTimeout, String::new()),
        Failure::NoToken(missing) => (Reason::NoToken(missing.name.to_string()), missing.cause.to_string()),
    }
}
