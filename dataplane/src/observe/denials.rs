//! Who was denied what, since somebody last asked: what goes to the audit log. Bounded; what there is no room for is counted.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::clock::epoch_ms;
use crate::limit;

/// What was denied, and why.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Denied {
    /// As policies know it.
    pub principal: Arc<str>,
    pub method: &'static str,
    pub server: Arc<str>,
    /// Tool, prompt or URI without its query; empty: the server.
    pub object: Box<str>,
    /// `hidden`, `denied`, `insufficient_scope`, `rate_limited`, `too_many_in_flight`.
    pub why: &'static str,
    /// Where the rule stands; `policies`: none allows it.
    pub rule: Arc<str>,
}

/// The denials since they were last taken.
#[derive(Default)]
pub(crate) struct Denials {
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    /// When it was last, milliseconds since 1970, and how often.
    denials: HashMap<Denied, (u64, u64), foldhash::fast::RandomState>,
    lost: u64,
}

/// What was taken.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    /// What, when last (milliseconds since 1970), and how often.
    pub denials: Vec<(Denied, u64, u64)>,
    /// Those there was no room for.
    pub lost: u64,
}

impl Denials {
    pub(crate) fn note(&self, denied: Denied) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.denials.len() >= limit::DENIALS && !kept.denials.contains_key(&denied) {
            kept.lost += 1;
            return;
        }
        let (at, times) = kept.denials.entry(denied).or_default();
        (*at, *times) = (epoch_ms(), *times + 1);
    }

    /// All since the last time.
    pub(crate) fn take(&self) -> Taken {
        let kept = std::mem::take(&mut *self.kept.lock().unwrap_or_else(PoisonError::into_inner));
        let denials = kept.denials.into_iter().map(|(denied, (at, times))| (denied, at, times)).collect();
        Taken { denials, lost: kept.lost }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_denied_again_and_again_is_one_line_and_what_does_not_fit_is_counted() {
        let denials = Denials::default();
        let denied = |at: usize| Denied {
            principal: "client:a".into(),
            method: "tools/call",
            server: "s".into(),
            object: at.to_string().into(),
            why: "hidden",
            rule: "policies".into(),
        };
        for at in 0..limit::DENIALS + 3 {
            denials.note(denied(at));
            denials.note(denied(at));
        }
        let taken = denials.take();
        assert_eq!((taken.denials.len(), taken.lost), (limit::DENIALS, 6));
        assert!(taken.denials.iter().all(|(_, at, times)| *at > 0 && *times == 2));
        assert!(denials.take().denials.is_empty());
    }
}
