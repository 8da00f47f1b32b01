//! The command line.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use sluice_load::arguments::Arguments;

/// What `--help` prints.
pub(crate) const HELP: &str = "\
MCP clients that check every answer: status, id, text, number of tools. A wrong one ends the run with exit code 1.

Usage: load --connect ADDR [options]        commands on stdin, a line of JSON on stdout for each

  --connect ADDR      the proxy, or the server itself
  --path PATH         where to post (default: /servers/s0/mcp); {s} is the server's number
  --modern            2026-07-28; otherwise 2025-11-25, with sessions
  --connections N     (default: 16)
  --sessions N        opened first and used in turn (default: as many as connections, one for each path at least)
  --streams           a GET stream for each session, held open
  --trust FILE        speak TLS; the certificate of the other side
  --h2 N              speak HTTP/2 with prior knowledge, N requests at a time on each connection
  --key KEY           sent as a bearer token
  --list N            tools/list instead of tools/call; N tools are expected
  --tool NAME         what is called (default: echo); {s} and {t} are the server's and the tool's number
  --servers N         servers whose tools are called (default: 1)
  --first N           the number of the first of them (default: 0)
  --tools N           tools of each that are called (default: 1)
  --send BYTES        text of a call, at least 10 (default: 200)
  --receive BYTES     text of the answer (default: the same text)
  --patience SECONDS  how long an answer may take (default: 5)

Commands: `run SECONDS`, `requests N`, `rate REQUESTS_PER_SECOND SECONDS` (open loop: latencies count from the moment a
request was due), `streams` (are all of them still open?). End of input ends it.

Example: echo run 5 | load --connect 127.0.0.1:8000
";

/// Shortest text: the digits of a request's id, so that no answer fits another request.
pub(crate) const DIGITS: usize = 10;

/// What to ask, and whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Options {
    pub connect: SocketAddr,
    pub path: String,
    pub is_modern: bool,
    pub connections: usize,
    pub sessions: Option<usize>,
    pub streams: bool,
    pub trust: Option<PathBuf>,
    pub h2: Option<usize>,
    pub key: Option<String>,
    /// The number of tools, where lists are asked for.
    pub list: Option<usize>,
    pub tool: String,
    pub servers: usize,
    pub first: usize,
    pub tools: usize,
    pub send: usize,
    pub receive: Option<usize>,
    pub patience: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            connect: (Ipv4Addr::LOCALHOST, 0).into(),
            path: "/servers/s0/mcp".to_owned(),
            is_modern: false,
            connections: 16,
            sessions: None,
            streams: false,
            trust: None,
            h2: None,
            key: None,
            list: None,
            tool: "echo".to_owned(),
            servers: 1,
            first: 0,
            tools: 1,
            send: 200,
            receive: None,
            patience: Duration::from_secs(5),
        }
    }
}

/// Reads the arguments behind the program's name; `None`: help is asked for.
///
/// # Errors
/// A sentence that names the argument.
pub(crate) fn parse(arguments: impl Iterator<Item = String>) -> Result<Option<Options>, String> {
    let mut options = Options::default();
    let mut arguments = Arguments::new(arguments);
    while let Some(name) = arguments.name() {
        match name.as_str() {
            "--help" | "-h" => return Ok(None),
            "--connect" => options.connect = arguments.value()?,
            "--path" => options.path = arguments.value()?,
            "--modern" => options.is_modern = true,
            "--connections" => options.connections = arguments.value()?,
            "--sessions" => options.sessions = Some(arguments.value()?),
            "--streams" => options.streams = true,
            "--trust" => options.trust = Some(arguments.value()?),
            "--h2" => options.h2 = Some(arguments.value()?),
            "--key" => options.key = Some(arguments.value()?),
            "--list" => options.list = Some(arguments.value()?),
            "--tool" => options.tool = arguments.value()?,
            "--servers" => options.servers = arguments.value()?,
            "--first" => options.first = arguments.value()?,
            "--tools" => options.tools = arguments.value()?,
            "--send" => options.send = arguments.value()?,
            "--receive" => options.receive = Some(arguments.value()?),
            "--patience" => options.patience = Duration::from_secs(arguments.value()?),
            _ => return Err(arguments.unknown()),
        }
    }
    if options.connect.port() == 0 {
        return Err("--connect ADDR is needed".to_owned());
    }
    if options.send < DIGITS || options.receive.is_some_and(|bytes| bytes < DIGITS) {
        return Err(format!("--send and --receive must be at least {DIGITS}"));
    }
    if [options.connections, options.servers, options.tools].contains(&0) {
        return Err("--connections, --servers and --tools must be at least 1".to_owned());
    }
    Ok(Some(options))
}
