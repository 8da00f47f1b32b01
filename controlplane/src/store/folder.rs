//! The state folder: files that only their owner may read, each replaced whole.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A folder for state. It is made, mode 0700, when something is first written.
#[derive(Debug, Clone)]
pub struct Folder(PathBuf);

impl Folder {
    /// The folder at a path, which need not exist.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The path of one of its files.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The content of a file, or `None` where there is no such file.
    ///
    /// # Errors
    ///
    /// The file is there and cannot be read.
    pub fn read(&self, name: &str) -> io::Result<Option<String>> {
        match fs::read_to_string(self.file(name)) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The mode of a file, where others than its owner may read or write it.
    #[must_use]
    pub fn open_to_others(&self, name: &str) -> Option<u32> {
        let mode = fs::metadata(self.file(name)).ok()?.mode() & 0o7777;
        (mode & 0o077 != 0).then_some(mode)
    }

    /// Replaces a file, mode 0600: whoever reads it sees the old content or the new one, also after a crash.
    ///
    /// # Errors
    ///
    /// The folder cannot be made or the file not be written; the old content is still there then.
    pub fn write(&self, name: &str, content: &[u8]) -> io::Result<()> {
        self.create()?;
        let temporary = self.file(&format!(".{name}.{}", std::process::id()));
        let written = write_durably(&temporary, content).and_then(|()| fs::rename(&temporary, self.file(name)));
        if written.is_err() {
            // Nothing to be done about a second failure; the first one is told.
            let _ = fs::remove_file(&temporary);
        }
        written?;
        File::open(&self.0)?.sync_all()
    }

    /// Removes a file; one that is not there is no error.
    ///
    /// # Errors
    ///
    /// The file is there and cannot be removed.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        match fs::remove_file(self.file(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Keeps other processes out while something is read, changed and written; until the result is dropped.
    ///
    /// # Errors
    ///
    /// The folder or the lock file in it cannot be made.
    pub fn lock(&self) -> io::Result<File> {
        self.create()?;
        let lock = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(self.file("lock"))?;
        lock.lock()?;
        Ok(lock)
    }

    /// Makes the folder, mode 0700, where it does not exist.
    ///
    /// # Errors
    ///
    /// It cannot be made.
    pub fn create(&self) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.0)
    }
}

fn write_durably(path: &Path, content: &[u8]) -> io::Result<()> {
    // What a crashed process with our id left behind is in the way of `create_new`, which guards against links.
    let _ = fs::remove_file(path);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(content)?;
    file.sync_all()
}
