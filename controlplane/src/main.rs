//! `sluice-controlplane`: owns configuration, credentials and policy of a fleet, and tells each node its part.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use sluice_controlplane::app;
use sluice_controlplane::settings::{GRPC, HTTP, Settings};

/// Keeps the configuration of a fleet of gateways, and brings every node to it.
#[derive(Debug, Parser)]
#[command(name = "sluice-controlplane", version)]
#[command(after_help = "\
Examples:
  sluice-controlplane --state-dir /var/lib/sluice
  sluice-controlplane --state-dir ./state --grpc 127.0.0.1:9500 --http 127.0.0.1:9501

The first start writes STATE_DIR/admin.token, readable by its owner only: with it, `sluice` may do everything.
  sluice apply -f mcp.yaml --token-file ./state/admin.token
Secrets in the database are sealed with the keys of --secret-keys, of SLUICE_SECRET_KEYS, or of STATE_DIR/secret.keys,
which is made at the first start: whoever keeps a backup of the database needs them, and should keep them elsewhere.")]
struct Args {
    /// Folder for the database, the key ring and the first token; made where it does not exist
    #[arg(long, value_name = "DIR", env = "SLUICE_STATE_DIR")]
    state_dir: PathBuf,

    /// Address for nodes and for `sluice`, by gRPC
    #[arg(long, value_name = "ADDR", default_value_t = GRPC)]
    grpc: SocketAddr,

    /// Address for HTTP: the REST API, health and metrics
    #[arg(long, value_name = "ADDR", default_value_t = HTTP)]
    http: SocketAddr,

    /// File of the keys that seal secrets, one `id:base64` a line, the newest last
    #[arg(long, value_name = "FILE")]
    secret_keys: Option<PathBuf>,
}

fn main() -> ExitCode {
    let Args { state_dir, grpc, http, secret_keys } = Args::parse();
    match app::run(Settings { state_dir, grpc, http, secret_keys }) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody may be listening, and that stops nothing.
            let _ = writeln!(std::io::stderr().lock(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}
