//! What a node runs, validated. Every field is meant: there is no "unset" left to interpret on the request path.

mod balance;
mod credential;
mod issuer;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

pub use balance::{Balance, Ejection, Endpoint, HealthCheck, Retries};
pub use credential::{
    ClientAuthentication, ClientCredentials, Credential, CredentialKind, NamedSecret, Secret, Sensitive, TokenEndpoint,
};
pub use issuer::{Algorithm, Issuer, KeySource, Scopes};

use crate::policy::Policies;

/// One complete, validated configuration of a node. Replaced whole, never edited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Rises with every change; shown in `/config` and in logs.
    pub revision: u64,
    /// What the gateway calls itself towards clients (`serverInfo` of the merged door).
    pub name: Arc<str>,
    /// Where clients come in.
    pub listener: Listener,
    /// Who may come in.
    pub access: Access,
    /// Servers in configured order; [`ServerId`] indexes this list.
    pub servers: Vec<Arc<Server>>,
    /// Bounds that configuration may move.
    pub limits: Limits,
    /// What is counted and shown.
    pub monitoring: Monitoring,
    /// How the merged door names tools and prompts.
    pub prefix: Prefix,
    /// Where sessions are kept.
    pub sessions: Sessions,
    /// What principals may do; `None`: everything.
    pub policies: Option<Policies>,
    /// The named secrets that servers refer to.
    pub secrets: HashMap<Arc<str>, NamedSecret>,
}

/// Where sessions are kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Sessions {
    /// In the memory of the process, with which they end.
    #[default]
    Memory,
    /// In a file in the node's state folder: they outlive the process.
    Sqlite,
    /// In a Redis, where other nodes find them.
    Redis(Redis),
}

/// A Redis that keeps sessions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redis {
    /// `redis://[USER:PASSWORD@]HOST[:PORT][/DB]`, `redis+sentinel://[USER:PASSWORD@]HOST[:PORT][,…]/NAME[/DB]`, or
    /// `redis+cluster://[USER:PASSWORD@]HOST[:PORT][,…]`; `rediss` for TLS.
    pub url: Secret,
    /// What the names of its keys begin with.
    pub prefix: String,
}

impl Redis {
    /// What the names of keys begin with unless told otherwise.
    pub const PREFIX: &str = "sluice:";

    /// With the usual names of keys.
    #[must_use]
    pub fn at(url: &str) -> Self {
        Self { url: Secret::new(url), prefix: Self::PREFIX.to_owned() }
    }
}

/// How tools and prompts are named on the merged door.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Prefix {
    /// `server_tool`.
    #[default]
    Always,
    /// As the servers name them; a name belongs to the first configured server that has it.
    Never,
}

impl Snapshot {
    /// The server of that key, or `None`.
    #[must_use]
    pub fn server(&self, name: &str) -> Option<&Arc<Server>> {
        self.servers.iter().find(|s| &*s.name == name)
    }
}

/// The client-facing listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// TCP addresses to bind; empty when only stdio is served.
    pub addresses: Vec<SocketAddr>,
    /// MCP on stdin and stdout as well.
    pub stdio: bool,
    /// TLS certificates; empty means plain HTTP.
    pub certificates: Vec<Certificate>,
    /// Host names accepted in `Host`/`:authority` (compared without port, case folded). Empty: checked on loopback
    /// listeners only, against the loopback names.
    pub allowed_hosts: Vec<String>,
    /// Origins accepted beside the listener's own (scheme://host[:port], case folded). `*` accepts all.
    pub allowed_origins: Vec<String>,
    /// Scheme, host and port under which clients reach it, without a slash at the end, if that is not where it listens.
    pub public_url: Option<Box<str>>,
    /// Who is known by a TLS certificate; `None`: clients are not asked for one.
    pub client_certificates: Option<ClientCertificates>,
}

/// Which certificates clients may show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificates {
    /// PEM files of the authorities that issue them; at least one.
    pub authorities: Vec<PathBuf>,
    /// PEM files of what those have revoked.
    pub revocations: Vec<PathBuf>,
    /// Without one, nobody gets a connection.
    pub required: bool,
    /// Which names come in, and what policies know them by; the first that fits counts. Empty: every name, without roles.
    pub names: Vec<(Pattern, Roles)>,
}

/// One certificate chain with its key; the names it answers to come from the certificate unless given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// PEM file with the chain, leaf first.
    pub chain: PathBuf,
    /// PEM file with the private key.
    pub key: PathBuf,
    /// Server names (SNI) this certificate answers to; empty: those in the certificate.
    pub domains: Vec<String>,
}

/// Who may come in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Access {
    /// `true`: a request without a valid API key is refused with 401.
    pub required: bool,
    /// The configuration says `authentication: none` in words, so that a non-loopback address may be bound without keys.
    pub explicitly_open: bool,
    /// By the SHA-256 of each accepted API key.
    pub keys: HashMap<[u8; 32], Key>,
    /// Authorization servers whose tokens are taken.
    pub issuers: Vec<Arc<Issuer>>,
}

/// An API key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Whose it is.
    pub client: Arc<Client>,
    /// From then on it is refused.
    pub expires: Option<SystemTime>,
}

/// A client known by API key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// Its name, shown in logs; unique in a snapshot.
    pub name: String,
    /// What policies know it by, sorted.
    pub roles: Roles,
}

/// Names that policies speak of: sorted, each once.
pub type Roles = Arc<[Arc<str>]>;

/// One logical MCP server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Its key, `[A-Za-z0-9-]{1,32}`, in paths and names.
    pub name: Arc<str>,
    /// How it is reached.
    pub transport: Transport,
    /// The era it speaks, or `Auto` to probe and remember.
    pub protocol: Protocol,
    /// How upstream connections are shared.
    pub isolation: Isolation,
    /// Time without a byte or progress before a request is given up. Default 60 s.
    pub timeout: Duration,
    /// What of its offer clients see, and how.
    pub curation: Curation,
    /// Where it runs beside the address of its transport; `None`: nowhere, and nobody asks it how it is.
    pub balance: Option<Arc<Balance>>,
}

impl Server {
    /// Whether the other one differs at most in its curation, in how long it is waited for, and in where it runs: what was learnt of
    /// this one holds for that one, and what is connected to a place where both run is connected to both.
    #[must_use]
    pub fn is_reached_as(&self, other: &Self) -> bool {
        let Self { name, transport, protocol, isolation, timeout: _, curation: _, balance } = self;
        let is_carried_alike = match (transport, &other.transport) {
            (Transport::Http(one), Transport::Http(two)) => {
                // which of the HTTP transports it is, is no question where there are several places
                let is_asked = balance.is_none() && other.balance.is_none();
                one.is_but_for_place(two) && (!is_asked || one.maybe_sse == two.maybe_sse)
            }
            (one, two) => one == two,
        };
        is_carried_alike && (name, protocol, isolation) == (&other.name, &other.protocol, &other.isolation)
    }
}

/// What of a server's offer clients see, and how. The default shows everything as it is.
///
/// Selections, defaults and forced arguments hold on every door; names are changed on the merged door only.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Curation {
    /// Tools, by the server's own names.
    pub tools: Selection,
    /// Prompts, by the server's own names.
    pub prompts: Selection,
    /// Resources by URI, and templates as they are written.
    pub resources: Selection,
    /// Changed tools, by the server's own name.
    pub tool_edits: HashMap<String, ToolEdit>,
    /// Changed prompts, by the server's own name.
    pub prompt_edits: HashMap<String, PromptEdit>,
}

impl Curation {
    /// Whether everything is shown as it is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The server's own name of the tool that the configuration calls so.
    #[must_use]
    pub fn tool_named(&self, renamed: &str) -> Option<&str> {
        let mut edits = self.tool_edits.iter();
        edits.find(|(_, edit)| edit.name.as_deref() == Some(renamed)).map(|(original, _)| original.as_str())
    }

    /// The server's own name of the prompt that the configuration calls so.
    #[must_use]
    pub fn prompt_named(&self, renamed: &str) -> Option<&str> {
        let mut edits = self.prompt_edits.iter();
        edits.find(|(_, edit)| edit.name.as_deref() == Some(renamed)).map(|(original, _)| original.as_str())
    }
}

/// Which names are shown: those `allow` matches (all, where it is empty), without those `deny` matches.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selection {
    /// Empty: all.
    pub allow: Vec<Pattern>,
    /// Wins over `allow`.
    pub deny: Vec<Pattern>,
}

impl Selection {
    /// Whether clients see this name.
    #[must_use]
    pub fn shows(&self, name: &str) -> bool {
        (self.allow.is_empty() || self.allow.iter().any(|p| p.matches(name)))
            && !self.deny.iter().any(|p| p.matches(name))
    }
}

impl Selection {
    /// The same for a URI: its scheme is compared without case (RFC 3986 section 6.2.2.1), all else as it is written.
    #[must_use]
    pub fn shows_uri(&self, uri: &str) -> bool {
        (self.allow.is_empty() || self.allow.iter().any(|p| p.matches_uri(uri))) && !self.denies_uri(uri)
    }

    /// Whether `deny` matches a URI.
    #[must_use]
    pub fn denies_uri(&self, uri: &str) -> bool {
        self.deny.iter().any(|p| p.matches_uri(uri))
    }
}

/// A whole name in which `*` stands for any text and `?` for one character.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(Arc<str>);

impl Pattern {
    /// A pattern as it is written.
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// Whether the pattern stands for this URI, the schemes of both in lower case.
    #[must_use]
    pub fn matches_uri(&self, uri: &str) -> bool {
        let lowered = |text: &str| match text.split_once(':') {
            Some((scheme, rest)) => format!("{}:{rest}", scheme.to_ascii_lowercase()),
            None => text.to_owned(),
        };
        Self::new(lowered(&self.0)).matches(&lowered(uri))
    }

    /// The pattern as it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the pattern stands for this name. Takes time linear in the name for each `*`.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        let (pattern, name): (Vec<char>, Vec<char>) = (self.0.chars().collect(), name.chars().collect());
        let (mut p, mut n) = (0, 0);
        // where to go on when what follows the last `*` turns out not to fit
        let mut retry = None;
        while n < name.len() {
            match pattern.get(p) {
                Some('*') => {
                    retry = Some((p, n));
                    p += 1;
                }
                Some(c) if *c == '?' || *c == name[n] => {
                    p += 1;
                    n += 1;
                }
                _ => {
                    let Some((star, taken)) = retry else { return false };
                    retry = Some((star, taken + 1));
                    p = star + 1;
                    n = taken + 1;
                }
            }
        }
        pattern[p..].iter().all(|c| *c == '*')
    }
}

/// How a tool is shown and called.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ToolEdit {
    /// Its name on the merged door, before the prefix.
    pub name: Option<String>,
    /// Replaces `title`.
    pub title: Option<String>,
    /// Replaces `description`.
    pub description: Option<String>,
    /// Members that replace those of `annotations`: name and raw JSON value.
    pub annotations: Vec<(String, String)>,
    /// Arguments set where the caller leaves them out: name and raw JSON value.
    pub defaults: Vec<(String, Secret)>,
    /// Arguments always set, and not shown: name and raw JSON value.
    pub forced: Vec<(String, Secret)>,
}

/// How a prompt is shown.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PromptEdit {
    /// Its name on the merged door, before the prefix.
    pub name: Option<String>,
    /// Replaces `title`.
    pub title: Option<String>,
    /// Replaces `description`.
    pub description: Option<String>,
}

/// How a server is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transport {
    /// Streamable HTTP.
    Http(HttpEndpoint),
    /// HTTP+SSE of 2024-11-05; the path is that of the event stream.
    Sse(HttpEndpoint),
    /// WebSocket, subprotocol `mcp`.
    WebSocket(HttpEndpoint),
    /// A child process speaking newline-delimited JSON-RPC.
    Stdio(Command),
}

impl Transport {
    /// The word of the configuration for it.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Http(_) => "http",
            Self::Sse(_) => "sse",
            Self::WebSocket(_) => "websocket",
            Self::Stdio(_) => "stdio",
        }
    }
}

impl Transport {
    /// The endpoint, where it is reached over HTTP.
    #[must_use]
    pub fn endpoint(&self) -> Option<&HttpEndpoint> {
        match self {
            Self::Http(endpoint) | Self::Sse(endpoint) | Self::WebSocket(endpoint) => Some(endpoint),
            Self::Stdio(_) => None,
        }
    }
}

/// An endpoint reached over HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpEndpoint {
    /// `https` when true.
    pub tls: bool,
    /// Host name or address literal (without brackets).
    pub host: Arc<str>,
    /// TCP port.
    pub port: u16,
    /// Path and query, beginning with `/`.
    pub path: Arc<str>,
    /// Value of the `Host` header: `host` or `host:port` where the port is not the scheme's own.
    pub authority: Arc<str>,
    /// Added to every request; names are lower case.
    pub headers: Vec<(String, Sensitive)>,
    /// What is shown to be let in; its header is not among the others.
    pub credential: Option<Credential>,
    /// Absolute path of the Unix socket to connect to instead of host and port.
    pub socket: Option<PathBuf>,
    /// Nobody said which HTTP transport it is: when streamable HTTP is refused, HTTP+SSE is tried (2025-11-25
    /// *Transports: Backwards Compatibility*).
    pub maybe_sse: bool,
}

impl HttpEndpoint {
    /// The endpoint of a URL of `http` or `https`, without headers.
    ///
    /// # Errors
    /// What is wrong with the URL, which is not quoted: it may hold a key.
    pub fn at(url: &str) -> Result<Self, &'static str> {
        crate::parse::endpoint::address(url)
    }

    /// Whether it is shown the same as another, in the same way.
    fn is_but_for_place(&self, other: &Self) -> bool {
        (&self.headers, &self.credential, self.tls) == (&other.headers, &other.credential, other.tls)
    }

    /// Whether its URL names this machine.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.host.eq_ignore_ascii_case("localhost")
            || self.host.parse::<std::net::IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
    }
}

/// The command line of a stdio server: an argument vector, never a shell line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// Program, looked up in `PATH` when it has no slash.
    pub program: String,
    /// Arguments.
    pub args: Vec<String>,
    /// Environment of the child. Beyond it the child sees only the few variables every program needs
    /// (`PATH HOME USER LANG TERM TMPDIR` and the like), never the gateway's whole environment.
    pub env: Vec<(String, Sensitive)>,
    /// Working directory; the gateway's when `None`.
    pub cwd: Option<PathBuf>,
}

/// The protocol era a server speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Protocol {
    /// Probe by the specification's rules and remember.
    #[default]
    Auto,
    /// `initialize` and sessions, 2024-11-05 to 2025-11-25.
    Legacy,
    /// Stateless, 2026-07-28 and later.
    Modern,
}

/// How upstream connections are shared among clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Isolation {
    /// Shared among clients that declare no sampling, elicitation or roots; others get their own.
    #[default]
    Auto,
    /// One for everybody.
    Shared,
    /// One per principal.
    PerPrincipal,
    /// One per client session.
    PerSession,
}

/// Bounds that configuration may move; each default is a named constant of the data plane's documentation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one request body. Default 4 MiB: room for an inlined image, small enough to hold.
    pub body_bytes: usize,
    /// Nesting depth of one message. Default 127: one below where common parsers stop.
    pub json_depth: u16,
    /// Requests per minute and principal; `None`: unlimited.
    pub requests_per_minute: Option<u32>,
    /// Requests in flight per principal. Default 1,024: several busy agents, far below what exhausts a node.
    pub concurrent_requests: u32,
    /// Sessions per principal. Default 10,000.
    pub sessions_per_principal: u32,
    /// A session unused for so long ends. Default 1 h.
    pub session_idle: Duration,
    /// Child processes per server. Default 32.
    pub children_per_server: u32,
    /// Child processes per principal and server. Default 8.
    pub children_per_principal: u32,
    /// A child without a request for so long is ended. Default 10 min.
    pub child_idle: Duration,
    /// Which of them are for the whole fleet. Default: none, because a default protects a node.
    pub of_fleet: OfFleet,
}

/// Which limits per principal are for the whole fleet, of which each node holds a [`crate::share::Share`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OfFleet {
    /// Requests in a minute.
    pub requests_per_minute: bool,
    /// Requests in flight.
    pub concurrent_requests: bool,
    /// Sessions.
    pub sessions_per_principal: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 4 << 20,
            json_depth: 127,
            requests_per_minute: None,
            concurrent_requests: 1024,
            sessions_per_principal: 10_000,
            session_idle: Duration::from_secs(3600),
            children_per_server: 32,
            children_per_principal: 8,
            child_idle: Duration::from_secs(600),
            of_fleet: OfFleet::default(),
        }
    }
}

/// What is counted and shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Monitoring {
    /// Path on the main listener that serves Prometheus metrics, beginning with `/`; `None`: admin port only.
    pub metrics_path: Option<String>,
    /// One JSON line per request on stderr.
    pub access_log: bool,
    /// Where spans go; `None`: no traces.
    pub traces: Option<Traces>,
    /// How much the process says of itself; `None`: nobody said.
    pub log_level: Option<LogLevel>,
}

/// How much a process says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

/// Where spans of requests go, by OTLP over gRPC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Traces {
    /// Scheme, host and port of the collector.
    pub endpoint: String,
    /// Sent with every export; names are lower case.
    pub headers: Vec<(String, Secret)>,
    /// How many of a million requests that come without a trace begin one.
    pub sample_per_million: u32,
    /// `service.name` of the spans.
    pub service: Arc<str>,
}
