//! Homes of ids of ours that no node of the fleet has. One that was never heard of may be that of a node that has just joined: the
//! control plane tells everybody, and not all in the same moment.

use std::collections::HashMap;
use std::time::Instant;

use super::Home;
use crate::limit;

/// When they were first asked for.
#[derive(Debug, Default)]
pub(super) struct Strangers(HashMap<Home, Option<Instant>, foldhash::fast::RandomState>);

impl Strangers {
    /// Whether the fleet may be about to be told of a node of that home.
    pub(super) fn may_be_coming(&mut self, home: Home, now: Instant) -> bool {
        let is_new =
            |first: &Option<Instant>| first.is_some_and(|first| now.saturating_duration_since(first) < limit::STRANGER);
        if let Some(first) = self.0.get(&home) {
            return is_new(first);
        }
        if self.0.len() >= limit::STRANGERS {
            self.0.retain(|_, first| is_new(first));
        }
        let has_room = self.0.len() < limit::STRANGERS;
        if has_room {
            self.0.insert(home, Some(now));
        }
        has_room
    }

    /// A node left the fleet: it is not about to come.
    pub(super) fn left(&mut self, home: Home) {
        if self.0.len() < limit::STRANGERS {
            self.0.insert(home, None);
        }
    }

    /// It is none any more.
    pub(super) fn is_known(&mut self, home: Home) {
        self.0.remove(&home);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_never_heard_of_may_be_coming_for_a_while() {
        let (mut strangers, begun) = (Strangers::default(), Instant::now());
        let [new, gone] = ["new", "gone"].map(Home::of_node);
        strangers.left(gone);
        assert!(!strangers.may_be_coming(gone, begun));
        assert!(strangers.may_be_coming(new, begun));
        assert!(!strangers.may_be_coming(new, begun + limit::STRANGER));
        // it came, and went
        strangers.is_known(new);
        strangers.left(new);
        assert!(!strangers.may_be_coming(new, begun));
    }

    #[test]
    fn so_many_are_remembered() {
        let (mut strangers, begun) = (Strangers::default(), Instant::now());
        let home = |n: usize| Home::of_node(&n.to_string());
        assert!((0..limit::STRANGERS).all(|n| strangers.may_be_coming(home(n), begun)));
        assert!(!strangers.may_be_coming(home(limit::STRANGERS), begun));
        assert!(strangers.may_be_coming(home(limit::STRANGERS), begun + limit::STRANGER));
    }
}
