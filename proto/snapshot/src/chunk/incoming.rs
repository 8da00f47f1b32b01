//! A manifest on its way into a node: which chunks are missing, and the pieces of them that have come.

use std::collections::HashSet;

use bytes::{Bytes, BytesMut};
use sluice_contract::v1;

use super::{Chunks, Held, Name, PART_BYTES, names};
use crate::Fault;

/// Bytes of all chunks of a manifest: 10,000 servers with curated tools take 20 MB; an endless stream of parts does not fit.
const MANIFEST_BYTES: usize = 256 << 20;

/// A manifest whose chunks are being gathered.
pub struct Incoming {
    manifest: v1::Manifest,
    pub(super) missing: HashSet<Name>,
    /// Names that are no digest: what they stand for cannot be checked.
    secrets: HashSet<Name>,
    chunks: Chunks,
    open: Option<(Name, BytesMut)>,
    bytes: usize,
}

impl Incoming {
    /// A manifest has come; chunks it shares with what is held need not come again.
    #[must_use]
    pub fn new(manifest: v1::Manifest, held: &Chunks) -> Self {
        let (mut chunks, mut missing) = (Chunks::new(), HashSet::new());
        for name in names(&manifest) {
            match held.get(&name) {
                Some(bytes) => drop(chunks.insert(name, bytes.clone())),
                None => drop(missing.insert(name)),
            }
        }
        let secrets = manifest.secrets.iter().filter_map(|secret| Name::from_wire(&secret.chunk)).collect();
        let bytes = chunks.values().map(Bytes::len).sum();
        Self { manifest, missing, secrets, chunks, open: None, bytes }
    }

    /// The manifest.
    #[must_use]
    pub fn manifest(&self) -> &v1::Manifest {
        &self.manifest
    }

    /// Nothing is missing any more.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.missing.is_empty()
    }

    /// Takes a piece. Of a chunk that nobody asked for, it is left.
    ///
    /// # Errors
    ///
    /// The pieces do not make the chunk they say, or are too many. The stream they came on cannot be trusted further.
    pub fn take(&mut self, part: v1::Part) -> Result<(), Fault> {
        let fault = |reason: &str| Fault { path: String::new(), reason: reason.to_owned() };
        let name = Name::from_wire(&part.chunk).ok_or_else(|| fault("a part names no chunk"))?;
        if part.bytes.len() > PART_BYTES {
            return Err(fault("a part is larger than 1 MiB"));
        }
        let (open, mut bytes) = self.open.take().unwrap_or_else(|| (name, BytesMut::new()));
        if open != name {
            return Err(fault("parts of two chunks are mixed"));
        }
        self.bytes += part.bytes.len();
        if self.bytes > MANIFEST_BYTES {
            return Err(fault("all chunks together are larger than 256 MiB"));
        }
        bytes.extend_from_slice(&part.bytes);
        if !part.last {
            self.open = Some((name, bytes));
            return Ok(());
        }
        if !self.secrets.contains(&name) && Name::of(&bytes) != name {
            return Err(fault("a chunk is not what its name says"));
        }
        if self.missing.remove(&name) {
            self.chunks.insert(name, bytes.freeze());
        }
        Ok(())
    }

    /// What is held from now on, if it is accepted.
    #[must_use]
    pub fn held(self) -> Held {
        Held { manifest: self.manifest, chunks: self.chunks }
    }
}
