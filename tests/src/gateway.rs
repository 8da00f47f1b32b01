//! One `sluice run` as a child process, with a configuration, a state folder and ports of its own.

use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use serde_json::{Value, json};

use crate::program::{self, Folder, Program};
use crate::{Call, Reply, binary, metrics};

/// A running gateway; dereferences to its process.
pub struct Gateway {
    program: Program,
    /// The port for clients.
    pub port: u16,
    /// The admin port.
    pub admin: u16,
    folder: Folder,
}

/// What a gateway is started with; its environment otherwise has `PATH` and `HOME` only.
pub type Start = program::Start<Config>;

/// The text of a configuration file.
pub struct Config(String);

impl Start {
    /// A start with this configuration.
    #[must_use]
    pub fn new(config: Value) -> Self {
        Self::written(&format!("{config:#}"))
    }

    /// A start with this configuration, as text: for what depends on the order of keys.
    #[must_use]
    pub fn written(config: &str) -> Self {
        Self { own: Config(config.into()), folder: Folder::default(), env: Vec::new(), args: Vec::new() }
    }

    /// The command line, without ports.
    #[must_use]
    pub fn command(&self) -> Command {
        let file = self.folder.path().join("mcp.json");
        std::fs::write(&file, &self.own.0).unwrap();
        let mut command = sluice(self.folder.path());
        command.arg("run").arg("--config").arg(file).args(&self.args);
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Starts on free ports and waits for readiness.
    pub async fn ready(self) -> Gateway {
        let command = |[port, admin]: [u16; 2]| {
            let mut command = self.command();
            command.args(["--listen", &format!("127.0.0.1:{port}"), "--admin", &format!("127.0.0.1:{admin}")]);
            command
        };
        let (program, [port, admin]) = Program::on_free_ports("the gateway", "/readyz", command).await;
        Gateway { program, port, admin, folder: self.folder }
    }

    /// Starts where the configuration says, which is this port for now, and waits for readiness.
    pub async fn configured(self, port: u16) -> Gateway {
        let command = |[_, admin]: [u16; 2]| {
            let mut command = self.command();
            command.args(["--admin", &format!("127.0.0.1:{admin}")]);
            command
        };
        let (program, [_, admin]) = Program::on_free_ports("the gateway", "/readyz", command).await;
        Gateway { program, port, admin, folder: self.folder }
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

impl Deref for Gateway {
    type Target = Program;

    fn deref(&self) -> &Program {
        &self.program
    }
}

impl DerefMut for Gateway {
    fn deref_mut(&mut self) -> &mut Program {
        &mut self.program
    }
}

impl Gateway {
    /// Starts with the given servers and all else at its default.
    pub async fn with(servers: Value) -> Self {
        Start::new(json!({ "servers": servers })).ready().await
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

    /// A GET on the admin port.
    pub async fn admin(&self, path: &str) -> Reply {
        Call::get(path).bare().send(self.admin).await
    }

    /// The value of a metric, summed over its samples that contain every one of `labels`.
    pub async fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        metrics::value(self.admin, name, labels).await
    }

    /// Runs another `sluice` command on the same state.
    #[must_use]
    pub fn run(&self, args: &[&str]) -> std::process::Output {
        sluice(self.folder()).args(args).output().unwrap()
    }
}
