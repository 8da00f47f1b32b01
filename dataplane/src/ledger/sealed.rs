//! A sealed file: whoever reads it sees what was there or what is written, also after a crash; nobody but this node reads it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use arc_swap::ArcSwap;
use aws_lc_rs::aead::{Aad, LessSafeKey, Nonce};

use super::Broken;
use crate::seal;

/// Bytes of the nonce after the header. Random: a node writes such files a few times a day, far from where two would meet.
const NONCE: usize = 12;

/// A file, and what its seal is bound to.
pub(super) struct SealedFile {
    pub path: PathBuf,
    /// What it begins with: what it is, and the number of its format.
    header: &'static [u8],
    node: String,
    /// The number of what was written last. Held while writing: what waits for the disk is never written over something later.
    newest: Mutex<u64>,
}

impl SealedFile {
    pub(super) fn new(path: PathBuf, header: &'static [u8], node: &str) -> Self {
        Self { path, header, node: node.to_owned(), newest: Mutex::default() }
    }

    /// What is there, as `open` understands it; `None`: nothing. What cannot be used is set aside, for whoever wants to know why.
    pub(super) fn read<T>(&self, keys: &[LessSafeKey], open: impl FnOnce(Vec<u8>) -> Result<T, Broken>) -> Option<T> {
        let path = self.path.display();
        let sealed = match fs::read(&self.path) {
            Ok(sealed) => sealed,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::error!(%path, %error, "the ledger cannot be read");
                return None;
            }
        };
        match self.plain(keys, &sealed).and_then(open) {
            Ok(content) => Some(content),
            Err(reason) => {
                let moved = fs::rename(&self.path, self.path.with_extension("broken")).is_ok();
                tracing::error!(%path, %reason, set_aside = moved, "the ledger is not used");
                None
            }
        }
    }

    /// Seals content with the first key and puts it in the place of what was written, unless that has a higher number.
    pub(super) fn keep(&self, keys: &ArcSwap<Vec<LessSafeKey>>, number: u64, content: Vec<u8>) -> io::Result<()> {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        if number < *newest {
            return Ok(());
        }
        // not before it is our turn: they may have been exchanged since
        self.replace(&keys.load(), content)?;
        *newest = number;
        Ok(())
    }

    /// One at a time.
    fn replace(&self, keys: &[LessSafeKey], mut content: Vec<u8>) -> io::Result<()> {
        let nonce = seal::random::<NONCE>();
        let newest = keys.first().ok_or_else(|| io::Error::other("there is no key"))?;
        newest
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), self.bound(), &mut content)
            .map_err(|_| io::Error::other("it is too large to be sealed"))?;
        let fresh = self.path.with_extension("new");
        let folder = self.path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder)?;
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
        [self.header, &nonce, &content].into_iter().try_for_each(|part| file.write_all(part))?;
        file.sync_all()?;
        fs::rename(&fresh, &self.path)?;
        File::open(folder)?.sync_all()
    }

    /// Seals what was written with the first of `keys`; `before` opens it, if they do not. `false`: there is nothing.
    pub(super) fn reseal(&self, keys: &[LessSafeKey], before: &[LessSafeKey]) -> io::Result<bool> {
        let _writing = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        let sealed = match fs::read(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            read => read?,
        };
        let content = self.plain(keys, &sealed).or_else(|_| self.plain(before, &sealed)).map_err(io::Error::other)?;
        self.replace(keys, content).map(|()| true)
    }

    /// What is under the seal.
    fn plain(&self, keys: &[LessSafeKey], sealed: &[u8]) -> Result<Vec<u8>, Broken> {
        let rest = sealed.strip_prefix(self.header).ok_or(Broken::Format)?;
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

    /// What the seal is bound to.
    fn bound(&self) -> Aad<Vec<u8>> {
        Aad::from([self.header, self.node.as_bytes()].concat())
    }
}
