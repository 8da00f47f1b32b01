//! Where a value is found: in the configuration, among the named secrets, in the node's environment, in a file. What is wrong is
//! said without the value.

use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use sluice_snapshot::Fault;
use sluice_snapshot::model::{CredentialKind, Secret, Sensitive, Server, Transport};
use sluice_snapshot::sensitive::{MAX_SENSITIVE, as_text, in_header};
use zeroize::Zeroizing;

use super::{Secrets, Trouble};
use crate::clock::epoch_ms;

/// A file that changed less than this ago may change again without looking different: file systems' clocks tick.
const SETTLED: Duration = Duration::from_secs(2);

/// A value, and where it came from.
#[derive(Clone)]
pub(super) struct Found {
    pub value: Secret,
    source: Sensitive,
    taken: Taken,
    /// How the file was when it was last looked at.
    stamp: Option<Stamp>,
    /// Why it could not be used then.
    trouble: Option<Trouble>,
}

impl PartialEq for Found {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

/// What a value is to be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Taken {
    /// A header, or part of one.
    InHeader,
    /// `user:password`.
    Pair,
    /// A variable of a process.
    Variable,
    /// A secret or key that goes into a token request.
    Proof,
}

/// What of a file shows that it changed.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    changed: (i64, i64),
    settled: bool,
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        let age = metadata.modified().ok().and_then(|at| SystemTime::now().duration_since(at).ok());
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.size(),
            changed: (metadata.mtime(), metadata.mtime_nsec()),
            settled: age.is_some_and(|age| age > SETTLED),
        }
    }
}

/// Finds every value of a server.
pub(super) fn find(server: &Server, secrets: &Secrets) -> Result<Vec<Found>, Vec<Fault>> {
    let mut faults = Vec::new();
    let mut found = Vec::new();
    for (place, source) in server.sensitive() {
        match Found::new(source, taken(server, &place), secrets) {
            Ok(one) => found.push(one),
            Err(reason) => faults.push(Fault { path: place, reason: format!("{} {reason}", source.source()) }),
        }
    }
    if faults.is_empty() { Ok(found) } else { Err(faults) }
}

/// What the value at a place is to be.
fn taken(server: &Server, place: &str) -> Taken {
    let endpoint = match &server.transport {
        Transport::Stdio(_) => return Taken::Variable,
        Transport::Http(endpoint) | Transport::Sse(endpoint) | Transport::WebSocket(endpoint) => endpoint,
    };
    match endpoint.credential.as_ref().filter(|_| place.contains(".credential.")).map(|credential| &credential.kind) {
        None | Some(CredentialKind::Bearer(_) | CredentialKind::Header(..)) => Taken::InHeader,
        Some(CredentialKind::Basic(_)) => Taken::Pair,
        Some(CredentialKind::ClientCredentials(_)) => Taken::Proof,
    }
}

impl Found {
    fn new(source: &Sensitive, taken: Taken, secrets: &Secrets) -> Result<Self, String> {
        let mut stamp = None;
        let value = match source {
            Sensitive::Value(value) => value.clone(),
            Sensitive::Secret(name) => match secrets.get(name) {
                Some(secret) => secret.value.clone(),
                None => return Err("is not there".to_owned()),
            },
            Sensitive::Environment(name) => match std::env::var(&**name) {
                Ok(value) => Secret::new(value),
                Err(std::env::VarError::NotPresent) => return Err("is not set".to_owned()),
                Err(std::env::VarError::NotUnicode(_)) => return Err("is not UTF-8 text".to_owned()),
            },
            Sensitive::File(path) => {
                let (value, now) = read(path)?;
                stamp = Some(now);
                value
            }
        };
        match objection(&value, taken) {
            Some(reason) => Err(reason.to_owned()),
            None => Ok(Self { value, source: source.clone(), taken, stamp, trouble: None }),
        }
    }

    /// Why it could not be used when it was last looked at.
    pub(super) fn trouble(&self) -> Option<&Trouble> {
        self.trouble.as_ref()
    }

    /// Whether it is written elsewhere than in the configuration.
    pub(super) fn is_elsewhere(&self) -> bool {
        !matches!(self.source, Sensitive::Value(_))
    }

    /// Reads the file anew if it changed; `true`: there is another value.
    pub(super) fn refresh(&mut self, server: &Server) -> bool {
        let (Sensitive::File(path), Some(before)) = (&self.source, self.stamp) else { return false };
        let now = std::fs::metadata(path).map(|metadata| Stamp::of(&metadata));
        if before.settled && now.as_ref().is_ok_and(|now| *now == before) {
            return false;
        }
        let outcome = read(path).and_then(|(value, stamp)| match objection(&value, self.taken) {
            Some(reason) => Err(reason.to_owned()),
            None => Ok((value, stamp)),
        });
        match outcome {
            Ok((value, stamp)) => {
                self.stamp = Some(stamp);
                if self.trouble.take().is_some() {
                    tracing::info!(server = %server.name, file = %path.display(), "the credential can be read again");
                }
                let differs = value != self.value;
                self.value = value;
                differs
            }
            Err(reason) => {
                // told once for each state of the file; one that is gone has the size that no file has
                let gone = Stamp { bytes: u64::MAX, settled: true, ..before };
                let now = now.unwrap_or(gone);
                if now.changed != before.changed || now.bytes != before.bytes {
                    let file = path.display();
                    tracing::warn!(server = %server.name, %file, reason, "a credential cannot be read; the last one is used");
                }
                self.stamp = Some(now);
                let since_ms = self.trouble.as_ref().map_or_else(epoch_ms, |trouble| trouble.since_ms);
                let cause = format!("{} {reason}; what it was last is used", self.source.source());
                self.trouble = Some(Trouble { cause, since_ms });
                false
            }
        }
    }
}

fn objection(value: &Secret, taken: Taken) -> Option<&'static str> {
    let value = value.expose();
    match taken {
        Taken::Variable => as_text(value),
        Taken::Pair if !value.contains(':') => Some("is not of the form `user:password`"),
        Taken::Proof | Taken::Pair if value.len() > MAX_SENSITIVE => Some("is longer than 64 KiB"),
        Taken::Proof if value.is_empty() => Some("is empty"),
        Taken::InHeader => in_header(value),
        Taken::Proof | Taken::Pair => None,
    }
}

/// The text of a file without a line break at its end, and how the file was before it was read.
fn read(path: &Path) -> Result<(Secret, Stamp), String> {
    let unreadable = |error: io::Error| format!("cannot be read: {error}");
    // anything else than a file might never end, or not even open
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_file() {
        return Err("is not a file".to_owned());
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_SENSITIVE + 1));
    let file = File::open(path).map_err(unreadable)?;
    file.take(MAX_SENSITIVE as u64 + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() > MAX_SENSITIVE {
        return Err("is longer than 64 KiB".to_owned());
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| "is not UTF-8 text".to_owned())?;
    let line = text.strip_suffix('\n').map_or(text, |line| line.strip_suffix('\r').unwrap_or(line));
    Ok((Secret::new(line), Stamp::of(&metadata)))
}
