//! The words people write: the types of the language, and nothing about what they lead to.
//!
//! Everything may be left out that has a sensible default; what a default is, `compile` decides.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

use super::credential::Credentials;
use super::issuer::{Issuer, TlsClients};
use super::policy::Policy;
use super::server::Server;

/// Configuration of Sluice.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(title = "Sluice configuration")]
pub struct Config {
    /// The gateway itself: where clients come in, and its bounds.
    pub proxy: Proxy,
    /// The MCP servers behind it, by name. Names have letters, digits and hyphens, at most 32.
    pub servers: IndexMap<String, Server>,
    /// Clients that come in with an API key, by name; what they may do is said of their roles.
    pub clients: IndexMap<String, Client>,
    /// Authorization servers whose tokens clients come in with, by name.
    pub issuers: IndexMap<String, Issuer>,
    /// What clients may do, by a name of your choice. Without any, everything; with any, what none of them allows is denied.
    pub policies: IndexMap<String, Policy>,
    /// What servers are shown to let the gateway in, by name: `auth: {credential: NAME}`.
    #[schemars(with = "IndexMap<String, super::schema::Credential>")]
    pub credentials: Credentials,
    /// What is switched on.
    pub features: Features,
    /// It came from the file of a client rather than from one of ours.
    #[serde(skip)]
    pub foreign: bool,
}

/// The gateway itself.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Proxy {
    /// What the gateway calls itself towards clients. Default: `sluice`.
    pub name: Option<String>,
    /// How clients reach it. Default: `http`, by which HTTP+SSE and WebSockets are served as well.
    pub transport: Option<Door>,
    /// Address to listen on. Default: `127.0.0.1`. Other machines get in only with authentication, or with
    /// `authentication: none`.
    pub host: Option<String>,
    /// Port to listen on. Default: 8000.
    pub port: Option<u16>,
    /// How much is logged. Default: `info`. `RUST_LOG`, and `--log-level` of a node, count more.
    pub log_level: Option<LogLevel>,
    /// `none` says in words that anybody who reaches the address may come in.
    pub authentication: Option<Authentication>,
    /// Host names accepted in the `Host` header. Default: the loopback names on loopback addresses, any elsewhere.
    pub allowed_hosts: Vec<String>,
    /// Web origins accepted beside the gateway's own, such as `https://app.example.com`; `*` accepts all.
    pub allowed_origins: Vec<String>,
    /// Certificates; with any, the gateway speaks HTTPS.
    pub tls: Vec<Certificate>,
    /// Certificates by which clients are known; needs `tls`.
    pub tls_clients: Option<TlsClients>,
    /// Where clients reach the gateway, such as `https://mcp.example.com`, if that is not where it listens. Default: what they
    /// say in the `Host` header.
    pub public_url: Option<String>,
    /// Bounds.
    pub limits: Limits,
    /// One JSON line per request on stderr. Default: true.
    pub access_log: Option<bool>,
    /// How tools and prompts are named where all servers are one (`/mcp`). Default: `always`.
    pub prefix: Option<Prefix>,
    /// Where the sessions of clients are kept. Default: in the memory of the process, with which they end. It counts when the
    /// gateway starts.
    pub sessions: Option<Sessions>,
}

/// Where the sessions of clients are kept.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sessions {
    /// What keeps them.
    pub store: SessionStore,
    /// Of Redis: `redis://[USER:PASSWORD@]HOST[:PORT][/DB]`, or by its sentinels,
    /// `redis+sentinel://[USER:PASSWORD@]HOST[:PORT][,…]/NAME[/DB]`, or some nodes of a cluster,
    /// `redis+cluster://[USER:PASSWORD@]HOST[:PORT][,…]`; `rediss` for TLS. Better as `${VARIABLE}` than in the file.
    pub url: Option<Secret>,
    /// Of Redis: what the names of keys begin with. Default: `sluice:`.
    pub prefix: Option<String>,
}

/// What keeps sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SessionStore {
    /// The memory of each process, with which they end.
    Memory,
    /// A file in the state folder of each gateway: they outlive the process, on one machine.
    Sqlite,
    /// A Redis: any gateway serves any session, and they go on when one is gone. Needs keys that all gateways share
    /// (`--session-keys`).
    Redis,
}

/// How tools and prompts are named where all servers are one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Prefix {
    /// `server_tool`.
    Always,
    /// As their servers name them; a name goes to the first server in the file that has it.
    Never,
}

/// How clients reach the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Door {
    /// Streamable HTTP on host and port.
    Http,
    /// Standard input and output; no port is opened.
    Stdio,
}

/// How much is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub enum LogLevel {
    /// Everything, also what only helps to find a fault in the gateway.
    Trace,
    /// What the gateway decides.
    Debug,
    /// What an operator wants to know.
    Info,
    /// What may need attention.
    Warn,
    /// What failed.
    Error,
}

impl LogLevel {
    /// The level in the words of log filters.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

impl<'de> Deserialize<'de> for LogLevel {
    /// In any case, and with the names other programs use.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match String::deserialize(deserializer)?.to_ascii_lowercase().as_str() {
            "trace" => Ok(Self::Trace),
            "debug" => Ok(Self::Debug),
            "info" => Ok(Self::Info),
            "warn" | "warning" => Ok(Self::Warn),
            "error" | "critical" => Ok(Self::Error),
            _ => Err(serde::de::Error::custom("must be one of `trace`, `debug`, `info`, `warn`, `error`")),
        }
    }
}

/// That no authentication is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Authentication {
    /// Anybody who reaches the address may come in.
    None,
}

/// A certificate with its key. Paths are relative to the file that names them.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// PEM file with the chain, leaf first.
    pub certificate: PathBuf,
    /// PEM file with the private key.
    pub key: PathBuf,
    /// Host names it is for. Default: those in the certificate.
    #[serde(default)]
    pub domains: Vec<String>,
}

/// Bounds; each has a default that suits most.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Bytes of one request body. Default: 4194304.
    pub body_bytes: Option<u64>,
    /// Nesting of one message. Default: 127.
    pub json_depth: Option<u32>,
    /// Requests at a time per client. Default: 1024.
    pub concurrent_requests: Option<u32>,
    /// Sessions per client. Default: 10000.
    pub sessions_per_principal: Option<u32>,
    /// Seconds after which an unused session ends. Default: 3600.
    pub session_idle_seconds: Option<Seconds>,
    /// Child processes per server. Default: 32.
    pub children_per_server: Option<u32>,
    /// Child processes per client and server. Default: 8.
    pub children_per_principal: Option<u32>,
    /// Seconds after which an unused child process is ended. Default: 600.
    pub child_idle_seconds: Option<Seconds>,
    /// For what the limits per client hold that somebody wrote: those of policies, `requests_per_minute`, `concurrent_requests` and
    /// `sessions_per_principal`. Default: `fleet`.
    pub scope: Option<Scope>,
}

/// For what a limit holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// All nodes together: each holds its share, the limit divided by the nodes that live. Whoever is always sent to the same node has
    /// that node's share.
    #[default]
    Fleet,
    /// Each node: right where clients stay with one node, as with sidecars, or behind a balancer that keeps them where they are.
    Node,
}

/// A client with an API key: one of the first two fields.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Client {
    /// The key itself; better as `${VARIABLE}` than in the file.
    pub api_key: Option<Secret>,
    /// The SHA-256 digest of the key, as 64 hexadecimal digits.
    pub api_key_sha256: Option<String>,
    /// What policies know it by.
    pub roles: Vec<String>,
    /// From then on the key is refused: a time such as `2027-01-31T12:00:00Z`.
    pub expires: Option<String>,
}

/// What is switched on.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Features {
    /// Clients need a credential. Default: true when there are `clients`, `issuers` or `tls_clients`.
    pub authentication: Option<bool>,
    /// Bounds on how often.
    pub rate_limiting: RateLimiting,
    /// Metrics.
    pub monitoring: Monitoring,
    /// Traces. Default: none.
    pub tracing: Option<Tracing>,
}

/// Spans of requests, sent by OTLP over gRPC. The trace context of requests (`traceparent`, in headers and in `_meta`) goes on to
/// servers in any case.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Tracing {
    /// Scheme, host and port of the collector, such as `http://127.0.0.1:4317`.
    pub endpoint: String,
    /// Sent with every export, such as the collector's credential.
    pub headers: IndexMap<String, Secret>,
    /// The share of requests without a trace that begin one, 0 to 1; those that come with one are recorded if their caller
    /// records. Default: 1.
    pub sample: Option<f64>,
}

/// Bounds on how often.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RateLimiting {
    /// Requests per minute of one client. Default: unlimited.
    pub requests_per_minute: Option<u32>,
}

/// Metrics for Prometheus. They are always on the admin port.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Monitoring {
    /// Serves metrics where clients come in, too. Default: false.
    pub enable_metrics: Option<bool>,
    /// The path there. Default: `/metrics`.
    pub prometheus_endpoint: Option<String>,
}

/// A time in seconds; fractions are allowed.
#[derive(Debug, Clone, Copy, PartialEq, JsonSchema)]
#[schemars(with = "f64", inline)]
pub struct Seconds(pub Duration);

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let seconds = f64::deserialize(deserializer)?;
        Duration::try_from_secs_f64(seconds)
            .map(Self)
            .map_err(|_| serde::de::Error::custom("must be a number of seconds, 0 or more"))
    }
}

/// A text that is never shown. `x-secret` in the schema marks every value that is kept sealed.
#[derive(Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(inline, extend("x-secret" = true))]
pub struct Secret(String);

impl Secret {
    /// Wraps a text.
    pub(crate) fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself; call it only where it goes to its destination.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
