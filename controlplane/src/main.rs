//! `sluice-controlplane`: owns configuration, credentials and policy of a fleet, and tells each node its part.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use sluice_controlplane::app::{self, Lost};
use sluice_controlplane::listen::CertificateFiles;
use sluice_controlplane::settings::{GRPC, HTTP, Settings};

/// A change of many tools is many small values, made on one thread and dropped on another; this allocator is made for that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Keeps the configuration of a fleet of gateways, and brings every node to it.
#[derive(Debug, Parser)]
#[command(name = "sluice-controlplane", version)]
#[command(after_help = "\
Examples:
  sluice-controlplane --state-dir /var/lib/sluice
  sluice-controlplane --state-dir ./state --grpc 127.0.0.1:9500 --http 127.0.0.1:9501
  sluice-controlplane --state-dir /var/lib/sluice --grpc [::]:9400 --http [::]:9401 --name control.example.com

The first start writes STATE_DIR/admin.token, readable by its owner only: with it, `sluice` may do everything.
  sluice apply -f mcp.yaml --token-file ./state/admin.token

Beyond loopback both ports speak TLS only, with a certificate of its own authority: `sluice` knows that by its token, and \
others by https://HOST:9401/authority.pem; the SHA-256 of that certificate (DER) is the end of every token.

Secrets in the database are sealed with the keys of --secret-keys, of SLUICE_SECRET_KEYS, or of STATE_DIR/secret.keys, \
which is made at the first start: whoever keeps a backup of the database needs them, and should keep them elsewhere.
Another key is another line at the end. `sluice secret rotate-key` reads a file again and seals everything with it; SLUICE_SECRET_KEYS
is read at the start only: start again with both keys in it, rotate, and the older one can go with the next start.

A backup has controlplane.db (`sqlite3 controlplane.db \".backup FILE\"`) and authority.json, and elsewhere the key ring. When a \
file is lost, the control plane does not start, and says what leads out; what it made once it makes anew only when told:
  sluice-controlplane --state-dir /var/lib/sluice --make-anew admin.token       another token for an admin
  sluice-controlplane --state-dir /var/lib/sluice --make-anew authority.json    another authority: nodes join again
  sluice-controlplane --state-dir /var/lib/sluice --make-anew controlplane.db   an empty database")]
struct Args {
    /// Folder for the database, the key ring and the first token; made where it does not exist
    #[arg(long, value_name = "DIR", env = "SLUICE_STATE_DIR")]
    state_dir: PathBuf,

    /// Address for nodes and for `sluice`, by gRPC
    #[arg(long, value_name = "ADDR", default_value_t = GRPC, value_parser = sluice_arguments::address)]
    grpc: SocketAddr,

    /// Address for HTTP: the REST API, health and metrics
    #[arg(long, value_name = "ADDR", default_value_t = HTTP, value_parser = sluice_arguments::address)]
    http: SocketAddr,

    /// A host name or address by which people reach it; its certificate has that of this machine and those above already
    #[arg(long = "name", value_name = "NAME", value_parser = host)]
    names: Vec<String>,

    /// Certificate to show people, in PEM, instead of one of its own authority; read again when it changes
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_certificate: Option<PathBuf>,

    /// The key of that certificate, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    tls_key: Option<PathBuf>,

    /// Makes a file of the state folder anew that is lost, and ends; while the control plane is stopped
    #[arg(long, value_name = "FILE")]
    make_anew: Option<Lost>,

    /// File of the keys that seal secrets, one `id:base64` a line, the newest last
    #[arg(long, value_name = "FILE")]
    secret_keys: Option<PathBuf>,
}

fn main() -> ExitCode {
    let Args { state_dir, grpc, http, names, tls_certificate, tls_key, make_anew, secret_keys } =
        sluice_arguments::parse();
    let certificate = tls_certificate.zip(tls_key).map(|(certificate, key)| CertificateFiles { certificate, key });
    let settings = Settings { state_dir, grpc, http, names, certificate, secret_keys };
    let done = match make_anew {
        Some(lost) => app::make_anew(&settings, lost).map(Some),
        None => app::run(settings).map(|()| None),
    };
    let (told, code) = match done {
        Ok(None) => return ExitCode::SUCCESS,
        Ok(Some(told)) => (told, ExitCode::SUCCESS),
        Err(error) => (format!("error: {error}"), ExitCode::FAILURE),
    };
    // Nobody may be listening, and that stops nothing.
    let _ = writeln!(std::io::stderr().lock(), "{told}");
    code
}

/// A name that a certificate can have.
fn host(text: &str) -> Result<String, String> {
    match rustls_pki_types::ServerName::try_from(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err("it is neither a host name nor an address".to_owned()),
    }
}
