//! One `sluice run` as a child process, with a configuration, a state folder and ports of its own.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{Call, Reply, binary, port, process, wait};

/// Starting may include the probe of a slow machine's binary; a gateway that is not ready by then never will be.
const READY: Duration = Duration::from_secs(20);
const ATTEMPTS: usize = 5;

/// A running gateway. Dropped: killed, and the test fails if it had panicked.
pub struct Gateway {
    child: Child,
    /// The port for clients.
    pub port: u16,
    /// The admin port.
    pub admin: u16,
    folder: TempDir,
    log: Log,
}

/// What a gateway is started with.
pub struct Start {
    config: String,
    env: Vec<(String, String)>,
    args: Vec<String>,
    folder: TempDir,
}

impl Start {
    /// A start with this configuration.
    #[must_use]
    pub fn new(config: Value) -> Self {
        Self::written(&format!("{config:#}"))
    }

    /// A start with this configuration, as text: for what depends on the order of keys.
    #[must_use]
    pub fn written(config: &str) -> Self {
        Self { config: config.into(), env: Vec::new(), args: Vec::new(), folder: tempfile::tempdir().unwrap() }
    }

    /// With a variable in the gateway's environment, which otherwise has `PATH` and `HOME` only.
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

    /// The folder of the configuration file, for files that lie beside it.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The command line, without ports.
    #[must_use]
    pub fn command(&self) -> Command {
        let file = self.folder.path().join("mcp.json");
        std::fs::write(&file, &self.config).unwrap();
        let mut command = sluice(self.folder.path());
        command.arg("run").arg("--config").arg(file).args(&self.args);
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Starts on free ports and waits for readiness.
    pub async fn ready(self) -> Gateway {
        let mut last = String::new();
        for _ in 0..ATTEMPTS {
            let (port, admin) = (port::free(), port::free());
            let mut command = self.command();
            command.args(["--listen", &format!("127.0.0.1:{port}"), "--admin", &format!("127.0.0.1:{admin}")]);
            let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
            let log = Log::of(&mut child);
            if is_ready(&mut child, admin).await {
                return Gateway { child, port, admin, folder: self.folder, log };
            }
            last = log.text();
            if !last.contains("in use") {
                break;
            }
        }
        panic!("the gateway did not start:\n{last}");
    }

    /// Starts where starting must fail: exit status and stderr.
    #[must_use]
    pub fn refused(self) -> (ExitStatus, String) {
        let mut command = self.command();
        let output = command.stdin(Stdio::null()).output().unwrap();
        (output.status, String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

/// `sluice` with an environment that says nothing about the machine, and its state below `folder`.
#[must_use]
pub fn sluice(folder: &Path) -> Command {
    let mut command = Command::new(binary::sluice());
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", folder);
    command.env("RUST_BACKTRACE", "1");
    command
}

async fn is_ready(child: &mut Child, admin: u16) -> bool {
    let start = std::time::Instant::now();
    while start.elapsed() < READY && child.try_wait().unwrap().is_none() {
        if Call::get("/readyz").bare().try_send(admin).await.is_some_and(|reply| reply.status == 200) {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let _ = child.kill();
    let _ = child.wait();
    false
}

impl Gateway {
    /// Starts with the given servers and all else at its default.
    pub async fn with(servers: Value) -> Self {
        Start::new(json!({ "servers": servers })).ready().await
    }

    /// The process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The folder of the configuration and the state.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The configuration file.
    #[must_use]
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("mcp.json")
    }

    /// All of stderr so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.log.text()
    }

    /// Waits until stderr contains `text`.
    pub async fn logged(&self, text: &str) {
        wait::until(&format!("{text:?} in the log"), || self.log().contains(text).then_some(())).await;
    }

    /// A GET on the admin port.
    pub async fn admin(&self, path: &str) -> Reply {
        Call::get(path).bare().send(self.admin).await
    }

    /// The value of a metric, summed over its samples that contain every one of `labels`.
    pub async fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        let text = self.admin("/metrics").await.text();
        text.lines()
            .filter(|line| line.split(['{', ' ']).next() == Some(name) && labels.iter().all(|l| line.contains(l)))
            .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
            .sum()
    }

    /// Runs another `sluice` command on the same state.
    #[must_use]
    pub fn run(&self, args: &[&str]) -> std::process::Output {
        sluice(self.folder()).args(args).output().unwrap()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        process::signal(self.pid(), signal);
    }

    /// Waits for the process to end.
    pub async fn ended(&mut self) -> ExitStatus {
        let child = &mut self.child;
        wait::within(Duration::from_secs(60), "the gateway ends", || child.try_wait().unwrap()).await
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let log = self.log.text();
        if std::thread::panicking() {
            eprintln!("---- log of the gateway ----\n{}", &log[log.len().saturating_sub(20_000)..]);
        } else {
            assert!(!log.contains("panicked at"), "the gateway panicked:\n{log}");
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
