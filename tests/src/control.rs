//! One `sluice-controlplane` as a child process, with a state folder and ports of its own, and a client for it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;
use sluice_contract::v1;
use sluice_contract::v1::admin_client::AdminClient;
use tempfile::TempDir;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Response, Status};

use crate::gateway::Log;
use crate::{Call, Reply, binary, port, process, wait};

/// A control plane that does not answer by then never will.
const READY: Duration = Duration::from_secs(20);
const ATTEMPTS: usize = 5;
/// Answers with thousands of objects are larger than what clients of gRPC take unasked.
const MESSAGE: usize = 64 << 20;

/// A running control plane. Dropped: killed, and the test fails if it had panicked.
pub struct ControlPlane {
    child: Child,
    /// The port for gRPC.
    pub grpc: u16,
    /// The port for HTTP.
    pub http: u16,
    folder: TempDir,
    log: Log,
    env: Vec<(String, String)>,
}

/// What a control plane is started with.
pub struct Start {
    folder: TempDir,
    env: Vec<(String, String)>,
    args: Vec<String>,
}

impl Default for Start {
    fn default() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), env: Vec::new(), args: Vec::new() }
    }
}

impl Start {
    /// With a variable in its environment.
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

    /// The folder its state folder is in.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts on free ports and waits until it answers.
    pub async fn ready(self) -> ControlPlane {
        let mut last = String::new();
        for _ in 0..ATTEMPTS {
            let (grpc, http) = (port::free(), port::free());
            let mut command = command(self.folder.path(), grpc, http);
            command.args(&self.args).envs(self.env.iter().map(|(name, value)| (name, value)));
            let mut child = command.spawn().unwrap();
            let log = Log::of(&mut child);
            if is_ready(&mut child, http).await {
                return ControlPlane { child, grpc, http, folder: self.folder, log, env: self.env };
            }
            last = log.text();
            if !last.contains("in use") {
                break;
            }
        }
        panic!("the control plane did not start:\n{last}");
    }
}

/// The command line, with an environment that says nothing about the machine.
#[must_use]
pub fn command(folder: &Path, grpc: u16, http: u16) -> Command {
    let mut command = Command::new(binary::controlplane());
    command.env_clear().env("HOME", folder).env("RUST_BACKTRACE", "1");
    command.arg("--state-dir").arg(folder.join("state"));
    command.args(["--grpc", &format!("127.0.0.1:{grpc}"), "--http", &format!("127.0.0.1:{http}")]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

async fn is_ready(child: &mut Child, http: u16) -> bool {
    let start = Instant::now();
    while start.elapsed() < READY && child.try_wait().unwrap().is_none() {
        if Call::get("/health").bare().try_send(http).await.is_some_and(|reply| reply.status == 200) {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let _ = child.kill();
    let _ = child.wait();
    false
}

impl ControlPlane {
    /// Starts with nothing in it.
    pub async fn empty() -> Self {
        Start::default().ready().await
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

    /// The token of the first start.
    #[must_use]
    pub fn token(&self) -> String {
        std::fs::read_to_string(self.state().join("admin.token")).unwrap().trim().to_owned()
    }

    /// All of stderr so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.log.text()
    }

    /// A client with the token of the first start.
    pub async fn admin(&self) -> Admin {
        Admin::at(self.grpc, &self.token()).await
    }

    /// A GET on the HTTP port.
    pub async fn get(&self, path: &str) -> Reply {
        Call::get(path).bare().send(self.http).await
    }

    /// A call of the REST API with the token of the first start: status and JSON.
    pub async fn rest(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let call = Call::post(&format!("/api/v1{path}"), body).method(method).key(&self.token());
        let reply = call.send(self.http).await;
        (reply.status, serde_json::from_slice(&reply.body).unwrap_or(Value::Null))
    }

    /// Runs a `sluice` command with the token of the first start.
    #[must_use]
    pub fn sluice(&self, args: &[&str]) -> std::process::Output {
        let mut command = crate::gateway::sluice(self.folder.path());
        command.env("SLUICE_CONTROL_PLANE", format!("http://127.0.0.1:{}", self.grpc));
        command.env("SLUICE_TOKEN", self.token()).args(args).output().unwrap()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        process::signal(self.pid(), signal);
    }

    /// Waits for the process to end.
    pub async fn ended(&mut self) -> ExitStatus {
        let child = &mut self.child;
        wait::within(Duration::from_secs(60), "the control plane ends", || child.try_wait().unwrap()).await
    }

    /// Starts again what ended, on the same state and the same ports.
    pub async fn again(&mut self) {
        self.ended().await;
        assert!(!self.log().contains("panicked at"), "the control plane panicked:\n{}", self.log());
        let mut command = command(self.folder.path(), self.grpc, self.http);
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        self.child = command.spawn().unwrap();
        self.log = Log::of(&mut self.child);
        assert!(is_ready(&mut self.child, self.http).await, "it did not start again:\n{}", self.log());
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let log = self.log.text();
        if std::thread::panicking() {
            eprintln!("---- log of the control plane ----\n{}", &log[log.len().saturating_sub(20_000)..]);
        } else {
            assert!(!log.contains("panicked at"), "the control plane panicked:\n{log}");
        }
    }
}

/// A client of the Admin service. Clones share its connection.
#[derive(Clone)]
pub struct Admin {
    client: AdminClient<Channel>,
    token: String,
}

impl Admin {
    /// A client with a token.
    pub async fn at(port: u16, token: &str) -> Self {
        let endpoint = Endpoint::from_shared(format!("http://127.0.0.1:{port}")).unwrap();
        let channel = endpoint.connect().await.unwrap();
        let client = AdminClient::new(channel).max_decoding_message_size(MESSAGE).max_encoding_message_size(MESSAGE);
        Self { client, token: token.to_owned() }
    }

    /// The generated client, for what has no method here.
    #[must_use]
    pub fn client(&self) -> AdminClient<Channel> {
        self.client.clone()
    }

    /// A request with the token.
    #[must_use]
    pub fn with<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if !self.token.is_empty() {
            request.metadata_mut().insert("authorization", format!("Bearer {}", self.token).parse().unwrap());
        }
        request
    }

    /// Applies a request.
    pub async fn apply(&self, request: v1::ApplyRequest) -> Result<v1::ApplyResponse, Status> {
        self.client().apply(self.with(request)).await.map(Response::into_inner)
    }

    /// Applies servers, as JSON by name; the answer has no faults.
    pub async fn servers(&self, servers: &[(&str, &str)]) -> v1::ApplyResponse {
        let answer = self.apply(servers_request(servers)).await.unwrap();
        assert!(answer.faults.is_empty(), "{:?}", messages(&answer.faults));
        answer
    }

    /// Objects of a kind, or one, at a revision.
    pub async fn get(&self, kind: &str, name: &str, revision: u64) -> Result<v1::GetResponse, Status> {
        let request = v1::GetRequest { kind: kind.into(), name: name.into(), revision };
        self.client().get(self.with(request)).await.map(Response::into_inner)
    }

    /// Makes a token for a person.
    pub async fn person(&self, name: &str, role: &str) -> String {
        let kind = v1::TokenKind::Person.into();
        let request =
            v1::CreateTokenRequest { kind, name: name.into(), role: role.into(), ..v1::CreateTokenRequest::default() };
        self.client().create_token(self.with(request)).await.unwrap().into_inner().token
    }

    /// Whether the audit log is whole, and how long.
    pub async fn audited(&self) -> v1::VerifyAuditResponse {
        self.client().verify_audit(self.with(v1::VerifyAuditRequest {})).await.unwrap().into_inner()
    }
}

/// A request that applies servers, as JSON by name.
#[must_use]
pub fn servers_request(servers: &[(&str, &str)]) -> v1::ApplyRequest {
    let object = |(name, json): &(&str, &str)| v1::Object {
        kind: "server".to_owned(),
        name: (*name).to_owned(),
        spec_json: (*json).to_owned(),
        revision: 0,
    };
    v1::ApplyRequest { objects: servers.iter().map(object).collect(), ..v1::ApplyRequest::default() }
}

/// What faults say, with their places.
#[must_use]
pub fn messages(faults: &[v1::ConfigurationFault]) -> Vec<String> {
    faults.iter().map(|fault| format!("{}: {}", fault.path.join("."), fault.message)).collect()
}

/// The code of a refusal.
pub fn code<T>(result: Result<T, Status>) -> Code {
    result.err().map_or(Code::Ok, |status| status.code())
}
