//! Who runs with a state folder: one process, so that none writes over what another one keeps there.
//!
//! A lock of the operating system on a file, which ends with its holder however that ends. The lock belongs to the open file: a
//! process that takes over is given that with the sockets (`handover`), so that there is no moment without it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Result, Seek as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use crate::settings::StartError;

/// The file in the state folder; it says who has it.
const FILE: &str = "lock";
/// Files by which the state folder of a control plane is known.
const OF_CONTROL_PLANE: [&str; 2] = ["authority.json", "controlplane.db"];
/// Characters of the number of a process.
const PID: u64 = 20;

/// The right to run with a state folder. Dropped, also with the process: it is anybody's.
pub(super) struct Tenancy(File);

impl Tenancy {
    /// Takes a state folder. `None`: there is nothing that could be locked, and so nothing that could be kept.
    ///
    /// # Errors
    /// Another process has it, or it is that of a control plane.
    pub(super) fn take(state: &Path) -> std::result::Result<Option<Self>, StartError> {
        if let Some(file) = OF_CONTROL_PLANE.into_iter().find(|file| state.join(file).exists()) {
            return Err(StartError::StateOfControlPlane { folder: state.to_owned(), file });
        }
        let mut file = match open(&state.join(FILE)) {
            Ok(file) => file,
            Err(error) => {
                tracing::warn!(%error, "the state folder cannot be locked");
                return Ok(None);
            }
        };
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(StartError::StateTaken { folder: state.to_owned(), holder: holder(&mut file) });
            }
            // some file systems know no locks
            Err(TryLockError::Error(error)) => tracing::warn!(%error, "the state folder cannot be locked"),
        }
        let tenancy = Self(file);
        tenancy.sign();
        Ok(Some(tenancy))
    }

    /// What the process had whose place this one is to take; until then it is the other one's as well.
    pub(super) fn inherited(descriptor: OwnedFd) -> Self {
        Self(File::from(descriptor))
    }

    /// Says who has it from now on, for whoever comes in vain.
    pub(super) fn sign(&self) {
        if let Err(error) = write_pid(&self.0) {
            tracing::warn!(%error, "the lock of the state folder does not say who has it");
        }
    }
}

impl AsFd for Tenancy {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn open(path: &Path) -> Result<File> {
    // what another one wrote there stays until the lock is had
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

fn write_pid(mut file: &File) -> Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

/// Who has it, as far as that is known.
fn holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(PID).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_one_s_until_that_one_goes_and_goes_over_with_its_descriptor() {
        let folder = std::env::temp_dir().join(format!("sluice-tenancy-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let first = Tenancy::take(&folder).unwrap().unwrap();
        let taken = Tenancy::take(&folder).err().unwrap().to_string();
        assert!(taken.contains(&format!("process {}", std::process::id())), "{taken}");
        let second = Tenancy::inherited(first.as_fd().try_clone_to_owned().unwrap());
        drop(first);
        assert!(Tenancy::take(&folder).is_err(), "it is the heir's");
        drop(second);
        assert!(Tenancy::take(&folder).unwrap().is_some());
        assert!(Tenancy::take(&folder.join("nowhere")).unwrap().is_none());
        std::fs::remove_file(folder.join(FILE)).unwrap();
        for file in OF_CONTROL_PLANE {
            std::fs::write(folder.join(file), "").unwrap();
            let refused = Tenancy::take(&folder).err().unwrap().to_string();
            assert!(refused.contains(file) && !folder.join(FILE).exists(), "{refused}");
            std::fs::remove_file(folder.join(file)).unwrap();
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
