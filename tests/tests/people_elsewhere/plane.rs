//! A control plane on an address of this machine that others could reach, and clients that know how to speak to it.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use sluice_tests::program::Program;
use sluice_tests::{binary, gateway, port, wait};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

const ATTEMPTS: usize = 5;
/// Fetches a URL without looking at the certificate.
const FETCH: &str = "import ssl, sys, urllib.request\n\
    context = ssl._create_unverified_context()\n\
    sys.stdout.buffer.write(urllib.request.urlopen(sys.argv[1], context=context).read())";

/// A running control plane.
pub(crate) struct Plane {
    pub(crate) program: Program,
    pub(crate) ip: IpAddr,
    grpc: u16,
    http: u16,
    folder: TempDir,
}

/// The address by which this machine reaches others; nothing is sent to find it.
pub(crate) fn own_address() -> IpAddr {
    let reaches = |from: &str, to: &str| {
        let socket = UdpSocket::bind(from).ok()?;
        socket.connect(to).ok()?;
        socket.local_addr().ok().map(|address| address.ip())
    };
    let found = reaches("0.0.0.0:0", "198.51.100.1:9").or_else(|| reaches("[::]:0", "[2001:db8::1]:9"));
    found.filter(|ip| !ip.is_loopback()).expect("this machine has an address besides loopback, as these tests need")
}

fn command(folder: &Path, ip: IpAddr, grpc: u16, http: u16, args: &[&str]) -> Command {
    let mut command = Command::new(binary::controlplane());
    command.env_clear().env("HOME", folder).env("RUST_BACKTRACE", "1").arg("--state-dir").arg(folder.join("state"));
    let [grpc, http] = [grpc, http].map(|port| SocketAddr::new(ip, port).to_string());
    command.args(["--grpc", &grpc, "--http", &http]).args(args);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// What is said by one that cannot start.
pub(crate) fn refused(folder: &Path, args: &[&str]) -> String {
    let output = command(folder, own_address(), port::free(), port::free(), args).output().unwrap();
    assert!(!output.status.success());
    String::from_utf8_lossy(&output.stderr).into_owned()
}

impl Plane {
    pub(crate) async fn start(args: &[&str]) -> Self {
        let ip = own_address();
        for _ in 0..ATTEMPTS {
            let (folder, grpc, http) = (tempfile::tempdir().unwrap(), port::free(), port::free());
            let program = Program::start("the control plane", command(folder.path(), ip, grpc, http, args));
            let said = |text: &str| program.log().contains(text);
            let serves = wait::until("it serves, or cannot", || {
                if said("\"serving\"") { Some(true) } else { said("in use").then_some(false) }
            });
            if serves.await {
                return Self { program, ip, grpc, http, folder };
            }
        }
        panic!("no free ports");
    }

    pub(crate) fn grpc(&self) -> SocketAddr {
        SocketAddr::new(self.ip, self.grpc)
    }

    pub(crate) fn http(&self) -> SocketAddr {
        SocketAddr::new(self.ip, self.http)
    }

    /// For people.
    pub(crate) fn url(&self) -> String {
        format!("https://{}", self.grpc())
    }

    pub(crate) fn token(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("state/admin.token")).unwrap().trim().to_owned()
    }

    /// Its authority, as anybody can fetch it; that it is genuine is for the caller to find out.
    pub(crate) async fn authority(&self) -> CertificateDer<'static> {
        let url = format!("https://{}/authority.pem", self.http());
        let output = Command::new("python3").args(["-c", FETCH, &url]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        CertificateDer::from_pem_slice(&output.stdout).unwrap()
    }

    /// Starts a node with a join token, and ends it when it has joined.
    pub(crate) async fn joined_by(&self, name: &str, token: &str) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("join.token");
        std::fs::write(&file, token).unwrap();
        let mut command = Command::new(binary::dataplane());
        command.env_clear().env("HOME", folder.path()).arg("--join-token-file").arg(&file);
        command.arg("--state-dir").arg(folder.path()).args(["--control-plane", &self.url(), "--node", name]);
        command.args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
        command.stdout(Stdio::null());
        Program::start(name, command).logged("\"joined\"").await;
    }

    /// Runs `sluice` as somebody elsewhere would: exit code, stdout, stderr.
    pub(crate) fn sluice(&self, url: &str, token: &str, args: &[&str]) -> (i32, String, String) {
        let home = tempfile::tempdir().unwrap();
        let mut command = gateway::sluice(home.path());
        command.env("SLUICE_CONTROL_PLANE", url).env("SLUICE_TOKEN", token).args(args);
        let output = command.stdin(Stdio::null()).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    }
}

/// SHA-256 in hexadecimal.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    digest.as_ref().iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A GET over TLS that trusts one authority: status and body.
pub(crate) async fn https(
    address: SocketAddr,
    name: &str,
    authority: &CertificateDer<'static>,
    path: &str,
    token: &str,
) -> std::io::Result<(u16, String)> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(config.with_root_certificates(roots).with_no_client_auth());
    let tcp = TcpStream::connect(address).await?;
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let answer = exchange(TlsConnector::from(config).connect(name, tcp).await?, path, token).await?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    Ok((head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned()))
}

/// A GET without TLS: the whole answer.
pub(crate) async fn plain(address: SocketAddr, token: &str) -> String {
    exchange(TcpStream::connect(address).await.unwrap(), "/api/v1/summary", token).await.unwrap()
}

async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    path: &str,
    token: &str,
) -> std::io::Result<String> {
    let head = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}
