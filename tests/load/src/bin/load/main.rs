//! The load generator: MCP clients that check every answer. One thread.
//!
//! It opens its connections, sessions and streams, says so, and then does what it is told on stdin, so that whoever
//! started it can look at the proxy before and after.

use std::io::{BufRead, Write};
use std::process::ExitCode;

mod answer;
mod ask;
mod check;
mod client;
mod command;
mod drive;
mod histogram;
mod lanes;
mod multiplexed;
mod options;
mod report;
mod session;
mod socket;
mod stream;
mod wire;

use client::Clients;
use command::Command;
use options::Options;

fn main() -> ExitCode {
    let options = match options::parse(std::env::args().skip(1)) {
        Ok(Some(options)) => options,
        Ok(None) => {
            // nobody listening is fine
            let _ = std::io::stdout().write_all(options::HELP.as_bytes());
            return ExitCode::SUCCESS;
        }
        Err(fault) => {
            eprintln!("load: {fault}");
            return ExitCode::from(2);
        }
    };
    match run(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("load: {fault}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: Options) -> Result<(), String> {
    let mut clients = Clients::connect(&options)?;
    say(&report::ready(&clients.open_sessions()?))?;
    for line in std::io::stdin().lock().lines() {
        let line = line.map_err(|error| error.to_string())?;
        let report = match line.parse::<Command>()? {
            Command::Run(load) => clients.run(load)?,
            Command::Streams => clients.check_streams()?,
        };
        say(&report)?;
    }
    Ok(())
}

fn say(line: &str) -> Result<(), String> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).map_err(|error| error.to_string())
}
