//! Who sees to an issuer's keys: fetches them at the start, now and then, and when somebody needs others; keeps the last good
//! ones over failures and restarts.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sluice_snapshot::model::{Issuer, KeySource};

use super::kept::Place;
use super::keys::KeySet;
use super::{Known, State, fetch};
use crate::clock::epoch_seconds;
use crate::limit;

/// When keys are fetched. Without a clock and without keys, so that it can be tried out.
#[derive(Debug, Default)]
struct Schedule {
    /// Failures in a row.
    failures: u32,
    /// There are keys, if perhaps not the newest.
    has_keys: bool,
    every: Duration,
}

impl Schedule {
    /// How long after the last attempt the next is due.
    fn pause(&self) -> Duration {
        if self.failures == 0 {
            return self.every;
        }
        let doubled = limit::KEYS_RETRY_FIRST.saturating_mul(1 << (self.failures - 1).min(16));
        doubled.clamp(self.least(), limit::KEYS_RETRY_LAST.max(self.least()))
    }

    /// How long after the last attempt it may be at the earliest, however many ask.
    fn least(&self) -> Duration {
        if self.has_keys { limit::KEYS_PAUSE } else { limit::KEYS_RETRY_FIRST }
    }

    /// The same when somebody asks: where there is nothing to go on with, failures slow them down as well.
    fn when_asked(&self) -> Duration {
        if self.has_keys { self.least() } else { self.pause() }
    }
}

/// Sees to the keys of an issuer; ended by whoever began it.
pub(super) async fn keep(issuer: Arc<Issuer>, known: Arc<Known>, place: Place) {
    let is_file = matches!(issuer.keys, KeySource::File(_));
    // to look at a file costs next to nothing
    let every = if is_file { limit::SWEEP } else { limit::KEYS_REFRESH };
    let mut schedule = Schedule { every, ..Schedule::default() };
    let mut fetched = 0;
    let mut current = Vec::new();
    let mut told = String::new();
    let before = place.load().filter(|(_, at)| !is_file && !is_stale(*at));
    if let Some((keys, (jwks, at))) = before.and_then(|kept| Some((KeySet::parse(&kept.0).ok()?, kept))) {
        tracing::info!(issuer = %issuer.name, keys = keys.len(), "keys kept from before");
        (schedule.has_keys, fetched, current) = (true, at, jwks);
        known.adopt(Some(keys));
        // those who wait look again
        known.state.send_replace(State::Fetching);
    }
    loop {
        let outcome = fetch::keys(&issuer).await.and_then(|jwks| Ok((KeySet::parse(&jwks)?, jwks)));
        match outcome {
            Ok((keys, jwks)) => {
                (schedule.failures, schedule.has_keys, fetched) = (0, true, epoch_seconds());
                told.clear();
                if current != jwks {
                    tracing::info!(issuer = %issuer.name, keys = keys.len(), "keys of the issuer");
                    known.adopt(Some(keys));
                    current = jwks.to_vec();
                }
                if !is_file && let Err(error) = place.save(&issuer, &jwks, fetched) {
                    tracing::warn!(issuer = %issuer.name, %error, "keys cannot be kept over a restart");
                }
            }
            Err(error) => {
                schedule.failures += 1;
                if schedule.has_keys && is_stale(fetched) && !is_file {
                    tracing::warn!(issuer = %issuer.name, "keys are too old to be trusted further");
                    (schedule.has_keys, current) = (false, Vec::new());
                    known.adopt(None);
                }
                if told != error {
                    tracing::warn!(issuer = %issuer.name, %error, kept = schedule.has_keys, "keys of the issuer cannot be had");
                    told = error;
                }
            }
        }
        let (due, asked) = (Instant::now() + schedule.pause(), Instant::now() + schedule.when_asked());
        known.state.send_replace(State::Until(asked));
        tokio::select! {
            () = tokio::time::sleep_until(due.into()) => {}
            () = wanted(&known, asked) => {}
        }
        known.state.send_replace(State::Fetching);
    }
}

/// Waits until somebody asks, and then until it is time.
async fn wanted(known: &Known, earliest: Instant) {
    known.wanted.notified().await;
    tokio::time::sleep_until(earliest.into()).await;
}

fn is_stale(fetched: u64) -> bool {
    epoch_seconds().saturating_sub(fetched) > limit::KEYS_KEPT.as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_asks_never_makes_it_more_than_once_in_a_pause() {
        let mut schedule = Schedule { every: limit::KEYS_REFRESH, has_keys: true, failures: 0 };
        assert_eq!((schedule.pause(), schedule.when_asked()), (limit::KEYS_REFRESH, limit::KEYS_PAUSE));
        for failures in 1..40 {
            schedule.failures = failures;
            assert!(schedule.pause() >= limit::KEYS_PAUSE && schedule.when_asked() >= limit::KEYS_PAUSE);
            assert!(schedule.pause() <= limit::KEYS_RETRY_LAST);
        }
    }

    #[test]
    fn without_keys_it_is_tried_soon_and_then_ever_more_seldom() {
        let pause = |failures| Schedule { every: limit::KEYS_REFRESH, has_keys: false, failures }.when_asked();
        assert_eq!(pause(1), limit::KEYS_RETRY_FIRST);
        assert_eq!(pause(2), limit::KEYS_RETRY_FIRST * 2);
        assert_eq!(pause(30), limit::KEYS_RETRY_LAST);
    }
}
