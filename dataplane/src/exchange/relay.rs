//! Answers on their way back: a stream of a server's messages, from an HTTP event stream or from a child's queue, poll by
//! poll, so that backpressure is end to end and dropping it is giving up.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use sluice_mcp::{Edit, Event, Kind, Method, ScanLimits, SseDecoder, decode_string, join, scan, splice};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::Sleep;

mod again;
mod attended;
mod finish;
mod item;
mod keeping;
mod numbering;
mod standing;

pub(crate) use again::{Again, lost};
pub(crate) use attended::{Attended, keep};
pub(crate) use item::{Item, LIST_CHANGED, list_changed};
use keeping::Keeping;
pub(crate) use numbering::{Numbering, open_event, seal_event};
use standing::{End, Standing, ending};

use super::handles::Handles;
use super::holding::Holding;
use super::record::Record;
use super::sessions;
use crate::auth::Principal;
use crate::auth::quota::Ticket;
use crate::catalog::Kind as Kinds;
use crate::catalog::exposure::Naming;
use crate::limit;
use crate::node::Worker;
use crate::observe::metrics::Inside;
use crate::reason::Reason;
use crate::session::InUse;
use crate::upstream::Upstream;
use crate::upstream::http::Answer;
use crate::upstream::pipe::{Child, Inbox};
use crate::upstream::quirks::Quirk;

/// Where messages come from.
pub(crate) enum Source {
    Http {
        answer: Box<Answer>,
        decoder: SseDecoder,
    },
    Child {
        inbox: Inbox,
        child: Arc<Child>,
        ticket: Option<u64>,
    },
    /// Events that were read already, because they were typed as what they are not.
    Read {
        decoder: SseDecoder,
    },
    /// JSON typed as an event stream: one message, as far as it has come.
    Json {
        answer: Box<Answer>,
        read: BytesMut,
    },
    /// Streams of several servers, gathered elsewhere: what comes is passed on as it is.
    Gathered {
        items: mpsc::Receiver<Item>,
        gathering: AbortHandle,
    },
    /// Events that were kept for a client that comes back for them.
    Again(Box<Again>),
    /// Nothing comes any more: another stream of the client has what there is.
    Aside,
}

/// What the stream answers.
pub(crate) struct Expected {
    pub id: Bytes,
    pub method: Method,
    /// Modern: going away cancels.
    pub modern: bool,
    /// Without a byte for so long, the server is given up.
    pub timeout: Duration,
}

/// A stream of messages to one client.
pub(crate) struct Relay {
    worker: Rc<Worker>,
    source: Source,
    /// Those of the one server the stream is from.
    handles: Option<Handles>,
    numbering: Option<Numbering>,
    expected: Option<Expected>,
    depth: u16,
    before: VecDeque<Item>,
    /// The last event passed on carries an id of the server's: the client can resume there.
    resumable: bool,
    /// What lets the client resume where the server does not number its events.
    keeping: Keeping,
    answered: bool,
    /// A byte has come.
    begun: bool,
    ended: bool,
    /// Why, where that was not its server, which may have gone on.
    left: Option<End>,
    /// The status of a server that was given up.
    failed: Option<StatusCode>,
    last_in: Instant,
    last_out: Instant,
    timer: Pin<Box<Sleep>>,
    /// When the stream ends though the server does not end it.
    ending: Option<Pin<Box<dyn Future<Output = End>>>>,
    /// It is the standing stream of its session, until a newer one is.
    holding: Option<Box<Holding>>,
    /// It was that, and is open until this is ready.
    aside: Option<Pin<Box<dyn Future<Output = ()>>>>,
    on_timeout: Option<Box<dyn FnOnce()>>,
    upstream: Option<Arc<Upstream>>,
    record: Record,
    _ticket: Ticket,
    in_use: Option<InUse>,
    _inside: Option<Inside>,
}

/// What a relay is made of.
pub(crate) struct Parts {
    pub worker: Rc<Worker>,
    pub source: Source,
    /// Those of the server; `None` for a gathered stream.
    pub handles: Option<Handles>,
    pub numbering: Option<Numbering>,
    pub expected: Option<Expected>,
    pub depth: u16,
    pub before: VecDeque<Item>,
    /// Told when the server is given up for taking too long.
    pub on_timeout: Option<Box<dyn FnOnce()>>,
    pub principal: Principal,
    /// The server; `None` for a gathered stream.
    pub upstream: Option<Arc<Upstream>>,
    pub record: Record,
    pub ticket: Ticket,
    pub in_use: Option<InUse>,
}

impl Relay {
    pub(crate) fn new(parts: Parts) -> Self {
        let now = Instant::now();
        let call = parts.expected.as_ref().filter(|e| e.method != Method::SubscriptionsListen);
        let first = call.map_or(limit::KEEP_ALIVE, |e| e.timeout.min(limit::KEEP_ALIVE));
        // the client may then be told how to come back
        let first = if parts.in_use.is_some() { first.min(limit::RESUMABLE_AFTER) } else { first };
        let long_lived = call.is_none();
        let session = parts.in_use.as_ref().map(|in_use| Arc::clone(&in_use.session));
        let is_answer = matches!(&parts.source, Source::Again(again) if again.is_answer());
        let ending: Option<Pin<Box<dyn Future<Output = End>>>> = match (long_lived, session, &parts.expected) {
            (true, Some(session), _) if is_answer => Some(Box::pin(async move {
                session.over().await;
                End::SessionOver
            })),
            (true, session, _) => {
                let handles = parts.handles.as_ref();
                let standing = Standing {
                    principal: parts.principal,
                    upstream: parts.upstream.clone(),
                    session,
                    permits: handles.and_then(|handles| handles.permits.clone()),
                    own_door: handles.is_some_and(|handles| handles.naming == Naming::Own),
                };
                Some(Box::pin(ending(Rc::clone(&parts.worker), standing)))
            }
            (false, Some(session), Some(expected)) => {
                let id = expected.id.clone();
                Some(Box::pin(async move {
                    session.cancelled(&id).await;
                    End::Cancelled
                }))
            }
            _ => None,
        };
        let mut record = parts.record;
        if long_lived {
            // its client leaves when it likes
            record.outcome = "ok";
        }
        Self {
            ending,
            holding: None,
            aside: None,
            _inside: long_lived.then(|| parts.worker.node.metrics.streams.enter()),
            worker: parts.worker,
            source: parts.source,
            handles: parts.handles,
            numbering: parts.numbering,
            expected: parts.expected,
            depth: parts.depth,
            before: parts.before,
            resumable: false,
            keeping: Keeping::default(),
            answered: false,
            begun: false,
            ended: false,
            left: None,
            failed: None,
            last_in: now,
            last_out: now,
            timer: Box::pin(tokio::time::sleep(first)),
            on_timeout: parts.on_timeout,
            upstream: parts.upstream,
            record,
            _ticket: parts.ticket,
            in_use: parts.in_use,
        }
    }

    /// Makes it the standing stream of a session: nothing is passed on any more once a newer one is that.
    pub(super) fn held(mut self, holding: Holding) -> Self {
        self.holding = Some(Box::new(holding));
        self
    }

    /// The first item, and the status if it is already the end: the answer, or the error in its place. `None` when the
    /// stream ended without one.
    pub(crate) async fn first(&mut self) -> Option<(Item, Option<StatusCode>)> {
        let item = std::future::poll_fn(|cx| self.poll_item(cx)).await?;
        Some((item, self.failed.or(self.answered.then_some(StatusCode::OK))))
    }

    /// Whether the answer came, or an error in its place, or none is owed.
    pub(crate) fn is_answered(&self) -> bool {
        self.answered || self.failed.is_some()
    }

    /// Puts an item back, to be passed on first.
    pub(crate) fn unread(&mut self, item: Item) {
        self.before.push_front(item);
    }

    /// The status this stream is accounted with.
    pub(crate) fn record(&mut self) -> &mut Record {
        &mut self.record
    }

    /// The next item; `None` at the end.
    pub(crate) fn poll_item(&mut self, cx: &mut Context<'_>) -> Poll<Option<Item>> {
        loop {
            if let Some(item) = self.before.pop_front() {
                return self.out(item);
            }
            if self.ended {
                return Poll::Ready(None);
            }
            if let Some(holding) = &mut self.holding
                && !ready!(holding.poll_is_good(cx))
            {
                self.stand_aside();
                continue;
            }
            match self.poll_source(cx) {
                Poll::Ready(Ok(Some(item))) => return self.out(item),
                Poll::Ready(Ok(None)) => self.end_of_source(),
                Poll::Ready(Err(reason)) => self.give_up(&reason),
                Poll::Pending => {
                    ready!(self.poll_waiting(cx));
                }
            }
        }
    }

    /// Minds the end of the stream while its client reads nothing: whoever waits for the server does not wait for that.
    pub(crate) fn poll_aside(&mut self, cx: &mut Context<'_>) {
        if let Some(Poll::Ready(end)) = self.ending.as_mut().map(|ending| ending.as_mut().poll(cx)) {
            self.leave(end);
        }
        if self.holding.as_mut().is_some_and(|holding| holding.is_lost(cx)) {
            self.stand_aside();
        }
        if let Some(Poll::Ready(())) = self.aside.as_mut().map(|aside| aside.as_mut().poll(cx)) {
            self.leave(End::Overtaken);
        }
    }

    fn out(&mut self, item: Item) -> Poll<Option<Item>> {
        self.last_out = Instant::now();
        // ids of ours come after
        self.resumable |= item.id.is_some();
        Poll::Ready(Some(self.kept(item)))
    }

    fn poll_source(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Item>, Reason>> {
        loop {
            match &mut self.source {
                Source::Http { answer, decoder } => {
                    match decoder.next() {
                        Ok(Some(event)) => {
                            if let Some(item) = self.event(event)? {
                                return Poll::Ready(Ok(Some(item)));
                            }
                            continue;
                        }
                        Ok(None) => {}
                        Err(_) => return Poll::Ready(Err(Reason::ServerGarbage("an event longer than the limit"))),
                    }
                    match ready!(answer.poll_data(cx)) {
                        Some(Ok(data)) => {
                            self.last_in = Instant::now();
                            // no field of an event begins with a brace
                            if !self.begun && data.trim_ascii_start().starts_with(b"{") {
                                self.begun = true;
                                self.is_json(data);
                                continue;
                            }
                            self.begun |= !data.is_empty();
                            decoder.push(data);
                        }
                        Some(Err(error)) => {
                            self.record.cause = Some(error.to_string());
                            return Poll::Ready(Ok(None));
                        }
                        None => return Poll::Ready(Ok(None)),
                    }
                }
                Source::Child { inbox, .. } => match ready!(inbox.poll(cx)) {
                    // an empty message: the client itself cancelled
                    Some(line) if line.is_empty() => {
                        self.answered = true;
                        self.record.outcome = "cancelled";
                        return Poll::Ready(Ok(None));
                    }
                    Some(line) => {
                        self.last_in = Instant::now();
                        match self.message(&line)? {
                            Some(message) => return Poll::Ready(Ok(Some(Item::message(message)))),
                            None => continue,
                        }
                    }
                    None => return Poll::Ready(Ok(None)),
                },
                Source::Read { decoder } => match decoder.next() {
                    Ok(Some(event)) => {
                        if let Some(item) = self.event(event)? {
                            return Poll::Ready(Ok(Some(item)));
                        }
                    }
                    Ok(None) => return Poll::Ready(Ok(None)),
                    Err(_) => return Poll::Ready(Err(Reason::ServerGarbage("an event longer than the limit"))),
                },
                Source::Json { answer, read } => match ready!(answer.poll_data(cx)) {
                    Some(Ok(data)) => {
                        self.last_in = Instant::now();
                        read.extend_from_slice(&data);
                        if read.len() > limit::EVENT_BYTES {
                            return Poll::Ready(Err(Reason::ServerGarbage("an answer longer than the limit")));
                        }
                    }
                    Some(Err(error)) => {
                        self.record.cause = Some(error.to_string());
                        return Poll::Ready(Ok(None));
                    }
                    None if read.is_empty() => return Poll::Ready(Ok(None)),
                    None => {
                        let whole = read.split().freeze();
                        if let Some(message) = self.message(&whole)? {
                            return Poll::Ready(Ok(Some(Item::message(message))));
                        }
                    }
                },
                Source::Gathered { items, .. } => return items.poll_recv(cx).map(Ok),
                Source::Again(again) => return again.poll(cx).map(Ok),
                Source::Aside => return Poll::Pending,
            }
        }
    }

    /// One event of an HTTP stream; `None` when there is nothing to pass on.
    fn event(&mut self, event: Event) -> Result<Option<Item>, Reason> {
        let id = event.id.as_ref().filter(|id| !id.is_empty()).zip(self.numbering);
        let id = id.zip(self.handles.as_ref());
        let id = id.map(|((id, numbering), handles)| seal_event(handles, numbering, id));
        // an empty data field primes the client for resumption: an event without a message
        let Some(data) = event.data.as_ref().filter(|d| !d.is_empty()) else {
            let raw = id.is_none().then_some(event.raw);
            return Ok(Some(Item { id, event: event.event, data: event.data, retry: event.retry, raw, at: None }));
        };
        let Some(edited) = self.message(data)? else { return Ok(None) };
        let same = edited.as_ptr() == data.as_ptr() && edited.len() == data.len();
        let untouched = same && event.id.is_none();
        let raw = untouched.then_some(event.raw);
        Ok(Some(Item { id, event: event.event, data: Some(edited), retry: event.retry, raw, at: None }))
    }

    /// One message of the server, its handles sealed; `None` (and a log line) for what is not a message.
    ///
    /// # Errors
    /// [`Reason::ServerGarbage`] for an answer that is not to this request.
    fn message(&mut self, data: &Bytes) -> Result<Option<Bytes>, Reason> {
        let Some(handles) = &self.handles else { return Ok(Some(data.clone())) };
        let message = match scan(data, ScanLimits { depth: self.depth }) {
            Ok(message) => message,
            Err(error) => {
                tracing::warn!(server = %handles.server(), %error, "the server sent an event that is not MCP");
                self.worker.node.metrics.undeliverable.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                return Ok(None);
            }
        };
        if let (Kind::Response, Some(expected)) = (message.kind, &self.expected) {
            let id = message.id.map(|id| id.of(data));
            if id.is_some_and(|id| !same_id(id, &expected.id)) {
                return Err(Reason::ServerGarbage("the answer to another request"));
            }
            self.answered = true;
            self.record.outcome = if message.error.is_some() { "error" } else { "ok" };
            self.timer.as_mut().reset((Instant::now() + limit::AFTER_ANSWER).into());
        }
        if let (Kind::Response, None, Some(in_use), Some(id)) = (message.kind, &self.expected, &self.in_use, message.id)
        {
            in_use.answers(id.of(data));
        }
        if handles.naming == Naming::Own {
            self.overheard(&message);
        } else if self.absorbed(&message) {
            return Ok(None);
        }
        if message.method == Method::NotificationResourcesUpdated && !handles.may_tell(data, &message) {
            return Ok(None);
        }
        let own = handles.filtered(data)?;
        let data = own.as_ref().unwrap_or(data);
        let mut edits = handles.sealing(data);
        if own.is_none() {
            edits.extend(handles.marking(data, &message));
        }
        Ok(Some(edited(data, &mut edits)))
    }

    /// What is typed as an event stream turns out to be JSON.
    fn is_json(&mut self, first: Bytes) {
        if let Some(upstream) = &self.upstream {
            upstream.quirks.saw(upstream.name(), Quirk::JsonAsEvents);
        }
        let nothing = Source::Read { decoder: SseDecoder::new(0) };
        if let Source::Http { answer, .. } = std::mem::replace(&mut self.source, nothing) {
            self.source = Source::Json { answer, read: BytesMut::from(&first[..]) };
        }
    }

    /// On the merged door a change of lists is told by the catalogue, to everybody and once.
    fn absorbed(&self, message: &sluice_mcp::Message) -> bool {
        let kinds = Kinds::changed_by(message.method);
        if let (false, Some(upstream)) = (kinds.is_empty(), &self.upstream) {
            upstream.catalogue.changed(kinds);
        }
        !kinds.is_empty()
    }

    /// On a server's own door the client itself hears of changed lists. Nobody else may have been told: from now on this
    /// session's may be unlike others'.
    fn overheard(&self, message: &sluice_mcp::Message) {
        let kinds = Kinds::changed_by(message.method);
        if kinds.is_empty() {
            return;
        }
        if let Some(in_use) = &self.in_use {
            sessions::note_lists(&self.worker, &in_use.session, kinds);
        }
        if let Some(upstream) = &self.upstream {
            upstream.catalogue.answers.changed(kinds);
        }
    }

    /// Nothing to pass on now: keep the client's connection alive, and mind how long the server takes.
    fn poll_waiting(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_aside(cx);
        if self.ended || !self.before.is_empty() {
            return Poll::Ready(());
        }
        ready!(self.timer.as_mut().poll(cx));
        if self.answered {
            // the server keeps a stream open that has nothing more to say
            self.ended = true;
            return Poll::Ready(());
        }
        let now = Instant::now();
        let primed = self.primed(now);
        self.before.extend(primed);
        let mut next = limit::KEEP_ALIVE;
        if let Some(expected) = self.expected.as_ref().filter(|e| e.method != Method::SubscriptionsListen) {
            let silent = now.duration_since(self.last_in);
            if silent >= expected.timeout || now.duration_since(self.record.started()) >= limit::CALL_ABSOLUTE {
                self.timed_out();
                return Poll::Ready(());
            }
            next = next.min(expected.timeout - silent);
        }
        if now.duration_since(self.last_out) >= limit::KEEP_ALIVE {
            self.before.push_back(Item::comment());
        }
        self.timer.as_mut().reset((now + next).into());
        Poll::Ready(())
    }
}

/// Whether two raw ids are the same: spelled the same, or strings that mean the same.
pub(super) fn same_id(theirs: &[u8], ours: &[u8]) -> bool {
    let strings = theirs.first() == Some(&b'"') && ours.first() == Some(&b'"');
    theirs == ours || strings && decode_string(theirs) == decode_string(ours)
}

/// Edits applied to a body, in one piece.
pub(crate) fn edited(body: &Bytes, edits: &mut [Edit]) -> Bytes {
    if edits.is_empty() { body.clone() } else { join(&splice(body, edits)) }
}
