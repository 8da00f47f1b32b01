//! A server that swallows requests: after several that nobody answered, further ones are refused at once, and one at a time
//! is let through to see whether it is back. A server that refuses connections needs none of this: it fails at once by
//! itself, and is back the moment it listens.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::limit;

/// The memory of one server's unanswered requests.
#[derive(Default)]
pub(crate) struct Breaker {
    /// The warm path looks at this alone.
    open: AtomicBool,
    /// Answers of any kind, so that a request that was not answered can tell whether others were.
    answers: AtomicU64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    failures: u32,
    pause: Duration,
    until: Option<Instant>,
}

/// How a request that was let through ended.
pub(crate) enum Ended {
    /// Any answer, also an error status.
    Answered,
    /// The connection was refused, or failed otherwise at once.
    Refused,
    /// Nobody answered in time.
    Swallowed,
}

impl Breaker {
    /// How many answers there have been; taken before a request is sent.
    pub(crate) fn answers(&self) -> u64 {
        self.answers.load(Ordering::Relaxed)
    }

    /// Whether a request may be sent now.
    ///
    /// # Errors
    /// How long until the next one may.
    pub(crate) fn may_try(&self) -> Result<(), Duration> {
        if !self.open.load(Ordering::Relaxed) {
            return Ok(());
        }
        let mut state = self.lock();
        let now = Instant::now();
        match state.until.map(|until| until.saturating_duration_since(now)) {
            Some(left) if !left.is_zero() => Err(left),
            _ => {
                // this one finds out; the others wait for what becomes of it
                state.until = Some(now + state.pause);
                Ok(())
            }
        }
    }

    /// Notes how a request ended; `answers` is from before it was sent.
    pub(crate) fn note(&self, ended: &Ended, answers: u64) {
        match ended {
            Ended::Answered => {
                self.answers.fetch_add(1, Ordering::Relaxed);
                self.close();
            }
            Ended::Refused => self.close(),
            // a slow tool of a server that answers others is no fault of the server
            Ended::Swallowed if self.answers() != answers => {}
            Ended::Swallowed => {
                let mut state = self.lock();
                state.failures += 1;
                if state.failures >= limit::BREAKER_FAILURES {
                    state.pause = (state.pause * 2).clamp(limit::BREAKER_PAUSE_FIRST, limit::BREAKER_PAUSE_LAST);
                    state.until = Some(Instant::now() + state.pause);
                    self.open.store(true, Ordering::Relaxed);
                }
            }
        }
    }

    fn close(&self) {
        if self.open.load(Ordering::Relaxed) {
            *self.lock() = State::default();
            self.open.store(false, Ordering::Relaxed);
        } else if let Ok(mut state) = self.state.try_lock()
            && state.failures > 0
        {
            state.failures = 0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn swallowed(breaker: &Breaker, times: u32) {
        for _ in 0..times {
            breaker.note(&Ended::Swallowed, breaker.answers());
        }
    }

    #[test]
    fn it_opens_after_several_unanswered_requests_and_closes_with_the_first_answer() {
        let breaker = Breaker::default();
        swallowed(&breaker, limit::BREAKER_FAILURES - 1);
        assert!(breaker.may_try().is_ok());
        swallowed(&breaker, 1);
        assert!(breaker.may_try().is_err());
        breaker.note(&Ended::Answered, 0);
        assert!(breaker.may_try().is_ok());
    }

    #[test]
    fn an_answer_in_between_counts_from_the_start_again() {
        let breaker = Breaker::default();
        for _ in 0..10 {
            swallowed(&breaker, limit::BREAKER_FAILURES - 1);
            breaker.note(&Ended::Answered, breaker.answers());
            assert!(breaker.may_try().is_ok());
        }
    }

    #[test]
    fn a_slow_request_beside_answered_ones_does_not_count() {
        let breaker = Breaker::default();
        for _ in 0..10 {
            let before = breaker.answers();
            breaker.note(&Ended::Answered, before);
            breaker.note(&Ended::Swallowed, before);
        }
        assert!(breaker.may_try().is_ok());
    }
}
