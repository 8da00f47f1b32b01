//! Named secrets as they are handed to nodes: in the clear, and only in memory.

use std::collections::BTreeMap;

use sluice_snapshot::chunk;
use zeroize::Zeroizing;

/// Secrets by name, each in its newest version.
pub type Secrets = BTreeMap<String, SecretValue>;

/// A secret in one of its versions.
pub struct SecretValue {
    /// Rises with each value.
    pub version: u64,
    /// What its chunk is called: random, so that it tells nothing of the value.
    pub chunk: chunk::Name,
    /// The value, text; wiped from memory when it is dropped.
    pub value: Zeroizing<Vec<u8>>,
}
