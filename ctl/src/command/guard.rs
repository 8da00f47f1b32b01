//! The process that ends the children of a gateway that was killed. `run` starts it; nobody types it.

use std::process::ExitCode;

/// What `run` calls it by.
pub(crate) const NAME: &str = "child-guard";

/// Waits for the gateway's end, then ends what it left behind.
pub(crate) fn run() -> ExitCode {
    sluice_dataplane::guard_main();
    ExitCode::SUCCESS
}
