//! `sluice-dataplane`: a node of a fleet. It runs what its control plane pushes to it, and nothing else.

mod log;

use std::collections::BTreeMap;
use std::fs::DirBuilder;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use sluice_dataplane::{ADMIN, Remote, SessionKeys, Settings, Uplink};
use sluice_snapshot::model::{LogLevel, Redis, Sessions};

/// Many small buffers live and die on the path of a call, across threads; this allocator is made for that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What this program calls itself by to guard its children; nobody types it.
const GUARD: &str = "child-guard";

/// Serve MCP as a node of a fleet: what it serves comes from a control plane.
#[derive(Debug, Parser)]
#[command(name = "sluice-dataplane", version)]
#[command(after_help = "\
Example:
  sluice-dataplane --control-plane https://control:9400 --join-token-file join.token --node edge-1 --label region=eu

With --link, nodes hand each other what belongs to sessions they hold: clients need not come back to the same node.

The token is needed once (`sluice token create edge-1 --join` makes one): from then on the node has a certificate, which it \
renews by itself. What it ran last is kept, sealed, in the state folder: it starts without its control plane.

Every option can be given as SLUICE_ and its name in capitals, such as SLUICE_CONTROL_PLANE; labels as `a=b,c=d`.")]
struct Args {
    /// Where the control plane is
    #[arg(long, value_name = "URL", env = "SLUICE_CONTROL_PLANE")]
    control_plane: String,

    /// File with the token that admits this node; needed until it has joined
    #[arg(long, value_name = "FILE", env = "SLUICE_JOIN_TOKEN_FILE")]
    join_token_file: Option<PathBuf>,

    /// What this node is called: letters, digits and `.-_`, at most 63
    #[arg(long, value_name = "NAME", env = "SLUICE_NODE", value_parser = name)]
    node: String,

    /// A label by which configuration chooses nodes; can be repeated
    #[arg(long = "label", value_name = "K=V", env = "SLUICE_LABEL", value_delimiter = ',', value_parser = label)]
    labels: Vec<(String, String)>,

    /// Address for clients, instead of those in the configuration
    #[arg(long, value_name = "ADDR", env = "SLUICE_LISTEN", value_parser = sluice_arguments::address)]
    listen: Option<SocketAddr>,

    /// Address of the admin port: health, metrics, configuration
    #[arg(long, value_name = "ADDR", env = "SLUICE_ADMIN", default_value_t = ADMIN, value_parser = sluice_arguments::address)]
    admin: SocketAddr,

    /// Address for links of other nodes, by which sessions are reached at every node; 9402 is the usual port [default: none]
    #[arg(long, value_name = "ADDR", env = "SLUICE_LINK", value_parser = sluice_arguments::address)]
    link: Option<SocketAddr>,

    /// Where other nodes reach that address, `HOST:PORT`, if it is not the one of --link
    #[arg(long, value_name = "HOST:PORT", env = "SLUICE_ADVERTISE", requires = "link", value_parser = host_and_port)]
    advertise: Option<String>,

    /// Folder for this node's identity and what it ran last [default: $XDG_STATE_HOME/sluice-dataplane or
    /// ~/.local/state/sluice-dataplane]
    #[arg(long, value_name = "DIR", env = "SLUICE_STATE_DIR")]
    state_dir: Option<PathBuf>,

    /// Keep sessions in Redis, where other nodes find them: redis://[USER:PASSWORD@]HOST[:PORT][/DB], by its sentinels
    /// redis+sentinel://[USER:PASSWORD@]HOST[:PORT][,…]/NAME, or in a cluster redis+cluster://[USER:PASSWORD@]HOST[:PORT][,…];
    /// rediss… for TLS. Better in the environment, where no list of processes shows it
    #[arg(long, value_name = "URL", env = "SLUICE_REDIS", hide_env_values = true)]
    redis: Option<String>,

    /// File with the session keys that all nodes on that Redis share; SLUICE_SESSION_KEYS may hold its text instead
    #[arg(long, value_name = "FILE", env = "SLUICE_SESSION_KEYS_FILE")]
    session_keys: Option<PathBuf>,
    /// Take over from the process that runs with the same state folder: this one gets its listening sockets, and that one stops
    /// when this one serves. Nobody who connects is refused. Where none runs, start as usual
    #[arg(long, env = "SLUICE_TAKE_OVER")]
    take_over: bool,

    /// How much is logged, whatever the configuration says: trace, debug, info, warn or error. RUST_LOG counts more
    #[arg(long, value_name = "LEVEL", env = "SLUICE_LOG_LEVEL", value_parser = log::level)]
    log_level: Option<LogLevel>,

    /// Threads that serve clients [default: one per processor]
    #[arg(long, value_name = "N", env = "SLUICE_WORKERS", value_parser = clap::value_parser!(u16).range(1..=1024))]
    workers: Option<u16>,
}

fn main() -> ExitCode {
    if std::env::args_os().nth(1).is_some_and(|arg| arg == GUARD) {
        sluice_dataplane::guard_main();
        return ExitCode::SUCCESS;
    }
    match start(sluice_arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // nobody may be listening, and that stops nothing
            let _ = writeln!(std::io::stderr().lock(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn start(args: Args) -> Result<(), Box<dyn std::error::Error>> {
    let state_dir = args.state_dir.filter(|path| !path.as_os_str().is_empty()).or_else(usual_state_dir);
    let state_dir = state_dir.ok_or("there is no home folder for state; name one with --state-dir")?;
    let reached = args.link.is_none_or(|link| !link.ip().to_canonical().is_unspecified() || args.advertise.is_some());
    if !reached {
        return Err(
            "--link is an address of all interfaces: say with --advertise HOST:PORT where other nodes reach it".into(),
        );
    }
    let remote = Remote::new(&args.control_plane, &state_dir, args.join_token_file)?;
    let redis = args.redis.as_deref().filter(|url| !url.is_empty());
    let log = log::start(args.log_level);
    let settings = Settings {
        set_log_level: log.follows.then_some(log::set_level),
        node: args.node,
        labels: args.labels.into_iter().collect::<BTreeMap<_, _>>(),
        listen: args.listen,
        admin: Some(args.admin),
        link: args.link,
        advertise: args.advertise,
        stdio: false,
        take_over: args.take_over,
        workers: args.workers.map_or(0, usize::from),
        state_dir,
        guard: std::env::current_exe().ok().map(|own| vec![own.into(), GUARD.into()]),
        sessions: redis.map(|url| Sessions::Redis(Redis::at(url))),
        session_keys: SessionKeys::found(args.session_keys),
    };
    // a node without a state folder serves all the same; what it cannot keep, it says
    let _ = DirBuilder::new().recursive(true).mode(0o700).create(&settings.state_dir);
    Ok(sluice_dataplane::run(settings, Uplink::remote(remote))?)
}

fn usual_state_dir() -> Option<PathBuf> {
    let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let state = state.or_else(|| std::env::home_dir().map(|home| home.join(".local/state")));
    state.map(|state| state.join("sluice-dataplane"))
}

fn name(text: &str) -> Result<String, String> {
    let usable = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    let begins = text.starts_with(|c: char| c.is_ascii_alphanumeric());
    match begins && text.len() <= 63 && text.bytes().all(usable) {
        true => Ok(text.to_owned()),
        false => {
            Err("a node's name has letters, digits and `.-_`, begins with a letter or digit, and is at most 63 long"
                .into())
        }
    }
}

fn host_and_port(text: &str) -> Result<String, String> {
    let is_usable = |(host, port): (&str, &str)| !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0);
    match text.rsplit_once(':').is_some_and(is_usable) {
        true => Ok(text.to_owned()),
        false => Err("`HOST:PORT` is one, such as `edge-1.example.com:9402`".into()),
    }
}

fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("a label is `key=value`".into()),
    }
}
