//! How much of something is used: a rate in one atomic word, places in another. No lock, whoever counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::shares::Portion;

/// Nanoseconds in a minute.
const MINUTE: u64 = 60_000_000_000;

/// Requests a minute, by GCRA with a burst of one minute's requests: whoever was quiet may use the whole minute at once, and
/// then goes on at the steady rate.
#[derive(Debug, Default)]
pub(crate) struct Rate {
    /// Theoretical arrival time, nanoseconds since the node's start.
    arrival: AtomicU64,
}

impl Rate {
    /// Takes one request at `now`, nanoseconds since the node's start.
    ///
    /// # Errors
    /// Nanoseconds until there is one to take.
    pub(crate) fn take(&self, now: u64, per_minute: u32) -> Result<(), u64> {
        self.take_all(now, per_minute, 1)
    }

    /// Takes so many requests, or none; those of more than a minute are never there.
    ///
    /// # Errors
    /// Nanoseconds until they are there to take.
    #[inline]
    pub(crate) fn take_all(&self, now: u64, per_minute: u32, count: u32) -> Result<(), u64> {
        let interval = interval(per_minute);
        let burst = interval * u64::from(per_minute.max(1));
        let mut arrival = self.arrival.load(Ordering::Relaxed);
        loop {
            let next = arrival.max(now) + interval * u64::from(count);
            if next > now + burst {
                return Err(next - (now + burst));
            }
            match self.arrival.compare_exchange_weak(arrival, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Ok(()),
                Err(current) => arrival = current,
            }
        }
    }

    /// Gives back what was taken and not used.
    pub(crate) fn give_back(&self, per_minute: u32, count: u32) {
        self.arrival.fetch_sub(interval(per_minute) * u64::from(count), Ordering::Relaxed);
    }

    /// Whether nothing is owed: a rate that is forgotten now would be the same anew.
    pub(crate) fn is_rested(&self, now: u64) -> bool {
        self.arrival.load(Ordering::Relaxed) <= now
    }
}

fn interval(per_minute: u32) -> u64 {
    MINUTE / u64::from(per_minute.max(1))
}

/// What one principal uses of one limit of a policy.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    pub rate: Rate,
    /// What of the limit is this node's, where it is for the whole fleet.
    pub portion: Arc<Portion>,
    taken: AtomicU32,
}

/// A place among those at a time; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Place(Arc<Meter>);

impl Meter {
    /// Of a limit of which this is this node's, where it is for the whole fleet.
    pub(crate) fn of(portion: Arc<Portion>) -> Self {
        Self { portion, ..Self::default() }
    }

    /// Takes a place among `most`; `None`: all are taken.
    pub(crate) fn enter(self: &Arc<Self>, most: u32) -> Option<Place> {
        let place = |taken: u32| (taken < most).then(|| taken + 1);
        self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, place).ok()?;
        Some(Place(Arc::clone(self)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::Relaxed);
    }
}
