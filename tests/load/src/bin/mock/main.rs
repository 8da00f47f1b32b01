//! An MCP server that costs next to nothing and forgives nothing: what a gateway in front of it leaves out, mixes up or
//! answers itself is seen. One thread; many servers in one process, over HTTP/1.1 or on stdin and stdout.

use std::io::Write;
use std::process::ExitCode;

mod call;
mod catalogue;
mod fault;
mod http;
mod message;
mod options;
mod reply;
mod serve;
mod server;
mod session;
mod stdio;

use options::Options;
use server::Servers;

fn main() -> ExitCode {
    let options = match options::parse(std::env::args().skip(1)) {
        Ok(Some(options)) => options,
        Ok(None) => {
            // nobody listening is fine
            let _ = std::io::stdout().write_all(options::HELP.as_bytes());
            return ExitCode::SUCCESS;
        }
        Err(fault) => {
            eprintln!("mock: {fault}");
            return ExitCode::from(2);
        }
    };
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mock: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> std::io::Result<()> {
    let servers = Servers::new(options);
    if options.stdio { stdio::serve(servers) } else { serve::serve(options, servers) }
}
