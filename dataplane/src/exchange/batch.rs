//! Several messages in one body (2025-03-26 *Streamable HTTP: Sending Messages to the Server*), which no other revision has: each is
//! admitted, judged and answered as if it had come by itself, so that no server has to know of batches. What is said of any of
//! them goes out on one event stream, each message as an event; such a stream has no ids to come back with.

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use http::StatusCode;
use sluice_mcp::{Feature, Kind, Method, ScanLimits, Span, Version, error_body, header, join, scan};
use tokio::sync::mpsc;
use tokio::time::Sleep;

use super::call::{Arrival, Base, Call, Content, Refusal, Reply, Scope};
use super::handed::{self, Door as _};
use super::record::Record;
use super::relay::Item;
use super::{Outcome, find_session, post, refuse};
use crate::budget::Held;
use crate::limit;
use crate::node::Worker;
use crate::reason::Reason;
use crate::session::{InUse, Merged};

/// Whether a body is one.
#[inline]
pub(crate) fn is_one(body: &[u8]) -> bool {
    body.trim_ascii_start().first() == Some(&b'[')
}

/// Whether a revision has batches.
pub(crate) fn has(version: Version) -> bool {
    version.has(Feature::Batching)
}

/// What is said of the messages of a batch, as it comes.
pub(crate) struct Batch {
    calls: FuturesUnordered<Pin<Box<dyn Future<Output = ()>>>>,
    /// One at a time: whoever has more to say waits for the client.
    said: mpsc::Receiver<Bytes>,
    keep_alive: Pin<Box<Sleep>>,
    _held: Held,
    _in_use: InUse,
}

/// Takes the messages of a batch.
pub(super) fn take<'w>(
    worker: &'w Rc<Worker>,
    arrival: Arrival,
    body: Bytes,
    held: Held,
) -> Pin<Box<dyn Future<Output = Outcome> + 'w>> {
    Box::pin(async move {
        let mut arrival = arrival;
        let depth = arrival.plane.snapshot.limits.json_depth;
        let definition = match &arrival.upstream {
            Scope::Server(upstream) => upstream.id,
            Scope::Merged => Merged::DEFINITION,
        };
        if !may_come(&arrival) {
            return Err(refuse(&mut arrival, not_taken(), None));
        }
        let in_use = match find_session(worker, &arrival, definition).await {
            Ok(in_use) if in_use.session.asked_for().is_some_and(has) => in_use,
            Ok(_) | Err(Reason::SessionMissing | Reason::SessionNotBegun) => {
                return Err(refuse(&mut arrival, not_taken(), None));
            }
            Err(Reason::SessionElsewhere(home)) => {
                let path = arrival.upstream.path();
                return handed::post_at(worker, arrival.base, &path, body, None, home).await;
            }
            Err(reason) => return Err(refuse(&mut arrival, reason, None)),
        };
        let messages = match messages(&body, depth) {
            Ok(messages) => messages,
            Err(reason) => return Err(refuse(&mut arrival, reason, None)),
        };
        let arrivals = match each(worker, arrival, messages.len()) {
            Ok(arrivals) => arrivals,
            Err(refusal) => return Err(refusal),
        };
        let (say, said) = mpsc::channel(1);
        let calls = FuturesUnordered::<Pin<Box<dyn Future<Output = ()>>>>::new();
        let mut refused = None;
        for (arrival, (message, is_request)) in arrivals.into_iter().zip(messages) {
            let held = match worker.node.hold(0) {
                Ok(held) => held,
                Err(reason) => return Err(reason.into()),
            };
            if is_request {
                calls.push(Box::pin(call(Rc::clone(worker), arrival, message, held, say.clone())));
            } else if let Err(refusal) = Box::pin(post(worker, arrival, message, held)).await {
                refused.get_or_insert(refusal);
            }
        }
        if calls.is_empty() {
            return refused.map_or_else(|| Ok(Reply::empty(StatusCode::ACCEPTED)), Err);
        }
        let keep_alive = Box::pin(tokio::time::sleep(limit::KEEP_ALIVE));
        let batch = Batch { calls, said, keep_alive, _held: held, _in_use: in_use };
        Ok(Reply { status: StatusCode::OK, session: None, content: Content::Batch(Box::new(batch)) })
    })
}

/// What batches are told where there are none.
fn not_taken() -> Reason {
    let text = "batches are not accepted: they are of revision 2025-03-26, in a session of that revision; send each message by itself";
    Reason::Message { code: sluice_mcp::code::INVALID_REQUEST, text: text.into() }
}

/// Whether the headers speak against it: later revisions say in each request that it is of them.
fn may_come(arrival: &Arrival) -> bool {
    let version = arrival.headers.get(header::PROTOCOL_VERSION);
    version.is_none_or(|version| Version::parse(version).is_some_and(has))
}

/// The messages, and which are requests. What is no message is answered as one would be.
///
/// # Errors
/// It is no array, or of too many messages, or `initialize` is among them.
pub(crate) fn messages(body: &Bytes, depth: u16) -> Result<Vec<(Bytes, bool)>, Reason> {
    let limits = ScanLimits { depth };
    let spans = sluice_mcp::batch(body, limits, limit::BATCH_MESSAGES)
        .map_err(|error| Reason::Message { code: error.code(), text: format!("the batch: {error}") })?;
    let of = |span: &Span| {
        let message = body.slice(span.range());
        match scan(&message, limits) {
            Ok(scanned) if scanned.method == Method::Initialize => {
                let text = "initialize is not part of a batch (2025-03-26, Lifecycle: Initialization)";
                Err(Reason::Message { code: sluice_mcp::code::INVALID_REQUEST, text: text.into() })
            }
            Ok(scanned) => Ok((message, scanned.kind == Kind::Request)),
            Err(_) => Ok((message, true)),
        }
    };
    spans.iter().map(of).collect()
}

/// An arrival for each message: all of them have their places among the client's requests, or none.
fn each(worker: &Rc<Worker>, mut first: Arrival, count: usize) -> Result<Vec<Arrival>, Refusal> {
    let mut all = Vec::with_capacity(count);
    for _ in 1..count {
        let mut record = Record::begin(worker, &first.plane);
        record.principal.clone_from(&first.record.principal);
        record.upstream.clone_from(&first.record.upstream);
        let (limits, via) = (&first.plane.snapshot.limits, first.ticket.via);
        match worker.node.quotas.admit(&first.account, limits, via, record.started()) {
            Ok(ticket) => {
                let base = Base {
                    plane: Arc::clone(&first.plane),
                    principal: first.principal.clone(),
                    account: Arc::clone(&first.account),
                    headers: first.headers.clone(),
                    synthesized: first.synthesized,
                    record,
                    ticket,
                    naming: first.naming,
                };
                all.push(Call { upstream: first.upstream.clone(), base: Box::new(base) });
            }
            Err(reason) => {
                record.fail(&reason);
                for mut arrival in all {
                    arrival.record.fail(&reason);
                }
                return Err(refuse(&mut first, reason, None));
            }
        }
    }
    all.push(first);
    Ok(all)
}

/// One request down the path, and what is said of it.
async fn call(worker: Rc<Worker>, arrival: Arrival, message: Bytes, held: Held, say: mpsc::Sender<Bytes>) {
    let limits = ScanLimits { depth: arrival.plane.snapshot.limits.json_depth };
    let id = scan(&message, limits).ok().and_then(|scanned| Some(message.slice(scanned.id?.range())));
    let failed = match post(&worker, arrival, message, held).await {
        Ok(reply) => out(&worker, reply, &say).await.err().map(|reason| Refusal { reason, id }),
        Err(refusal) => Some(refusal),
    };
    if let Some(Refusal { reason, id }) = failed {
        let body = error_body(id.as_deref(), reason.row().code, &reason.text(), reason.data().as_deref());
        let _ = say.send(body.into()).await;
    }
}

/// Says what an answer consists of.
///
/// # Errors
/// It did not come.
async fn out(worker: &Worker, reply: Reply, say: &mpsc::Sender<Bytes>) -> Result<(), Reason> {
    let whole = match reply.content {
        // the client cancelled it
        Content::Empty => return Ok(()),
        Content::Json(body) => body,
        Content::Pieces(pieces) => join(&pieces.chunks),
        Content::JsonStream(stream) => stream.whole(&worker.node).await?,
        Content::Messages(mut relay) => {
            while let Some(item) = poll_fn(|cx| relay.poll_item(cx)).await {
                if let Some(data) = item.data.filter(|data| !data.is_empty()) {
                    let _ = say.send(data).await;
                }
            }
            return if relay.is_answered() { Ok(()) } else { Err(Reason::ServerClosed) };
        }
        // the session went elsewhere meanwhile; and there are no batches in a batch
        Content::Handed(_) | Content::Batch(_) => return Err(Reason::SessionUnknown),
    };
    let _ = say.send(whole).await;
    Ok(())
}

impl Batch {
    /// What is said next; `None` when all is said.
    pub(crate) fn poll_item(&mut self, cx: &mut Context<'_>) -> Poll<Option<Item>> {
        loop {
            // first, so that there is room for what is said next
            let over = match self.calls.poll_next_unpin(cx) {
                Poll::Ready(Some(())) => continue,
                Poll::Ready(None) => true,
                Poll::Pending => false,
            };
            match self.said.poll_recv(cx) {
                Poll::Ready(Some(message)) => {
                    self.rest(limit::KEEP_ALIVE);
                    return Poll::Ready(Some(Item::message(message)));
                }
                _ if over => return Poll::Ready(None),
                _ => {}
            }
            ready!(self.keep_alive.as_mut().poll(cx));
            self.rest(limit::KEEP_ALIVE);
            return Poll::Ready(Some(Item::comment()));
        }
    }

    fn rest(&mut self, pause: Duration) {
        self.keep_alive.as_mut().reset(tokio::time::Instant::now() + pause);
    }
}
