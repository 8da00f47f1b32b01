//! The ledger: the last configuration a node ran, on its disk, so that it starts without a control plane.
//!
//! It holds credentials, so it is sealed with a key of the node's own, and bound to the node's name: copied to another node
//! it opens nothing. A file that cannot be opened is set aside for whoever wants to know why, and the node goes on without.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use bytes::{Buf as _, Bytes};
use prost::Message as _;
use sluice_contract::v1;
use sluice_snapshot::chunk::{Chunks, Name};

use crate::seal::{self, KeyFile, Keys};

/// What every ledger begins with; the number is that of the format.
const HEADER: &[u8] = b"sluice ledger 1\n";
/// Bytes of the nonce that follows. Random: a node writes a ledger a few times a day, far from where two would meet.
const NONCE: usize = 12;

/// Where a node keeps what it runs.
pub(crate) struct Ledger {
    path: PathBuf,
    file: KeyFile,
    /// The newest first: it seals, and all open.
    keys: ArcSwap<Vec<LessSafeKey>>,
    node: String,
    /// The newest generation that was written. Held while writing: one that waits for the disk is never written over a later one.
    newest: Mutex<u64>,
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
    pub(crate) fn new(state_dir: &Path, node: &str) -> Self {
        let (file, keys) = KeyFile::open(&state_dir.join("ledger.key"));
        let (path, node) = (state_dir.join("ledger"), node.to_owned());
        Self { path, file, keys: ArcSwap::from_pointee(ready(&keys)), node, newest: Mutex::default() }
    }

    /// The keys, if they have changed.
    pub(crate) fn new_keys(&self) -> Option<Keys> {
        self.file.look()
    }

    /// Goes by other keys, and seals what was written with the newest of them, so that the others can go. Waits for the disk.
    pub(crate) fn exchange(&self, keys: &Keys) {
        let before = self.keys.swap(Arc::new(ready(keys)));
        let _writing = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        let resealed = match fs::read(&self.path) {
            Ok(sealed) => self.plain(&sealed).or_else(|_| self.plain_by(&before, &sealed)).map_err(io::Error::other),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(error) => Err(error),
        };
        match resealed.and_then(|content| self.replace(content)) {
            Ok(()) => tracing::info!(path = %self.path.display(), "the ledger is sealed with the newest key"),
            Err(error) => {
                tracing::error!(path = %self.path.display(), %error, "the ledger could not be sealed with the newest key")
            }
        }
    }

    /// What was written last, or `None`. A file that is no ledger of this node's is set aside.
    pub(crate) fn read(&self) -> Option<(v1::Manifest, Chunks)> {
        let sealed = match fs::read(&self.path) {
            Ok(sealed) => sealed,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::error!(path = %self.path.display(), %error, "the ledger cannot be read");
                return None;
            }
        };
        match self.open(&sealed) {
            Ok(content) => Some(content),
            Err(reason) => {
                let aside = self.path.with_extension("broken");
                let moved = fs::rename(&self.path, &aside).is_ok();
                tracing::error!(path = %self.path.display(), %reason, set_aside = moved, "the ledger is not used");
                None
            }
        }
    }

    /// Replaces what was written, unless that is newer: whoever reads it sees the old content or the new one, also after a crash.
    pub(crate) fn write(&self, manifest: &v1::Manifest, chunks: &Chunks) -> io::Result<()> {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        if manifest.generation < *newest {
            return Ok(());
        }
        let mut content = manifest.encode_length_delimited_to_vec();
        for (name, bytes) in chunks {
            let part = v1::Part { chunk: name.to_wire(), bytes: bytes.clone(), last: true };
            part.encode_length_delimited(&mut content).map_err(io::Error::other)?;
        }
        self.replace(content)?;
        *newest = manifest.generation;
        Ok(())
    }

    /// Seals content and puts it in the place of what was written. To be called by who holds the lock.
    fn replace(&self, mut content: Vec<u8>) -> io::Result<()> {
        let nonce = seal::random::<NONCE>();
        let keys = self.keys.load();
        let newest = keys.first().ok_or_else(|| io::Error::other("there is no key"))?;
        newest
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), self.bound(), &mut content)
            .map_err(|_| io::Error::other("the ledger is too large to be sealed"))?;
        let fresh = self.path.with_extension("new");
        let folder = self.path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder)?;
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
        [HEADER, &nonce, &content].into_iter().try_for_each(|part| file.write_all(part))?;
        file.sync_all()?;
        fs::rename(&fresh, &self.path)?;
        File::open(folder)?.sync_all()
    }

    /// What is under the seal.
    fn plain(&self, sealed: &[u8]) -> Result<Vec<u8>, Broken> {
        self.plain_by(&self.keys.load(), sealed)
    }

    fn plain_by(&self, keys: &[LessSafeKey], sealed: &[u8]) -> Result<Vec<u8>, Broken> {
        let rest = sealed.strip_prefix(HEADER).ok_or(Broken::Format)?;
        let (nonce, content) = rest.split_first_chunk::<NONCE>().ok_or(Broken::Format)?;
        let open = |key: &LessSafeKey| {
            let mut content = content.to_vec();
            let nonce = Nonce::assume_unique_for_key(*nonce);
            let plain = key.open_in_place(nonce, self.bound(), &mut content).ok()?.len();
            content.truncate(plain);
            Some(content)
        };
        keys.iter().find_map(open).ok_or(Broken::Seal)
    }

    fn open(&self, sealed: &[u8]) -> Result<(v1::Manifest, Chunks), Broken> {
        let mut content = Bytes::from(self.plain(sealed)?);
        let manifest = v1::Manifest::decode_length_delimited(&mut content).map_err(|_| Broken::Content)?;
        let mut chunks = Chunks::new();
        while content.has_remaining() {
            let part = v1::Part::decode_length_delimited(&mut content).map_err(|_| Broken::Content)?;
            chunks.insert(Name::from_wire(&part.chunk).ok_or(Broken::Content)?, part.bytes);
        }
        Ok((manifest, chunks))
    }

    /// What the seal is bound to.
    fn bound(&self) -> Aad<Vec<u8>> {
        Aad::from([HEADER, self.node.as_bytes()].concat())
    }
}

/// The newest first.
fn ready(keys: &Keys) -> Vec<LessSafeKey> {
    let key = |secret: &[u8]| UnboundKey::new(&AES_256_GCM, secret).map(LessSafeKey::new);
    keys.newest_first().map(|one| key(&*one.secret).expect("the key has the length of AES-256")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("sluice-ledger-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        folder
    }

    fn content(generation: u64) -> (v1::Manifest, Chunks) {
        let bytes = Bytes::from_static(b"a t0ken");
        let name = Name::of(&bytes);
        (v1::Manifest { generation, base: name.to_wire(), ..Default::default() }, Chunks::from([(name, bytes)]))
    }

    #[test]
    fn what_was_written_is_read_by_the_same_node_and_by_no_other() {
        let folder = folder("same");
        let ledger = Ledger::new(&folder, "a");
        assert!(ledger.read().is_none());
        for generation in [3, 4] {
            let (manifest, chunks) = content(generation);
            ledger.write(&manifest, &chunks).unwrap();
            assert!(Ledger::new(&folder, "a").read() == Some((manifest, chunks)));
        }
        let (manifest, chunks) = content(3);
        ledger.write(&manifest, &chunks).unwrap();
        assert_eq!(ledger.read().unwrap().0.generation, 4, "a later one stays");
        let raw = fs::read(folder.join("ledger")).unwrap();
        assert!(!raw.windows(7).any(|bytes| bytes == b"a t0ken"), "sealed");
        assert!(Ledger::new(&folder, "b").read().is_none(), "of another node");
        assert!(folder.join("ledger.broken").exists() && !folder.join("ledger").exists());
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn whatever_is_broken_is_set_aside() {
        let folder = folder("broken");
        let ledger = Ledger::new(&folder, "a");
        let (manifest, chunks) = content(1);
        ledger.write(&manifest, &chunks).unwrap();
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
