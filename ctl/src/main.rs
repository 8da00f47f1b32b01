//! The command people type: `sluice`.

mod change;
mod cli;
mod client;
mod command;
mod configuration;
mod edit;
mod fault;
mod gateway;
mod kind;
mod output;
mod page;
mod principal;
mod spread;
mod state;
mod written;

use std::process::ExitCode;

/// Many small buffers live and die on the path of a call, across threads; this allocator is made for that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::run()
}
