//! From sources to snapshots: what a file says and which keys there are, compiled anew whenever one of them changed.
//!
//! A source that is broken changes nothing, and is tried again when it changes again.

mod changes;

use std::path::PathBuf;

use sluice_contract::v1;

use crate::compile::{Compiled, Node, compile};
use crate::language::{Fault, Path, Source};
use crate::source::{self, Document, Files, Reason};
use crate::store::{Fingerprint, KeyError, Keys, StoredKey};
pub use changes::Changes;

/// What of the listener is bound once: the sockets are open and what is spoken on them is agreed.
const BOUND: &str = "takes effect at the next start";

/// Makes the snapshots of one node.
pub struct Publisher {
    path: PathBuf,
    /// In force.
    document: Document,
    /// Read, and waiting for keys that can be read.
    pending: Option<Document>,
    node: Node,
    keys: Keys,
    /// The files as they were when they were last looked at; of a broken configuration, too.
    files: Files,
    seen: Fingerprint,
    last: Option<v1::Snapshot>,
    due: bool,
}

/// A snapshot to hand to the node.
pub struct Published {
    /// Proved by the node's own parser.
    pub snapshot: v1::Snapshot,
    /// What is odd about the configuration.
    pub warnings: Vec<Fault>,
    /// What is different from the one before; nothing for the first.
    pub changes: Changes,
}

/// Why there is no snapshot. The last one stays.
pub enum PublishError {
    /// The file cannot be read or is no configuration.
    Unreadable(Reason),
    /// The configuration is wrong.
    Faults(Box<Source>, Vec<Fault>),
    /// The keys cannot be read.
    Keys(KeyError),
}

impl Publisher {
    /// A publisher that has not published anything. `document` was read from `path`.
    #[must_use]
    pub fn new(path: PathBuf, document: Document, node: Node, keys: Keys) -> Self {
        let (files, seen) = (document.files.clone(), keys.fingerprint());
        Self { path, document, pending: None, node, keys, files, seen, last: None, due: false }
    }

    /// `true` when a source changed since it was last looked at.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.due || self.keys.fingerprint() != self.seen || self.files.changed()
    }

    /// The files whose changes count.
    #[must_use]
    pub fn files(&self) -> &Files {
        &self.files
    }

    /// The configuration in force, to show what is said about it.
    #[must_use]
    pub fn document(&self) -> &Document {
        &self.document
    }

    /// Asks for the files to be read again even if they seem to be what they were.
    pub fn read_again(&mut self) {
        self.due = true;
    }

    /// The next snapshot, or `None` where the sources say the same as before. After an error nothing is tried again
    /// until a source changes.
    ///
    /// # Errors
    ///
    /// The configuration is wrong, or a source cannot be read.
    pub fn publish(&mut self) -> Result<Option<Published>, PublishError> {
        // Before reading: a change in between is then seen as one more change.
        let looked_at = self.keys.fingerprint();
        if let Some(document) = self.read()? {
            self.pending = Some(document);
        }
        let keys = self.keys.list().map_err(|error| {
            self.seen = looked_at;
            PublishError::Keys(error)
        })?;
        let pending = self.pending.take();
        let made = self.make(pending.as_ref().unwrap_or(&self.document), &keys);
        // Keys that changed together with a file that is refused count with the configuration in force: next time.
        if made.is_ok() || pending.is_none() {
            self.seen = looked_at;
        }
        let published = made?;
        if let Some(document) = pending {
            self.document = document;
        }
        if self.last.is_some() && published.changes.is_empty() {
            return Ok(None);
        }
        self.last = Some(published.snapshot.clone());
        Ok(Some(published))
    }

    /// The snapshot that a configuration and keys would be next.
    fn make(&self, document: &Document, keys: &[StoredKey]) -> Result<Published, PublishError> {
        let refused = |faults| PublishError::Faults(Box::new(document.source.clone()), faults);
        let revision = self.last.as_ref().map_or(0, |last| last.revision) + 1;
        let Compiled { mut snapshot, warnings } =
            compile(&document.config, keys, &self.node, revision).map_err(refused)?;
        let mut warnings = [document.warnings.clone(), warnings].concat();
        let mut changes = Changes::default();
        if let Some(last) = &self.last {
            warnings.extend(keep_bound(last, &mut snapshot));
            if document.config.proxy.log_level != self.document.config.proxy.log_level {
                warnings.push(Fault::key(Path::of(["proxy", "log_level"]), BOUND));
            }
            prove(&snapshot).map_err(refused)?;
            changes = Changes::between(last, &snapshot);
        }
        Ok(Published { snapshot, warnings, changes })
    }

    /// The configuration anew, if its files changed.
    fn read(&mut self) -> Result<Option<Document>, PublishError> {
        let is_due = std::mem::take(&mut self.due) || self.files.changed();
        // What came from stdin cannot be read again; its variables stay what they were.
        if self.path.as_os_str() == "-" {
            self.files = self.files.now();
            return Ok(None);
        }
        if !is_due {
            return Ok(None);
        }
        match source::read(&self.path) {
            Ok(document) => {
                self.files = document.files.clone();
                Ok(Some(document))
            }
            Err(unreadable) => {
                // Also those of the configuration in force: what is broken may be repaired there.
                self.files = unreadable.files.and(self.files.now());
                Err(PublishError::Unreadable(unreadable.reason))
            }
        }
    }
}

/// Takes what is bound from the last snapshot; what was meant to change is said.
fn keep_bound(last: &v1::Snapshot, next: &mut v1::Snapshot) -> Vec<Fault> {
    let (Some(bound), Some(said)) = (&last.listener, &mut next.listener) else { return Vec::new() };
    let mut warnings = Vec::new();
    let mut keep = |path, differs: bool| {
        if differs {
            let warning = Fault::key(Path::of(["proxy", path]), BOUND);
            warnings.push(warning.advise("everything else in the file counts from now on"));
        }
    };
    keep("port", said.addresses != bound.addresses);
    keep("transport", said.stdio != bound.stdio);
    keep("tls", said.certificates != bound.certificates);
    said.addresses.clone_from(&bound.addresses);
    said.stdio = bound.stdio;
    said.certificates.clone_from(&bound.certificates);
    warnings
}

/// What is bound may not go with the rest: a door that other machines reach must not lose its lock.
fn prove(snapshot: &v1::Snapshot) -> Result<(), Vec<Fault>> {
    let faults = sluice_snapshot::parse(snapshot).err().unwrap_or_default();
    let fault = |fault: sluice_snapshot::Fault| {
        let fault = Fault::key(Path::of(["proxy"]), format!("the address in use stays: {}", fault.reason));
        fault.advise("restart to listen elsewhere, or keep authentication")
    };
    if faults.is_empty() { Ok(()) } else { Err(faults.into_iter().map(fault).collect()) }
}

#[cfg(test)]
mod tests;
