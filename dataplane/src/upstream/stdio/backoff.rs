//! How a server whose processes keep ending is held back: exponential pauses, forgotten once a process lived long enough.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::limit;
use crate::reason::Reason;

/// The memory of one server's failed starts.
#[derive(Default)]
pub(super) struct Backoff(Mutex<State>);

#[derive(Default)]
struct State {
    failures: u32,
    until: Option<Instant>,
}

impl Backoff {
    /// A process ended by itself after living for `lived`.
    pub(super) fn ended(&self, lived: Duration) {
        if lived < limit::CHILD_HEALTHY {
            self.failed();
        } else {
            *self.lock() = State::default();
        }
    }

    /// A process could not be started or did not answer.
    pub(super) fn failed(&self) {
        let mut state = self.lock();
        let pause =
            limit::CHILD_BACKOFF_FIRST.saturating_mul(1 << state.failures.min(16)).min(limit::CHILD_BACKOFF_MAX);
        state.failures += 1;
        state.until = Some(Instant::now() + pause);
    }

    /// Whether a process may be started now.
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
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
