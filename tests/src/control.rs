//! One `sluice-controlplane` as a child process, with a state folder and ports of its own, and a client for it.

use std::io::Write as _;
use std::ops::{Deref, DerefMut};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use sluice_contract::v1;
use sluice_contract::v1::admin_client::AdminClient;
use tempfile::TempDir;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Response, Status};

use crate::disk::Disk;
use crate::program::{self, Folder, Program};
use crate::{Call, Reply, binary};

/// Answered as soon as a control plane serves.
const HEALTH: &str = "/health";
/// Answers with thousands of objects are larger than what clients of gRPC take unasked.
const MESSAGE: usize = 64 << 20;

/// The files of the database, as far as they are there; what is in shared memory is made anew.
const DATABASE: [&str; 3] = ["controlplane.db", "controlplane.db-wal", "controlplane.db-shm"];

/// A running control plane; dereferences to its process.
pub struct ControlPlane {
    program: Program,
    /// The port for gRPC.
    pub grpc: u16,
    /// The port for HTTP.
    pub http: u16,
    folder: Folder,
    env: Vec<(String, String)>,
    disk: Option<Disk>,
}

/// What a control plane is started with; its state folder is in its folder.
pub type Start = program::Start<Empty>;

/// A control plane starts with nothing in it.
#[derive(Default)]
pub struct Empty {
    disk: Option<Disk>,
}

impl Start {
    /// With its state folder on this disk; it cannot be started again.
    #[must_use]
    pub fn on(mut self, disk: Disk) -> Self {
        self.own.disk = Some(disk);
        self
    }

    /// Starts on free ports and waits until it answers.
    pub async fn ready(self) -> ControlPlane {
        let command = |[grpc, http]: [u16; 2]| {
            let mut command = command(self.folder(), grpc, http);
            command.args(&self.args).envs(self.env.iter().map(|(name, value)| (name, value)));
            match self.own.disk {
                Some(disk) => disk.under(&state(self.folder()), &command),
                None => command,
            }
        };
        let (program, [grpc, http]) = Program::on_free_ports("the control plane", HEALTH, command).await;
        ControlPlane { program, grpc, http, folder: self.folder, env: self.env, disk: self.own.disk }
    }
}

fn state(folder: &Path) -> PathBuf {
    folder.join("state")
}

/// The command line, with an environment that says nothing about the machine.
#[must_use]
pub fn command(folder: &Path, grpc: u16, http: u16) -> Command {
    let mut command = Command::new(binary::controlplane());
    command.env_clear().env("HOME", folder).env("RUST_BACKTRACE", "1");
    command.arg("--state-dir").arg(state(folder));
    command.args(["--grpc", &format!("127.0.0.1:{grpc}"), "--http", &format!("127.0.0.1:{http}")]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

impl Deref for ControlPlane {
    type Target = Program;

    fn deref(&self) -> &Program {
        &self.program
    }
}

impl DerefMut for ControlPlane {
    fn deref_mut(&mut self) -> &mut Program {
        &mut self.program
    }
}

impl ControlPlane {
    /// Starts with nothing in it.
    pub async fn empty() -> Self {
        Start::default().ready().await
    }

    /// The state folder.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        let state = self.state_as_it_says();
        self.disk.map_or(state.clone(), |disk| disk.seen(&state, self.pid()))
    }

    /// The same by the name that it has for it.
    #[must_use]
    pub fn state_as_it_says(&self) -> PathBuf {
        state(self.folder.path())
    }

    /// Its disk takes nothing more from now on.
    pub fn fill_disk(&self) {
        self.disk.unwrap().fill(&self.state_as_it_says(), self.pid());
    }

    /// There is room on its disk again.
    pub fn make_room(&self) {
        self.disk.unwrap().make_room(&self.state_as_it_says(), self.pid());
    }

    /// The token of the first start.
    #[must_use]
    pub fn token(&self) -> String {
        std::fs::read_to_string(self.state().join("admin.token")).unwrap().trim().to_owned()
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
    pub fn sluice(&self, args: &[&str]) -> Output {
        self.sluice_fed("", args)
    }

    /// The same, with something on its stdin.
    #[must_use]
    pub fn sluice_fed(&self, input: &str, args: &[&str]) -> Output {
        let mut command = crate::gateway::sluice(self.folder.path());
        command.env("SLUICE_CONTROL_PLANE", format!("http://127.0.0.1:{}", self.grpc));
        command.env("SLUICE_TOKEN", self.token()).args(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // dropped behind it: that is all there is to read
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }

    /// A variable that `sluice` finds from now on where its environment has none.
    pub fn credential(&self, name: &str, value: &str) {
        let folder = self.folder.path().join(".config/sluice");
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("credentials.json");
        std::fs::write(&file, serde_json::json!({ name: value }).to_string()).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// A copy of its database, once it has ended.
    #[must_use]
    pub fn backup(&self) -> Backup {
        let folder = tempfile::tempdir().unwrap();
        DATABASE.iter().for_each(|file| drop(std::fs::copy(self.state().join(file), folder.path().join(file))));
        Backup(folder)
    }

    /// Puts a copy in the place of its database, once it has ended.
    pub fn restore(&self, backup: &Backup) {
        for file in DATABASE {
            let _ = std::fs::remove_file(self.state().join(file));
            let _ = std::fs::copy(backup.0.path().join(file), self.state().join(file));
        }
    }

    /// Starts again what ended, on the same state and the same ports.
    pub async fn again(&mut self) {
        self.ended().await;
        let mut command = command(self.folder.path(), self.grpc, self.http);
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        self.program.again(command);
        let port = self.http;
        assert!(self.program.is_ready(port, HEALTH).await, "it did not start again:\n{}", self.log());
    }
}

/// The database of a control plane as it was.
pub struct Backup(TempDir);

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
