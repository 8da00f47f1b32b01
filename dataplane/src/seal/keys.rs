//! Keys in a file of the node's own, one a line: the last one seals, all of them open. So a key is exchanged while what it
//! sealed is in use: a new line, and later the old one goes. The file is looked at again and again.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::random;

/// Bytes of a key.
const KEY: usize = 32;
/// Keys of a file: what is brought back is tried with each of them.
const MOST: usize = 8;
/// The number of a key that was made here.
const FIRST: u8 = 1;

/// A key, and the number by which what it sealed names it.
pub(crate) struct Key {
    pub id: u8,
    pub secret: Zeroizing<[u8; KEY]>,
}

/// What is in a file: at least one key, the one that seals last.
pub(crate) struct Keys(Vec<Key>);

/// A file of keys.
pub(crate) struct KeyFile {
    path: PathBuf,
    /// As it was when it was last looked at.
    seen: Mutex<Option<(SystemTime, u64)>>,
}

/// Why a file is not used. Nothing of what is in it is told.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unusable {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("line {0} is not `NUMBER:KEY` with a number from 1 to 255 and 32 bytes in base64")]
    Line(usize),
    #[error("the number {0} is there twice")]
    Twice(u8),
    #[error("it has no key")]
    Empty,
    #[error("it has more than {MOST} keys")]
    Many,
}

impl Keys {
    /// One key.
    pub(crate) fn one(secret: [u8; KEY]) -> Self {
        Self(vec![Key { id: FIRST, secret: Zeroizing::new(secret) }])
    }

    /// Keys that somebody else keeps, the one that seals last; `None` where they are none that can be used.
    pub(crate) fn given(keys: impl IntoIterator<Item = (u8, [u8; KEY])>) -> Option<Self> {
        let key = |(id, secret)| Key { id, secret: Zeroizing::new(secret) };
        let keys: Vec<Key> = keys.into_iter().map(key).collect();
        (1..=MOST).contains(&keys.len()).then_some(Self(keys))
    }

    /// The one that seals first.
    pub(crate) fn newest_first(&self) -> impl Iterator<Item = &Key> {
        self.0.iter().rev()
    }

    /// Reads keys, one a line; a comma ends a line, too, for where a text has only one.
    pub(super) fn parse(text: &str) -> Result<Self, Unusable> {
        let mut keys: Vec<Key> = Vec::new();
        for (index, line) in text.split(['\n', ',']).enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let key = key(line).ok_or(Unusable::Line(index + 1))?;
            if keys.iter().any(|other| other.id == key.id) {
                return Err(Unusable::Twice(key.id));
            }
            keys.push(key);
        }
        match keys.len() {
            0 => Err(Unusable::Empty),
            1..=MOST => Ok(Self(keys)),
            _ => Err(Unusable::Many),
        }
    }
}

fn key(line: &str) -> Option<Key> {
    let (id, secret) = line.split_once(':')?;
    let id = id.trim().parse().ok().filter(|id| *id > 0)?;
    let secret = Zeroizing::new(STANDARD.decode(secret.trim()).ok()?);
    Some(Key { id, secret: Zeroizing::new(<[u8; KEY]>::try_from(secret.as_slice()).ok()?) })
}

impl KeyFile {
    /// Reads a file; where there is none, one is made with a random key (mode 0600), so that what it seals stays good over a restart.
    pub(crate) fn open(path: &Path) -> (Self, Keys) {
        let (file, keys) = Self::found(path);
        let keys = keys.unwrap_or_else(|error| {
            tracing::error!(path = %path.display(), %error, "a key cannot be read or kept; what it seals ends with this process");
            Keys::one(random())
        });
        (file, keys)
    }

    /// The same of a file whose keys must not be taken for others: what they sealed is still wanted.
    ///
    /// # Errors
    /// The file is there, and not what it should be. One that cannot be made is no error: nothing was sealed by it.
    pub(crate) fn needed(path: &Path) -> Result<(Self, Keys), String> {
        match Self::found(path) {
            (file, Ok(keys)) => Ok((file, keys)),
            (_, Err(error)) if path.exists() => Err(format!("{}: {error}", path.display())),
            _ => Ok(Self::open(path)),
        }
    }

    fn found(path: &Path) -> (Self, Result<Keys, Unusable>) {
        let file = Self { path: path.to_owned(), seen: Mutex::new(state(path)) };
        let keys = file.read().or_else(|error| match error {
            Unusable::Io(error) if error.kind() == io::ErrorKind::NotFound => file.make(random()),
            error => Err(error),
        });
        (file, keys)
    }

    /// Reads a file that must be there.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub(super) fn given(path: &Path) -> Result<(Self, Keys), String> {
        let file = Self { path: path.to_owned(), seen: Mutex::new(state(path)) };
        let keys = file.read().map_err(|error| format!("{}: {error}", path.display()))?;
        Ok((file, keys))
    }

    /// The keys, if the file has changed since it was last looked at, and can be used.
    pub(crate) fn look(&self) -> Option<Keys> {
        let state = state(&self.path);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if std::mem::replace(&mut *seen, state) == state {
            return None;
        }
        let path = self.path.display();
        match self.read() {
            Ok(keys) => {
                tracing::info!(%path, keys = keys.0.len(), sealing = keys.0.last().map(|key| key.id), "keys read again");
                Some(keys)
            }
            Err(error) => {
                tracing::warn!(%path, %error, "changed keys are not usable; those of before stay");
                None
            }
        }
    }

    fn read(&self) -> Result<Keys, Unusable> {
        let bytes = Zeroizing::new(fs::read(&self.path)?);
        if let Ok(secret) = <[u8; KEY]>::try_from(bytes.as_slice()) {
            // as versions before this one kept theirs; written anew, it can be added to
            return self.make(secret);
        }
        let text = std::str::from_utf8(&bytes).map_err(|_| Unusable::Line(1))?;
        Keys::parse(text)
    }

    /// Writes a file of one key: whoever reads it sees what was there or this, also after a crash.
    fn make(&self, secret: [u8; KEY]) -> Result<Keys, Unusable> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder)?;
        let fresh = self.path.with_extension("key.new");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
        let line = Zeroizing::new(format!("{FIRST}:{}\n", STANDARD.encode(secret)));
        file.write_all(line.as_bytes())?;
        file.sync_all()?;
        fs::rename(&fresh, &self.path)?;
        File::open(folder)?.sync_all()?;
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = state(&self.path);
        Ok(Keys::one(secret))
    }
}

/// Changes whenever the file does.
fn state(path: &Path) -> Option<(SystemTime, u64)> {
    let meta = fs::metadata(path).ok()?;
    Some((meta.modified().ok()?, meta.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(keys: &Keys) -> Vec<u8> {
        keys.newest_first().map(|key| key.id).collect()
    }

    #[test]
    fn the_last_line_seals_and_what_is_no_key_is_told_by_its_line() {
        let (a, b) = (STANDARD.encode([1; KEY]), STANDARD.encode([2; KEY]));
        let keys = Keys::parse(&format!("# ours\n1:{a}\n\n 7 : {b} \n")).unwrap();
        assert_eq!(ids(&keys), [7, 1]);
        for (bad, said) in [
            (String::new(), "no key"),
            (format!("1:{a}\n1:{b}\n"), "the number 1"),
            (format!("1:{a}\n0:{b}\n"), "line 2"),
            (format!("256:{a}\n"), "line 1"),
            ("1:c2hvcnQ=\n".to_owned(), "line 1"),
            ((1..10).map(|id| format!("{id}:{a}\n")).collect(), "more than"),
        ] {
            let Err(error) = Keys::parse(&bad) else { panic!("{bad} is accepted") };
            assert!(error.to_string().contains(said) && !error.to_string().contains(&a), "{error}");
        }
    }

    #[test]
    fn a_file_is_made_once_read_again_when_it_changes_and_only_when_it_is_good() {
        let folder = std::env::temp_dir().join(format!("sluice-keys-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        let path = folder.join("a.key");
        let (file, made) = KeyFile::open(&path);
        let (_, again) = KeyFile::open(&path);
        let secret = |keys: &Keys| keys.newest_first().next().map(|key| key.secret.clone());
        assert!(secret(&made) == secret(&again) && file.look().is_none());
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, format!("{text}2:{}\n", STANDARD.encode([2; KEY]))).unwrap();
        assert_eq!(file.look().map(|keys| ids(&keys)), Some(vec![2, 1]));
        fs::write(&path, "nonsense").unwrap();
        assert!(file.look().is_none() && file.look().is_none());
        // as versions before this one kept theirs
        fs::write(&path, [7; KEY]).unwrap();
        let (_, old) = KeyFile::open(&path);
        assert_eq!(secret(&old).as_deref(), Some(&[7; KEY]));
        assert!(fs::read_to_string(&path).unwrap().starts_with("1:"));
        fs::remove_dir_all(&folder).unwrap();
    }
}
