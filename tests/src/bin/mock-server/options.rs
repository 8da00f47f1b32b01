//! The command line.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

/// What `--help` prints.
pub(crate) const HELP: &str = "\
A small, fast MCP server over HTTP/1.1, for measuring what stands in front of it.

Usage: mock-server [--listen ADDR] [--servers N] [--tools M] [--no-streams]

  --listen ADDR   where to listen (default: 127.0.0.1:0, a free port); the address is printed once it is open
  --servers N     servers at /s0/mcp, /s1/mcp, … (default: 1), each with sessions of its own
  --tools M       tools of each server, tool_0, tool_1, … (default: 10), some 450 bytes each, 500 to a page
  --no-streams    405 to GET; otherwise a GET opens an event stream on which nothing ever comes
  --help          this text

Both eras: requests with `MCP-Protocol-Version: 2026-07-28` are modern; any other belongs to a session, which begins
with `initialize`: without one it gets 400, with an unknown one 404. A call is answered with 200 bytes of text that
begin with the server and the tool, such as `s17 tool_3`.

Example: mock-server --listen 127.0.0.1:9000 --servers 1000 --tools 10
";

/// Pause after a connection could not be accepted: descriptors come back within milliseconds.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// How to serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Options {
    pub listen: SocketAddr,
    pub servers: usize,
    /// Tools of each server.
    pub tools: usize,
    /// Whether a GET opens a stream.
    pub streams: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { listen: (Ipv4Addr::LOCALHOST, 0).into(), servers: 1, tools: 10, streams: true }
    }
}

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    Help,
    Run(Options),
}

/// Reads the arguments behind the program's name.
///
/// # Errors
/// A sentence that names the argument.
pub(crate) fn parse(mut args: impl Iterator<Item = String>) -> Result<Asked, String> {
    let mut options = Options::default();
    while let Some(name) = args.next() {
        let mut value = || args.next().ok_or_else(|| format!("{name} needs a value"));
        match name.as_str() {
            "--help" | "-h" => return Ok(Asked::Help),
            "--no-streams" => options.streams = false,
            "--listen" => options.listen = read(&name, &value()?, "an address such as 127.0.0.1:9000")?,
            "--servers" => options.servers = read(&name, &value()?, "a number")?,
            "--tools" => options.tools = read(&name, &value()?, "a number")?,
            _ => return Err(format!("{name} is not known")),
        }
    }
    if options.servers == 0 {
        return Err("--servers must be at least 1".to_owned());
    }
    Ok(Asked::Run(options))
}

fn read<T: std::str::FromStr>(name: &str, value: &str, wanted: &str) -> Result<T, String> {
    value.parse().map_err(|_| format!("{name} {value} is not {wanted}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Asked, String> {
        parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn what_is_not_said_has_its_default() {
        let wanted = Options { servers: 3, streams: false, ..Options::default() };
        assert_eq!(parsed("--servers 3 --no-streams"), Ok(Asked::Run(wanted)));
    }

    #[test]
    fn a_fault_names_its_argument() {
        for (line, fault) in [
            ("--servers", "--servers needs a value"),
            ("--servers x", "--servers x is not a number"),
            ("--servers 0", "--servers must be at least 1"),
            ("--listen x", "--listen x is not an address such as 127.0.0.1:9000"),
            ("--fast", "--fast is not known"),
        ] {
            assert_eq!(parsed(line), Err(fault.to_owned()));
        }
    }
}
