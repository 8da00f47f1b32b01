//! What this node holds of limits that are for the whole fleet, as the control plane said last. Read by every request that such a limit
//! covers: one atomic word, and no lock.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use sluice_contract::v1;
use sluice_snapshot::share::{self, Share};

/// By what a request came in, and so what of a limit it is counted against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Via {
    /// A door of this node: it takes from this node's share.
    Door,
    /// A link from another node, where it came in. What is handed on takes from the shares of the others.
    Link,
}

/// A share that changes as nodes come and go.
#[derive(Debug)]
pub(crate) struct Portion(AtomicU64);

impl Default for Portion {
    fn default() -> Self {
        Self(AtomicU64::new(packed(Share::WHOLE)))
    }
}

impl Portion {
    /// What of a limit a request from there may use.
    pub(crate) fn of(&self, limit: u32, via: Via) -> u32 {
        let word = self.0.load(Ordering::Relaxed);
        let share = Share::new((word >> 32) as u32, word as u32);
        match via {
            Via::Door => share.of(limit),
            Via::Link => share.of_others(limit),
        }
    }

    fn set(&self, share: Share) {
        self.0.store(packed(share), Ordering::Relaxed);
    }
}

fn packed(share: Share) -> u64 {
    u64::from(share.nodes()) << 32 | u64::from(share.place())
}

/// All shares.
#[derive(Default)]
pub(crate) struct Shares {
    /// Of the limits that all nodes have part in.
    pub all: Arc<Portion>,
    limits: Mutex<Limits>,
}

#[derive(Default)]
struct Limits {
    told: share::Shares,
    /// Those that are counted here, by where the limit stands.
    portions: HashMap<Arc<str>, Arc<Portion>>,
}

impl Shares {
    /// The fleet is this.
    pub(crate) fn adopt(&self, fleet: &v1::Fleet) {
        let told = share::Shares::from(fleet);
        let mut limits = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        if limits.told == told {
            return;
        }
        tracing::info!(among = told.all.nodes(), place = told.all.place(), "limits of the fleet are shared anew");
        self.all.set(told.all);
        // nobody counts by the others any more
        limits.portions.retain(|_, portion| Arc::strong_count(portion) > 1);
        limits.portions.iter().for_each(|(limit, portion)| portion.set(told.of(limit)));
        limits.told = told;
    }

    /// The share of one limit of a policy, for whoever counts it from now on.
    pub(crate) fn of_limit(&self, limit: &Arc<str>) -> Arc<Portion> {
        let mut limits = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(portion) = limits.portions.get(limit) {
            return Arc::clone(portion);
        }
        let portion = Arc::new(Portion::default());
        portion.set(limits.told.of(limit));
        limits.portions.insert(Arc::clone(limit), Arc::clone(&portion));
        portion
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fleet(nodes: u32, limits: &[(&str, u32)]) -> v1::Fleet {
        let share = |nodes| Some(v1::FleetShare { nodes, place: 0 });
        let limit = |(limit, nodes): &(&str, u32)| v1::LimitShare { limit: (*limit).into(), share: share(*nodes) };
        v1::Fleet { share: share(nodes), limits: limits.iter().map(limit).collect(), ..v1::Fleet::default() }
    }

    #[test]
    fn what_is_counted_already_follows_the_fleet() {
        let shares = Shares::default();
        let (all, some) = (shares.of_limit(&"all".into()), shares.of_limit(&"some".into()));
        let now = || [&shares.all, &all, &some].map(|portion| portion.of(60, Via::Door));
        assert_eq!(now(), [60, 60, 60], "nobody has told of others");
        shares.adopt(&fleet(3, &[("some", 2)]));
        assert_eq!(now(), [20, 20, 30]);
        assert_eq!(some.of(60, Via::Link), 30);
        assert_eq!(shares.of_limit(&"some".into()).of(60, Via::Door), 30);
        shares.adopt(&fleet(2, &[]));
        assert_eq!(now(), [30, 30, 30]);
    }

    #[test]
    fn limits_that_nobody_counts_any_more_are_forgotten() {
        let shares = Shares::default();
        let counted = shares.of_limit(&"counted".into());
        drop(shares.of_limit(&"gone".into()));
        shares.adopt(&fleet(2, &[]));
        assert_eq!(shares.limits.lock().unwrap().portions.len(), 1);
        assert_eq!(counted.of(10, Via::Door), 5);
    }
}
