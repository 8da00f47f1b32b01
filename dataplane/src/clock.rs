//! The node's clocks: milliseconds since its start for idle times (never jumps), seconds since the epoch for expiries.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// A monotonic clock, copied wherever time is told.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock(Instant);

impl Clock {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    /// Milliseconds since [`Clock::start`].
    pub(crate) fn ms(self) -> u64 {
        self.0.elapsed().as_millis() as u64
    }
}

/// Milliseconds since the epoch, for what people read.
pub(crate) fn epoch_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64)
}

/// Seconds since the epoch, for what outlives a process.
pub(crate) fn epoch_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}
