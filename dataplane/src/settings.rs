//! How a node is started: what belongs to the process rather than to the configuration it is pushed.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Where the admin listener is bound unless told otherwise.
pub const ADMIN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8001);

/// A node's settings.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// What the node is called: `[A-Za-z0-9][A-Za-z0-9._-]{0,62}`.
    pub node: String,
    /// By which configuration chooses nodes.
    pub labels: BTreeMap<String, String>,
    /// Bound in place of the snapshot's addresses.
    pub listen: Option<SocketAddr>,
    /// The admin listener; `None`: no admin port.
    pub admin: Option<SocketAddr>,
    /// Serve MCP on stdin and stdout; their end ends the process.
    pub stdio: bool,
    /// Worker threads; 0: one per core.
    pub workers: usize,
    /// Where the session key is kept (mode 0600).
    pub state_dir: PathBuf,
    /// The command line of a process that runs [`crate::guard_main`]; without it, children of a killed gateway may stay.
    pub guard: Option<Vec<OsString>>,
}

/// Why a node cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// An address cannot be bound.
    #[error("cannot listen on {address} ({cause}); choose another one with {flag}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// The flag that changes it.
        flag: &'static str,
        /// The operating system's reason.
        cause: std::io::Error,
    },
    /// Addresses beyond loopback need authentication, or the word that there is none.
    #[error(
        "{0} is not a loopback address, and no authentication is configured; set `features.authentication: true`, or say `proxy.authentication: none` to let everybody in"
    )]
    Open(SocketAddr),
    /// What the configuration needs of this node is not there.
    #[error("{}", lines(.0))]
    Faults(Vec<sluice_snapshot::Fault>),
    /// No snapshot will come.
    #[error("there is no configuration: {0}")]
    NoConfiguration(String),
    /// Threads or runtimes cannot be made.
    #[error("cannot start: {0}")]
    Io(#[from] std::io::Error),
}

fn lines(faults: &[sluice_snapshot::Fault]) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
