//! What nodes are told of each other: who takes links and where, whose certificates are refused, and the keys of sessions.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sluice_contract::v1;
use tokio::sync::watch;

use super::Nodes;

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

    /// A node went: in a while it counts as absent.
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

    /// What a node is to know of the fleet; `None`: there is none, but this one node in its process.
    pub(super) fn fleet_around(&self, own: &str) -> Option<v1::Fleet> {
        let keys = self.fleet.keys.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let refused = self.revoked().clone();
        let known = self.known();
        let takes_links = known.get(own).is_some_and(|node| !node.kept.link.is_empty());
        let others = known.iter().filter(|(name, node)| takes_links && *name != own && !node.kept.link.is_empty());
        let nodes = others.map(|(name, node)| v1::FleetNode {
            node: name.clone(),
            link: node.kept.link.clone(),
            refused_until_ms: refused.get(name).copied().unwrap_or_default(),
            absent: node.visitor.is_none() && node.left.unwrap_or(self.fleet.since).elapsed() >= ABSENT,
        });
        let fleet = v1::Fleet { nodes: nodes.collect(), keys };
        (!fleet.nodes.is_empty() || !fleet.keys.is_empty()).then_some(fleet)
    }
}
