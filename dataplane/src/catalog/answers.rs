//! Whole answers of one server to questions for its lists, as it wrote them: what its own door answers from. The merged door
//! shows lists taken apart ([`super::List`]); here a client gets the bytes the server would have sent it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use bytes::Bytes;
use sluice_mcp::Span;

use super::{Holder, Kind, bit};
use crate::budget::Held;
use crate::limit;
use crate::wire::MemoryFile;

/// Who asks for what: clients that are alike in everything the server sees of them get the same answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Question {
    pub kind: Kind,
    /// For whom answers are kept, where the configuration separates clients.
    pub holder: Holder,
    /// For which kind of principals policies left something out; 0: there are none.
    pub view: u64,
    /// What the client said of itself, byte for byte: its `initialize`, or the `params` of a modern request.
    pub said: Bytes,
}

/// A server's answer, and what of it is not the same for everybody.
pub(crate) struct Answer {
    pub body: Arc<MemoryFile>,
    /// Where the id of the request stands.
    pub id: Span,
    /// Where `ttlMs` stands, which is less for everybody who gets it later.
    pub ttl: Option<Span>,
    /// Until when it is good at most.
    pub until: Instant,
    /// When it was asked for, by the count of changes and watches.
    pub asked: Moment,
    /// Its room in the node's byte budget.
    pub _held: Held,
}

/// How far the server's lists of one kind have changed, and who watches them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment {
    changes: u64,
    /// The number of the watch that is open; 0: nobody watches.
    watch: u64,
}

/// The answers of one server that are kept.
#[derive(Default)]
pub(crate) struct Answers {
    /// Copied when an answer is added, which is rare; read without a lock.
    kept: ArcSwap<HashMap<Question, Arc<Answer>, foldhash::fast::RandomState>>,
    changes: [AtomicU64; 4],
    /// The kinds of which the server said that it tells when they change, by [`bit`].
    announced: AtomicU8,
    watch: AtomicU64,
    watches: AtomicU64,
    /// A watch is open, or being opened.
    watched: AtomicBool,
    unwatched: Mutex<Unwatched>,
    /// Questions since a watch last looked whether there are any.
    asked: AtomicU32,
}

/// How often lists were asked for while nobody watched.
#[derive(Default)]
struct Unwatched {
    since: Option<Instant>,
    times: u32,
    /// The last watch could not be opened, or ended: none is before then.
    not_before: Option<Instant>,
}

impl Moment {
    /// Whether somebody watched.
    pub(crate) fn is_watched(self) -> bool {
        self.watch != 0
    }
}

impl Answer {
    fn is_good(&self, now: Moment, at: Instant) -> bool {
        // what a server promises for a time needs no watch
        let watched = self.ttl.is_some() || self.asked.watch == now.watch && now.watch != 0;
        self.asked.changes == now.changes && watched && self.until > at
    }
}

impl Answers {
    /// The answer that is good for this question.
    pub(crate) fn get(&self, question: &Question, now: Instant) -> Option<Arc<Answer>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let kept = self.kept.load();
        kept.get(question).filter(|answer| answer.is_good(self.moment(question.kind), now)).cloned()
    }

    /// The moment a question goes to the server: what the server says from now on makes the answer outdated.
    pub(crate) fn moment(&self, kind: Kind) -> Moment {
        Moment {
            changes: self.changes[kind as usize].load(Ordering::Acquire),
            watch: self.watch.load(Ordering::Acquire),
        }
    }

    /// Keeps an answer, unless something changed since it was asked for.
    pub(crate) fn keep(&self, question: &Question, answer: Answer) {
        let now = Instant::now();
        if !answer.is_good(self.moment(question.kind), now) {
            return;
        }
        // of their own: both may be parts of what was read together
        let question = Question { said: Bytes::copy_from_slice(&question.said), ..question.clone() };
        let answer = Arc::new(answer);
        self.kept.rcu(|kept| {
            let mut kept = HashMap::clone(kept);
            if kept.len() >= limit::ANSWERS {
                kept.retain(|question, answer| answer.is_good(self.moment(question.kind), now));
            }
            if kept.len() >= limit::ANSWERS {
                // whoever still needs one of these asks again
                kept.clear();
            }
            kept.insert(question.clone(), Arc::clone(&answer));
            kept
        });
    }

    /// The server says that lists changed.
    pub(crate) fn changed(&self, kinds: &[Kind]) {
        for kind in kinds {
            self.changes[*kind as usize].fetch_add(1, Ordering::AcqRel);
        }
        let outdated = |question: &Question| kinds.contains(&question.kind);
        if self.kept.load().keys().any(outdated) {
            self.kept.rcu(|kept| {
                let mut kept = HashMap::clone(kept);
                kept.retain(|question, _| !outdated(question));
                kept
            });
        }
    }

    /// What the server said of itself: the kinds of which it tells changes.
    pub(crate) fn announces(&self, kinds: impl Iterator<Item = Kind>) {
        self.announced.store(kinds.fold(0, |all, kind| all | bit(kind)), Ordering::Relaxed);
    }

    /// Whether it said that it tells changes of this kind.
    pub(crate) fn is_announced(&self, kind: Kind) -> bool {
        self.announced.load(Ordering::Relaxed) & bit(kind) != 0
    }

    /// A question went to the server because nobody watches. `Some`: it is time that somebody does, and the caller is to.
    pub(crate) fn wants_watch(self: &Arc<Self>, kind: Kind, now: Instant) -> Option<Watch> {
        if !self.is_announced(kind) || self.watched.load(Ordering::Acquire) {
            return None;
        }
        let mut unwatched = self.unwatched();
        if unwatched.not_before.is_some_and(|at| at > now) {
            return None;
        }
        let since = unwatched.since.filter(|since| now.saturating_duration_since(*since) < limit::WATCH_WORTH_WITHIN);
        if since.is_none() {
            (unwatched.since, unwatched.times) = (Some(now), 0);
        }
        unwatched.times += 1;
        if unwatched.times < limit::WATCH_WORTH || self.watched.swap(true, Ordering::AcqRel) {
            return None;
        }
        Some(Watch { answers: Arc::clone(self) })
    }

    /// Whether anything was asked since this was called last.
    pub(crate) fn was_asked(&self) -> bool {
        self.asked.swap(0, Ordering::Relaxed) > 0
    }

    fn unwatched(&self) -> std::sync::MutexGuard<'_, Unwatched> {
        self.unwatched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Held by whoever watches a server's lists. Dropped, its answers are no longer good.
pub(crate) struct Watch {
    answers: Arc<Answers>,
}

impl Watch {
    /// The stream is open on which the server tells of changes: what is asked from now on can be kept.
    pub(crate) fn is_open(&self) {
        let number = self.answers.watches.fetch_add(1, Ordering::Relaxed) + 1;
        self.answers.watch.store(number, Ordering::Release);
    }

    /// How long nobody is to try again once this has ended.
    pub(crate) fn rests(&self, pause: Duration) {
        self.answers.unwatched().not_before = Some(Instant::now() + pause);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.answers.watch.store(0, Ordering::Release);
        self.answers.kept.rcu(|kept| {
            let mut kept = HashMap::clone(kept);
            kept.retain(|_, answer| answer.ttl.is_some());
            kept
        });
        self.answers.unwatched().since = None;
        self.answers.watched.store(false, Ordering::Release);
    }
}
