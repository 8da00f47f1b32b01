//! The guard: a small process that outlives a gateway which was killed, and ends the children it left behind.
//!
//! The gateway tells it on a pipe which process groups it started (`+PGID`) and saw end (`-PGID`). When the pipe closes,
//! the gateway is gone, however that came, and the guard kills what is left. Started with the first child.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{BufRead, Write};
use std::os::unix::process::CommandExt as _;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use rustix::process::{Pid, Signal, kill_process_group};

/// The gateway's end.
pub(crate) struct Guard {
    /// The command line that runs [`main`]; `None`: children are ended on an orderly stop only.
    command: Option<Vec<OsString>>,
    pipe: Mutex<Option<ChildStdin>>,
}

impl Guard {
    pub(crate) fn new(command: Option<Vec<OsString>>) -> Self {
        Self { command, pipe: Mutex::new(None) }
    }

    /// Starts the guard if it does not run yet. Called before a child is spawned, so that no child is without one.
    pub(crate) fn start(&self) {
        let mut pipe = self.pipe.lock().unwrap_or_else(PoisonError::into_inner);
        let Some([program, args @ ..]) = self.command.as_deref().filter(|_| pipe.is_none()) else { return };
        let spawned = Command::new(program)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn();
        match spawned {
            Ok(mut child) => *pipe = child.stdin.take(),
            Err(error) => {
                tracing::warn!(%error, "no guard for child processes; a killed gateway may leave some behind")
            }
        }
    }

    /// A process group was started.
    pub(crate) fn watch(&self, group: Pid) {
        self.tell('+', group);
    }

    /// A process group has ended.
    pub(crate) fn forget(&self, group: Pid) {
        self.tell('-', group);
    }

    fn tell(&self, sign: char, group: Pid) {
        let mut pipe = self.pipe.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(stdin) = pipe.as_mut() {
            let line = format!("{sign}{}\n", group.as_raw_nonzero());
            if stdin.write_all(line.as_bytes()).is_err() {
                *pipe = None;
            }
        }
    }
}

/// The guard's whole life: reads until end of input, then kills what is left.
pub fn main() {
    let mut groups = BTreeSet::new();
    for line in std::io::stdin().lock().lines() {
        let Ok(line) = line else { break };
        let Some((sign, number)) = line.split_at_checked(1) else { continue };
        match (sign, number.parse::<i32>().ok().and_then(Pid::from_raw)) {
            ("+", Some(group)) => drop(groups.insert(group.as_raw_nonzero())),
            ("-", Some(group)) => drop(groups.remove(&group.as_raw_nonzero())),
            _ => {}
        }
    }
    for group in groups {
        if let Some(group) = Pid::from_raw(group.get()) {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}
