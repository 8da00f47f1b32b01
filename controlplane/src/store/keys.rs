//! API keys: made here, shown once, kept as digests in `clients.json` of the state folder.

use std::io;
use std::os::unix::fs::MetadataExt;

use aws_lc_rs::rand;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Folder, digest};

/// The file of digests.
const FILE: &str = "clients.json";
/// The file of the key that is made when authentication is on and nobody has a key.
const FIRST_KEY_FILE: &str = "api-key";
/// The client that key belongs to.
const FIRST_CLIENT: &str = "default";
/// What every key begins with, so that people and scanners recognise one.
const PREFIX: &str = "sluice_";
/// Random bytes in a key.
const KEY_BYTES: usize = 32;
/// Longest name of a client.
const MAX_NAME: usize = 64;

/// A key as it is kept: it cannot be got back from its digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredKey {
    /// The client it belongs to.
    pub name: String,
    /// Its SHA-256 digest.
    pub sha256: [u8; 32],
    /// When it was made.
    pub created: Timestamp,
    /// From then on it is refused.
    pub expires: Option<Timestamp>,
}

/// A key just made. This is the only time it can be seen.
pub struct NewKey {
    /// The key itself.
    pub key: String,
}

/// What keeps a key from being made, listed or revoked.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The name is not usable.
    #[error("`{0}` is no name for a client: use 1 to 64 letters, digits and `.-_@`")]
    Name(String),
    /// The client has a key.
    #[error("client `{0}` has a key already; revoke it first, or choose another name")]
    Taken(String),
    /// There is no such client.
    #[error("no client is called `{0}`; `sluice token list` shows those there are")]
    Unknown(String),
    /// A file is not what was written to it.
    #[error("{file} is not readable as a list of clients: {reason}")]
    Broken {
        /// Which file.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The state folder failed.
    #[error("state folder {folder}: {source}")]
    Io {
        /// Which folder.
        folder: String,
        /// What the system says.
        source: io::Error,
    },
    /// The system has no random numbers.
    #[error("the system gives no random numbers")]
    NoRandomness,
}

/// Changes whenever the keys may have changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint(Option<(i64, i64, u64, u64)>);

/// The keys of a state folder.
#[derive(Debug, Clone)]
pub struct Keys {
    folder: Folder,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    clients: Vec<Record>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    name: String,
    sha256: String,
    created: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires: Option<String>,
}

impl Keys {
    /// The keys of a state folder, which need not exist.
    #[must_use]
    pub fn new(folder: Folder) -> Self {
        Self { folder }
    }

    /// Every key, in the order they were made.
    ///
    /// # Errors
    ///
    /// The file cannot be read or is not what was written to it.
    pub fn list(&self) -> Result<Vec<StoredKey>, KeyError> {
        let Some(text) = self.folder.read(FILE).map_err(|error| self.io(error))? else { return Ok(Vec::new()) };
        let document: Document = serde_json::from_str(&text).map_err(|error| self.broken(error.to_string()))?;
        document.clients.into_iter().map(|record| self.parse(record)).collect()
    }

    /// Makes a key for a client that has none; it does not expire.
    ///
    /// # Errors
    ///
    /// The name is not usable or taken, or the state folder failed.
    pub fn create(&self, name: &str, now: Timestamp) -> Result<NewKey, KeyError> {
        self.create_until(name, now, None)
    }

    /// The same with an end: from then on the key is refused.
    ///
    /// # Errors
    ///
    /// As [`create`](Self::create).
    pub fn create_until(&self, name: &str, now: Timestamp, expires: Option<Timestamp>) -> Result<NewKey, KeyError> {
        let usable = |b: u8| b.is_ascii_alphanumeric() || b".-_@".contains(&b);
        if name.is_empty() || name.len() > MAX_NAME || !name.bytes().all(usable) {
            return Err(KeyError::Name(name.to_owned()));
        }
        let _lock = self.folder.lock().map_err(|error| self.io(error))?;
        let mut keys = self.list()?;
        if keys.iter().any(|key| key.name == name) {
            return Err(KeyError::Taken(name.to_owned()));
        }
        let key = random_key()?;
        keys.push(StoredKey { name: name.to_owned(), sha256: digest(&key), created: now, expires });
        self.save(&keys)?;
        Ok(NewKey { key })
    }

    /// Removes the key of a client.
    ///
    /// # Errors
    ///
    /// There is no such client, or the state folder failed.
    pub fn revoke(&self, name: &str) -> Result<(), KeyError> {
        let _lock = self.folder.lock().map_err(|error| self.io(error))?;
        let mut keys = self.list()?;
        let before = keys.len();
        keys.retain(|key| key.name != name);
        if keys.len() == before {
            return Err(KeyError::Unknown(name.to_owned()));
        }
        self.save(&keys)?;
        if name == FIRST_CLIENT {
            // Else the next start would take it for a key that somebody put there.
            self.folder.remove(FIRST_KEY_FILE).map_err(|error| self.io(error))?;
        }
        Ok(())
    }

    /// Sees to it that somebody can get in: where there is no key at all, takes that of the file `api-key`, or makes
    /// one and writes it there. `None`: there was a key.
    ///
    /// # Errors
    ///
    /// The state folder failed.
    pub fn first(&self, now: Timestamp) -> Result<Option<NewKey>, KeyError> {
        if !self.list()?.is_empty() {
            return Ok(None);
        }
        let _lock = self.folder.lock().map_err(|error| self.io(error))?;
        // Again, now that nobody else can be doing the same.
        if !self.list()?.is_empty() {
            return Ok(None);
        }
        let there = self.folder.read(FIRST_KEY_FILE).map_err(|error| self.io(error))?;
        let key = match there.as_deref().map(str::trim) {
            Some(key) if !key.is_empty() => key.to_owned(),
            _ => {
                let key = random_key()?;
                self.folder.write(FIRST_KEY_FILE, format!("{key}\n").as_bytes()).map_err(|error| self.io(error))?;
                key
            }
        };
        self.save(&[StoredKey { name: FIRST_CLIENT.to_owned(), sha256: digest(&key), created: now, expires: None }])?;
        Ok(Some(NewKey { key }))
    }

    /// The file that holds the first key.
    #[must_use]
    pub fn first_key_file(&self) -> std::path::PathBuf {
        self.folder.file(FIRST_KEY_FILE)
    }

    /// Tells cheaply whether the keys may have changed.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        let metadata = std::fs::metadata(self.folder.file(FILE)).ok();
        Fingerprint(metadata.map(|m| (m.mtime(), m.mtime_nsec(), m.len(), m.ino())))
    }

    fn save(&self, keys: &[StoredKey]) -> Result<(), KeyError> {
        let clients = keys.iter().map(|key| Record {
            name: key.name.clone(),
            sha256: key.sha256.iter().map(|byte| format!("{byte:02x}")).collect(),
            created: key.created.to_string(),
            expires: key.expires.map(|at| at.to_string()),
        });
        let document = Document { clients: clients.collect() };
        let mut text = serde_json::to_string_pretty(&document).map_err(|error| self.broken(error.to_string()))?;
        text.push('\n');
        self.folder.write(FILE, text.as_bytes()).map_err(|error| self.io(error))
    }

    fn parse(&self, record: Record) -> Result<StoredKey, KeyError> {
        let broken = |what: &str| self.broken(format!("{what} of `{}`", record.name));
        let sha256 = crate::hex::digest(&record.sha256).ok_or_else(|| broken("the digest"))?;
        let time = |text: &str| text.parse().map_err(|_| broken("the time"));
        let created = time(&record.created)?;
        let expires = record.expires.as_deref().map(time).transpose()?;
        Ok(StoredKey { name: record.name, sha256, created, expires })
    }

    fn broken(&self, reason: String) -> KeyError {
        KeyError::Broken { file: self.folder.file(FILE).display().to_string(), reason }
    }

    fn io(&self, source: io::Error) -> KeyError {
        KeyError::Io { folder: self.folder.path().display().to_string(), source }
    }
}

fn random_key() -> Result<String, KeyError> {
    let mut bytes = [0; KEY_BYTES];
    rand::fill(&mut bytes).map_err(|_| KeyError::NoRandomness)?;
    Ok(format!("{PREFIX}{}", BASE64_URL_SAFE_NO_PAD.encode(bytes)))
}
