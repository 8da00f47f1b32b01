//! The door of HTTP+SSE (2024-11-05 *Transports*): a GET opens an event stream whose first event tells where messages are
//! handed in; a POST there is taken at once, and answered on the stream. The stream is the client's connection: with it
//! ends the session.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Method as Verb, StatusCode};
use sluice_mcp::{ScanLimits, encode_event, scan};
use tokio::time::{Instant, Sleep};

use super::door::{Guest, House};
use super::mailbox::{Address, Mail, Registered};
use super::outbox::{Piece, Waiting, outbox};
use super::path;
use super::pipe::{End, Pipe};
use super::received::Received;
use super::request::{Head, accepts, check_json, read};
use super::response::{Response, accepted, http};
use crate::auth::quota::Ticket;
use crate::drain::Phase;
use crate::exchange::call::{Arrival, Base, Posted, Refusal};
use crate::exchange::record::Record;
use crate::exchange::{handed, permission};
use crate::limit;
use crate::observe::metrics::Inside;
use crate::peer::Home;
use crate::reason::{Elsewhere, Reason};
use crate::seal;

/// The event stream of one client.
pub(crate) struct Stream {
    /// The first event: where messages are handed in.
    endpoint: Option<Bytes>,
    waiting: Waiting,
    ended: bool,
    keep_alive: Pin<Box<Sleep>>,
    record: Record,
    _mailbox: Registered,
    _ticket: Ticket,
    _inside: Inside,
}

/// A GET: opens a stream.
pub(super) fn open(house: &House, guest: Guest, head: &Head) -> Result<Stream, Refusal> {
    let Guest { scope, base } = guest;
    let Base { principal, ticket, mut record, .. } = *base;
    record.other_method = Some("GET /sse".to_owned());
    let wrong = match head.verb {
        Verb::GET if !head.headers.has("accept") || accepts(&head.headers, "text/event-stream") => None,
        Verb::GET => Some(Reason::NotAcceptable("text/event-stream")),
        // a streamable HTTP client tries a POST first, and takes this for the sign that here is HTTP+SSE
        _ => Some(Reason::MethodNotAllowed("GET")),
    };
    let wrong = wrong.or((house.worker.node.drain.phase() != Phase::Serving).then_some(Reason::Draining));
    let ticket = match wrong.map_or_else(|| ticket.into_stream(), Err) {
        Ok(ticket) => ticket,
        Err(reason) => {
            record.fail(&reason);
            return Err(reason.into());
        }
    };
    let node = &house.worker.node;
    let (mailbox, mails) = house.mailboxes.open(node.peers.home);
    let path = head.target.path();
    let address = mailbox.address.sealed(&node.seal, principal.id, &path::server_in(path));
    let (outbox, waiting) = outbox();
    tokio::task::spawn_local(Pipe::new(&house.worker, scope, principal, outbox).run(mails));
    record.outcome = "ok";
    let uri = format!("{}/messages?session_id={address}", path::prefix(path));
    Ok(Stream {
        endpoint: Some(event(b"endpoint", uri.as_bytes())),
        waiting,
        ended: false,
        keep_alive: Box::pin(tokio::time::sleep(limit::KEEP_ALIVE)),
        record,
        _mailbox: mailbox,
        _ticket: ticket,
        _inside: node.metrics.streams.enter(),
    })
}

/// A POST: hands a message in.
pub(super) async fn deliver(
    house: &House,
    guest: Guest,
    head: &mut Head,
    body: &mut Received,
) -> Result<Response, Refusal> {
    let address = address(house, &guest.base, head);
    if let Ok(address) = address
        && head.verb == Verb::POST
        && !house.mailboxes.has(address)
        && address.home() != house.worker.node.peers.home
    {
        return hand_on(house, guest, head, body, address.home()).await;
    }
    let Base { plane, principal, ticket, mut record, .. } = *guest.base;
    record.other_method = Some("POST /messages".to_owned());
    let limits = &plane.snapshot.limits;
    let delivered = async {
        if head.verb != Verb::POST {
            return Err(Reason::MethodNotAllowed("POST").into());
        }
        check_json(&head.headers)?;
        let address = Some(address?).filter(|address| house.mailboxes.has(*address)).ok_or(Reason::StreamUnknown)?;
        let (body, held) = read(&house.worker, limits.body_bytes, &head.headers, body).await?;
        let message = scan(&body, ScanLimits { depth: limits.json_depth }).map_err(|error| {
            let id = error.id.map(|s| body.slice(s.range()));
            Refusal { reason: Reason::Message { code: error.code(), text: error.to_string() }, id }
        })?;
        let id = message.id.map(|s| body.slice(s.range()));
        let mail = Mail { body, message, held, ticket, principal: Some(principal) };
        house.mailboxes.deliver(address, mail).map_err(|reason| Refusal { reason, id })
    };
    let delivered: Result<(), Refusal> = delivered.await;
    match &delivered {
        Ok(()) => {
            record.outcome = "ok";
            record.status = StatusCode::ACCEPTED;
            // what becomes of the message is counted where it is taken up
            record.upstream = None;
        }
        Err(refusal) => record.fail(&refusal.reason),
    }
    delivered.map(|()| accepted())
}

/// The mailbox a POST names.
fn address(house: &House, base: &Base, head: &Head) -> Result<Address, Reason> {
    let text = session_id(head.target.query().unwrap_or_default()).ok_or(Reason::StreamMissing)?;
    let server = path::server_in(head.target.path());
    let address = Address::open(&house.worker.node.seal, base.principal.id, &server, text.as_bytes());
    address.ok_or(Reason::StreamUnknown)
}

/// Hands a message in at the node that holds the stream.
async fn hand_on(
    house: &House,
    guest: Guest,
    head: &mut Head,
    body: &mut Received,
    home: Home,
) -> Result<Response, Refusal> {
    let Guest { scope, mut base } = guest;
    base.record.other_method = Some("POST /messages".to_owned());
    let limits = base.plane.snapshot.limits.clone();
    let read = match check_json(&head.headers) {
        Ok(()) => read(&house.worker, limits.body_bytes, &head.headers, body).await,
        Err(reason) => Err(reason),
    };
    let (body, held) = read.inspect_err(|reason| base.record.fail(reason))?;
    base.headers = std::mem::take(&mut head.headers);
    let mut arrival = Arrival { upstream: scope, base };
    // what cannot be read is told by whoever is to read it
    let posted = Posted::scan(body.clone(), held, ScanLimits { depth: limits.json_depth }).ok();
    if let Some(posted) = &posted {
        permission::count(&house.worker, &mut arrival, posted).map_err(|reason| {
            arrival.record.fail(&reason);
            Refusal { reason, id: posted.id() }
        })?;
    }
    let path = format!("{}?{}", head.target.path(), head.target.query().unwrap_or_default());
    let at = Elsewhere { home: home.bytes(), unseen: false };
    handed::post_at(&house.worker, arrival.base, &path, body, None, at).await.map(http)
}

/// The session a POST names, by either spelling of the parameter.
fn session_id(query: &str) -> Option<&str> {
    query.split('&').filter_map(|pair| pair.split_once('=')).find_map(|(name, value)| {
        matches!(name, "session_id" | "sessionId").then_some(value).filter(|value| !value.is_empty())
    })
}

impl Stream {
    /// The next event, as bytes; `None` at the end.
    pub(super) fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if let Some(endpoint) = self.endpoint.take() {
            return Poll::Ready(Some(endpoint));
        }
        if self.ended {
            return Poll::Ready(None);
        }
        match self.waiting.poll_next(cx) {
            Poll::Ready(Some(Piece::Message(message))) => {
                self.keep_alive.as_mut().reset(Instant::now() + limit::KEEP_ALIVE);
                Poll::Ready(Some(event(b"message", &message)))
            }
            Poll::Ready(Some(Piece::End(end))) => {
                self.ended = true;
                self.record.outcome = end.outcome();
                Poll::Ready((end == End::Leaving).then(come_back))
            }
            Poll::Ready(None) => {
                self.ended = true;
                Poll::Ready(None)
            }
            Poll::Pending => {
                ready!(self.keep_alive.as_mut().poll(cx));
                self.keep_alive.as_mut().reset(Instant::now() + limit::KEEP_ALIVE);
                Poll::Ready(Some(Bytes::from_static(b": keep-alive\n\n")))
            }
        }
    }
}

fn event(name: &[u8], data: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(data.len() + 32);
    encode_event(&mut out, None, Some(name), Some(data), None);
    out.into()
}

/// When to come back: spread out, so that a thousand clients do not come in one millisecond.
fn come_back() -> Bytes {
    format!("retry: {}\n\n", 500 + u64::from(seal::random::<1>()[0]) * 8).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_session_is_found_by_either_spelling() {
        assert_eq!(session_id("session_id=a"), Some("a"));
        assert_eq!(session_id("x=1&sessionId=b&y"), Some("b"));
        for query in ["", "session_id=", "session=a", "session_id", "xsession_id=a"] {
            assert_eq!(session_id(query), None, "{query}");
        }
    }
}
