//! A node while it is connected. What is said through a visit that another one has replaced is not recorded.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sluice_contract::v1;
use sluice_snapshot::chunk::Name;
use tokio::sync::{mpsc, watch};

use super::inventories::Told;
use super::{Labels, Node, Nodes, Question, Rejected, now_ms};
use crate::language::{Config, Fault};
use crate::publish::wire;
use crate::store::{Obstacle, StoreError};

/// Why a stream ends from here.
#[derive(Clone)]
pub(crate) enum Farewell {
    /// The node connected again.
    Replaced,
    /// It is not welcome any more.
    Dismissed(String),
    /// It is, by another connection.
    Again(&'static str),
    /// The process ends.
    Ending,
}

/// A connected node. Dropped: it has gone.
pub(crate) struct Visit {
    nodes: Arc<Nodes>,
    node: String,
    labels: Labels,
    serial: u64,
    farewell: watch::Receiver<Option<Farewell>>,
    questions: mpsc::Receiver<Question>,
}

impl Node {
    /// Takes the node's word for since when it runs its revision, as far as it has given it.
    fn follow_since(&mut self) {
        if self.report.revision == self.kept.revision && self.report.since_ms > 0 {
            // by the node's clock, which may be ahead of this one
            self.kept.since_ms = self.report.since_ms.min(now_ms());
        }
    }
}

impl Visit {
    pub(super) fn new(
        nodes: Arc<Nodes>,
        node: String,
        labels: Labels,
        serial: u64,
        farewell: watch::Receiver<Option<Farewell>>,
        questions: mpsc::Receiver<Question>,
    ) -> Self {
        Self { nodes, node, labels, serial, farewell, questions }
    }

    /// Waits for what the node is to be asked.
    pub(crate) async fn question(&mut self) -> Question {
        match self.questions.recv().await {
            Some(question) => question,
            // another visit has taken the place of this one
            None => std::future::pending().await,
        }
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

    /// What the node is to know of the fleet, when this is what it runs; `None`: it is alone.
    pub(crate) fn others(&self, config: &Config) -> Option<v1::Fleet> {
        self.nodes.fleet_around(&self.node, config)
    }

    /// Whether the node does not know the authorities there are.
    pub(crate) fn is_behind(&self) -> bool {
        let now = *self.nodes.authorities.borrow();
        let known = self.nodes.known();
        let certificate = known.get(&self.node).and_then(|node| node.certificate.as_ref());
        certificate.is_some_and(|certificate| certificate.authorities < now)
    }

    /// The generation of the newest manifest that the node was sent, or said to have.
    pub(crate) fn generation(&self) -> u64 {
        self.nodes.known().get(&self.node).map_or(0, |node| node.kept.generation)
    }

    /// Who may come in was told of revision `told`, and is the same until `by`: the node refuses everybody else, if it has said so.
    pub(crate) fn goes_by(&self, told: u64, by: u64) {
        let is_news = |node: &Node| node.report.entitled_revision == told && node.entitled != by;
        if self.nodes.known().get(&self.node).is_some_and(is_news) {
            self.change(|node| node.entitled = by);
        }
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
            // one that comes back is sent the same again, which is no new beginning
            if node.kept.revision != revision {
                node.kept.since_ms = now_ms();
            }
            node.kept.revision = revision;
            node.follow_since();
            (node.accepted, node.refuses, node.faults) = (true, false, faults);
        });
    }

    /// The node refused a revision. What it refused before for the same reasons is said once.
    pub(crate) fn rejected(&self, revision: u64, faults: Vec<v1::ConfigurationFault>) {
        self.change(|node| {
            node.refuses = true;
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

    /// Whom the node refused: in the audit log from then on, up to the number that is told.
    ///
    /// # Errors
    ///
    /// The database fails; the node says it again.
    pub(crate) async fn refused(&self, denials: v1::Denials) -> Result<u64, StoreError> {
        self.nodes.remember(&self.node, denials).await
    }

    /// What the node is called.
    pub(crate) fn node(&self) -> &str {
        &self.node
    }

    /// What keeps the store from being written; `None`: there is no store.
    pub(crate) fn obstacle(&self) -> Option<watch::Receiver<Option<Obstacle>>> {
        Some(self.nodes.store.as_ref()?.obstacle())
    }

    /// How the node is.
    pub(crate) fn reported(&self, report: v1::Report) {
        let inventories = &self.nodes.inventories;
        self.change(|node| {
            let mut before = std::mem::take(&mut node.offers);
            for server in &report.servers {
                let before = before.remove(&server.server);
                let told = Name::from_wire(&server.inventory).and_then(|digest| {
                    let same = before.as_ref().map(|told| &told.offered).filter(|offered| offered.digest == digest);
                    same.cloned().or_else(|| inventories.find(digest)).map(Told::now)
                });
                // until a node has heard of it again, what it said before it started anew is the best that is known
                let last = || before.map(|told| Told { stands: false, ..told });
                if let Some(told) = told.or_else(last) {
                    node.offers.insert(server.server.clone(), told);
                }
            }
            node.report = report;
            node.follow_since();
        });
    }

    /// A server whose inventory is not known here. Where nobody asks for inventories, none is.
    pub(crate) fn wants(&self) -> Option<String> {
        self.nodes.store.as_ref()?;
        let known = self.nodes.known();
        let node = known.get(&self.node)?;
        let is_unknown = |server: &&v1::ServerHealth| {
            let digest = Name::from_wire(&server.inventory);
            digest.is_some() && node.offers.get(&server.server).map(|told| told.offered.digest) != digest
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
                node.offers.insert(server, Told::now(offered));
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
