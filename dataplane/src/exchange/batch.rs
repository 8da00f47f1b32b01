//! Several messages in one body (2025-03-26 *Streamable HTTP: Sending Messages to the Server*), which no other revision has: each is
//! admitted, judged and answered as if it had come by itself, so that no server has to know of batches. What is said of any of
//! them goes out on one event stream, each message as an event; such a stream has no ids to come back with.

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use http::StatusCode;
use sluice_mcp::{Feature, Kind, Method, ScanLimits, Span, Version, error_body, header, join, scan};
use tokio::sync::mpsc;
use tokio::time::Sleep;

use super::call::{Arrival, Base, Call, Content, Posted, Refusal, Reply, Scope};
use super::handed::{self, Door as _};
use super::record::Record;
use super::relay::Item;
use super::{Outcome, find_session, permission, post, refuse};
use crate::auth::quota::Ticket;
use crate::budget::Held;
use crate::limit;
use crate::node::Worker;
use crate::reason::{Elsewhere, Reason};
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
    mut arrival: Arrival,
    body: Bytes,
    held: Held,
) -> Pin<Box<dyn Future<Output = Outcome> + 'w>> {
    Box::pin(async move {
        match sort(worker, &mut arrival, &body).await {
            Ok(Sorted::Here(in_use, messages)) => answer(worker, arrival, messages, held, in_use).await,
            Ok(Sorted::Elsewhere(at, _tickets)) => {
                let path = arrival.upstream.path();
                handed::post_at(worker, arrival.base, &path, body, None, at).await
            }
            Err(reason) => Err(refuse(&mut arrival, reason, None)),
        }
    })
}

/// Where the messages of a batch go, once all of them may.
enum Sorted {
    /// Each with its place among the requests of its client, but for the last, which has the one that the batch came with.
    Here(InUse, Vec<(Message, Option<Ticket>)>),
    /// To the node that has the session, with the places they take here until it has answered.
    Elsewhere(Elsewhere, Vec<Ticket>),
}

/// One of a batch.
pub(crate) struct Message {
    pub body: Bytes,
    /// Its raw id, as far as it was read.
    id: Option<Bytes>,
    /// Also of what is no message: it is answered as one would be.
    is_request: bool,
}

async fn sort(worker: &Rc<Worker>, arrival: &mut Arrival, body: &Bytes) -> Result<Sorted, Reason> {
    if !may_come(arrival) {
        return Err(not_taken());
    }
    let definition = match &arrival.upstream {
        Scope::Server(upstream) => upstream.id,
        Scope::Merged => Merged::DEFINITION,
    };
    let found = match find_session(worker, arrival, definition).await {
        Ok(in_use) if in_use.session.asked_for().is_some_and(has) => Ok(in_use),
        Ok(_) | Err(Reason::SessionMissing | Reason::SessionNotBegun) => return Err(not_taken()),
        Err(Reason::SessionElsewhere(at)) => Err(at),
        Err(reason) => return Err(reason),
    };
    let depth = arrival.plane.snapshot.limits.json_depth;
    let messages = messages(body, depth)?;
    let (limits, via) = (&arrival.plane.snapshot.limits, arrival.ticket.via);
    let tickets = worker.node.quotas.admit_all(&arrival.account, limits, via, Instant::now(), messages.len() - 1)?;
    match found {
        Ok(in_use) => {
            let tickets = tickets.into_iter().map(Some).chain([None]);
            Ok(Sorted::Here(in_use, messages.into_iter().zip(tickets).collect()))
        }
        Err(at) => {
            for message in messages {
                let posted = Posted::scan(message.body, worker.node.hold(0)?, ScanLimits { depth });
                if let Ok(posted) = posted {
                    permission::count(worker, arrival, &posted)?;
                }
            }
            Ok(Sorted::Elsewhere(at, tickets))
        }
    }
}

/// Sends each on its way.
async fn answer(
    worker: &Rc<Worker>,
    arrival: Arrival,
    messages: Vec<(Message, Option<Ticket>)>,
    held: Held,
    in_use: InUse,
) -> Outcome {
    let (say, said) = mpsc::channel(1);
    let calls = FuturesUnordered::<Pin<Box<dyn Future<Output = ()>>>>::new();
    let mut refused = None;
    let mut own = Some(arrival);
    for (message, ticket) in messages {
        let arrival = match (ticket, &own) {
            (Some(ticket), Some(own)) => Some(another(worker, own, ticket)),
            _ => own.take(),
        };
        let Some(arrival) = arrival else { break };
        if message.is_request {
            calls.push(Box::pin(call(Rc::clone(worker), arrival, message, say.clone())));
        } else if let Err(refusal) = alone(worker, arrival, message.body).await {
            refused.get_or_insert(refusal);
        }
    }
    if calls.is_empty() {
        return refused.map_or_else(|| Ok(Reply::empty(StatusCode::ACCEPTED)), Err);
    }
    let keep_alive = Box::pin(tokio::time::sleep(limit::KEEP_ALIVE));
    let batch = Batch { calls, said, keep_alive, _held: held, _in_use: in_use };
    Ok(Reply::of(StatusCode::OK, Content::Batch(Box::new(batch))))
}

/// One message down the path. Its bytes are held with the batch.
async fn alone(worker: &Rc<Worker>, arrival: Arrival, message: Bytes) -> Outcome {
    match worker.node.hold(0) {
        Ok(held) => Box::pin(post(worker, arrival, message, held)).await,
        Err(reason) => Err(reason.into()),
    }
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

/// The messages of a batch.
///
/// # Errors
/// It is no array, or of too many messages, or what must not be among them is.
pub(crate) fn messages(body: &Bytes, depth: u16) -> Result<Vec<Message>, Reason> {
    let limits = ScanLimits { depth };
    let refuse = |text: String| Reason::Message { code: sluice_mcp::code::INVALID_REQUEST, text };
    let spans = sluice_mcp::batch(body, limits, limit::BATCH_MESSAGES).map_err(|error| match error.reason {
        sluice_mcp::Reason::Empty => refuse("the batch is empty".into()),
        sluice_mcp::Reason::TooLarge => {
            refuse(format!("the batch has more than {} messages: send them a part at a time", limit::BATCH_MESSAGES))
        }
        _ => Reason::Message { code: error.code(), text: format!("the batch: {error}") },
    })?;
    let of = |span: &Span| {
        let body = body.slice(span.range());
        match scan(&body, limits) {
            _ if is_one(&body) => Err(refuse("there is a batch within the batch".into())),
            Err(error) => {
                let id = error.id.map(|id| body.slice(id.range()));
                Ok(Message { body, id, is_request: true })
            }
            Ok(message) if message.method == Method::Initialize => {
                Err(refuse("initialize is not part of a batch (2025-03-26, Lifecycle: Initialization)".into()))
            }
            Ok(message) => {
                let id = message.id.map(|id| body.slice(id.range()));
                Ok(Message { body, id, is_request: message.kind == Kind::Request })
            }
        }
    };
    spans.iter().map(of).collect()
}

/// An arrival as this one, with a place and a record of its own.
fn another(worker: &Rc<Worker>, like: &Arrival, ticket: Ticket) -> Arrival {
    let mut record = Record::begin(worker, &like.plane);
    record.principal.clone_from(&like.record.principal);
    record.upstream.clone_from(&like.record.upstream);
    let base = Base {
        plane: Arc::clone(&like.plane),
        principal: like.principal.clone(),
        account: Arc::clone(&like.account),
        headers: like.headers.clone(),
        synthesized: like.synthesized,
        record,
        ticket,
        naming: like.naming,
    };
    Call { upstream: like.upstream.clone(), base: Box::new(base) }
}

/// One request down the path, and what is said of it.
async fn call(worker: Rc<Worker>, arrival: Arrival, Message { body, id, .. }: Message, say: mpsc::Sender<Bytes>) {
    let failed = match alone(&worker, arrival, body).await {
        Ok(reply) => out(&worker, reply, id.as_ref(), &say).await.err().map(|reason| Refusal { reason, id }),
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
/// It did not come, and nobody has said so.
async fn out(worker: &Worker, reply: Reply, id: Option<&Bytes>, say: &mpsc::Sender<Bytes>) -> Result<(), Reason> {
    match reply.content {
        // the client cancelled it
        Content::Empty => {}
        Content::Json(body) => drop(say.send(body).await),
        // copied when it is its turn: until then, what many are answered is there once
        Content::Pieces(pieces) => {
            if let Ok(place) = say.reserve().await {
                place.send(join(&pieces.chunks));
            }
        }
        Content::JsonStream(stream) => {
            let (body, _held) = stream.whole(&worker.node, id).await?;
            let _ = say.send(body).await;
        }
        Content::Messages(mut relay) => {
            while let Some(item) = poll_fn(|cx| relay.poll_item(cx)).await {
                if let Some(data) = item.data.filter(|data| !data.is_empty()) {
                    let _ = say.send(data).await;
                }
            }
            if !relay.is_answered() {
                return Err(Reason::ServerClosed);
            }
        }
        // the session went elsewhere meanwhile; and there are no batches in a batch
        Content::Handed(_) | Content::Batch(_) => return Err(Reason::SessionUnknown),
    }
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
