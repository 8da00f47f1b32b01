//! A child process and its pipes: one message a line in both directions, stderr into the log (2025-11-25 *Transports:
//! stdio*).

use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use rustix::process::{Pid, Signal, kill_process_group};
use sluice_snapshot::model::Command;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{ChildStderr, ChildStdin, ChildStdout};
use tokio::time::Instant;

use super::guard::Guard;
use super::task::Parts;
use super::wire::{Cause, UNWRITTEN_BYTES};
use crate::limit;
use crate::observe::metrics::Inside;
use crate::upstream::credential::Credentials;

/// A running process.
pub(super) struct Process {
    child: tokio::process::Child,
    group: Option<Pid>,
    stdin: Option<ChildStdin>,
    stdout: ChildStdout,
    /// The beginning of a line.
    input: BytesMut,
    /// How much of it is known to hold no newline.
    searched: usize,
    guard: Arc<Guard>,
    /// Counts the process.
    _inside: Inside,
}

/// The environment every program needs; beyond it a child sees only what is configured.
const BASE_ENVIRONMENT: [&str; 14] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TERM",
    "TMPDIR",
    "TZ",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
];

impl Process {
    /// Starts the command in a process group of its own.
    pub(super) fn spawn(parts: &Parts, command: &Command) -> std::io::Result<Self> {
        let (server, metrics, guard) = (&parts.server.name, &parts.metrics, Arc::clone(&parts.guard));
        guard.start();
        let mut child = dressed(command, &parts.credentials)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let group = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        if let Some(group) = group {
            guard.watch(group);
        }
        let missing = || std::io::Error::other("the process has no pipe");
        let stdin = child.stdin.take().ok_or_else(missing)?;
        let stdout = child.stdout.take().ok_or_else(missing)?;
        let stderr = child.stderr.take().ok_or_else(missing)?;
        metrics.child_starts.fetch_add(1, Ordering::Relaxed);
        tracing::info!(server = %server, pid = group.map(|g| g.as_raw_nonzero().get()), "started the server's process");
        tokio::spawn(log_stderr(Arc::clone(server), stderr));
        let inside = metrics.children.enter();
        let input = BytesMut::with_capacity(16 << 10);
        Ok(Self { child, group, stdin: Some(stdin), stdout, input, searched: 0, guard, _inside: inside })
    }

    /// See [`super::wire::Wire::turn`].
    pub(super) async fn turn(&mut self, output: &mut BytesMut, said: &mut Vec<Bytes>) -> Result<(), Cause> {
        let Some(stdin) = self.stdin.as_mut() else { return Err(Cause::of("input closed")) };
        // answers of ours to a child that does not read must not pile up
        let room = output.len() < UNWRITTEN_BYTES;
        tokio::select! {
            biased;
            written = stdin.write_buf(output), if !output.is_empty() => {
                written.map(drop).map_err(|_| Cause::of("input closed by the process"))
            }
            read = self.stdout.read_buf(&mut self.input), if room => match read {
                Ok(0) | Err(_) => Err(Cause::of("output closed")),
                Ok(_) => self.lines(said),
            },
        }
    }

    fn lines(&mut self, said: &mut Vec<Bytes>) -> Result<(), Cause> {
        while let Some(found) = memchr::memchr(b'\n', &self.input[self.searched..]) {
            let end = self.searched + found;
            let mut line = self.input.split_to(end + 1);
            line.truncate(end);
            said.push(line.freeze());
            self.searched = 0;
        }
        self.searched = self.input.len();
        if self.input.len() > limit::LINE_BYTES {
            return Err(Cause::too_long("a line longer than the limit"));
        }
        Ok(())
    }

    /// Ends the whole process group: input closed, a pause, SIGTERM, a pause, SIGKILL.
    pub(super) async fn end(mut self) -> Option<ExitStatus> {
        self.stdin = None;
        let mut status = tokio::time::timeout(limit::CHILD_GRACE, self.child.wait()).await;
        for signal in [Signal::TERM, Signal::KILL] {
            // also after the process itself ended: its group may hold more
            let alive = self.group.is_some_and(|group| kill_process_group(group, signal).is_ok());
            if status.is_err() || (alive && signal == Signal::TERM) {
                let grace = if status.is_ok() { Duration::from_millis(100) } else { limit::CHILD_GRACE };
                match tokio::time::timeout(grace, self.child.wait()).await {
                    Ok(ended) if status.is_err() => status = Ok(ended),
                    _ => {}
                }
            }
        }
        if let Some(group) = self.group {
            self.guard.forget(group);
        }
        status.ok().and_then(Result::ok)
    }
}

/// The command with the environment it is to see.
fn dressed(command: &Command, credentials: &Credentials) -> tokio::process::Command {
    let mut process = tokio::process::Command::new(&command.program);
    process.args(&command.args).env_clear();
    process.envs(BASE_ENVIRONMENT.iter().filter_map(|name| std::env::var_os(name).map(|value| (name, value))));
    process.envs(credentials.environment().iter().map(|(name, value)| (name, value.expose())));
    if let Some(directory) = &command.cwd {
        process.current_dir(directory);
    }
    process
}

/// Carries a child's stderr into the log, a line each, under the server's name; more than the log has room for is read and counted.
async fn log_stderr(server: Arc<str>, stderr: ChildStderr) {
    let mut reader = BufReader::new(stderr);
    let mut line = Vec::new();
    let mut window = Window::begin();
    loop {
        // waits without reading: what was left out is told in time, though nothing more comes
        let over = tokio::time::sleep_until(window.end);
        let there = tokio::select! {
            there = reader.fill_buf() => there.is_ok_and(|there| !there.is_empty()),
            () = over, if window.has_left_out() => true,
        };
        if window.is_over() || !there {
            window.tell(&server);
            window = Window::begin();
        }
        if !there {
            return;
        }
        if reader.buffer().is_empty() {
            continue;
        }
        line.clear();
        if (&mut reader).take(limit::STDERR_LINE_BYTES as u64).read_until(b'\n', &mut line).await.is_err() {
            return window.tell(&server);
        }
        if window.takes(line.len()) {
            let text = String::from_utf8_lossy(&line);
            tracing::info!(server = %server, stderr = text.trim_end(), "server output");
        }
    }
}

/// What came on stderr within [`limit::STDERR_WINDOW`].
struct Window {
    end: Instant,
    taken: usize,
    lines_left_out: u64,
    bytes_left_out: u64,
}

impl Window {
    fn begin() -> Self {
        Self { end: Instant::now() + limit::STDERR_WINDOW, taken: 0, lines_left_out: 0, bytes_left_out: 0 }
    }

    fn is_over(&self) -> bool {
        Instant::now() >= self.end
    }

    fn has_left_out(&self) -> bool {
        self.lines_left_out > 0
    }

    /// Whether there is room for a line; else it is counted.
    fn takes(&mut self, bytes: usize) -> bool {
        let takes = !self.has_left_out() && self.taken + bytes <= limit::STDERR_BYTES;
        if takes {
            self.taken += bytes;
        } else {
            self.lines_left_out += 1;
            self.bytes_left_out += bytes as u64;
        }
        takes
    }

    fn tell(&self, server: &str) {
        if self.has_left_out() {
            let (lines, bytes) = (self.lines_left_out, self.bytes_left_out);
            tracing::warn!(server, lines, bytes, "server output left out: it writes more than the log takes");
        }
    }
}
