//! A node while it is connected. What is said through a visit that another one has replaced is not recorded.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sluice_contract::v1;
use sluice_snapshot::chunk::Name;
use tokio::sync::watch;

use super::{Labels, Node, Nodes, Rejected, now_ms};
use crate::language::Fault;
use crate::publish::wire;

/// Why a stream ends from here.
#[derive(Clone)]
pub(crate) enum Farewell {
    /// The node connected again.
    Replaced,
    /// It is not welcome any more.
    Dismissed(String),
    /// It is, by another connection.
    Again(&'static str),
}

/// A connected node. Dropped: it has gone.
pub(crate) struct Visit {
    nodes: Arc<Nodes>,
    node: String,
    labels: Labels,
    serial: u64,
    farewell: watch::Receiver<Option<Farewell>>,
}

impl Visit {
    pub(super) fn new(
        nodes: Arc<Nodes>,
        node: String,
        labels: Labels,
        serial: u64,
        farewell: watch::Receiver<Option<Farewell>>,
    ) -> Self {
        Self { nodes, node, labels, serial, farewell }
    }

    /// By which configuration chooses the node.
    pub(crate) fn labels(&self) -> &Labels {
        &self.labels
    }

    /// Tells when and why the stream is to end.
    pub(crate) fn farewell(&self) -> watch::Receiver<Option<Farewell>> {
        self.farewell.clone()
    }

    /// Tells when the authorities change.
    pub(crate) fn authorities(&self) -> watch::Receiver<u64> {
        self.nodes.authorities()
    }

    /// Tells when what the node is to know of the fleet changes.
    pub(crate) fn fleet(&self) -> watch::Receiver<u64> {
        self.nodes.fleet.changes()
    }

    /// What the node is to know of the fleet; `None`: it is alone.
    pub(crate) fn others(&self) -> Option<v1::Fleet> {
        self.nodes.fleet_around(&self.node)
    }

    /// Whether the node does not know the authorities there are.
    pub(crate) fn is_behind(&self) -> bool {
        let now = *self.nodes.authorities.borrow();
        let known = self.nodes.known();
        let certificate = known.get(&self.node).and_then(|node| node.certificate.as_ref());
        certificate.is_some_and(|certificate| certificate.authorities < now)
    }

    /// The generation of the next manifest, which is of this revision.
    pub(crate) fn next_generation(&self, revision: u64) -> u64 {
        self.change(|node| {
            node.kept.generation += 1;
            node.sent = revision;
            node.kept.generation
        })
        .unwrap_or_default()
    }

    /// The node runs a revision; `faults` is what is wrong all the same.
    pub(crate) fn accepted(&self, revision: u64, faults: Vec<v1::ConfigurationFault>, took: Duration) {
        tracing::info!(node = self.node, revision, took_us = took.as_micros() as u64, "a node runs the configuration");
        for fault in &faults {
            tracing::warn!(node = self.node, revision, path = fault.path.join("."), "{}", fault.message);
        }
        self.change(|node| {
            node.kept.revision = revision;
            node.kept.since_ms = now_ms();
        });
    }

    /// The node refused a revision. What it refused before for the same reasons is said once.
    pub(crate) fn rejected(&self, revision: u64, faults: Vec<v1::ConfigurationFault>) {
        self.change(|node| {
            let before = node.kept.rejected.as_ref();
            if before.is_some_and(|before| before.revision == revision && before.faults == faults) {
                return;
            }
            for fault in &faults {
                let path = fault.path.join(".");
                tracing::error!(
                    node = self.node,
                    revision,
                    path,
                    "a node refused the configuration: {}",
                    fault.message
                );
            }
            node.kept.rejected = Some(Rejected { revision, at_ms: now_ms(), faults });
        });
    }

    /// A revision makes no snapshot for this node.
    pub(crate) fn refused_here(&self, revision: u64, faults: &[Fault]) {
        self.rejected(revision, faults.iter().cloned().map(wire::fault).collect());
    }

    /// How the node is, and whom it refused.
    pub(crate) fn reported(&self, mut report: v1::Report) {
        let (denials, lost) = (std::mem::take(&mut report.denials), std::mem::take(&mut report.denials_lost));
        self.nodes.remember(&self.node, denials, lost);
        let inventories = &self.nodes.inventories;
        self.change(|node| {
            let mut before = std::mem::take(&mut node.offers);
            for server in &report.servers {
                let Some(digest) = Name::from_wire(&server.inventory) else { continue };
                let same = before.remove(&server.server).filter(|offered| offered.digest == digest);
                if let Some(offered) = same.or_else(|| inventories.find(digest)) {
                    node.offers.insert(server.server.clone(), offered);
                }
            }
            node.report = report;
        });
    }

    /// A server whose inventory is not known here. Where nobody asks for inventories, none is.
    pub(crate) fn wants(&self) -> Option<String> {
        self.nodes.store.as_ref()?;
        let known = self.nodes.known();
        let node = known.get(&self.node)?;
        let is_unknown = |server: &&v1::ServerHealth| {
            let digest = Name::from_wire(&server.inventory);
            digest.is_some() && node.offers.get(&server.server).map(|offered| offered.digest) != digest
        };
        node.report.servers.iter().find(is_unknown).map(|server| server.server.clone())
    }

    /// What a server offers. `false`: it is not what the node last reported, or there is no room for it.
    pub(crate) fn told(&self, inventory: v1::Inventory) -> bool {
        let Some(offered) = self.nodes.inventories.keep(inventory) else { return false };
        let keep = |node: &mut Node| {
            let server = offered.inventory.server.clone();
            let is_so = |health: &v1::ServerHealth| {
                health.server == server && Name::from_wire(&health.inventory) == Some(offered.digest)
            };
            let fits = node.report.servers.iter().any(is_so);
            if fits {
                node.offers.insert(server, offered);
            }
            fits
        };
        self.change(keep).unwrap_or(false)
    }

    /// Changes the node, unless it is connected otherwise by now.
    fn change<T>(&self, change: impl FnOnce(&mut Node) -> T) -> Option<T> {
        if !self.is_current() {
            return None;
        }
        Some(self.nodes.change(&self.node, change))
    }

    fn is_current(&self) -> bool {
        let known = self.nodes.known();
        known.get(&self.node).and_then(|node| node.visitor.as_ref()).is_some_and(|now| now.serial == self.serial)
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let left = self.change(|node| {
            node.visitor = None;
            node.left = Some(Instant::now());
        });
        if left.is_some() {
            self.nodes.fleet.left();
        }
    }
}
