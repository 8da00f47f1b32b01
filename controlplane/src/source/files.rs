//! The files a configuration was read from, and whether they changed since, told cheaply.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Files, each as it was just before it was read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Files(BTreeMap<PathBuf, Option<Identity>>);

/// Device, number, length, and when content and properties were last changed. Links are followed, so that another target
/// is another identity.
type Identity = (u64, u64, u64, (i64, i64), (i64, i64));

impl Files {
    /// Adds a file, whether it is there or not. To be called before it is read: a change in between then counts as one.
    pub fn add(&mut self, path: impl Into<PathBuf>) {
        let path = path.into();
        let identity = identity(&path);
        self.0.insert(path, identity);
    }

    /// `true` when one of them was written, replaced, linked elsewhere, made or removed since.
    #[must_use]
    pub fn changed(&self) -> bool {
        self.0.iter().any(|(path, seen)| identity(path) != *seen)
    }

    /// The same files as they are now.
    #[must_use]
    pub fn now(&self) -> Self {
        Self(self.0.keys().map(|path| (path.clone(), identity(path))).collect())
    }

    /// These and those of `other` that are not among them.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        for (path, identity) in other.0 {
            self.0.entry(path).or_insert(identity);
        }
        self
    }

    /// Where they are.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.0.keys().map(PathBuf::as_path)
    }
}

fn identity(path: &Path) -> Option<Identity> {
    let m = std::fs::metadata(path).ok()?;
    Some((m.dev(), m.ino(), m.len(), (m.mtime(), m.mtime_nsec()), (m.ctime(), m.ctime_nsec())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_written_replaced_linked_or_removed_changed() {
        let folder = tempfile::tempdir().unwrap();
        let (file, other) = (folder.path().join("file"), folder.path().join("other"));
        let mut files = Files::default();
        files.add(&file);
        let mut changed = |what: &str| {
            assert!(files.changed(), "{what}");
            files = files.now();
            assert!(!files.changed(), "{what}");
        };
        std::fs::write(&file, "a").unwrap();
        changed("made");
        std::fs::write(&file, "ab").unwrap();
        changed("written");
        std::fs::write(&other, "ab").unwrap();
        std::fs::rename(&other, &file).unwrap();
        changed("replaced");
        std::fs::remove_file(&file).unwrap();
        changed("removed");
        std::fs::write(&other, "ab").unwrap();
        std::os::unix::fs::symlink(&other, &file).unwrap();
        changed("linked");
    }
}
