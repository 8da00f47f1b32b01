//! The nodes a control plane knows: who is connected, what each runs, and what it refused last.

mod catalogue;
mod denials;
mod fleet;
mod inventories;
mod owed;
mod sessions;
mod status;
#[cfg(test)]
mod tests;
mod visit;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use sluice_contract::v1;
use tokio::sync::{Notify, mpsc, watch};

use super::edition::Labels;
use crate::authority::Credential;
use crate::store::{self, Obstacle, Store, StoreError};
pub(crate) use catalogue::Heard;
pub use catalogue::{Catalogue, OfferKind};
use fleet::Fleet;
use inventories::{Inventories, Told};
pub(crate) use sessions::Question;
pub(crate) use visit::{Farewell, Visit};

/// How long to wait before what nodes run is written again.
const AGAIN: Duration = Duration::from_secs(1);

/// What is kept of a node over a restart of the control plane.
#[derive(Clone, Default)]
pub(crate) struct Kept {
    /// By which configuration chooses it.
    pub labels: Labels,
    /// Those its join token gave it; none: those it says.
    pub granted: Labels,
    /// The version of its software.
    pub version: String,
    /// The last generation it was sent, or said to have.
    pub generation: u64,
    /// The revision it runs; 0: none that is known.
    pub revision: u64,
    /// When it began to run it, in milliseconds since 1970.
    pub since_ms: u64,
    /// When it was seen last.
    pub seen_ms: u64,
    /// What it refused last.
    pub rejected: Option<Rejected>,
    /// Where it takes links of other nodes; empty: it takes none.
    pub link: String,
}

/// A refusal, whole.
#[derive(Clone)]
pub struct Rejected {
    /// What was refused.
    pub revision: u64,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// Every reason.
    pub faults: Vec<v1::ConfigurationFault>,
}

/// A node, connected or not.
#[derive(Default)]
struct Node {
    kept: Kept,
    visitor: Option<Visitor>,
    /// The newest revision it was sent.
    sent: u64,
    /// It took something since it came.
    accepted: bool,
    /// It refused what it was sent last since it came.
    refuses: bool,
    /// What is wrong with what it runs all the same.
    faults: Vec<v1::ConfigurationFault>,
    report: v1::Report,
    /// The newest revision by which it refuses whoever may not come in any more.
    entitled: u64,
    /// What its servers offer, as it was last told, by their names.
    offers: BTreeMap<String, Told>,
    addresses: Vec<String>,
    /// The certificate it has, as far as is known.
    certificate: Option<Certificate>,
    /// When it went, if it was connected to this process.
    left: Option<Instant>,
    /// What is kept differs from what the store has.
    is_new: bool,
}

/// The stream a node is connected by.
struct Visitor {
    serial: u64,
    end: watch::Sender<Option<Farewell>>,
    questions: mpsc::Sender<Question>,
}

/// What is known of a node's certificate.
#[derive(Clone)]
pub(crate) struct Certificate {
    /// The name of the authority that made it.
    pub authority: String,
    /// Whom the node trusts: the authorities there were when it was given. Counts as [`Nodes::authorities`].
    pub authorities: u64,
    /// When it ends.
    pub ends: Timestamp,
}

/// All nodes.
pub struct Nodes {
    known: Mutex<BTreeMap<String, Node>>,
    /// Until when the certificates of nodes are refused, in milliseconds since 1970.
    revoked: Mutex<BTreeMap<String, u64>>,
    /// Counts visits: no two are ever taken for each other.
    visits: AtomicU64,
    inventories: Inventories,
    /// What nodes are told of each other.
    fleet: Fleet,
    /// Counts changes of the authorities.
    authorities: watch::Sender<u64>,
    /// Counts changes, for those who watch.
    changes: watch::Sender<u64>,
    store: Option<Store>,
    /// Something is to be written.
    unwritten: Notify,
    /// The process ends: nodes and those who watch them are sent away.
    ending: watch::Sender<bool>,
}

impl Nodes {
    /// Nodes that are forgotten with the process.
    #[must_use]
    pub fn in_memory() -> Arc<Self> {
        Self::of(None, BTreeMap::new(), BTreeMap::new())
    }

    /// The nodes of a store, and whatever becomes of them from now on. To be called within a runtime.
    ///
    /// # Errors
    ///
    /// The database fails.
    pub fn open(store: Store) -> Result<Arc<Self>, StoreError> {
        let kept = store.read_now(store::nodes::all)?;
        let known = fleet::recalled(kept).collect();
        let revoked = store.read_now(store::nodes::revoked)?;
        let nodes = Self::of(Some(store), known, revoked);
        // of those who were there before, some may never come back
        nodes.fleet.left();
        tokio::spawn(Arc::clone(&nodes).write());
        Ok(nodes)
    }

    fn of(store: Option<Store>, known: BTreeMap<String, Node>, revoked: BTreeMap<String, u64>) -> Arc<Self> {
        let (changes, _) = watch::channel(0);
        let (known, revoked) = (Mutex::new(known), Mutex::new(revoked));
        let (visits, inventories, fleet) = (AtomicU64::new(0), Inventories::default(), Fleet::default());
        let (authorities, unwritten, ending) = (watch::Sender::new(0), Notify::new(), watch::Sender::new(false));
        Arc::new(Self { known, revoked, visits, inventories, fleet, authorities, changes, store, unwritten, ending })
    }

    /// Changes whenever something changed about any node.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// The labels nodes have, each set once: what a configuration is to be judged for.
    #[must_use]
    pub fn label_sets(&self) -> Vec<Labels> {
        let sets: std::collections::BTreeSet<Labels> =
            self.known().values().map(|node| node.kept.labels.clone()).collect();
        sets.into_iter().collect()
    }

    /// A node said hello. Its stream before this one, if there is one, is told to end.
    pub(crate) fn greet(
        self: &Arc<Self>,
        hello: &v1::Hello,
        labels: Labels,
        certificate: Option<&Credential>,
    ) -> Visit {
        let (end, farewell) = watch::channel(self.ending.borrow().then_some(Farewell::Ending));
        let (questions, asked) = sessions::questions();
        if self.store.is_some() {
            tokio::spawn(Arc::clone(self).tell_owed(hello.node.clone(), questions.clone()));
        }
        let serial = self.visits.fetch_add(1, Ordering::Relaxed);
        self.change(&hello.node, |node| {
            if let Some(before) = node.visitor.replace(Visitor { serial, end, questions }) {
                before.end.send_replace(Some(Farewell::Replaced));
            }
            if hello.generation > node.kept.generation {
                if node.kept.generation > 0 {
                    tracing::warn!(
                        node = hello.node,
                        ours = node.kept.generation,
                        theirs = hello.generation,
                        "the node has a newer generation than was recorded here: going on above it"
                    );
                }
                node.kept.generation = hello.generation;
            }
            node.kept.labels.clone_from(&labels);
            node.kept.version.clone_from(&hello.version);
            node.certificate = certificate.map(|shown| {
                let before = node.certificate.take().filter(|before| before.authority == shown.authority);
                let authorities = before.map_or(0, |before| before.authorities);
                Certificate { authority: shown.authority.clone(), authorities, ends: shown.ends }
            });
            node.addresses.clone_from(&hello.addresses);
            node.kept.link.clone_from(&hello.link);
            node.left = None;
            node.report = v1::Report::default();
            (node.accepted, node.refuses, node.entitled) = (false, false, 0);
            node.offers.values_mut().for_each(|told| told.stands = false);
        });
        tracing::info!(node = hello.node, version = hello.version, generation = hello.generation, "a node connected");
        self.fleet.changed();
        Visit::new(Arc::clone(self), hello.node.clone(), labels, serial, farewell, asked)
    }

    /// Says goodbye to all nodes, and to those that come from now on: the process ends.
    pub(crate) fn end(&self) {
        self.ending.send_replace(true);
        for node in self.known().values() {
            if let Some(visitor) = &node.visitor {
                visitor.end.send_replace(Some(Farewell::Ending));
            }
        }
    }

    /// Tells when the process ends.
    pub(crate) fn ending(&self) -> watch::Receiver<bool> {
        self.ending.subscribe()
    }

    /// Sends a node away, forgets it, and refuses the certificates it has. `false`: no such node is known; one may have a certificate all
    /// the same, of before a database was lost or a backup put back, and that is refused as well.
    ///
    /// # Errors
    ///
    /// The database fails; the node is sent away all the same, and may come back after a restart.
    pub async fn revoke(&self, node: &str, now: Timestamp) -> Result<bool, StoreError> {
        let at_ms = u64::try_from(now.as_millisecond()).unwrap_or_default();
        self.revoked().insert(node.to_owned(), at_ms);
        let forgotten = self.known().remove(node);
        let was_known = forgotten.is_some();
        if let Some(visitor) = forgotten.and_then(|node| node.visitor) {
            visitor.end.send_replace(Some(Farewell::Dismissed("the node was revoked".to_owned())));
        }
        self.fleet.changed();
        self.changes.send_modify(|count| *count += 1);
        if let Some(store) = &self.store {
            let node = node.to_owned();
            // what could not be written down before is still kept there
            return Ok(store.write(move |db| store::nodes::revoke(db, &node, at_ms)).await? || was_known);
        }
        Ok(was_known)
    }

    /// A node was given a certificate, and with it the authorities there are.
    pub(crate) fn certified(&self, node: &str, authority: String, ends: Timestamp) {
        let authorities = *self.authorities.borrow();
        self.change(node, |node| node.certificate = Some(Certificate { authority, authorities, ends }));
    }

    /// The authorities have changed: nodes are to renew their certificates. With `again`, their streams end, so that they come by
    /// certificates that count.
    pub(crate) fn renew(&self, again: bool) {
        self.authorities.send_modify(|count| *count += 1);
        for node in self.known().values().filter(|_| again) {
            if let Some(visitor) = &node.visitor {
                visitor.end.send_replace(Some(Farewell::Again("authorities were withdrawn")));
            }
        }
    }

    /// Changes whenever the authorities do.
    pub(crate) fn authorities(&self) -> watch::Receiver<u64> {
        self.authorities.subscribe()
    }

    /// All nodes by name, with the authority of their certificate, and whether they are connected.
    pub(crate) fn certificates(&self) -> Vec<(String, Option<String>, bool)> {
        let of = |(name, node): (&String, &Node)| {
            let authority = node.certificate.as_ref().map(|certificate| certificate.authority.clone());
            (name.clone(), authority, node.visitor.is_some())
        };
        self.known().iter().map(of).collect()
    }

    /// Whether the certificates of a node that were made at this time are refused.
    pub(crate) fn is_revoked(&self, node: &str, made_ms: u64) -> bool {
        self.revoked().get(node).is_some_and(|until| made_ms <= *until)
    }

    /// Notes the labels that a join token gave a node.
    pub(crate) fn grant(&self, node: &str, labels: Labels) {
        self.change(node, |node| node.kept.granted = labels);
    }

    /// The labels that a join token gave a node.
    pub(crate) fn granted(&self, node: &str) -> Labels {
        self.known().get(node).map(|node| node.kept.granted.clone()).unwrap_or_default()
    }

    /// Writes whom a node refused to the audit log, unless that is in it; tells up to which number it is.
    async fn remember(&self, node: &str, denials: v1::Denials) -> Result<u64, StoreError> {
        let last = (denials.first + denials.denials.len() as u64).saturating_sub(1);
        // a node in this process has its own log, and nobody else to tell
        let Some(store) = self.store.clone() else { return Ok(last) };
        let node = node.to_owned();
        let now = Timestamp::now();
        store.write(move |db| denials::remember(db, now, &node, denials)).await?;
        Ok(last)
    }

    /// Changes a node, which is made if it is not known, and tells those who watch.
    fn change<T>(&self, name: &str, change: impl FnOnce(&mut Node) -> T) -> T {
        let result = {
            let mut known = self.known();
            let node = known.entry(name.to_owned()).or_default();
            node.kept.seen_ms = now_ms();
            node.is_new = true;
            let took_clients = node.takes_clients(self.fleet.since());
            let result = change(node);
            // the others share with it, or do not any more
            if node.takes_clients(self.fleet.since()) != took_clients {
                self.fleet.changed();
            }
            result
        };
        self.changes.send_modify(|count| *count += 1);
        self.unwritten.notify_one();
        result
    }

    /// Writes what changed, many nodes at a time.
    async fn write(self: Arc<Self>) {
        let Some(store) = self.store.clone() else { return };
        loop {
            self.unwritten.notified().await;
            let changed: Vec<(String, Kept)> = self
                .known()
                .iter_mut()
                .filter_map(|(name, node)| std::mem::take(&mut node.is_new).then(|| (name.clone(), node.kept.clone())))
                .collect();
            let names: Vec<String> = changed.iter().map(|(name, _)| name.clone()).collect();
            let written = store.write(move |transaction| {
                changed.iter().try_for_each(|(name, kept)| store::nodes::keep(transaction, name, kept))
            });
            if let Err(error) = written.await {
                // what is running goes on; what is in the way, the store has said
                if error.obstacle().is_none() {
                    tracing::error!(%error, "what nodes run cannot be recorded; it is as soon as it can be");
                }
                for name in names {
                    self.known().entry(name).and_modify(|node| node.is_new = true);
                }
                tokio::time::sleep(AGAIN).await;
                Obstacle::over(&mut store.obstacle()).await;
                self.unwritten.notify_one();
            }
        }
    }

    fn revoked(&self) -> MutexGuard<'_, BTreeMap<String, u64>> {
        self.revoked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<String, Node>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn now_ms() -> u64 {
    u64::try_from(Timestamp::now().as_millisecond()).unwrap_or_default()
}
