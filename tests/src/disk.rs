//! Disks that take nothing more, and then do again: a small one that a process has for itself, where the system lets us mount one; elsewhere,
//! and for disks that fail, files that may not grow.

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

/// Begins with a disk in the place of a folder, for this process alone.
const MOUNTED: &str = "mkdir -p \"$0\" && mount -t tmpfs -o size=12m,mode=700 tmpfs \"$0\" && exec \"$@\"";
/// Begins so that to write too much is an error and no end.
const LIMITED: &str = "trap '' XFSZ; exec \"$@\"";
/// Takes what is left of a disk.
const FILLER: &str = "filler";

/// A disk for the folder of one process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disk {
    /// Has 12 MiB.
    Small,
    /// Has room, and fails when it is told to.
    Failing,
}

impl Disk {
    /// A small one, where one can be mounted (by root, or within a user namespace); else one that fails.
    #[must_use]
    pub fn small() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut tried = Self::Small.under(&folder.path().join("disk"), &Command::new("true"));
        match tried.stdout(Stdio::null()).output() {
            Ok(output) if output.status.success() => return Self::Small,
            Ok(output) => eprintln!("no small disk can be mounted: {}", String::from_utf8_lossy(&output.stderr).trim()),
            Err(error) => eprintln!("no small disk can be mounted: unshare: {error}"),
        }
        eprintln!("one that fails is tried in its place");
        Self::Failing
    }

    /// A command whose `folder` is on this disk.
    pub(crate) fn under(self, folder: &Path, command: &Command) -> Command {
        let mut under = match self {
            Self::Small => {
                let mut under = Command::new("unshare");
                under.args(["--user", "--map-root-user", "--mount", "sh", "-c", MOUNTED]).arg(folder);
                under
            }
            Self::Failing => {
                let mut under = Command::new("sh");
                under.args(["-c", LIMITED, "sh"]);
                under
            }
        };
        under.arg(command.get_program()).args(command.get_args());
        under.env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        under.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        under
    }

    /// Where a folder of a process is found from outside.
    pub(crate) fn seen(self, folder: &Path, pid: u32) -> PathBuf {
        match self {
            Self::Small => Path::new(&format!("/proc/{pid}/root")).join(folder.strip_prefix("/").unwrap()),
            Self::Failing => folder.to_owned(),
        }
    }

    /// From now on it takes nothing from this process.
    pub(crate) fn fill(self, folder: &Path, pid: u32) {
        match self {
            Self::Small => {
                let mut filler = File::create(self.seen(folder, pid).join(FILLER)).unwrap();
                let full = std::iter::repeat_with(|| filler.write_all(&[0; 512])).find_map(Result::err).unwrap();
                assert_eq!(full.kind(), ErrorKind::StorageFull);
            }
            Self::Failing => limit(pid, Some(1)),
        }
    }

    /// It has room again.
    pub(crate) fn make_room(self, folder: &Path, pid: u32) {
        match self {
            Self::Small => fs::remove_file(self.seen(folder, pid).join(FILLER)).unwrap(),
            Self::Failing => limit(pid, getrlimit(Resource::Fsize).maximum),
        }
    }
}

/// No file of a process may become longer.
fn limit(pid: u32, bytes: Option<u64>) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap());
    let limit = Rlimit { current: bytes, maximum: getrlimit(Resource::Fsize).maximum };
    prlimit(pid, Resource::Fsize, limit).unwrap();
}
