//! A file and the keys beside it as a source of desired states, for the one node of this process.
//!
//! A source that is broken changes nothing, and is tried again when it changes again.

use std::path::PathBuf;
use std::sync::Arc;

use sluice_contract::v1;

use super::{Document, Files, Reason};
use crate::compile::{Compiled, Node};
use crate::language::{Fault, Path, Source};
use crate::publish::{Changes, Desired};
use crate::store::{Fingerprint, KeyError, Keys, StoredKey};

/// What a process is started for stays: whether it speaks on stdin and stdout.
const BOUND: &str = "takes effect at the next start";

/// Says what is desired as long as the sources change.
pub struct Feed {
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

/// What is desired from now on.
pub struct News {
    /// To be published; compiled and proved already.
    pub desired: Arc<Desired>,
    /// What the node gets.
    pub snapshot: v1::Snapshot,
    /// What is odd about the configuration.
    pub warnings: Vec<Fault>,
    /// What is different from the one before; nothing for the first.
    pub changes: Changes,
}

/// Why there is nothing new. What was desired last stays.
pub enum FeedError {
    /// The file cannot be read or is no configuration.
    Unreadable(Reason),
    /// The configuration is wrong.
    Faults(Box<Source>, Vec<Fault>),
    /// The keys cannot be read.
    Keys(KeyError),
}

impl Feed {
    /// A feed that has not said anything yet. `document` was read from `path`.
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

    /// What is desired next, or `None` where the sources say the same as before. After an error nothing is tried again
    /// until a source changes.
    ///
    /// # Errors
    ///
    /// The configuration is wrong, or a source cannot be read.
    pub fn look(&mut self) -> Result<Option<News>, FeedError> {
        // Before reading: a change in between is then seen as one more change.
        let looked_at = self.keys.fingerprint();
        if let Some(document) = self.read()? {
            self.pending = Some(document);
        }
        let keys = self.keys.list().map_err(|error| {
            self.seen = looked_at;
            FeedError::Keys(error)
        })?;
        let pending = self.pending.take();
        let made = self.make(pending.as_ref().unwrap_or(&self.document), keys);
        // Keys that changed together with a file that is refused count with the configuration in force: next time.
        if made.is_ok() || pending.is_none() {
            self.seen = looked_at;
        }
        let news = made?;
        if let Some(document) = pending {
            self.document = document;
        }
        if self.last.is_some() && news.changes.is_empty() {
            return Ok(None);
        }
        self.last = Some(news.snapshot.clone());
        Ok(Some(news))
    }

    /// What a configuration and keys would be next.
    fn make(&self, document: &Document, keys: Vec<StoredKey>) -> Result<News, FeedError> {
        let refused = |faults| FeedError::Faults(Box::new(document.source.clone()), faults);
        let mut desired = Desired {
            revision: self.last.as_ref().map_or(0, |last| last.revision) + 1,
            config: document.config.clone(),
            keys,
            node: self.node.clone(),
            ..Desired::default()
        };
        let Compiled { mut snapshot, warnings, .. } = desired.compile(&self.node.labels).map_err(refused)?;
        let mut warnings = [document.warnings.clone(), warnings].concat();
        let mut changes = Changes::default();
        if let Some(last) = &self.last {
            let is_stdio = |snapshot: &v1::Snapshot| snapshot.listener.as_ref().is_some_and(|said| said.stdio);
            if is_stdio(last) != is_stdio(&snapshot) {
                let warning = Fault::key(Path::of(["proxy", "transport"]), BOUND);
                warnings.push(warning.advise("everything else in the file counts from now on"));
                desired.bound.clone_from(&last.listener);
            }
            snapshot = desired.compile(&self.node.labels).map_err(refused)?.snapshot;
            changes = Changes::between(last, &snapshot);
        }
        Ok(News { desired: Arc::new(desired), snapshot, warnings, changes })
    }

    /// The configuration anew, if its files changed.
    fn read(&mut self) -> Result<Option<Document>, FeedError> {
        let is_due = std::mem::take(&mut self.due) || self.files.changed();
        // What came from stdin cannot be read again; its variables stay what they were.
        if self.path.as_os_str() == "-" {
            self.files = self.files.now();
            return Ok(None);
        }
        if !is_due {
            return Ok(None);
        }
        match super::read(&self.path) {
            Ok(document) => {
                self.files = document.files.clone();
                Ok(Some(document))
            }
            Err(unreadable) => {
                // Also those of the configuration in force: what is broken may be repaired there.
                self.files = unreadable.files.and(self.files.now());
                Err(FeedError::Unreadable(unreadable.reason))
            }
        }
    }
}

#[cfg(test)]
mod tests;
