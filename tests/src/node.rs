//! One `sluice-dataplane` as a child process: a node of a fleet, with a state folder and ports of its own.

use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use sluice_contract::v1;
use tempfile::TempDir;

use crate::gateway::Log;
use crate::{Call, ControlPlane, Reply, binary, port, process, wait};

/// How long starting, joining and being pushed to may take on a slow machine.
const SOON: Duration = Duration::from_secs(30);

/// A running node. Dropped: killed, and the test fails if it had panicked.
pub struct Node {
    child: Child,
    /// What it is called.
    pub name: String,
    /// The port for clients.
    pub port: u16,
    /// The admin port.
    pub admin: u16,
    folder: TempDir,
    args: Vec<String>,
    log: Log,
}

/// What a node is started with.
pub struct Start {
    name: String,
    control_plane: u16,
    token: String,
    host: &'static str,
    args: Vec<String>,
}

impl Start {
    /// A node that joins a control plane on this port with a token.
    #[must_use]
    pub fn new(name: &str, control_plane: u16, token: &str) -> Self {
        Self { name: name.into(), control_plane, token: token.into(), host: "127.0.0.1", args: Vec::new() }
    }

    /// With a label.
    #[must_use]
    pub fn label(mut self, label: &str) -> Self {
        self.args.extend(["--label".into(), label.into()]);
        self
    }

    /// Listening on all addresses of the machine.
    #[must_use]
    pub fn everywhere(mut self) -> Self {
        self.host = "0.0.0.0";
        self
    }

    /// Starts, and waits for nothing.
    #[must_use]
    pub fn start(self) -> Node {
        let folder = tempfile::tempdir().unwrap();
        let (port, admin) = (port::free(), port::free());
        std::fs::write(folder.path().join("join.token"), &self.token).unwrap();
        let mut args = self.args;
        let flags = [
            ("--control-plane", format!("https://127.0.0.1:{}", self.control_plane)),
            ("--join-token-file", folder.path().join("join.token").display().to_string()),
            ("--node", self.name.clone()),
            ("--listen", format!("{}:{port}", self.host)),
            ("--admin", format!("127.0.0.1:{admin}")),
            ("--state-dir", folder.path().join("state").display().to_string()),
            ("--workers", "2".to_owned()),
        ];
        args.extend(flags.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]));
        let (child, log) = spawn(&folder, &args);
        Node { child, name: self.name, port, admin, folder, args, log }
    }

    /// Starts and waits until the node serves.
    pub async fn ready(self) -> Node {
        let node = self.start();
        node.is_ready().await;
        node
    }
}

fn spawn(folder: &TempDir, args: &[String]) -> (Child, Log) {
    let mut command = Command::new(binary::dataplane());
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", folder.path());
    command.env("RUST_BACKTRACE", "1").args(args);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let log = Log::of(&mut child);
    (child, log)
}

impl Node {
    /// A node that joined, and what it needs for that.
    pub async fn of(control: &ControlPlane, name: &str, labels: &[&str]) -> Start {
        let start = Start::new(name, control.grpc, &join_token(control, name).await);
        labels.iter().fold(start, |start, label| start.label(label))
    }

    /// Waits until it serves.
    pub async fn is_ready(&self) {
        let start = std::time::Instant::now();
        while self.readiness().await != Some(200) {
            assert!(start.elapsed() < SOON, "{} is not ready:\n{}", self.name, self.log.text());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The status of `/readyz`, where there is an answer.
    pub async fn readiness(&self) -> Option<u16> {
        Call::get("/readyz").bare().try_send(self.admin).await.map(|reply| reply.status)
    }

    /// A GET on the admin port.
    pub async fn admin(&self, path: &str) -> Reply {
        Call::get(path).bare().send(self.admin).await
    }

    /// Waits until it runs a revision, or a later one.
    pub async fn runs(&self, revision: u64) {
        let start = std::time::Instant::now();
        while self.revision().await < revision {
            assert!(start.elapsed() < SOON, "{} does not run {revision}:\n{}", self.name, self.log.text());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The revision it runs; 0: none.
    pub async fn revision(&self) -> u64 {
        self.config().await["revision"].as_u64().unwrap_or_default()
    }

    /// The generation it runs; 0: none.
    pub async fn generation(&self) -> u64 {
        self.config().await["generation"].as_u64().unwrap_or_default()
    }

    async fn config(&self) -> serde_json::Value {
        let reply = Call::get("/config").bare().try_send(self.admin).await;
        reply.and_then(|reply| serde_json::from_slice(&reply.body).ok()).unwrap_or_default()
    }

    /// The process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The state folder.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// Gives it another join token.
    pub fn give(&self, token: &str) {
        std::fs::write(self.folder.path().join("join.token"), token).unwrap();
    }

    /// All of stderr so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.log.text()
    }

    /// Waits until stderr contains `text`.
    pub async fn logged(&self, text: &str) {
        wait::within(SOON, &format!("{text:?} in the log"), || self.log().contains(text).then_some(())).await;
    }

    /// Kills it without a word.
    pub async fn kill(&mut self) {
        process::signal(self.pid(), Signal::KILL);
        let child = &mut self.child;
        wait::within(SOON, "the node ends", || child.try_wait().unwrap()).await;
        let port = self.port;
        wait::within(SOON, "its port is free", || TcpStream::connect(("127.0.0.1", port)).is_err().then_some(())).await;
    }

    /// Starts it again after it was killed, with the same state.
    pub fn again(&mut self) {
        assert!(!self.log().contains("panicked at"), "the node panicked:\n{}", self.log());
        (self.child, self.log) = spawn(&self.folder, &self.args);
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let log = self.log.text();
        if std::thread::panicking() {
            eprintln!("---- log of {} ----\n{}", self.name, &log[log.len().saturating_sub(20_000)..]);
        } else {
            assert!(!log.contains("panicked at"), "the node panicked:\n{log}");
        }
    }
}

/// A token that admits one node.
pub async fn join_token(control: &ControlPlane, name: &str) -> String {
    let kind = v1::TokenKind::Join.into();
    let request = v1::CreateTokenRequest { kind, name: name.into(), ..v1::CreateTokenRequest::default() };
    let admin = control.admin().await;
    admin.client().create_token(admin.with(request)).await.unwrap().into_inner().token
}

/// How a control plane sees a node; `None`: it does not know it.
pub async fn status(control: &ControlPlane, name: &str) -> Option<v1::NodeStatus> {
    let admin = control.admin().await;
    let status = admin.client().status(admin.with(v1::StatusRequest {})).await.unwrap().into_inner();
    status.nodes.into_iter().find(|node| node.node == name)
}

/// Waits until a control plane sees a node as it should be.
pub async fn seen(control: &ControlPlane, name: &str, what: &str, is_so: impl Fn(&v1::NodeStatus) -> bool) {
    let start = std::time::Instant::now();
    while !status(control, name).await.is_some_and(|node| is_so(&node)) {
        assert!(start.elapsed() < SOON, "{name} is not seen to be {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
