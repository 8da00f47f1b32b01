//! A snapshot in pieces, as it crosses the wire (`sync.proto`): a manifest that names the whole, and chunks named by their
//! digest. A server that stays the same keeps its chunk, so a change costs what changed.
//!
//! [`cut`] makes them; [`Incoming`] gathers what a node lacks of them, and [`Parsed`] is what they are to it.

mod held;
mod incoming;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use prost::Message;
use sluice_contract::v1;

use crate::feature;
pub use held::{Held, Parsed};
pub use incoming::Incoming;

/// Bytes of a piece of a chunk (`Part.bytes`): far below what a gRPC peer takes, so that reports and verdicts are not held up.
pub const PART_BYTES: usize = 1 << 20;

/// What a chunk is called: the SHA-256 of its bytes, or the random name of a secret's version.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name([u8; 32]);

impl Name {
    /// The name of a chunk with these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let digest = digest(&SHA256, bytes);
        Self(digest.as_ref().try_into().expect("SHA-256 has 32 bytes"))
    }

    /// A name as it stands in a message; `None` unless it has 32 bytes.
    #[must_use]
    pub fn from_wire(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// A name as people are shown it: 64 hexadecimal digits.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        if text.len() != 64 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        let byte = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).ok();
        Self::from_wire(&(0..64).step_by(2).map(byte).collect::<Option<Vec<_>>>()?)
    }

    /// As it stands in a message.
    #[must_use]
    pub fn to_wire(self) -> Vec<u8> {
        self.0.to_vec()
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Chunks by name. They hold credentials: there is no `Debug`.
pub type Chunks = HashMap<Name, Bytes>;

/// Cuts a snapshot: the manifest, without generation, and its chunks.
#[must_use]
pub fn cut(mut snapshot: v1::Snapshot) -> (v1::Manifest, Chunks) {
    let features = feature::needed(&snapshot).map(str::to_owned).collect();
    let revision = std::mem::take(&mut snapshot.revision);
    let servers = std::mem::take(&mut snapshot.servers);
    let secrets = std::mem::take(&mut snapshot.secrets);
    let mut chunks = Chunks::with_capacity(servers.len() + secrets.len() + 1);
    let mut keep = |bytes: Vec<u8>| {
        let name = Name::of(&bytes);
        chunks.insert(name, bytes.into());
        name.to_wire()
    };
    let mut manifest = v1::Manifest {
        generation: 0,
        revision,
        features,
        base: keep(snapshot.encode_to_vec()),
        servers: servers.iter().map(|server| keep(server.encode_to_vec())).collect(),
        secrets: Vec::with_capacity(secrets.len()),
    };
    for v1::Secret { name, version, chunk, value } in secrets {
        // what has no name of 32 bytes is refused where the snapshot is parsed, and missed where it is read
        chunks.extend(Name::from_wire(&chunk).map(|name| (name, value.into())));
        manifest.secrets.push(v1::SecretVersion { name, version, chunk });
    }
    (manifest, chunks)
}

/// The chunks a manifest is made of, secrets included; names that are none are left out.
pub fn names(manifest: &v1::Manifest) -> impl Iterator<Item = Name> {
    let secrets = manifest.secrets.iter().map(|secret| &secret.chunk);
    let names = std::iter::once(&manifest.base).chain(&manifest.servers).chain(secrets);
    names.filter_map(|name| Name::from_wire(name))
}
