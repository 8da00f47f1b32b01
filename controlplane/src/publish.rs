//! From what is desired to what each node runs.
//!
//! A source says what is [`Desired`]: the file of `sluice run`, or the store of a fleet. The [`Publisher`] is a reconciler: for
//! each connected node, a *lane* compares what the node was sent with what is desired now, and sends what differs. Revisions
//! that come while a node judges another are not queued: the newest is sent next, the others are skipped.

mod changes;
mod desired;
mod edition;
mod lane;
mod nodes;
pub(crate) mod wire;

use std::sync::Arc;

use tokio::sync::watch;

pub use changes::Changes;
pub use desired::Desired;
use edition::Editions;
pub use edition::Labels;
pub(crate) use lane::{Lane, QUEUE};
#[cfg(test)]
pub(crate) use nodes::Visit;
pub use nodes::{Catalogue, Nodes, OfferKind, Rejected};
pub(crate) use nodes::{Heard, Kept};

/// Brings nodes to what is desired.
pub struct Publisher {
    desired: watch::Receiver<Arc<Desired>>,
    editions: Editions,
    nodes: Arc<Nodes>,
}

impl Publisher {
    /// A publisher of what `desired` says, to nodes that are known in `nodes`.
    #[must_use]
    pub fn new(desired: watch::Receiver<Arc<Desired>>, nodes: Arc<Nodes>) -> Arc<Self> {
        Arc::new(Self { desired, editions: Editions::default(), nodes })
    }

    /// The nodes it publishes to.
    #[must_use]
    pub fn nodes(&self) -> &Arc<Nodes> {
        &self.nodes
    }

    /// The revision nodes are brought to.
    #[must_use]
    pub fn head(&self) -> u64 {
        self.desired.borrow().revision
    }

    /// Tells of every head.
    pub(crate) fn heads(&self) -> watch::Receiver<Arc<Desired>> {
        self.desired.clone()
    }
}
