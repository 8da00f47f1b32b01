//! An endpoint in trouble: after several failures in a row it gets no more requests for a while, then one at a time to see
//! whether it is back.
//!
//! Where a server runs in one place, only what nobody answered counts: a server that refuses connections fails at once by
//! itself, and is back the moment it listens. Where it runs in several, every failure does: the others are there.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sluice_snapshot::model::Ejection;
use tokio::sync::Notify;

use crate::limit;

/// The memory of one endpoint's failures.
#[derive(Default)]
pub(crate) struct Breaker {
    /// The warm path looks at this alone.
    open: AtomicBool,
    /// Answers of any kind, so that a request that was not answered can tell whether others were.
    answers: AtomicU64,
    state: Mutex<State>,
    /// What a trial found is known.
    found: Notify,
}

#[derive(Default)]
struct State {
    /// In a row.
    failures: u32,
    pause: Duration,
    until: Option<Instant>,
    /// A request finds out whether it is back.
    trial: Option<Trial>,
    /// It left requests unanswered, so that nobody is to wait for it.
    swallows: bool,
    /// When it was in service again.
    closed: Option<Instant>,
}

/// A request that was let through to see.
struct Trial {
    begun: Instant,
    /// It was not due yet: that it fails says nothing of how long the pause should be.
    early: bool,
}

/// How a request that was let through ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Any answer, also an error status.
    Answered,
    /// The connection was refused, or failed otherwise at once.
    Refused,
    /// It broke off, or the answer says that the server is not to be had: told apart where there are other endpoints only.
    Failed,
    /// Nobody answered in time.
    Swallowed,
}

/// When it opens, and for how long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rule {
    /// What was not answered, in a row.
    swallowed: u32,
    /// What failed in any way, in a row; `None`: only what was not answered counts.
    failed: Option<u32>,
    first: Duration,
    last: Duration,
    /// The pause goes on growing where it opens again within this time.
    memory: Duration,
}

impl Rule {
    /// Of a server that runs in one place.
    pub(crate) const ALONE: Self = Self {
        swallowed: limit::BREAKER_FAILURES,
        failed: None,
        first: limit::BREAKER_PAUSE_FIRST,
        last: limit::BREAKER_PAUSE_LAST,
        memory: Duration::ZERO,
    };

    /// Of one of several endpoints.
    pub(crate) fn of(ejection: &Ejection) -> Self {
        Self {
            swallowed: limit::BREAKER_FAILURES.min(ejection.failures),
            failed: Some(ejection.failures),
            first: ejection.pause,
            last: limit::EJECTION_PAUSE_LAST.max(ejection.pause),
            memory: limit::EJECTION_MEMORY,
        }
    }
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    None,
    /// It gets no requests for so long.
    Opened(Duration),
    /// It is back.
    Closed,
}

impl Breaker {
    /// How many answers there have been; taken before a request is sent.
    pub(crate) fn answers(&self) -> u64 {
        self.answers.load(Ordering::Relaxed)
    }

    /// Whether requests are held back.
    pub(crate) fn is_open(&self) -> bool {
        self.open.load(Ordering::Relaxed)
    }

    /// Whether requests are held back because they would hang.
    pub(crate) fn swallows(&self) -> bool {
        self.is_open() && self.lock().swallows
    }

    /// How long until a request may be sent, where they are held back.
    pub(crate) fn left(&self) -> Option<Duration> {
        let until = self.lock().until.filter(|_| self.is_open())?;
        Some(until.saturating_duration_since(Instant::now()))
    }

    /// Whether a request may be sent now.
    ///
    /// # Errors
    /// How long until the next one may.
    pub(crate) fn may_try(&self) -> Result<(), Duration> {
        if !self.is_open() {
            return Ok(());
        }
        let mut state = self.lock();
        let now = Instant::now();
        match state.until.map(|until| until.saturating_duration_since(now)) {
            Some(left) if !left.is_zero() => Err(left),
            _ => {
                // this one finds out; the others wait for what becomes of it
                state.until = Some(now + state.pause);
                state.trial = Some(Trial { begun: now, early: false });
                Ok(())
            }
        }
    }

    /// Whether a request that has nowhere else to go may be sent now although the pause is not over: one at a time, and none
    /// where it would hang.
    pub(crate) fn may_try_early(&self) -> bool {
        if self.may_try().is_ok() {
            return true;
        }
        let mut state = self.lock();
        if state.swallows || state.is_tried() {
            return false;
        }
        state.trial = Some(Trial { begun: Instant::now(), early: true });
        true
    }

    /// Whether a request that has nowhere else to go may find that it is back: one may be sent, or is on its way.
    pub(crate) fn may_be_back(&self) -> bool {
        if !self.is_open() {
            return true;
        }
        let state = self.lock();
        !state.swallows || state.is_tried() || state.until.is_none_or(|until| until <= Instant::now())
    }

    /// Waits for what the request finds that is on its way to see: `true` where it is back. At once where there is none.
    pub(crate) async fn found_out(&self) -> bool {
        loop {
            let mut found = std::pin::pin!(self.found.notified());
            // listening before looking: what is found in between is not missed
            found.as_mut().enable();
            if !self.is_open() {
                return true;
            }
            let left = match &self.lock().trial {
                Some(trial) => limit::TRIAL.saturating_sub(trial.begun.elapsed()),
                None => return false,
            };
            if left.is_zero() || tokio::time::timeout(left, found).await.is_err() {
                return !self.is_open();
            }
        }
    }

    /// Notes how a request ended; `answers` is from before it was sent. `may_fail`: whether it may be held back for what is
    /// answered at once, too.
    pub(crate) fn note(&self, ended: Ended, answers: u64, rule: &Rule, may_fail: impl FnOnce() -> bool) -> Change {
        let swallowed = match (ended, rule.failed) {
            (Ended::Answered, _) => {
                self.answers.fetch_add(1, Ordering::Relaxed);
                return self.close();
            }
            // nobody was asked
            (Ended::Refused, None) => return self.close(),
            (Ended::Failed, None) => {
                self.answers.fetch_add(1, Ordering::Relaxed);
                return self.close();
            }
            // a slow tool of a server that answers others is no fault of the server
            (Ended::Swallowed, _) if self.answers() != answers => return Change::None,
            (Ended::Swallowed, _) => true,
            (Ended::Refused | Ended::Failed, Some(_)) => false,
        };
        let mut state = self.lock();
        state.failures = state.failures.saturating_add(1);
        state.swallows |= swallowed;
        if self.is_open() && state.trial.take_if(|trial| trial.early).is_some() {
            self.found.notify_waiters();
            return Change::None;
        }
        let enough = match rule.failed {
            Some(most) if !swallowed => most,
            _ => rule.swallowed,
        };
        // what was on its way when it was held back says nothing new
        let is_news = !self.is_open() || state.trial.is_some();
        if state.failures < enough || !is_news || !(swallowed || self.is_open() || may_fail()) {
            return Change::None;
        }
        let now = Instant::now();
        let again = self.is_open() || state.closed.is_some_and(|closed| now.duration_since(closed) < rule.memory);
        let longer = if again { state.pause * 2 } else { rule.first };
        let pause = longer.clamp(rule.first, rule.last);
        (state.pause, state.until, state.trial) = (pause, Some(now + pause), None);
        self.found.notify_waiters();
        let opened = !self.open.swap(true, Ordering::Relaxed);
        if opened { Change::Opened(pause) } else { Change::None }
    }

    fn close(&self) -> Change {
        if self.is_open() {
            let mut state = self.lock();
            *state = State { pause: state.pause, closed: Some(Instant::now()), ..State::default() };
            if self.open.swap(false, Ordering::Relaxed) {
                self.found.notify_waiters();
                return Change::Closed;
            }
        } else if let Ok(mut state) = self.state.try_lock()
            && state.failures > 0
        {
            (state.failures, state.swallows) = (0, false);
        }
        Change::None
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whether a request is on its way to see; one that takes long is not waited for.
    fn is_tried(&self) -> bool {
        self.trial.as_ref().is_some_and(|trial| trial.begun.elapsed() < limit::TRIAL)
    }
}

#[cfg(test)]
mod tests;
