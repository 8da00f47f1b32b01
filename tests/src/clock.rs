//! A clock that a test sets, for the programs that are started with it: `libfaketime` stands between them and the system.
//! Only what time of day it is moves; timers and pauses take as long as they take.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

/// Where Debian has it, on the machines that are built for.
const LIBRARIES: [&str; 2] =
    ["/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1", "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1"];

/// A clock that is ahead of the system's.
pub struct Clock {
    folder: TempDir,
    library: &'static str,
}

impl Default for Clock {
    /// One that is right, so far.
    fn default() -> Self {
        let library = LIBRARIES.into_iter().find(|path| Path::new(path).exists());
        let library = library.expect("libfaketime is missing: `tests/run setup` installs it");
        let clock = Self { folder: tempfile::tempdir().unwrap(), library };
        clock.is_ahead(Duration::ZERO);
        clock
    }
}

impl Clock {
    /// From now on it is so far ahead, for all programs at once.
    pub fn is_ahead(&self, by: Duration) {
        // whoever reads it meanwhile finds the old file or the new one
        let beside = self.folder.path().join("new");
        std::fs::write(&beside, format!("+{}", by.as_secs())).unwrap();
        std::fs::rename(beside, self.file()).unwrap();
    }

    /// The environment of programs that go by it.
    #[must_use]
    pub fn environment(&self) -> [(&'static str, String); 4] {
        [
            ("LD_PRELOAD", self.library.to_owned()),
            ("FAKETIME_TIMESTAMP_FILE", self.file().display().to_string()),
            ("FAKETIME_NO_CACHE", "1".to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ]
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("ahead")
    }
}
