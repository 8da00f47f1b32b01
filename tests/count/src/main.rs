//! A program to be counted: `counted CASE TIMES` does one piece of the protocol's work so many times over fixed inputs.
//! `counted` alone lists the cases. It measures nothing itself; `tests/count/run` does, with callgrind.

mod case;
mod input;

use std::io::Write;
use std::process::ExitCode;

use case::Case;

/// The allocator of the gateway: what it takes to allocate is counted, too.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match *arguments.as_slice() {
        [] => list(),
        [name, times] => match (case::all().find(|case| case.name == name), times.parse()) {
            (Some(case), Ok(times)) => run(&case, times),
            (None, _) => fault("no such case; without arguments, all are listed"),
            (_, Err(_)) => fault("TIMES is not a whole number"),
        },
        _ => fault("usage: counted [CASE TIMES]"),
    }
}

fn run(case: &Case, times: u64) -> ExitCode {
    let mut work = (case.prepare)();
    for _ in 0..times {
        work();
    }
    ExitCode::SUCCESS
}

/// A line for each case: how often it is to be run, and its name.
fn list() -> ExitCode {
    let mut out = std::io::stdout().lock();
    match case::all().try_for_each(|case| writeln!(out, "{} {}", case.times, case.name)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn fault(text: &str) -> ExitCode {
    eprintln!("counted: {text}");
    ExitCode::from(2)
}
