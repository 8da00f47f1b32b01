//! The command line.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use sluice_load::arguments::Arguments;

use crate::fault::Fault;

/// What `--help` prints.
pub(crate) const HELP: &str = "\
An MCP server that costs next to nothing, for measuring what stands in front of it.

Usage: mock [--listen ADDR | --stdio] [options]

  --listen ADDR     where to listen (default: 127.0.0.1:0, a free port); the address is printed once it is open
  --stdio           one server, on stdin and stdout
  --servers N       servers at /servers/s0/mcp, /servers/s1/mcp, … (default: 1), each with sessions of its own
  --tools N         tools of each beside `echo`: tool_0, tool_1, … (default: 10), some 470 bytes each
  --page N          tools on one page of tools/list (default: 500)
  --sse             answers are event streams of one event
  --delay-us N      answers wait so long
  --fault NAME      every 1,000th answer to a call is wrong: wrong-id, wrong-text, error, bad-gateway, cut, silence

Both eras. `echo` answers with the argument `text`, cut or filled up to `bytes` bytes where that is given; `tool_3` of
server s17 writes `s17 tool_3 ` before it. GET opens an event stream on which nothing comes. GET /count tells how many
calls came so far.

Example: mock --listen 127.0.0.1:9000 --servers 1000
";

/// How to serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Options {
    pub listen: SocketAddr,
    pub stdio: bool,
    pub servers: usize,
    /// Tools of each server, beside `echo`.
    pub tools: usize,
    pub page: usize,
    pub sse: bool,
    pub delay: Duration,
    pub fault: Option<Fault>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            stdio: false,
            servers: 1,
            tools: 10,
            page: 500,
            sse: false,
            delay: Duration::ZERO,
            fault: None,
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
            "--listen" => options.listen = arguments.value()?,
            "--stdio" => options.stdio = true,
            "--servers" => options.servers = arguments.value()?,
            "--tools" => options.tools = arguments.value()?,
            "--page" => options.page = arguments.value::<std::num::NonZero<usize>>()?.get(),
            "--sse" => options.sse = true,
            "--delay-us" => options.delay = Duration::from_micros(arguments.value()?),
            "--fault" => options.fault = Some(arguments.value()?),
            _ => return Err(arguments.unknown()),
        }
    }
    Ok(Some(options))
}
