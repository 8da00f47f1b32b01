//! What keeps the database from being written while it can still be read: found in what SQLite and the system say, and told with what
//! to do about it. When it is looked for is the store's matter.

use std::io;
use std::path::Path;

use rusqlite::ErrorCode;
use rustix::fs::{StatVfs, statvfs};
use tokio::sync::watch;

use super::StoreError;

/// Room that a disk is to have left, in bytes: the log of the database grows to about that (1,000 pages of 4 KiB) before it is used
/// from its beginning again, so that with less the next change may be the one that does not fit.
const ROOM: u64 = 4 << 20;

/// What keeps the database from being written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Obstacle {
    /// There is little room left; what fits is written.
    Scarce,
    /// There is no room left.
    Full,
    /// The file system or the files are read-only.
    ReadOnly,
    /// The disk does not take what is written, for a reason that is the system's.
    Failing,
}

impl Obstacle {
    /// What is wrong, without where.
    #[must_use]
    pub fn what(self) -> &'static str {
        match self {
            Self::Scarce => "the disk with the state folder has less than 4 MiB left",
            Self::Full => "the disk with the state folder is full",
            Self::ReadOnly => "the state folder is read-only",
            Self::Failing => "the disk with the state folder does not take what is written",
        }
    }

    /// What leads out.
    #[must_use]
    pub fn way(self) -> &'static str {
        match self {
            Self::Scarce | Self::Full => "make room there",
            Self::ReadOnly => "let the control plane write there (mount options, owner and mode of the files)",
            Self::Failing => {
                "look at its errors in the log of the system, at quotas, and at limits for the size of files"
            }
        }
    }

    /// Waits until the database can be written, as far as is known.
    pub(crate) async fn over(obstacle: &mut watch::Receiver<Option<Self>>) {
        // an error is that the store is gone, which is an end as well
        let _ = obstacle.wait_for(|obstacle| matches!(obstacle, None | Some(Self::Scarce))).await;
    }

    /// What is in the way according to SQLite.
    pub(super) fn of_database(error: &rusqlite::Error) -> Option<Self> {
        match error.sqlite_error_code()? {
            ErrorCode::DiskFull => Some(Self::Full),
            ErrorCode::ReadOnly | ErrorCode::PermissionDenied => Some(Self::ReadOnly),
            ErrorCode::SystemIoFailure | ErrorCode::CannotOpen => Some(Self::Failing),
            _ => None,
        }
    }

    /// What is in the way according to the system.
    pub(crate) fn of_file(error: &io::Error) -> Option<Self> {
        match error.kind() {
            io::ErrorKind::StorageFull => Some(Self::Full),
            io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => Some(Self::ReadOnly),
            io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => Some(Self::Failing),
            _ => None,
        }
    }

    /// Whether a disk has little room left. One that tells of no blocks at all does not say, and is found out by writing.
    pub(super) fn is_scarce(folder: &Path) -> bool {
        let is_small = |disk: StatVfs| disk.f_blocks > 0 && disk.f_bavail.saturating_mul(disk.f_frsize) < ROOM;
        statvfs(folder).is_ok_and(is_small)
    }

    /// What somebody is told who may know where it is.
    pub(super) fn told(self, folder: &Path) -> String {
        format!("{} ({}): {}", self.what(), folder.display(), self.way())
    }
}

impl StoreError {
    /// What keeps the database from being written, if it is that.
    #[must_use]
    pub fn obstacle(&self) -> Option<Obstacle> {
        match self {
            Self::Unwritable { obstacle, .. } => Some(*obstacle),
            Self::Database(error) => Obstacle::of_database(error),
            Self::Io(_, error) => Obstacle::of_file(error),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_system_that_tells_of_no_blocks_has_room_as_far_as_is_known() {
        let proc = Path::new("/proc");
        assert_eq!(statvfs(proc).unwrap().f_blocks, 0);
        assert!(!Obstacle::is_scarce(proc));
    }
}
