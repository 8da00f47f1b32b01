//! `sluice demo-server`: a small but real MCP server to try a gateway with, when nothing else is installed.
//!
//! It is a program of its own that happens to share the binary: it speaks MCP through `rmcp`, the official SDK, and
//! uses nothing of the data plane, so what works with it works with a server that somebody else wrote.
//!
//! One call's life: a transport ([`stdio`] or [`http`]) gives the client a [`connection::Connection`], which answers
//! from the state all connections share ([`demo::Demo`]). [`era`] tells which of the two protocol generations a
//! request belongs to; only questions to the client, logging and subscriptions differ by it.

mod ask;
mod connection;
mod counter;
mod demo;
mod era;
mod http;
mod log;
mod notes;
mod prompts;
mod question;
mod resources;
mod slow;
mod stdio;
mod tools;

#[cfg(test)]
mod tests;

use std::{io, net::SocketAddr, process::ExitCode};

use demo::Demo;
use era::Era;

/// Run a small MCP server with something of everything, to try a gateway or a client with.
///
/// It offers tools (a slow one with progress, one that asks the user, one that asks the model), resources (one that
/// changes), prompts with completion, and log messages, for clients of every protocol version from 2024-11-05 to
/// 2026-07-28.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sluice demo-server                          speak MCP on stdin and stdout
  sluice demo-server --listen 127.0.0.1:8100  serve http://127.0.0.1:8100/mcp
  sluice demo-server --era legacy             behave like a server from before 2026-07-28")]
pub(crate) struct Args {
    /// Speak MCP on stdin and stdout, one JSON message per line (this is the default)
    #[arg(long, conflicts_with = "listen")]
    stdio: bool,

    /// Serve streamable HTTP at /mcp on this address instead; port 0 picks a free one
    #[arg(long, value_name = "ADDR", value_parser = sluice_arguments::address)]
    listen: Option<SocketAddr>,

    /// Which generations of the protocol to speak
    #[arg(long, value_enum, value_name = "ERA", default_value_t = Era::Both)]
    era: Era,
}

/// Serves until the client closes stdin, or, over HTTP, until the process is told to stop.
pub(crate) fn run(args: Args) -> ExitCode {
    match serve(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(args: Args) -> io::Result<()> {
    let demo = Demo::new(args.era)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let served = runtime.block_on(async {
        match args.listen {
            Some(address) => http::serve(demo, address).await,
            None => stdio::serve(demo).await,
        }
    });
    // A read of stdin that is still waiting sits in a thread that nothing can wake; do not wait for it.
    runtime.shutdown_background();
    served
}
