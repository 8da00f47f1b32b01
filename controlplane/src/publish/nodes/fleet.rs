//! What nodes are told of each other: who takes links and where, whose certificates are refused, the keys of sessions, and how many
//! share what is limited for all of them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sluice_contract::v1;
use tokio::sync::watch;

use super::{Kept, Node, Nodes};
use crate::compile::{Labels, partial};
use crate::language::Config;

/// From when on a node that went is told to be absent: longer than a restart, and than the pauses before it is back.
const ABSENT: Duration = Duration::from_secs(15);

/// What is told to all alike, and whether it changed.
pub(super) struct Fleet {
    changes: Arc<watch::Sender<u64>>,
    keys: Mutex<Vec<v1::SessionKey>>,
    /// Before that nobody was connected: those who are not may be on their way.
    since: Instant,
}

impl Default for Fleet {
    fn default() -> Self {
        Self { changes: Arc::new(watch::Sender::new(0)), keys: Mutex::default(), since: Instant::now() }
    }
}

impl Fleet {
    /// Changes whenever any node is to be told something else.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Nodes are to be told something else.
    pub(super) fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    /// When it began to be known who is there.
    pub(super) fn since(&self) -> Instant {
        self.since
    }

    /// A node went, or is not there yet: in a while it counts as absent.
    pub(super) fn left(&self) {
        let changes = Arc::clone(&self.changes);
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                tokio::time::sleep(ABSENT).await;
                changes.send_modify(|count| *count += 1);
            });
        }
    }
}

impl Nodes {
    /// Nodes seal sessions with these from now on.
    pub(crate) fn seal_sessions_by(&self, keys: Vec<v1::SessionKey>) {
        let mut held = self.fleet.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if *held != keys {
            *held = keys;
            self.fleet.changed();
        }
    }

    /// What a node that runs this configuration is to know of the fleet; `None`: there is none, but this one node in its process.
    pub(crate) fn fleet_around(&self, own: &str, config: &Config) -> Option<v1::Fleet> {
        let keys = self.fleet.keys.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let refused = self.revoked().clone();
        let known = self.known();
        let takes_links = known.get(own).is_some_and(|node| !node.kept.link.is_empty());
        let others = known.iter().filter(|(name, node)| takes_links && *name != own && !node.kept.link.is_empty());
        let nodes = others.map(|(name, node)| v1::FleetNode {
            node: name.clone(),
            link: node.kept.link.clone(),
            refused_until_ms: refused.get(name).copied().unwrap_or_default(),
            absent: node.is_absent(self.fleet.since),
        });
        let nodes = nodes.collect();
        let none = Labels::new();
        let sharing = Sharing {
            own: (own, known.get(own).map_or(&none, |node| &node.kept.labels)),
            others: known
                .iter()
                .filter(|(name, node)| *name != own && node.takes_clients(self.fleet.since))
                .map(|(name, node)| (name.as_str(), &node.kept.labels))
                .collect(),
        };
        let limits = partial(config).filter(|limit| limit.is_held_by(sharing.own.1)).map(|limit| v1::LimitShare {
            share: Some(sharing.among(|labels| limit.is_held_by(labels))),
            limit: limit.source,
        });
        let (share, limits) = (sharing.among(|_| true), limits.collect());
        let fleet = v1::Fleet { nodes, keys, share: (share.nodes > 1).then_some(share), limits };
        (fleet != v1::Fleet::default()).then_some(fleet)
    }
}

impl Node {
    /// It has not been connected for long. Before `since` nobody was: those who are not may be on their way.
    fn is_absent(&self, since: Instant) -> bool {
        self.visitor.is_none() && self.left.unwrap_or(since).elapsed() >= ABSENT
    }

    /// Clients may come to it: it runs something, is not about to end, and lives as far as is known.
    pub(super) fn takes_clients(&self, since: Instant) -> bool {
        let serves = self.kept.revision > 0 && !self.runs_nothing();
        serves && !self.report.draining && !self.is_absent(since)
    }
}

/// Nodes as they were known when the process before this one ended: that was when the last of them was seen, and who had been away by
/// then is not waited for now.
pub(super) fn recalled(kept: Vec<(String, Kept)>) -> impl Iterator<Item = (String, Node)> {
    let last_ms = kept.iter().map(|(_, kept)| kept.seen_ms).max().unwrap_or_default();
    let long_ago = Instant::now().checked_sub(ABSENT);
    kept.into_iter().map(move |(name, kept)| {
        let was_there = last_ms.saturating_sub(kept.seen_ms) < ABSENT.as_millis() as u64;
        (name, Node { kept, left: long_ago.filter(|_| !was_there), ..Node::default() })
    })
}

/// A node and those that serve beside it, by names and labels.
struct Sharing<'n> {
    own: (&'n str, &'n Labels),
    others: Vec<(&'n str, &'n Labels)>,
}

impl Sharing<'_> {
    /// The node's share of what those hold whose labels are such. It has one itself whatever becomes of it, because it may be asked as
    /// long as it serves.
    fn among(&self, holds: impl Fn(&Labels) -> bool) -> v1::FleetShare {
        let mut share = v1::FleetShare { nodes: 1, place: 0 };
        for (name, _) in self.others.iter().filter(|(_, labels)| holds(labels)) {
            share.nodes += 1;
            share.place += u32::from(*name < self.own.0);
        }
        share
    }
}
