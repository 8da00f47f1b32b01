//! `sluice run`: both planes in one process. The file becomes a snapshot on the same way that a fleet's configuration
//! does, and the data plane gets nothing but snapshots.

mod log;
mod program;
mod watch;

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use jiff::Timestamp;
use sluice_contract::v1;
use sluice_controlplane::compile::{Node, needs_first_key};
use sluice_controlplane::language::{Config, LogLevel};
use sluice_controlplane::publish::{Nodes, Publisher};
use sluice_controlplane::source::{Document, Feed, FeedError, News};
use sluice_controlplane::store::Keys;
use sluice_controlplane::sync::Sync;
use sluice_dataplane::{SessionKeys, Settings, StartError, Uplink};
use sluice_snapshot::model::{self, Redis, Sessions};

use crate::command::guard;
use crate::configuration;
use crate::output::{self, Failure, talk};
use crate::state::StateDir;

/// What the node of this process is called in logs.
const NODE: &str = "local";

/// Serve every configured MCP server through one door.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sluice run --config mcp.yaml
  sluice run --config mcp.yaml --listen 127.0.0.1:9000
  sluice run --config mcp.json --stdio        for a client that starts its servers itself

Clients connect to http://127.0.0.1:8000/mcp, or to one server at http://127.0.0.1:8000/servers/NAME/mcp.
Changes of the file, of the files of variables it names and of keys are applied while it runs, whole
or not at all; SIGHUP reads them again in any case.
Exit code 2: the configuration is wrong, nothing was started, and stderr says why.")]
pub(crate) struct Args {
    /// The configuration, YAML or JSON; the file of a client such as Claude, Cursor or VS Code will do
    #[arg(short, long, visible_alias = "file", value_name = "FILE", env = "MCP_CONFIG_PATH", hide_env_values = true)]
    config: PathBuf,

    /// Address for clients, instead of the one in the file
    #[arg(long, value_name = "ADDR", value_parser = sluice_arguments::address)]
    listen: Option<SocketAddr>,

    /// Address of the admin port: health, metrics, configuration [default: 127.0.0.1:8001]
    #[arg(long, value_name = "ADDR", value_parser = sluice_arguments::address)]
    admin: Option<SocketAddr>,

    /// Speak MCP on stdin and stdout, and open no port unless --listen is given
    #[arg(long)]
    stdio: bool,

    /// Keep sessions in Redis, where other gateways find them: redis://[USER:PASSWORD@]HOST[:PORT][/DB], by its sentinels
    /// redis+sentinel://[USER:PASSWORD@]HOST[:PORT][,…]/NAME, or in a cluster redis+cluster://[USER:PASSWORD@]HOST[:PORT][,…];
    /// rediss… for TLS. Better in the environment, where no list of processes shows it
    #[arg(long, value_name = "URL", env = "SLUICE_REDIS", hide_env_values = true)]
    redis: Option<String>,

    /// File with the session keys that all gateways on that Redis share; SLUICE_SESSION_KEYS may hold its text instead
    #[arg(long, value_name = "FILE", env = "SLUICE_SESSION_KEYS_FILE")]
    session_keys: Option<PathBuf>,

    /// Threads that serve clients [default: one per processor]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    workers: Option<u16>,

    #[command(flatten)]
    state: StateDir,
}

impl Args {
    /// A variable that is there and empty says nothing.
    fn redis(&self) -> Option<&str> {
        self.redis.as_deref().filter(|url| !url.is_empty())
    }
}

/// Runs until the process is told to stop.
pub(crate) fn run(args: Args) -> ExitCode {
    output::exit(start(args))
}

fn start(args: Args) -> Result<(), Failure> {
    let session_keys = SessionKeys::found(args.session_keys.clone());
    if args.redis().is_some() && session_keys.is_none() {
        return Err(Failure::input(StartError::NoSessionKeys));
    }
    if args.config.is_dir() {
        return Err(a_folder(&args.config));
    }
    let document = configuration::read(&args.config)?;
    let keys = Keys::new(args.state.folder()?);
    let mut feed = feed(&args, document, keys.clone());
    let mut first = next(&mut feed)?.ok_or_else(|| Failure::other("there is no first configuration"))?;
    let document = feed.document();
    let log = sluice_controlplane::log::start(document.config.proxy.log_level.map(level));
    log::faults(&document.source, &first.warnings, log::Weight::Warning);
    // Only now: a configuration that is refused leaves nothing behind.
    if make_first_key(&document.config, &keys)? {
        first = next(&mut feed)?.unwrap_or(first);
    }
    // A node without a state folder serves all the same; what it cannot keep, it says.
    if let Err(error) = args.state.folder()?.create() {
        tracing::warn!(%error, "the state folder cannot be made");
    }
    let settings = Settings {
        // there is one log, and the plane that runs the configuration says how much is in it
        set_log_level: log.follows.then_some(sluice_controlplane::log::set_level),
        ..settings(&args, session_keys, &first.snapshot)?
    };
    let desired = watch::start(&first, feed);
    // The same way as in a fleet, but for the network: what the node runs is pushed to it.
    let publisher = Publisher::new(desired, Nodes::in_memory());
    let uplink = Uplink::in_process(Sync::in_process(publisher));
    sluice_dataplane::run(settings, uplink).map_err(Failure::other)
}

/// A fleet's configuration may be a folder; that of one gateway is a file, which it watches.
fn a_folder(folder: &Path) -> Failure {
    let shown = folder.display();
    let files = std::fs::read_dir(folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let is_ours =
        |path: &PathBuf| path.extension().is_some_and(|end| ["yaml", "yml", "json"].iter().any(|e| end == *e));
    let such_as = files.filter(is_ours).min().map(|file| format!(", such as {}", file.display())).unwrap_or_default();
    Failure::input(format_args!(
        "{shown} is a folder, and a gateway runs one file: name it{such_as}\n  \
         = a control plane takes all files of a folder: `sluice apply -f {shown}`"
    ))
}

fn feed(args: &Args, document: Document, keys: Keys) -> Feed {
    let node = Node {
        folder: document.folder.clone(),
        listen: args.listen,
        stdio: args.stdio,
        own_program: program::own(),
        ..Node::default()
    };
    Feed::new(args.config.clone(), document, node, keys)
}

fn next(feed: &mut Feed) -> Result<Option<News>, Failure> {
    feed.look().map_err(|error| match error {
        FeedError::Unreadable(reason) => Failure::Input(reason.to_string()),
        FeedError::Faults(source, faults) => configuration::refused(&source, faults),
        FeedError::Keys(error) => Failure::other(error),
    })
}

fn settings(args: &Args, session_keys: Option<SessionKeys>, first: &v1::Snapshot) -> Result<Settings, Failure> {
    // Without a port for clients there is none for operators either: many such processes run side by side.
    let listener = first.listener.clone().unwrap_or_default();
    let usual_admin = (!listener.addresses.is_empty()).then_some(sluice_dataplane::ADMIN);
    let guard = std::env::current_exe().ok().map(|own| vec![own.into(), guard::NAME.into()]);
    Ok(Settings {
        node: NODE.to_owned(),
        labels: BTreeMap::new(),
        listen: args.listen,
        admin: args.admin.or(usual_admin),
        // alone, with its control plane
        link: None,
        advertise: None,
        stdio: listener.stdio,
        take_over: false,
        set_log_level: None,
        workers: args.workers.map_or(0, usize::from),
        state_dir: args.state.folder()?.path().to_owned(),
        guard,
        sessions: args.redis().map(|url| Sessions::Redis(Redis::at(url))),
        session_keys,
    })
}

fn level(said: LogLevel) -> model::LogLevel {
    match said {
        LogLevel::Trace => model::LogLevel::Trace,
        LogLevel::Debug => model::LogLevel::Debug,
        LogLevel::Info => model::LogLevel::Info,
        LogLevel::Warn => model::LogLevel::Warn,
        LogLevel::Error => model::LogLevel::Error,
    }
}

/// With authentication asked for and nobody to come in, one key is made; its path is told, the key only to a person.
/// `true`: one was made.
fn make_first_key(config: &Config, keys: &Keys) -> Result<bool, Failure> {
    if !needs_first_key(config) {
        return Ok(false);
    }
    let Some(first) = keys.first(Timestamp::now()).map_err(Failure::other)? else { return Ok(false) };
    let file = keys.first_key_file();
    talk(&format!("authentication is on and no client is configured: clients use the key in {}\n", file.display()));
    if std::io::stderr().is_terminal() {
        talk(&format!("the key is {}\n", first.key));
    }
    Ok(true)
}
