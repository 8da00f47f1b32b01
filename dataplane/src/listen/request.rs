//! What is asked of a client's HTTP request, and its body: read within bounds, or thrown away.

use std::pin::Pin;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header;
use http_body::Body as _;
use hyper::body::Incoming;

use crate::budget::Held;
use crate::limit;
use crate::node::Worker;
use crate::reason::Reason;

/// What a POST must declare: a JSON body, and that both forms of an answer can be read (*Sending Messages*).
pub(super) fn check_post(headers: &HeaderMap) -> Result<(), Reason> {
    check_json(headers)?;
    if !accepts(headers, "application/json") || !accepts(headers, "text/event-stream") {
        return Err(Reason::NotAcceptable("application/json and text/event-stream"));
    }
    Ok(())
}

/// A JSON body.
pub(super) fn check_json(headers: &HeaderMap) -> Result<(), Reason> {
    let kind = headers.get(header::CONTENT_TYPE).map(|v| v.as_bytes()).unwrap_or_default();
    let kind = kind.split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
    if !kind.eq_ignore_ascii_case(b"application/json") || headers.contains_key(header::CONTENT_ENCODING) {
        return Err(Reason::MediaType);
    }
    Ok(())
}

/// Whether the Accept header lists a media type, itself or by a wildcard.
pub(super) fn accepts(headers: &HeaderMap, wanted: &str) -> bool {
    let family = wanted.split('/').next().unwrap_or_default();
    headers.get_all(header::ACCEPT).iter().filter_map(|v| v.to_str().ok()).flat_map(|v| v.split(',')).any(|range| {
        let range = range.split(';').next().unwrap_or_default().trim();
        range.eq_ignore_ascii_case(wanted)
            || range == "*/*"
            || range.strip_suffix("/*").is_some_and(|f| f.eq_ignore_ascii_case(family))
    })
}

/// Reads a body, bounded in size, time and in what the node holds at once.
pub(super) async fn read(
    worker: &Worker,
    limit: usize,
    headers: &HeaderMap,
    body: &mut Incoming,
) -> Result<(Bytes, Held), Reason> {
    let declared = headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()).and_then(|v| v.parse().ok());
    if declared.is_some_and(|length: u64| length > limit as u64) {
        return Err(Reason::BodyTooLarge { limit });
    }
    let mut held = worker.node.hold(declared.unwrap_or(0) as usize)?;
    let deadline = Instant::now() + limit::BODY_READ;
    let mut whole = Bytes::new();
    let mut more = BytesMut::new();
    loop {
        let next = std::future::poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx));
        let pause = limit::BODY_PAUSE.min(deadline.saturating_duration_since(Instant::now()));
        let frame = match tokio::time::timeout(pause, next).await {
            Err(_) => return Err(Reason::BodyTooSlow),
            Ok(None) => break,
            Ok(Some(Err(_))) => return Err(Reason::BodyBroken),
            Ok(Some(Ok(frame))) => frame,
        };
        let Ok(data) = frame.into_data() else { continue };
        let length = whole.len() + more.len() + data.len();
        if length > limit {
            return Err(Reason::BodyTooLarge { limit });
        }
        if declared.is_none() {
            held = worker.node.hold(length)?;
        }
        if whole.is_empty() && more.is_empty() {
            whole = data;
        } else {
            if more.is_empty() {
                more.reserve(declared.map_or(length, |d| d as usize));
                more.extend_from_slice(&std::mem::take(&mut whole));
            }
            more.extend_from_slice(&data);
        }
        if body.is_end_stream() {
            break;
        }
    }
    Ok((if more.is_empty() { whole } else { more.freeze() }, held))
}

/// Reads on for a moment what was refused unread and throws it away, so that the client can read why: closing at once
/// could reset the connection under the answer.
pub(super) async fn discard(mut body: Incoming) {
    let mut left = limit::DISCARD_BYTES;
    let reading = async {
        while let Some(Ok(frame)) = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            match left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) {
                Some(rest) => left = rest,
                None => return,
            }
        }
    };
    let _ = tokio::time::timeout(limit::DISCARD, reading).await;
}
