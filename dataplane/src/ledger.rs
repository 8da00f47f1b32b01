//! The ledger: the last configuration a node ran, on its disk, so that it starts without a control plane; beside it, what it
//! knows of its fleet, and who may come in.
//!
//! It holds credentials, so it is sealed with a key of the node's own, and bound to the node's name: copied to another node
//! it opens nothing. A file that cannot be opened is set aside for whoever wants to know why, and the node goes on without.

mod sealed;

use std::io;
use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use aws_lc_rs::aead::{AES_256_GCM, LessSafeKey, UnboundKey};
use bytes::{Buf as _, Bytes};
use prost::Message as _;
use sluice_contract::v1;
use sluice_snapshot::chunk::{Chunks, Held, Name};

use crate::seal::{KeyFile, Keys};
use sealed::SealedFile;

/// The file in the state folder.
pub(crate) const LEDGER: &str = "ledger";

/// What every ledger begins with; the number is that of the format.
const HEADER: &[u8] = b"sluice ledger 1\n";
/// The same of what is kept of the fleet.
const FLEET_HEADER: &[u8] = b"sluice fleet 1\n";
/// The same of who may come in.
const ENTITLED_HEADER: &[u8] = b"sluice entitled 1\n";

/// Where a node keeps what it runs.
pub(crate) struct Ledger {
    file: SealedFile,
    fleet: SealedFile,
    entitled: SealedFile,
    key_file: KeyFile,
    /// The newest first: it seals, and all open.
    keys: ArcSwap<Vec<LessSafeKey>>,
}

/// Why a ledger is not read.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("it was not written by this version")]
    Format,
    #[error("it was not sealed by this node, or it is damaged")]
    Seal,
    #[error("what it holds cannot be read")]
    Content,
}

impl Ledger {
    /// The ledger in a state folder, and what seals it; the key is made where there is none.
    ///
    /// # Errors
    /// There is a key file, and its keys cannot be read: with others, a good ledger would be taken for somebody else's.
    pub(crate) fn new(state_dir: &Path, node: &str) -> Result<Self, String> {
        let (key_file, keys) = KeyFile::needed(&state_dir.join("ledger.key"))?;
        let file = SealedFile::new(state_dir.join(LEDGER), HEADER, node);
        let fleet = SealedFile::new(state_dir.join("fleet"), FLEET_HEADER, node);
        let entitled = SealedFile::new(state_dir.join("entitled"), ENTITLED_HEADER, node);
        Ok(Self { file, fleet, entitled, key_file, keys: ArcSwap::from_pointee(ready(&keys)) })
    }

    /// The keys, if they have changed.
    pub(crate) fn new_keys(&self) -> Option<Keys> {
        self.key_file.look()
    }

    /// Goes by other keys, and seals what was written with the newest of them, so that the others can go. Waits for the disk.
    pub(crate) fn exchange(&self, keys: &Keys) {
        let before = self.keys.swap(Arc::new(ready(keys)));
        for file in [&self.file, &self.fleet, &self.entitled] {
            let path = file.path.display();
            match file.reseal(&self.keys.load(), &before) {
                Ok(true) => tracing::info!(%path, "the ledger is sealed with the newest key"),
                Ok(false) => {}
                Err(error) => tracing::error!(%path, %error, "the ledger could not be sealed with the newest key"),
            }
        }
    }

    /// What was written last, or `None`. A file that is no ledger of this node's is set aside.
    pub(crate) fn read(&self) -> Option<Held> {
        self.file.read(&self.keys.load(), open)
    }

    /// Replaces what was written, unless that is newer: whoever reads it sees the old content or the new one, also after a crash.
    pub(crate) fn write(&self, Held { manifest, chunks }: &Held) -> io::Result<()> {
        let mut content = manifest.encode_length_delimited_to_vec();
        for (name, bytes) in chunks {
            let part = v1::Part { chunk: name.to_wire(), bytes: bytes.clone(), last: true };
            part.encode_length_delimited(&mut content).map_err(io::Error::other)?;
        }
        self.file.keep(&self.keys, manifest.generation, content)
    }

    /// What was last known of the fleet, or `None`.
    pub(crate) fn fleet(&self) -> Option<v1::Fleet> {
        self.fleet.read(&self.keys.load(), |content| v1::Fleet::decode(&*content).map_err(|_| Broken::Content))
    }

    /// Keeps what was told of the fleet, unless something later is kept; `number` counts what is told. Waits for the disk.
    pub(crate) fn keep_fleet(&self, fleet: &v1::Fleet, number: u64) -> io::Result<()> {
        self.fleet.keep(&self.keys, number, fleet.encode_to_vec())
    }

    /// Who may come in as far as was last told, or `None`.
    pub(crate) fn entitled(&self) -> Option<v1::Entitled> {
        self.entitled.read(&self.keys.load(), |content| v1::Entitled::decode(&*content).map_err(|_| Broken::Content))
    }

    /// Keeps who may come in, as [`keep_fleet`](Self::keep_fleet) does.
    pub(crate) fn keep_entitled(&self, entitled: &v1::Entitled, number: u64) -> io::Result<()> {
        self.entitled.keep(&self.keys, number, entitled.encode_to_vec())
    }
}

fn open(content: Vec<u8>) -> Result<Held, Broken> {
    let mut content = Bytes::from(content);
    let manifest = v1::Manifest::decode_length_delimited(&mut content).map_err(|_| Broken::Content)?;
    let mut chunks = Chunks::new();
    while content.has_remaining() {
        let part = v1::Part::decode_length_delimited(&mut content).map_err(|_| Broken::Content)?;
        chunks.insert(Name::from_wire(&part.chunk).ok_or(Broken::Content)?, part.bytes);
    }
    Ok(Held { manifest, chunks })
}

/// The newest first.
fn ready(keys: &Keys) -> Vec<LessSafeKey> {
    let key = |secret: &[u8]| UnboundKey::new(&AES_256_GCM, secret).map(LessSafeKey::new);
    keys.newest_first().map(|one| key(&*one.secret).expect("the key has the length of AES-256")).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("sluice-ledger-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        folder
    }

    fn content(generation: u64) -> Held {
        let bytes = Bytes::from_static(b"a t0ken");
        let name = Name::of(&bytes);
        let manifest = v1::Manifest { generation, base: name.to_wire(), ..Default::default() };
        Held { manifest, chunks: Chunks::from([(name, bytes)]) }
    }

    #[test]
    fn what_was_written_is_read_by_the_same_node_and_by_no_other() {
        let folder = folder("same");
        let ledger = Ledger::new(&folder, "a").unwrap();
        assert!(ledger.read().is_none());
        for generation in [3, 4] {
            let held = content(generation);
            ledger.write(&held).unwrap();
            assert!(Ledger::new(&folder, "a").unwrap().read() == Some(held));
        }
        ledger.write(&content(3)).unwrap();
        assert_eq!(ledger.read().unwrap().manifest.generation, 4, "a later one stays");
        let raw = fs::read(folder.join("ledger")).unwrap();
        assert!(!raw.windows(7).any(|bytes| bytes == b"a t0ken"), "sealed");
        assert!(Ledger::new(&folder, "b").unwrap().read().is_none(), "of another node");
        assert!(folder.join("ledger.broken").exists() && !folder.join("ledger").exists());
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn whatever_is_broken_is_set_aside() {
        let folder = folder("broken");
        let ledger = Ledger::new(&folder, "a").unwrap();
        ledger.write(&content(1)).unwrap();
        let good = fs::read(folder.join("ledger")).unwrap();
        let mut flipped = good.clone();
        *flipped.last_mut().unwrap() ^= 1;
        let newer = [b"sluice ledger 2\n", &good[HEADER.len()..]].concat();
        for bad in [&flipped[..], &newer, &good[..good.len() / 2], &good[..20], b"", b"nonsense"] {
            fs::write(folder.join("ledger"), bad).unwrap();
            assert!(ledger.read().is_none());
            assert_eq!(fs::read(folder.join("ledger.broken")).unwrap(), bad);
        }
        fs::remove_dir_all(&folder).unwrap();
    }
}
