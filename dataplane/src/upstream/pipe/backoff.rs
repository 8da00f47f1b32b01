//! How a server whose processes or connections keep ending is held back: exponential pauses, forgotten once one lived long
//! enough.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::limit;
use crate::reason::Reason;

/// The memory of one server's failed starts.
pub(super) struct Backoff {
    longest: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    failures: u32,
    until: Option<Instant>,
}

impl Backoff {
    /// Nothing failed yet; no pause will be longer than `longest`.
    pub(super) fn new(longest: Duration) -> Self {
        Self { longest, state: Mutex::default() }
    }

    /// One ended by itself after living for `lived`.
    pub(super) fn ended(&self, lived: Duration) {
        if lived < limit::CHILD_HEALTHY {
            self.failed();
        } else {
            *self.lock() = State::default();
        }
    }

    /// One could not be started or did not answer.
    pub(super) fn failed(&self) {
        let mut state = self.lock();
        let pause = limit::CHILD_BACKOFF_FIRST.saturating_mul(1 << state.failures.min(16)).min(self.longest);
        state.failures += 1;
        state.until = Some(Instant::now() + pause);
    }

    /// Whether one may be started now.
    ///
    /// # Errors
    /// [`Reason::ChildBackoff`] with the seconds left.
    pub(super) fn may_start(&self) -> Result<(), Reason> {
        let left = self.lock().until.map(|until| until.saturating_duration_since(Instant::now()));
        match left.filter(|left| !left.is_zero()) {
            Some(left) => Err(Reason::ChildBackoff { retry_after: left.as_secs_f32().ceil().max(1.0) as u32 }),
            None => Ok(()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
