//! JSON replies too large to hold: they stream through, their handles sealed on the way. Whether such a reply is the answer
//! to its request is not checked, nor that it is JSON beyond its first byte.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use sluice_mcp::{HandleFilter, Kind, Message, ScanLimits, scan};
use tokio::time::Sleep;

use super::handles::Handles;
use super::record::Record;
use super::relay::same_id;
use crate::auth::quota::Ticket;
use crate::budget::Held;
use crate::limit;
use crate::node::Node;
use crate::reason::Reason;
use crate::session::InUse;
use crate::upstream::http::Answer;

/// A JSON reply too large to hold: it streams through, its handles sealed on the way.
pub(crate) struct JsonStream {
    answer: Option<Answer>,
    filter: HandleFilter,
    handles: Handles,
    ready: VecDeque<Bytes>,
    /// How long the server may pause, and when it has.
    timeout: Duration,
    last_in: Instant,
    timer: Pin<Box<Sleep>>,
    pub record: Record,
    _ticket: Ticket,
    _in_use: Option<InUse>,
}

impl JsonStream {
    /// A stream that begins with what was read already.
    pub(crate) fn new(
        answer: Answer,
        read: Vec<Bytes>,
        handles: Handles,
        timeout: Duration,
        record: Record,
        ticket: Ticket,
        in_use: Option<InUse>,
    ) -> Result<Self, Reason> {
        let filter = match handles.rewrites_links() {
            true => HandleFilter::with_links(limit::HANDLE_BYTES),
            false => HandleFilter::new(limit::HANDLE_BYTES),
        };
        let mut stream = Self {
            answer: Some(answer),
            filter,
            handles,
            ready: VecDeque::new(),
            timeout,
            last_in: Instant::now(),
            timer: Box::pin(tokio::time::sleep(timeout.min(limit::KEEP_ALIVE))),
            record,
            _ticket: ticket,
            _in_use: in_use,
        };
        for chunk in read {
            stream.feed(&chunk)?;
        }
        Ok(stream)
    }

    fn feed(&mut self, chunk: &Bytes) -> Result<(), Reason> {
        let mut out = Vec::new();
        let handles = &self.handles;
        self.filter
            .feed(chunk, &mut out, &mut |kind, value| handles.seal(kind, value))
            .map_err(|_| Reason::ServerGarbage("a handle longer than the limit"))?;
        self.ready.extend(out);
        Ok(())
    }

    /// The next piece; an error ends the connection, because the length of what was promised cannot be taken back.
    pub(crate) fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, std::io::Error>>> {
        loop {
            if let Some(piece) = self.ready.pop_front() {
                return Poll::Ready(Some(Ok(piece)));
            }
            let Some(answer) = &mut self.answer else { return Poll::Ready(None) };
            let polled = answer.poll_data(cx);
            if polled.is_pending() {
                ready!(self.timer.as_mut().poll(cx));
                let silent = self.last_in.elapsed();
                if silent >= self.timeout {
                    return self.broken("no byte in time");
                }
                // looked at now and then also while nothing comes: whoever is not looked at has a client that does not read
                self.timer.as_mut().reset((Instant::now() + (self.timeout - silent).min(limit::KEEP_ALIVE)).into());
                continue;
            }
            match ready!(polled) {
                Some(Ok(data)) => {
                    self.last_in = Instant::now();
                    if self.feed(&data).is_err() {
                        return self.broken("handle too long");
                    }
                }
                Some(Err(error)) => return self.broken(&error.to_string()),
                None => {
                    self.answer = None;
                    let mut out = Vec::new();
                    if self.filter.finish(&mut out).is_err() {
                        return self.broken("handle too long");
                    }
                    self.ready.extend(out);
                    self.record.outcome = "ok";
                }
            }
        }
    }

    /// The answer in one piece, for a client that shares what it reads with others' answers: within the limit of an event, and what
    /// was not looked at while it streamed is looked at now, because there a broken message is everybody's. With the room it takes.
    pub(crate) async fn whole(mut self: Box<Self>, node: &Node, id: Option<&Bytes>) -> Result<(Bytes, Held), Reason> {
        let mut body = Vec::new();
        let mut room = 2 * limit::REPLY_HOLD;
        let mut held = node.hold(room)?;
        while let Some(piece) = poll_fn(|cx| self.poll_piece(cx)).await {
            let piece = piece.map_err(|_| Reason::ServerClosed)?;
            if body.len() + piece.len() > limit::EVENT_BYTES {
                return Err(Reason::ServerGarbage("an answer longer than the limit"));
            }
            if body.len() + piece.len() > room {
                let more = room.max(piece.len());
                held.grow(more)?;
                room += more;
            }
            body.extend_from_slice(&piece);
        }
        let body = Bytes::from(body);
        let answers =
            |message: &Message| message.id.zip(id).is_some_and(|(theirs, ours)| same_id(theirs.of(&body), ours));
        match scan(&body, ScanLimits { depth: u16::MAX }) {
            Ok(message) if message.kind == Kind::Response && answers(&message) => Ok((body, held)),
            _ => Err(Reason::ServerGarbage("not an answer to the request")),
        }
    }

    fn broken(&mut self, cause: &str) -> Poll<Option<Result<Bytes, std::io::Error>>> {
        self.answer = None;
        self.ready.clear();
        self.record.outcome = Reason::ServerClosed.row().outcome;
        self.record.cause = Some(cause.to_owned());
        Poll::Ready(Some(Err(std::io::Error::other("the server's answer broke off"))))
    }
}
