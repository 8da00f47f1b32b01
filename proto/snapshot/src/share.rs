//! What one node of several holds of a limit that is for all of them together.

use std::collections::HashMap;
use std::sync::Arc;

use sluice_contract::v1;

/// A node's part of what so many hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    nodes: u32,
    place: u32,
}

/// A node's parts of all limits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shares {
    /// Of those that all nodes hold.
    pub all: Share,
    /// Of those that only some hold, by where they stand.
    pub limits: HashMap<Arc<str>, Share>,
}

impl Default for Share {
    fn default() -> Self {
        Self::WHOLE
    }
}

impl Share {
    /// That of a node which is alone, or knows of no others.
    pub const WHOLE: Self = Self { nodes: 1, place: 0 };

    /// That of the one of `nodes` with so many before it. What makes no sense is the whole: it comes from elsewhere, and to refuse
    /// everybody would be worse than to be generous.
    #[must_use]
    pub fn new(nodes: u32, place: u32) -> Self {
        if place < nodes { Self { nodes, place } } else { Self::WHOLE }
    }

    /// How many nodes hold it.
    #[must_use]
    pub fn nodes(self) -> u32 {
        self.nodes
    }

    /// How many of them come before this one.
    #[must_use]
    pub fn place(self) -> u32 {
        self.place
    }

    /// This node's part. All together are as much as was said; but none is ever zero, so that of a limit lower than the number of nodes
    /// each has one: a client that finds a node finds it open.
    #[must_use]
    pub fn of(self, limit: u32) -> u32 {
        if self.nodes == 1 {
            return limit;
        }
        (limit / self.nodes + u32::from(self.place < limit % self.nodes)).max(1)
    }

    /// The part of all others together; the whole where no others are known.
    #[must_use]
    pub fn of_others(self, limit: u32) -> u32 {
        if self.nodes == 1 {
            return limit;
        }
        limit.saturating_sub(self.of(limit)).max(1)
    }
}

impl Shares {
    /// The share of one limit of a policy.
    #[must_use]
    pub fn of(&self, limit: &str) -> Share {
        self.limits.get(limit).copied().unwrap_or(self.all)
    }
}

impl From<&v1::Fleet> for Shares {
    fn from(fleet: &v1::Fleet) -> Self {
        let share =
            |wire: Option<&v1::FleetShare>| wire.map_or(Share::WHOLE, |wire| Share::new(wire.nodes, wire.place));
        let limits = fleet.limits.iter().map(|wire| (wire.limit.as_str().into(), share(wire.share.as_ref())));
        Self { all: share(fleet.share.as_ref()), limits: limits.collect() }
    }
}

/// Whether a principal may be at several nodes. Who is `local` comes from the node's own machine, and is nobody else's `local`.
#[must_use]
pub fn is_shared(principal: &str) -> bool {
    principal != "local"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_shares_together_are_the_limit_and_none_is_zero() {
        for nodes in 1..20 {
            for limit in (1..200).chain([u32::MAX - 1, u32::MAX]) {
                let shares: Vec<u64> = (0..nodes).map(|place| Share::new(nodes, place).of(limit).into()).collect();
                let most = shares[0];
                assert!(shares.iter().all(|share| most - share <= 1 && *share > 0), "{shares:?}");
                assert_eq!(shares.iter().sum::<u64>(), u64::from(limit.max(nodes)), "{limit} at {nodes} nodes");
            }
        }
    }

    #[test]
    fn a_share_that_makes_no_sense_is_the_whole() {
        for (nodes, place) in [(0, 0), (0, 1), (3, 3), (1, 7)] {
            assert_eq!(Share::new(nodes, place), Share::WHOLE);
        }
        assert_eq!(Shares::from(&v1::Fleet::default()), Shares::default());
    }

    #[test]
    fn a_limit_that_only_some_nodes_have_is_shared_by_those() {
        let limits = vec![v1::LimitShare {
            limit: "policies.eu.limit[0]".into(),
            share: Some(v1::FleetShare { nodes: 2, place: 1 }),
        }];
        let fleet = v1::Fleet { share: Some(v1::FleetShare { nodes: 3, place: 2 }), limits, ..v1::Fleet::default() };
        let shares = Shares::from(&fleet);
        assert_eq!((shares.of("policies.eu.limit[0]").of(60), shares.of("policies.all.limit[0]").of(60)), (30, 20));
        assert_eq!(shares.of("policies.eu.limit[0]").of_others(60), 30);
    }
}
