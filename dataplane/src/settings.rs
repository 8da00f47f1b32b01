//! How a node is started: what belongs to the process rather than to the configuration it is pushed.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use sluice_snapshot::model::{LogLevel, Sessions};

/// Where the admin listener is bound unless told otherwise.
pub const ADMIN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8001);

/// A node's settings.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Where sessions are kept; `None`: where the configuration says.
    pub sessions: Option<Sessions>,
    /// What seals session ids and what is kept of sessions, where several nodes serve the same; `None`: a key of this node's own,
    /// in `state_dir`.
    pub session_keys: Option<SessionKeys>,
    /// What the node is called: `[A-Za-z0-9][A-Za-z0-9._-]{0,62}`.
    pub node: String,
    /// By which configuration chooses nodes.
    pub labels: BTreeMap<String, String>,
    /// Bound in place of the snapshot's addresses.
    pub listen: Option<SocketAddr>,
    /// The admin listener; `None`: no admin port.
    pub admin: Option<SocketAddr>,
    /// Where links of other nodes of the fleet are taken; `None`: there are none.
    pub link: Option<SocketAddr>,
    /// Where other nodes reach that, `HOST:PORT`, if it is not what is bound.
    pub advertise: Option<String>,
    /// Serve MCP on stdin and stdout; their end ends the process.
    pub stdio: bool,
    /// Take the listening sockets of the process that runs with the same state folder, which leaves when this one serves.
    pub take_over: bool,
    /// Worker threads; 0: one per core.
    pub workers: usize,
    /// Sets how much the process says of itself, as configurations want it; `None` there: nobody said. `None`: they are not asked.
    pub set_log_level: Option<fn(Option<LogLevel>)>,
    /// Where the node's own session key is kept (mode 0600).
    pub state_dir: PathBuf,
    /// The command line of a process that runs [`crate::guard_main`]; without it, children of a killed gateway may stay.
    pub guard: Option<Vec<OsString>>,
}

/// Keys that all nodes have that serve the same sessions: lines of `NUMBER:KEY`, the number from 1 to 255, the key 32 bytes in
/// base64; the last one seals, all of them open.
#[derive(Clone)]
pub enum SessionKeys {
    /// In a file, which is read again when it changes.
    File(PathBuf),
    /// Themselves; a comma may stand for a line's end.
    Text(zeroize::Zeroizing<String>),
}

impl SessionKeys {
    /// The variable that may hold the keys themselves.
    pub const VARIABLE: &str = "SLUICE_SESSION_KEYS";

    /// The file that was named, or what the environment holds.
    #[must_use]
    pub fn found(file: Option<PathBuf>) -> Option<Self> {
        let text = || std::env::var(Self::VARIABLE).ok().filter(|text| !text.is_empty());
        file.filter(|file| !file.as_os_str().is_empty())
            .map(Self::File)
            .or_else(|| text().map(|text| Self::Text(zeroize::Zeroizing::new(text))))
    }
}

impl fmt::Debug for SessionKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Text(_) => f.write_str("Text(***)"),
        }
    }
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
    /// Other nodes could not open what this one seals.
    #[error(
        "sessions in Redis need keys that all gateways share; a control plane gives them to its nodes, others get them from you: make them with `(printf 1:; openssl rand -base64 32) > session.keys`, and name the file with --session-keys, or put its text into SLUICE_SESSION_KEYS"
    )]
    NoSessionKeys,
    /// The keys cannot be used.
    #[error("the session keys cannot be used: {0}")]
    SessionKeys(String),
    /// What opens the ledger cannot be used. The ledger stays as it is.
    #[error(
        "the keys of the ledger cannot be used: {0}. What the node ran last can be opened by nothing else: mend the file, or move it and the ledger away to begin without"
    )]
    LedgerKey(String),
    /// What keeps sessions cannot be used.
    #[error("sessions cannot be kept: {0}")]
    Sessions(String),
    /// The process whose place this one is to take does not give it.
    #[error(
        "the process that runs with this state folder does not hand over ({0}); stop it, or start without --take-over"
    )]
    TakeOver(std::io::Error),
    /// Another process runs with the state folder.
    #[error(
        "the state folder {} is in use by {}: two nodes cannot share one. Name another with --state-dir, stop that process, or take its place with --take-over",
        folder.display(), holder.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
    )]
    StateTaken {
        /// The folder.
        folder: PathBuf,
        /// That process, as far as it is known.
        holder: Option<u32>,
    },
    /// The state folder is not that of a node.
    #[error(
        "the state folder {} is that of a control plane (it has {file}): a node keeps its files in a folder of its own. Name another with --state-dir, or in SLUICE_STATE_DIR",
        folder.display()
    )]
    StateOfControlPlane {
        /// The folder.
        folder: PathBuf,
        /// What shows it.
        file: &'static str,
    },
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
