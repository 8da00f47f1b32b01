//! What `sluice-controlplane` is told when it is started.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use crate::listen::CertificateFiles;

/// Where nodes and people's tools come in by gRPC, unless told otherwise.
pub const GRPC: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9400);
/// Where HTTP is served, unless told otherwise.
pub const HTTP: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9401);

/// What to serve, and where.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The folder of the database, the key ring and the first token.
    pub state_dir: PathBuf,
    /// The address for gRPC.
    pub grpc: SocketAddr,
    /// The address for HTTP.
    pub http: SocketAddr,
    /// Host names and addresses it is reached by, beyond those it finds out.
    pub names: Vec<String>,
    /// A certificate for people, where that of the authority will not do.
    pub certificate: Option<CertificateFiles>,
    /// The file of the key ring; `None`: `SLUICE_SECRET_KEYS`, or one made in the state folder.
    pub secret_keys: Option<PathBuf>,
}
