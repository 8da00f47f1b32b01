//! How many requests may be sent once more: a share of all, so that endpoints that are all in trouble get little more than what
//! clients ask of them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::limit;

/// What a server's requests allow.
#[derive(Default)]
pub(super) struct Budget {
    asked: AtomicU64,
    window: Mutex<Option<Window>>,
}

/// Retries are counted from its beginning, and anew after [`limit::RETRY_WINDOW`].
struct Window {
    begun: Instant,
    /// Requests before it.
    asked: u64,
    retries: u64,
}

impl Budget {
    /// Counts a request.
    pub(super) fn asked(&self) {
        self.asked.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes one retry, if there is one left at `percent` of the requests.
    pub(super) fn take(&self, percent: u32) -> bool {
        if percent == 0 {
            return false;
        }
        let (now, asked) = (Instant::now(), self.asked.load(Ordering::Relaxed));
        let mut kept = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        let current = kept.take().filter(|window| now.duration_since(window.begun) < limit::RETRY_WINDOW);
        let window = kept.insert(current.unwrap_or(Window { begun: now, asked, retries: 0 }));
        let share = asked.saturating_sub(window.asked) * u64::from(percent) / 100;
        if window.retries >= limit::RETRIES_FREE + share {
            return false;
        }
        window.retries += 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_are_a_share_of_the_requests_beyond_a_handful() {
        let budget = Budget::default();
        let taken = |times: u64| (0..times).filter(|_| budget.take(20)).count() as u64;
        assert_eq!(taken(1000), limit::RETRIES_FREE);
        (0..1000).for_each(|_| budget.asked());
        assert_eq!(taken(1000), 200);
        assert!(!budget.take(0));
    }
}
