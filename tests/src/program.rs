//! A program under test as a child process: its log, its readiness, its end.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::{Call, port, process, wait};

/// Starting may include the probe of a slow machine's binary; a program that is not ready by then never will be.
const READY: Duration = Duration::from_secs(20);
const ENDED: Duration = Duration::from_secs(60);
const ATTEMPTS: usize = 5;

/// What a program is started with: a folder of its own, and what is particular to the program.
#[derive(Default)]
pub struct Start<P> {
    pub(crate) own: P,
    pub(crate) folder: Folder,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) args: Vec<String>,
}

/// A folder that goes with the program it was made for.
pub(crate) struct Folder(TempDir);

impl Default for Folder {
    fn default() -> Self {
        Self(tempfile::tempdir().unwrap())
    }
}

impl Folder {
    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

impl<P> Start<P> {
    /// With a variable in its environment, which otherwise says nothing about the machine.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// With a further argument.
    #[must_use]
    pub fn arg(mut self, arg: &str) -> Self {
        self.args.push(arg.into());
        self
    }

    /// The folder of its own, for files that it is to find.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

/// A running program. Dropped: killed, and the test fails if it had panicked.
pub struct Program {
    name: String,
    child: Child,
    log: Log,
}

impl Program {
    /// Starts a command, without input and with its stderr as its log, and waits for nothing.
    #[must_use]
    pub fn start(name: &str, command: Command) -> Self {
        let (child, log) = spawn(command);
        Self { name: name.into(), child, log }
    }

    /// Starts what `command` makes of two free ports, and waits until the second of them answers this path with 200.
    pub async fn on_free_ports(name: &str, path: &str, command: impl Fn([u16; 2]) -> Command) -> (Self, [u16; 2]) {
        let mut last = String::new();
        for _ in 0..ATTEMPTS {
            let ports = [port::free(), port::free()];
            let mut program = Self::start(name, command(ports));
            if program.is_ready(ports[1], path).await {
                return (program, ports);
            }
            last = program.log();
            if !last.contains("in use") {
                break;
            }
        }
        panic!("{name} did not start:\n{last}");
    }

    /// Waits until a port of it answers this path with 200; `false`: it ended before.
    pub async fn is_ready(&mut self, port: u16, path: &str) -> bool {
        let (what, call) = (format!("{} is ready", self.name), Call::get(path).bare());
        let child = &mut self.child;
        wait::eventually_within(READY, &what, async || {
            if child.try_wait().unwrap().is_some() {
                return Some(false);
            }
            call.try_send(port).await.is_some_and(|reply| reply.status == 200).then_some(true)
        })
        .await
    }

    /// The process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// All of stderr so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.log.text()
    }

    /// Waits until stderr contains `text`.
    pub async fn logged(&self, text: &str) {
        self.logged_within(wait::SOON, text).await;
    }

    /// As [`Program::logged`], with a deadline of its own.
    pub async fn logged_within(&self, deadline: Duration, text: &str) {
        let what = format!("{text:?} in the log of {}", self.name);
        wait::within(deadline, &what, || self.log().contains(text).then_some(())).await;
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        process::signal(self.pid(), signal);
    }

    /// Waits for the process to end.
    pub async fn ended(&mut self) -> ExitStatus {
        self.ended_within(ENDED).await
    }

    /// As [`Program::ended`], with a deadline of its own.
    pub async fn ended_within(&mut self, deadline: Duration) -> ExitStatus {
        let what = format!("{} ends", self.name);
        wait::within(deadline, &what, || self.child.try_wait().unwrap()).await
    }

    /// Starts a command in the place of the one that ended.
    pub fn again(&mut self, command: Command) {
        self.assert_sound();
        (self.child, self.log) = spawn(command);
    }

    fn assert_sound(&self) {
        let log = self.log();
        assert!(!log.contains("panicked at"), "{} panicked:\n{log}", self.name);
    }
}

fn spawn(mut command: Command) -> (Child, Log) {
    let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let log = Log::of(&mut child);
    (child, log)
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = self.log();
            eprintln!("---- log of {} ----\n{}", self.name, &log[log.len().saturating_sub(20_000)..]);
        } else {
            self.assert_sound();
        }
    }
}

/// The lines of a process's stderr, collected by a thread.
#[derive(Clone)]
pub struct Log(Arc<Mutex<String>>);

impl Log {
    /// Takes over the stderr of a child.
    pub fn of(child: &mut Child) -> Self {
        let log = Self(Arc::default());
        let (lines, text) = (BufReader::new(child.stderr.take().unwrap()), Arc::clone(&log.0));
        std::thread::spawn(move || {
            for line in lines.split(b'\n').map_while(Result::ok) {
                let mut text = text.lock().unwrap();
                text.push_str(&String::from_utf8_lossy(&line));
                text.push('\n');
            }
        });
        log
    }

    /// What was written so far.
    #[must_use]
    pub fn text(&self) -> String {
        self.0.lock().unwrap().clone()
    }
}
