//! One `sluice-dataplane` as a child process: a node of a fleet, with a state folder and ports of its own.

use std::net::TcpStream;
use std::ops::{Deref, DerefMut};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use sluice_contract::v1;

use crate::program::{Folder, Program};
use crate::{Call, ControlPlane, Reply, binary, metrics, port, wait};

/// How long starting, joining and being pushed to may take on a slow machine.
const SOON: Duration = Duration::from_secs(30);

/// A running node; dereferences to its process.
pub struct Node {
    program: Program,
    /// What it is called.
    pub name: String,
    /// The port for clients.
    pub port: u16,
    /// The admin port.
    pub admin: u16,
    /// The port for links of other nodes.
    pub link: Option<u16>,
    folder: Folder,
    args: Vec<String>,
    env: Vec<(String, String)>,
}

/// What a node is started with.
pub struct Start {
    name: String,
    control_plane: u16,
    token: String,
    host: &'static str,
    port: Option<u16>,
    link: Option<u16>,
    args: Vec<String>,
    env: Vec<(String, String)>,
}

impl Start {
    /// A node that joins a control plane on this port with a token.
    #[must_use]
    pub fn new(name: &str, control_plane: u16, token: &str) -> Self {
        let (args, env) = (Vec::new(), Vec::new());
        Self {
            name: name.into(),
            control_plane,
            token: token.into(),
            host: "127.0.0.1",
            port: None,
            link: None,
            args,
            env,
        }
    }

    /// With a label.
    #[must_use]
    pub fn label(mut self, label: &str) -> Self {
        self.args.extend(["--label".into(), label.into()]);
        self
    }

    /// With a variable in its environment, which otherwise says nothing about the machine.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Taking links of other nodes.
    #[must_use]
    pub fn linked(mut self) -> Self {
        let link = port::free();
        self.link = Some(link);
        self.args.extend(["--link".into(), format!("127.0.0.1:{link}")]);
        self
    }

    /// Listening on all addresses of the machine.
    #[must_use]
    pub fn everywhere(mut self) -> Self {
        self.host = "0.0.0.0";
        self
    }

    /// Listening where the configuration says, which is this port for now.
    #[must_use]
    pub fn configured(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// Starts, and waits for nothing.
    #[must_use]
    pub fn start(self) -> Node {
        let folder = Folder::default();
        let (port, admin) = (self.port.unwrap_or_else(port::free), port::free());
        std::fs::write(folder.path().join("join.token"), &self.token).unwrap();
        let mut args = self.args;
        let flags = [
            ("--control-plane", format!("https://127.0.0.1:{}", self.control_plane)),
            ("--join-token-file", folder.path().join("join.token").display().to_string()),
            ("--node", self.name.clone()),
            ("--admin", format!("127.0.0.1:{admin}")),
            ("--state-dir", folder.path().join("state").display().to_string()),
            ("--workers", "2".to_owned()),
        ];
        if self.port.is_none() {
            args.extend(["--listen".to_owned(), format!("{}:{port}", self.host)]);
        }
        args.extend(flags.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]));
        let program = Program::start(&format!("node {}", self.name), command(&folder, &args, &self.env));
        Node { program, name: self.name, port, admin, link: self.link, folder, args, env: self.env }
    }

    /// Starts and waits until the node serves.
    pub async fn ready(self) -> Node {
        let node = self.start();
        node.is_ready().await;
        node
    }
}

fn command(folder: &Folder, args: &[String], env: &[(String, String)]) -> Command {
    let mut command = Command::new(binary::dataplane());
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", folder.path());
    command.envs(env.iter().map(|(name, value)| (name, value)));
    command.env("RUST_BACKTRACE", "1").args(args).stdout(Stdio::null());
    command
}

impl Deref for Node {
    type Target = Program;

    fn deref(&self) -> &Program {
        &self.program
    }
}

impl DerefMut for Node {
    fn deref_mut(&mut self) -> &mut Program {
        &mut self.program
    }
}

impl Node {
    /// A node that joined, and what it needs for that.
    pub async fn of(control: &ControlPlane, name: &str, labels: &[&str]) -> Start {
        let start = Start::new(name, control.grpc, &join_token(control, name).await);
        labels.iter().fold(start, |start, label| start.label(label))
    }

    /// Waits until it serves.
    pub async fn is_ready(&self) {
        let what = format!("{} is ready", self.name);
        wait::becomes(SOON, &what, async || self.readiness().await, |status| *status == Some(200)).await;
    }

    /// The status of `/readyz`, where there is an answer.
    pub async fn readiness(&self) -> Option<u16> {
        Call::get("/readyz").bare().try_send(self.admin).await.map(|reply| reply.status)
    }

    /// A GET on the admin port.
    pub async fn admin(&self, path: &str) -> Reply {
        Call::get(path).bare().send(self.admin).await
    }

    /// The sum of a metric's values, over all series that have these labels.
    pub async fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        metrics::value(self.admin, name, labels).await
    }

    /// Waits until it runs a revision, or a later one.
    pub async fn runs(&self, revision: u64) {
        let what = format!("{} runs {revision}", self.name);
        wait::becomes(SOON, &what, async || self.revision().await, |runs| *runs >= revision).await;
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

    /// The state folder.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// Gives it another join token.
    pub fn give(&self, token: &str) {
        std::fs::write(self.folder.path().join("join.token"), token).unwrap();
    }

    /// Waits until stderr contains `text`.
    pub async fn logged(&self, text: &str) {
        self.logged_within(SOON, text).await;
    }

    /// Kills it without a word.
    pub async fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.ended_within(SOON).await;
        let port = self.port;
        wait::within(SOON, "its port is free", || TcpStream::connect(("127.0.0.1", port)).is_err().then_some(())).await;
    }

    /// Starts a process beside it that is to take its place: from now on that is this node. What is returned was before.
    #[must_use]
    pub fn succeed(&mut self) -> Program {
        let args = [&self.args[..], &["--take-over".to_owned()]].concat();
        let successor = Program::start(&format!("node {}", self.name), command(&self.folder, &args, &self.env));
        std::mem::replace(&mut self.program, successor)
    }

    /// Starts another process beside it with the same state, on other ports.
    #[must_use]
    pub fn beside(&self) -> Program {
        let ports = ["--listen", "--admin", "--link"];
        let mut args = self.args.clone();
        for at in 1..args.len() {
            if ports.contains(&args[at - 1].as_str()) {
                args[at] = format!("127.0.0.1:{}", port::free());
            }
        }
        Program::start(&format!("beside node {}", self.name), command(&self.folder, &args, &self.env))
    }

    /// Starts it again after it ended, with the same state.
    pub fn again(&mut self) {
        self.program.again(command(&self.folder, &self.args, &self.env));
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
    let what = format!("{name} is seen to be {what}");
    wait::eventually_within(SOON, &what, async || status(control, name).await.filter(|node| is_so(node))).await;
}
