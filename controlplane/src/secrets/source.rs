//! Where the key ring comes from: a file, the environment, or a file of the state folder that is made at the first start.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::ring::{Ring, RingError};
use crate::store::Folder;

/// The file of the state folder.
pub(crate) const RING: &str = "secret.keys";
/// The id of the key that is made there.
const FIRST_KEY: &str = "k1";
/// Longest text of a ring: 64 keys with ids of 64 characters, and comments.
const MAX_BYTES: u64 = 64 << 10;

/// Where the key ring comes from.
pub enum RingSource {
    /// A file that only its owner may read.
    File(PathBuf),
    /// The text itself, from a variable of the environment; spaces and commas are as good as line breaks there.
    Text(Zeroizing<String>),
    /// `secret.keys` of the state folder, made at random before anything is sealed by it.
    State(Folder),
}

/// Why there is no key ring. There is no other key to fall back to.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The file cannot be read or made.
    #[error("key ring {file}: {source}")]
    Io {
        /// Which file.
        file: String,
        /// What the system says.
        source: io::Error,
    },
    /// Others than its owner can read the file.
    #[error("key ring {file} has mode {mode:04o}: others than its owner may read it; run `chmod 600 {file}`")]
    Open {
        /// Which file.
        file: String,
        /// Its permissions.
        mode: u32,
    },
    /// It belongs to somebody else, who can read and change it.
    #[error("key ring {file} belongs to another user")]
    Foreign {
        /// Which file.
        file: String,
    },
    /// It is longer than any ring.
    #[error("key ring {file} is longer than {MAX_BYTES} bytes")]
    Long {
        /// Which file.
        file: String,
    },
    /// Its text is no ring.
    #[error("key ring {place} {source}")]
    Ring {
        /// Which file, or that it is the environment.
        place: String,
        /// What is wrong.
        source: RingError,
    },
}

impl RingSource {
    /// The ring.
    ///
    /// # Errors
    ///
    /// It is not there, not private, or no ring.
    pub fn load(&self) -> Result<Ring, SourceError> {
        match self {
            Self::File(path) => read(path),
            Self::Text(text) => {
                let lines = Zeroizing::new(text.replace([' ', ',', '\t'], "\n"));
                let place = "in the environment".to_owned();
                Ring::parse(&lines).map_err(|source| SourceError::Ring { place, source })
            }
            Self::State(folder) => read(&folder.file(RING)),
        }
    }

    /// The ring for what nothing is sealed in yet: where it is to be in the state folder and is not there, it is made.
    ///
    /// # Errors
    ///
    /// As [`Self::load`], or it cannot be made.
    pub fn first(&self) -> Result<Ring, SourceError> {
        if let Self::State(folder) = self {
            make(folder).map_err(|source| io_error(&folder.file(RING), source))?;
        }
        self.load()
    }
}

/// Makes the ring of a state folder that has none.
fn make(folder: &Folder) -> io::Result<()> {
    if folder.file(RING).try_exists()? {
        return Ok(());
    }
    let _lock = folder.lock()?;
    // Again, now that nobody else can be doing the same.
    if folder.file(RING).try_exists()? { Ok(()) } else { folder.write(RING, Ring::generate(FIRST_KEY).as_bytes()) }
}

fn read(path: &Path) -> Result<Ring, SourceError> {
    let file = || path.display().to_string();
    let opened = File::open(path).map_err(|source| io_error(path, source))?;
    let metadata = opened.metadata().map_err(|source| io_error(path, source))?;
    let mode = metadata.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(SourceError::Open { file: file(), mode });
    }
    let ours = rustix::process::geteuid().as_raw();
    // A file of root is put there by whoever runs this machine, as with mounted secrets.
    if metadata.uid() != ours && metadata.uid() != 0 {
        return Err(SourceError::Foreign { file: file() });
    }
    let mut text = Zeroizing::new(String::new());
    opened.take(MAX_BYTES + 1).read_to_string(&mut text).map_err(|source| io_error(path, source))?;
    if text.len() as u64 > MAX_BYTES {
        return Err(SourceError::Long { file: file() });
    }
    Ring::parse(&text).map_err(|source| SourceError::Ring { place: file(), source })
}

fn io_error(path: &Path, source: io::Error) -> SourceError {
    SourceError::Io { file: path.display().to_string(), source }
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, set_permissions, write};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_state_folder_gets_a_ring_once() {
        let place = tempfile::tempdir().unwrap();
        let state = RingSource::State(Folder::new(place.path().join("state")));
        assert!(state.load().is_err(), "one that is lost is not made again");
        let sealed = state.first().unwrap().seal("a", b"value");
        assert_eq!(state.first().unwrap().open("a", &sealed).unwrap().as_slice(), b"value");
        let file = place.path().join("state").join(RING);
        assert_eq!(file.metadata().unwrap().mode() & 0o7777, 0o600);
        let other = RingSource::State(Folder::new(place.path().join("other")));
        assert!(other.first().unwrap().open("a", &sealed).is_err(), "no key is built in");
    }

    #[test]
    fn a_file_that_others_can_read_is_refused() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("keys");
        write(&path, &*Ring::generate("k")).unwrap();
        let source = RingSource::File(path.clone());
        for (mode, is_private) in [(0o600, true), (0o400, true), (0o640, false), (0o604, false), (0o620, false)] {
            set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let refused = source.load().err().map(|refused| refused.to_string());
            assert_eq!(refused.is_none(), is_private, "{mode:o}: {refused:?}");
            assert!(refused.is_none_or(|refused| refused.contains("run `chmod 600")));
        }
        let missing = RingSource::File(place.path().join("none")).load().err().unwrap();
        assert!(missing.to_string().contains("none: No such file"), "{missing}");
    }

    #[test]
    fn the_environment_has_the_lines_of_a_file() {
        let (one, two) = (Ring::generate("a"), Ring::generate("b"));
        for between in ["\n", ",", " ", ", "] {
            let text = Zeroizing::new([one.trim(), two.trim()].join(between));
            assert_eq!(RingSource::Text(text).load().unwrap().newest(), "b");
        }
        let refused = RingSource::Text(Zeroizing::new("secret".to_owned())).load().err().unwrap().to_string();
        assert!(
            refused.starts_with("key ring in the environment line 1:") && !refused.contains("secret`"),
            "{refused}"
        );
    }
}
