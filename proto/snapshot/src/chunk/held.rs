//! What a node holds: a manifest with its chunks, and the snapshot that was parsed from them. The next one takes over from it
//! what did not change.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use sluice_contract::v1;

use super::{Chunks, Name};
use crate::model::{Server, Snapshot};
use crate::parse::{self, Given};
use crate::{Fault, feature};

/// A manifest, and its chunks. They hold credentials: there is no `Debug`.
#[derive(Clone, Default, PartialEq)]
pub struct Held {
    /// What the snapshot is made of.
    pub manifest: v1::Manifest,
    /// All it names.
    pub chunks: Chunks,
}

/// A snapshot, and what it was parsed from.
#[derive(Clone)]
pub struct Parsed {
    held: Arc<Held>,
    snapshot: Arc<Snapshot>,
}

impl Parsed {
    /// Parses what is held. A server whose chunk is the same `before` is taken over as it is: nothing but the chunk decides what comes of
    /// it. So `before` saves work, and never makes a difference.
    ///
    /// # Errors
    ///
    /// Every fault found: those of the chunks, or, where all of them can be read, those of [`crate::parse`].
    pub fn of(held: &Arc<Held>, before: Option<&Self>) -> Result<Self, Vec<Fault>> {
        let (base, servers) = read(held, before)?;
        let snapshot = parse::with_servers(&base, &servers)?;
        Ok(Self { held: Arc::clone(held), snapshot: Arc::new(snapshot) })
    }

    /// What it was parsed from.
    #[must_use]
    pub fn held(&self) -> &Arc<Held> {
        &self.held
    }

    /// The snapshot.
    #[must_use]
    pub fn snapshot(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }

    /// Its servers, by what stands for them in a manifest.
    fn servers(&self) -> HashMap<&[u8], Taken<'_>> {
        let Held { manifest, chunks } = &*self.held;
        let each = manifest.servers.iter().zip(&self.snapshot.servers);
        let taken = each.filter_map(|(name, server)| {
            let bytes = chunks.get(&Name::from_wire(name)?)?;
            Some((&**name, Taken { bytes, server }))
        });
        taken.collect()
    }
}

/// A server that was parsed, and the bytes it came of.
struct Taken<'a> {
    bytes: &'a Bytes,
    server: &'a Arc<Server>,
}

impl Taken<'_> {
    /// Whether these bytes are its own. The name alone does not say so: one that was a secret's is no digest. What stayed is still in
    /// the same place, and not looked at.
    fn is_of(&self, bytes: &Bytes) -> bool {
        std::ptr::eq(&**self.bytes, &**bytes) || self.bytes == bytes
    }
}

/// Makes a snapshot whole: all but its servers, and those.
pub(super) fn read<'a>(held: &Held, before: Option<&'a Parsed>) -> Result<(v1::Snapshot, Vec<Given<'a>>), Vec<Fault>> {
    let Held { manifest, chunks } = held;
    let known = before.map(Parsed::servers).unwrap_or_default();
    let mut faults: Vec<Fault> = feature::unknown(&manifest.features).collect();
    let base =
        message::<v1::Snapshot>(&manifest.base, chunks).map_err(|reason| faults.push(fault(String::new(), reason)));
    let mut servers = Vec::with_capacity(manifest.servers.len());
    for (index, name) in manifest.servers.iter().enumerate() {
        let taken = known.get(&**name).filter(|known| bytes(name, chunks).is_ok_and(|bytes| known.is_of(bytes)));
        let server = match taken {
            Some(known) => Ok(Given::Parsed(known.server)),
            None => message(name, chunks).map(|server| Given::Read(Box::new(server))),
        };
        match server {
            Ok(server) => servers.push(server),
            Err(reason) => faults.push(fault(format!("servers[{index}]"), reason)),
        }
    }
    let mut secrets = Vec::with_capacity(manifest.secrets.len());
    for (index, v1::SecretVersion { name, version, chunk }) in manifest.secrets.iter().cloned().enumerate() {
        match bytes(&chunk, chunks) {
            Ok(value) => secrets.push(v1::Secret { name, version, chunk, value: value.to_vec() }),
            Err(_) => {
                faults.push(fault(format!("secrets[{index}]"), &format!("the value of secret `{name}` is missing")));
            }
        }
    }
    match base {
        Ok(base) if faults.is_empty() => Ok((v1::Snapshot { revision: manifest.revision, secrets, ..base }, servers)),
        _ => Err(faults),
    }
}

fn fault(path: String, reason: &str) -> Fault {
    Fault { path, reason: reason.to_owned() }
}

/// The chunk of a name as it stands in a message.
fn bytes<'a>(name: &[u8], chunks: &'a Chunks) -> Result<&'a Bytes, &'static str> {
    let name = Name::from_wire(name).ok_or("its chunk has no name of 32 bytes")?;
    chunks.get(&name).ok_or("its chunk is missing")
}

/// Reads a chunk as a message. A field that this version does not know is lost in decoding, so that encoding makes other
/// bytes: such a chunk is refused, because what is not understood may be what a person forbade.
fn message<M: Message + Default>(name: &[u8], chunks: &Chunks) -> Result<M, &'static str> {
    let bytes = bytes(name, chunks)?;
    let message = M::decode(bytes.clone()).map_err(|_| "its chunk is no message of this kind")?;
    if message.encode_to_vec() != *bytes {
        return Err("it says something that this version does not know; the node has to be upgraded first");
    }
    Ok(message)
}

#[cfg(test)]
mod tests;
