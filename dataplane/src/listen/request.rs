//! What is asked of a client's HTTP request, and its body: read within bounds, or thrown away.

use std::time::Instant;

use bytes::{Bytes, BytesMut};
use http::Method as Verb;
use sluice_http1::{Fields, Target};

use super::received::Received;
use crate::budget::Held;
use crate::limit;
use crate::node::Worker;
use crate::reason::Reason;

/// A request, by whichever version of HTTP it came.
pub(super) struct Request {
    pub head: Head,
    pub body: Received,
}

/// What stands before the body.
pub(super) struct Head {
    pub verb: Verb,
    pub target: Target,
    pub headers: Fields,
    /// HTTP/1.1: the connection can go on as something else.
    pub http_11: bool,
}

/// What a POST must declare: a JSON body, and that both forms of an answer can be read (*Sending Messages*).
pub(super) fn check_post(headers: &Fields) -> Result<(), Reason> {
    check_json(headers)?;
    if !accepts(headers, JSON) || !accepts(headers, EVENTS) {
        return Err(Reason::NotAcceptable("application/json and text/event-stream"));
    }
    Ok(())
}

/// A JSON body.
pub(super) fn check_json(headers: &Fields) -> Result<(), Reason> {
    let kind = without_parameters(headers.get("content-type").unwrap_or_default());
    if !kind.eq_ignore_ascii_case(JSON.as_bytes()) || headers.has("content-encoding") {
        return Err(Reason::MediaType);
    }
    Ok(())
}

pub(super) const JSON: &str = "application/json";
pub(super) const EVENTS: &str = "text/event-stream";

/// Whether the Accept header lists a media type, itself or by a wildcard.
pub(super) fn accepts(headers: &Fields, wanted: &str) -> bool {
    // what most clients say, word for word
    if matches!(wanted, JSON | EVENTS) && headers.get("accept") == Some(b"application/json, text/event-stream") {
        return true;
    }
    let wanted = wanted.as_bytes();
    headers.list("accept").any(|range| {
        let range = without_parameters(range);
        range.eq_ignore_ascii_case(wanted)
            || range == b"*/*"
            || range.strip_suffix(b"*").is_some_and(|family| {
                family.ends_with(b"/") && wanted.get(..family.len()).is_some_and(|w| w.eq_ignore_ascii_case(family))
            })
    })
}

/// A media type or range without what follows its first semicolon.
fn without_parameters(media: &[u8]) -> &[u8] {
    let end = memchr::memchr(b';', media).unwrap_or(media.len());
    media[..end].trim_ascii()
}

/// Reads a body, bounded in size, time and in what the node holds at once.
pub(super) async fn read(
    worker: &Worker,
    limit: usize,
    headers: &Fields,
    body: &mut Received,
) -> Result<(Bytes, Held), Reason> {
    if let Received::Whole(whole) = body {
        if whole.len() > limit {
            return Err(Reason::BodyTooLarge { limit });
        }
        let held = worker.node.hold(whole.len())?;
        return Ok((std::mem::take(whole), held));
    }
    Box::pin(read_on(worker, limit, headers, body)).await
}

/// The same for a body that is still coming.
async fn read_on(
    worker: &Worker,
    limit: usize,
    headers: &Fields,
    body: &mut Received,
) -> Result<(Bytes, Held), Reason> {
    let declared = headers.text("content-length").and_then(|v| v.parse().ok());
    if declared.is_some_and(|length: u64| length > limit as u64) {
        return Err(Reason::BodyTooLarge { limit });
    }
    // no room for all of it: said before it is read. What is held is what has come: who announces much and sends nothing takes
    // nobody's room
    drop(worker.node.hold(declared.unwrap_or(0) as usize)?);
    let mut held = worker.node.hold(0)?;
    let deadline = Instant::now() + limit::BODY_READ;
    let mut whole = Bytes::new();
    let mut more = BytesMut::new();
    while !body.is_end() {
        let pause = limit::BODY_PAUSE.min(deadline.saturating_duration_since(Instant::now()));
        let data = match tokio::time::timeout(pause, body.data()).await {
            Err(_) => return Err(Reason::BodyTooSlow),
            Ok(None) => break,
            Ok(Some(Err(_))) => return Err(Reason::BodyBroken),
            Ok(Some(Ok(data))) => data,
        };
        let length = whole.len() + more.len() + data.len();
        if length > limit {
            return Err(Reason::BodyTooLarge { limit });
        }
        held.grow(data.len())?;
        if whole.is_empty() && more.is_empty() {
            whole = data;
        } else {
            if more.is_empty() {
                more.reserve(declared.map_or(length, |d| d as usize));
                more.extend_from_slice(&std::mem::take(&mut whole));
            }
            more.extend_from_slice(&data);
        }
    }
    Ok((if more.is_empty() { whole } else { more.freeze() }, held))
}
