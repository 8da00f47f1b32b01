//! The way to an HTTP+SSE server: a POST for each message, several at a time. Notifications and answers keep their place
//! among the messages; requests do not wait for each other.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use sluice_mcp::{Kind, ScanLimits, scan};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::answer;
use crate::limit;
use crate::reason::Reason;
use crate::upstream::endpoint::Key;
use crate::upstream::http::{Failure, Pools, Request, Target};
use crate::upstream::pipe::wire::take_line;

/// The messages on their way.
pub(super) struct Posts {
    way: Rc<Way>,
    /// The next message, which must not go yet.
    next: Option<Post>,
    running: JoinSet<()>,
    /// POSTs without an answer, by their number.
    unanswered: BTreeMap<u64, Unanswered>,
    number: u64,
    outcomes: mpsc::Receiver<Outcome>,
}

/// What all POSTs share.
struct Way {
    pools: Rc<Pools>,
    target: Target,
    timeout: Duration,
    outcomes: mpsc::Sender<Outcome>,
}

struct Post {
    line: Bytes,
    /// The id of a request: somebody waits for its answer.
    id: Option<Bytes>,
}

struct Unanswered {
    since: Instant,
    request: bool,
}

/// What came of a POST.
pub(super) enum Outcome {
    /// The server has it.
    Taken(u64),
    /// The server said something in its answer.
    Said(Bytes),
    /// The server does not have it, or it is not known.
    Failed { number: u64, id: Option<Bytes>, reason: Reason },
}

impl Posts {
    pub(super) fn new(pools: Rc<Pools>, target: Target, timeout: Duration) -> Self {
        // an answer waits in its connection while its outcome is not taken
        let (sender, outcomes) = mpsc::channel(limit::POSTS);
        let way = Rc::new(Way { pools, target, timeout, outcomes: sender });
        Self { way, next: None, running: JoinSet::new(), unanswered: BTreeMap::new(), number: 0, outcomes }
    }

    /// Sends what may go of `output`; `true` if that was anything.
    pub(super) fn start(&mut self, output: &mut BytesMut) -> bool {
        let before = self.number;
        while self.running.try_join_next().is_some() {}
        while let Some(post) = self.next.take().or_else(|| take_line(output).map(Post::new)) {
            if !self.goes(post.id.is_some()) {
                self.next = Some(post);
                break;
            }
            self.number += 1;
            self.unanswered.insert(self.number, Unanswered { since: Instant::now(), request: post.id.is_some() });
            self.running.spawn_local(Rc::clone(&self.way).post(self.number, post));
        }
        self.number > before
    }

    /// Whether a message would overtake none that it must not.
    fn goes(&self, request: bool) -> bool {
        self.running.len() < limit::POSTS && self.ahead(request).next().is_none()
    }

    /// The unanswered POSTs a message waits for.
    fn ahead(&self, request: bool) -> impl Iterator<Item = &Unanswered> {
        self.unanswered.values().filter(move |u| !(request && u.request) && u.since.elapsed() < limit::POST_ORDER)
    }

    /// When the next message need not wait for others any longer.
    pub(super) fn may_go(&self) -> Option<Instant> {
        let waits_for = self.next.as_ref().and_then(|post| self.ahead(post.id.is_some()).map(|u| u.since).max());
        waits_for.map(|since| since + limit::POST_ORDER)
    }

    /// The next outcome of a POST; `None` when one ended without, and there may be room for the next message.
    pub(super) async fn outcome(&mut self) -> Option<Outcome> {
        let outcome = tokio::select! {
            outcome = self.outcomes.recv() => outcome?,
            Some(_) = self.running.join_next(), if self.next.is_some() => return None,
        };
        if let Outcome::Taken(number) | Outcome::Failed { number, .. } = &outcome {
            self.unanswered.remove(number);
        }
        Some(outcome)
    }
}

impl Post {
    fn new(line: Bytes) -> Self {
        let scanned = scan(&line, ScanLimits { depth: u16::MAX }).ok().filter(|m| m.kind == Kind::Request);
        let id = scanned.and_then(|m| m.id).map(|id| line.slice(id.range()));
        Self { line, id }
    }
}

impl Way {
    async fn post(self: Rc<Self>, number: u64, Post { line, id }: Post) {
        let request = Request::post(&line);
        let sent = self.pools.send(Key::default(), &self.target, &request, Instant::now(), self.timeout).await;
        let failed = |reason| Outcome::Failed { number, id: id.clone(), reason };
        let response = match sent {
            Ok(response) => response,
            Err(failure) => {
                let outcome = match failure {
                    Failure::Unreachable(_) | Failure::Moved => failed(Reason::ServerUnreachable),
                    Failure::Broken(_) => failed(Reason::ServerClosed),
                    Failure::Head => failed(Reason::ServerHead),
                    Failure::NoToken(missing) => failed(Reason::NoToken(missing.name.to_string())),
                    // it has it, and keeps the POST open until the call ends: the call has a deadline of its own
                    Failure::Timeout => Outcome::Taken(number),
                };
                let _ = self.outcomes.send(outcome).await;
                return;
            }
        };
        let status = response.status;
        if status.is_success() {
            let _ = self.outcomes.send(Outcome::Taken(number)).await;
        }
        answer::messages(response, self.timeout, &self.outcomes).await;
        if !status.is_success() {
            // where the body answered the request already, nobody waits for this one
            let _ = self.outcomes.send(failed(Reason::of_status(status))).await;
        }
    }
}
