//! From sources to snapshots: what a file says and which keys there are, compiled anew whenever one of them changed.

use sluice_contract::v1;

use crate::compile::{Node, compile};
use crate::language::{Config, Fault};
use crate::store::{Fingerprint, KeyError, Keys};

/// Makes the snapshots of one node.
pub struct Publisher {
    config: Config,
    node: Node,
    keys: Keys,
    revision: u64,
    seen: Fingerprint,
}

/// A snapshot to hand to the node.
pub struct Published {
    /// Proved by the node's own parser.
    pub snapshot: v1::Snapshot,
    /// What is odd about the configuration.
    pub warnings: Vec<Fault>,
}

/// Why there is no snapshot.
#[derive(Debug)]
pub enum PublishError {
    /// The configuration is wrong.
    Faults(Vec<Fault>),
    /// The keys cannot be read.
    Keys(KeyError),
}

impl Publisher {
    /// A publisher that has not published anything.
    #[must_use]
    pub fn new(config: Config, node: Node, keys: Keys) -> Self {
        let seen = keys.fingerprint();
        Self { config, node, keys, revision: 0, seen }
    }

    /// `true` when a source changed since the last snapshot.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.keys.fingerprint() != self.seen
    }

    /// The next snapshot. After an error nothing is tried again until a source changes.
    ///
    /// # Errors
    ///
    /// The configuration is wrong, or the keys cannot be read.
    pub fn publish(&mut self) -> Result<Published, PublishError> {
        // Before reading: a change in between is then seen as one more change.
        self.seen = self.keys.fingerprint();
        let keys = self.keys.list().map_err(PublishError::Keys)?;
        let compiled = compile(&self.config, &keys, &self.node, self.revision + 1).map_err(PublishError::Faults)?;
        self.revision += 1;
        Ok(Published { snapshot: compiled.snapshot, warnings: compiled.warnings })
    }
}
