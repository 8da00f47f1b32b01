//! Whether the other side of a connection is still there: a connection that was cut without a word stays open on this
//! side, and would take calls for ever.

use std::time::{Duration, Instant};

use crate::limit;

/// The memory of when a connection was last heard of.
pub(super) struct Pulse {
    heard: Instant,
    /// When the other side was asked for a sign of life, unless it has given one since.
    asked: Option<Instant>,
    ask_after: Duration,
    dead_after: Duration,
}

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Beat {
    Nothing,
    /// Ask for a sign of life.
    Ask,
    /// It was asked and gave none.
    Dead,
}

impl Pulse {
    /// The pulse of a connection on which a call may be silent for `timeout`: a server that is busy with one may be
    /// silent as long.
    pub(super) fn new(timeout: Duration) -> Self {
        let ask_after = limit::SILENCE.min(timeout / 2);
        let dead_after = timeout.saturating_sub(ask_after).max(limit::SIGN_OF_LIFE);
        Self { heard: Instant::now(), asked: None, ask_after, dead_after }
    }

    /// Something came, if only a comment.
    pub(super) fn heard(&mut self) {
        self.heard = Instant::now();
        self.asked = None;
    }

    pub(super) fn beat(&mut self) -> Beat {
        match self.asked {
            Some(asked) if asked.elapsed() >= self.dead_after => Beat::Dead,
            None if self.heard.elapsed() >= self.ask_after => {
                self.asked = Some(Instant::now());
                Beat::Ask
            }
            _ => Beat::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_connection_is_asked_once_and_given_up() {
        let mut pulse =
            Pulse { heard: Instant::now(), asked: None, ask_after: Duration::ZERO, dead_after: Duration::ZERO };
        assert_eq!(pulse.beat(), Beat::Ask);
        assert_eq!(pulse.beat(), Beat::Dead);
        pulse.heard();
        assert_eq!(pulse.beat(), Beat::Ask, "a sign of life starts anew");
    }

    #[test]
    fn a_server_may_be_silent_for_as_long_as_a_call() {
        let pulse = Pulse::new(Duration::from_secs(300));
        assert_eq!(pulse.ask_after + pulse.dead_after, Duration::from_secs(300));
        let brisk = Pulse::new(Duration::from_secs(2));
        assert!(brisk.dead_after >= limit::SIGN_OF_LIFE, "time to answer at all");
    }
}
