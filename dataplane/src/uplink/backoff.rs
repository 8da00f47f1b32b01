//! Pauses between attempts: longer each time, and never the same for all nodes, so that a control plane that comes back is not
//! met by all at once.

use std::time::Duration;

use crate::limit;
use crate::seal;

/// The next pause.
pub(super) struct Backoff(Duration);

impl Backoff {
    pub(super) fn new() -> Self {
        Self(limit::UPLINK_RETRY_FIRST)
    }

    /// How long to wait now: between half of the pause and all of it.
    pub(super) fn pause(&mut self) -> Duration {
        let pause = self.0;
        self.0 = (pause * 2).min(limit::UPLINK_RETRY_LAST);
        let share = f64::from(u16::from_be_bytes(seal::random())) / f64::from(u16::MAX);
        pause.mul_f64(0.5 + share / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_their_bound_and_differ() {
        let mut backoff = Backoff::new();
        assert!(backoff.pause() <= limit::UPLINK_RETRY_FIRST);
        let pauses: Vec<_> = (0..40).map(|_| backoff.pause()).collect();
        assert!(pauses.iter().all(|pause| *pause <= limit::UPLINK_RETRY_LAST));
        let late = &pauses[20..];
        assert!(late.iter().all(|pause| *pause >= limit::UPLINK_RETRY_LAST / 2));
        assert!(late.windows(2).any(|two| two[0] != two[1]));
    }
}
