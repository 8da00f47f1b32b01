//! The command people type: `sluice`.

mod cli;
mod command;
mod configuration;
mod output;
mod state;

use std::process::ExitCode;

/// Many small buffers live and die on the path of a call, across threads; this allocator is made for that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::run()
}
