//! Runs services as processes of this machine: each has an address of loopback of its own, and folders instead of volumes.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use sluice_tests::program::Program;
use sluice_tests::{Call, Reply, binary};
use tempfile::TempDir;
use tokio::net::TcpStream;

use super::dockerfile::{Image, images};

/// All services of the file.
pub(crate) struct Engine {
    file: Value,
    images: HashMap<String, Image>,
    /// Where each service is.
    addresses: BTreeMap<String, String>,
    folder: TempDir,
}

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy")
}

impl Engine {
    pub(crate) fn new() -> Self {
        let read = |path: &str| std::fs::read_to_string(deploy().join(path)).unwrap();
        let file: Value = serde_saphyr::from_str(&read("compose/compose.yaml")).unwrap();
        let services = file["services"].as_object().unwrap();
        // another run beside this one has other addresses
        let net = std::process::id() % 250 + 2;
        let address = |(at, name): (usize, &String)| (name.clone(), format!("127.1.{net}.{}", at + 1));
        let addresses = services.keys().enumerate().map(address).collect();
        Self { addresses, images: images(&read("docker/Dockerfile")), folder: tempfile::tempdir().unwrap(), file }
    }

    pub(crate) fn services(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.file["services"].as_object().unwrap().iter()
    }

    pub(crate) fn image(&self, target: &str) -> &Image {
        &self.images[target]
    }

    /// Starts a service.
    pub(crate) fn start(&self, service: &str) -> Program {
        let mut command = self.command(service, None);
        command.stdout(Stdio::null());
        Program::start(service, command)
    }

    /// Runs a service to its end: exit code, and what it said.
    pub(crate) fn finished(&self, service: &str) -> (i32, String) {
        let output = self.command(service, None).stdin(Stdio::null()).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    }

    /// As `docker compose run --rm SERVICE ARGS…`: exit code and stdout.
    pub(crate) fn run(&self, service: &str, args: &[&str]) -> (i32, String) {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        let output = self.command(service, Some(args)).stdin(Stdio::null()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
    }

    /// The status of a request to a service.
    pub(crate) async fn ping(&self, service: &str, port: u16, path: &str, key: &str) -> u16 {
        let host = format!("{}:{port}", self.addresses[service]);
        let Ok(stream) = TcpStream::connect(&host).await else { return 0 };
        let io = hyper_util::rt::TokioIo::new(stream);
        let (mut client, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
        tokio::spawn(connection);
        let initialize = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25",
            "capabilities":{},"clientInfo":{"name":"test","version":"1"}}}"#;
        let discover = Call::modern(path, "server/discover", 1, serde_json::json!({}));
        let call = if path.contains("legacy") { Call::post(path, initialize) } else { discover };
        let answer = client.send_request(call.key(key).request(&host)).await.unwrap();
        Reply::read(answer).await.unwrap().status
    }

    fn command(&self, service: &str, args: Option<Vec<String>>) -> Command {
        let about = &self.file["services"][service];
        let image = self.image(about["build"]["target"].as_str().unwrap());
        let mut words = match about["entrypoint"].as_array() {
            Some(entrypoint) => texts(entrypoint),
            None => image.entrypoint.clone(),
        };
        words.extend(args.unwrap_or_else(|| about["command"].as_array().map(|words| texts(words)).unwrap_or_default()));
        let words: Vec<String> = words.iter().map(|word| self.here(service, word)).collect();
        let mut command = Command::new(program(&words[0]));
        command.args(&words[1..]).env_clear().env("HOME", self.folder.path()).env("PATH", path());
        let own = about["environment"].as_object().into_iter().flatten();
        let own = own.map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned()));
        for (name, value) in image.env.iter().cloned().chain(own) {
            command.env(name, self.here(service, &value));
        }
        // each container has a loopback of its own
        command.env("SLUICE_ADMIN", format!("{}:8001", self.addresses[service]));
        command
    }

    /// A text as it is meant on this machine: paths in volumes, names of services, all addresses.
    fn here(&self, service: &str, text: &str) -> String {
        let mut text = text.replace("$$", "$").replace("0.0.0.0", &self.addresses[service]);
        for (name, address) in &self.addresses {
            text = text.replace(&format!("//{name}:"), &format!("//{address}:"));
            if let Some(port) = text.strip_prefix(&format!("{name}:")) {
                text = format!("{address}:{port}");
            }
        }
        for volume in self.file["services"][service]["volumes"].as_array().into_iter().flatten() {
            let mut parts = volume.as_str().unwrap().split(':');
            let (from, to) = (parts.next().unwrap(), parts.next().unwrap());
            text = text.replace(to, &self.volume(service, from).display().to_string());
        }
        text
    }

    /// The folder of a volume, or a copy of a file in which services have their addresses.
    fn volume(&self, service: &str, from: &str) -> PathBuf {
        let place = self.folder.path().join(from);
        match from.strip_prefix("./") {
            Some(file) => {
                let mut text = std::fs::read_to_string(deploy().join("compose").join(file)).unwrap();
                for (name, address) in &self.addresses {
                    text = text.replace(&format!("//{name}:"), &format!("//{address}:"));
                }
                std::fs::write(&place, text).unwrap();
            }
            None => {
                assert!(self.file["volumes"].as_object().unwrap().contains_key(from), "{service}: no volume {from}");
                std::fs::create_dir_all(&place).unwrap();
            }
        }
        place
    }
}

fn texts(words: &[Value]) -> Vec<String> {
    words.iter().map(|word| word.as_str().unwrap().to_owned()).collect()
}

fn program(path: &str) -> PathBuf {
    match path.rsplit('/').next().unwrap() {
        "sluice" => binary::sluice().to_owned(),
        "sluice-controlplane" => binary::controlplane().to_owned(),
        "sluice-dataplane" => binary::dataplane().to_owned(),
        _ => PathBuf::from(path),
    }
}

/// Where the programs of this test are, before those of the machine.
fn path() -> String {
    let folder = binary::sluice().parent().unwrap();
    format!("{}:/usr/bin:/bin", folder.display())
}
