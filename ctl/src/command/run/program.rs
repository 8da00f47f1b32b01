//! What `command: sluice` starts. Examples use it for the demo server, and must work for people who have not installed
//! anything: where `PATH` has no `sluice`, it is the program that is running.

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

const NAME: &str = "sluice";

/// The running program, unless `PATH` has one.
pub(super) fn own() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    if is_in_path(&path) { None } else { std::env::current_exe().ok() }
}

fn is_in_path(path: &OsStr) -> bool {
    std::env::split_paths(path).any(|folder| is_program(&folder.join(NAME)))
}

fn is_program(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_program_in_path_counts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().as_os_str();
        assert!(!is_in_path(path));
        std::fs::write(folder.path().join(NAME), "").unwrap();
        assert!(!is_in_path(path), "a file that cannot be started");
        std::fs::set_permissions(folder.path().join(NAME), std::fs::Permissions::from_mode(0o755)).unwrap();
        assert!(is_in_path(path));
    }
}
