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

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::language::{Variables, load};
    use crate::store::Folder;

    #[test]
    fn a_new_snapshot_is_due_when_keys_change_and_a_broken_file_leaves_the_last_one() {
        let folder = tempfile::tempdir().unwrap();
        let keys = Keys::new(Folder::new(folder.path()));
        let text = "features: {authentication: true}\n".to_owned();
        let (config, _) = load("mcp.yaml", text, &Variables::of([])).unwrap();
        let mut publisher = Publisher::new(config, Node::default(), keys.clone());
        let clients = |publisher: &mut Publisher| {
            let published = publisher.publish().ok()?;
            let clients = published.snapshot.access.unwrap_or_default().clients;
            Some((published.snapshot.revision, clients.len()))
        };
        assert_eq!(clients(&mut publisher), Some((1, 0)));
        assert!(!publisher.is_stale());
        keys.create("alice", Timestamp::UNIX_EPOCH).unwrap();
        assert!(publisher.is_stale());
        assert_eq!(clients(&mut publisher), Some((2, 1)));
        std::fs::write(folder.path().join("clients.json"), "broken").unwrap();
        assert!(publisher.is_stale());
        assert_eq!(clients(&mut publisher), None);
        assert!(!publisher.is_stale(), "not again and again");
        std::fs::remove_file(folder.path().join("clients.json")).unwrap();
        assert_eq!(clients(&mut publisher), Some((3, 0)));
    }
}
