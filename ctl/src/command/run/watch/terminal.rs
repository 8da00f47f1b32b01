//! The terminal a process was started from. SIGHUP asks for the configuration to be read again, but it is also what
//! processes get when their terminal is closed; and then a gateway that nobody sees any more must not stay behind.

use std::fs::File;

use rustix::process::{Signal, getpid, kill_process};

/// By this name every process finds its own terminal, if it has one.
const TTY: &str = "/dev/tty";

/// Whether there was a terminal at the start.
pub(super) struct Terminal(bool);

impl Terminal {
    /// That of this process.
    pub(super) fn of_process() -> Self {
        Self(is_there())
    }

    /// `true` when there was one, and is no more.
    pub(super) fn is_gone(&self) -> bool {
        self.0 && !is_there()
    }
}

fn is_there() -> bool {
    File::open(TTY).is_ok()
}

/// Ends this process as anybody would: connections are let finish.
pub(super) fn end() {
    if let Err(error) = kill_process(getpid(), Signal::TERM) {
        tracing::warn!(%error, "the process cannot end itself");
    }
}
