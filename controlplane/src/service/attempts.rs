//! How often somebody was refused lately: so that a flood of attempts neither fills the audit log nor goes on at full speed.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

/// Refusals of one actor that are written down one by one in a [`WINDOW`]: enough to see what was tried, and little to read.
const REMEMBERED: u64 = 10;
/// Milliseconds in which refusals are counted together.
const WINDOW: i64 = 60_000;
/// Actors told apart; the others share one place, so that nobody fills memory by changing addresses.
const MAX_ACTORS: usize = 1_024;
/// The place they share.
const OTHERS: &str = "others";

/// Refusals by actor: an address, or the name of a token.
#[derive(Default)]
pub(super) struct Attempts(Mutex<HashMap<String, Window>>);

struct Window {
    since: Timestamp,
    count: u64,
    /// Those that could not be written down so far.
    owed: u64,
}

/// What is to be done about a refusal.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Noted {
    /// It is to be written down.
    Remember,
    /// There were many; it was counted, and the actor should wait that long.
    Counted(Duration),
}

impl Noted {
    pub(super) fn is_remembered(&self) -> bool {
        *self == Self::Remember
    }
}

impl Attempts {
    /// Counts a refusal.
    pub(super) fn note(&self, actor: &str, now: Timestamp) -> Noted {
        let mut windows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let window = window(&mut windows, actor, now);
        window.count += 1;
        if window.count <= REMEMBERED {
            return Noted::Remember;
        }
        let left = WINDOW - now.as_millisecond().saturating_sub(window.since.as_millisecond());
        Noted::Counted(Duration::from_millis(u64::try_from(left).unwrap_or(0)))
    }

    /// Counts refusals that could not be written down, so that the next sum has them.
    pub(super) fn owe(&self, actor: &str, count: u64, now: Timestamp) {
        let mut windows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        window(&mut windows, actor, now).owed += count;
    }

    /// Forgets windows that are over; the actors that had more refusals than were written down, and how many more.
    pub(super) fn take_sums(&self, now: Timestamp) -> Vec<(String, u64)> {
        let mut windows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut sums = Vec::new();
        windows.retain(|actor, window| {
            let is_over = now.as_millisecond().saturating_sub(window.since.as_millisecond()) >= WINDOW;
            let unwritten = window.count.saturating_sub(REMEMBERED) + window.owed;
            if is_over && unwritten > 0 {
                sums.push((actor.clone(), unwritten));
            }
            !is_over
        });
        sums
    }
}

/// Where an actor is counted.
fn window<'w>(windows: &'w mut HashMap<String, Window>, actor: &str, now: Timestamp) -> &'w mut Window {
    let known = windows.len() < MAX_ACTORS || windows.contains_key(actor);
    let window = windows.entry(if known { actor } else { OTHERS }.to_owned());
    window.or_insert(Window { since: now, count: 0, owed: 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_000 + seconds).unwrap()
    }

    #[test]
    fn the_first_refusals_are_remembered_and_the_others_counted() {
        let attempts = Attempts::default();
        let noted: Vec<_> = (0..25).map(|_| attempts.note("10.0.0.1", at(0)).is_remembered()).collect();
        assert_eq!(noted.iter().filter(|remembered| **remembered).count(), 10);
        assert_eq!(attempts.note("10.0.0.1", at(20)), Noted::Counted(Duration::from_secs(40)));
        assert_eq!(attempts.note("10.0.0.2", at(20)), Noted::Remember);
        assert!(attempts.take_sums(at(59)).is_empty());
        assert_eq!(attempts.take_sums(at(60)), [("10.0.0.1".to_owned(), 16)]);
        assert_eq!(attempts.note("10.0.0.1", at(61)), Noted::Remember);
    }

    #[test]
    fn what_could_not_be_written_is_in_the_next_sum() {
        let attempts = Attempts::default();
        let noted = (0..12).filter(|_| attempts.note("10.0.0.1", at(0)).is_remembered()).count();
        assert_eq!(noted, 10);
        attempts.owe("10.0.0.1", 4, at(1));
        let sums = attempts.take_sums(at(60));
        assert_eq!(sums, [("10.0.0.1".to_owned(), 6)]);
        attempts.owe("10.0.0.1", 6, at(60));
        assert!(attempts.take_sums(at(119)).is_empty());
        assert_eq!(attempts.take_sums(at(120)), sums);
    }

    #[test]
    fn many_actors_share_one_place() {
        let attempts = Attempts::default();
        for actor in 0..5_000 {
            attempts.note(&actor.to_string(), at(0));
        }
        assert_eq!(attempts.0.lock().unwrap().len(), MAX_ACTORS + 1);
        assert!(!attempts.note("new", at(0)).is_remembered());
        assert_eq!(attempts.take_sums(at(60)), [(OTHERS.to_owned(), 5_000 - 1_024 - 10 + 1)]);
    }
}
