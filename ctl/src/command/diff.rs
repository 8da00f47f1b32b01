//! `sluice diff`: what `apply` would do.

use std::process::ExitCode;

use crate::client::ControlPlane;
use crate::edit;
use crate::output::{self, Failure, Format, talk};
use crate::written::{What, Written};

/// Show what a file would change.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sluice diff -f mcp.yaml
  sluice diff -f fleet/                       a folder of files
  sluice diff -f mcp.yaml --prune             with what would be removed
  sluice diff -f mcp.yaml --exit-code         for scripts: is anything different?

The control plane judges the file as it would if it were applied, so that what is wrong with it is found here. \
Secrets are compared, and never shown. Exit code 2: the configuration is wrong.")]
pub(crate) struct Args {
    #[command(flatten)]
    what: What,

    /// Exit with code 1 where there are differences
    #[arg(long)]
    exit_code: bool,

    /// How to show the differences
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value_t = Format::Table)]
    output: Format,

    #[command(flatten)]
    control_plane: ControlPlane,
}

/// Compares.
pub(crate) fn run(args: &Args) -> ExitCode {
    match diff(args) {
        Ok(true) if args.exit_code => ExitCode::FAILURE,
        result => output::exit(result.map(|_| ())),
    }
}

/// `true`: there are differences.
fn diff(args: &Args) -> Result<bool, Failure> {
    let written = Written::read(&args.what)?;
    let mut connection = args.control_plane.connect()?;
    let answer = written.compare(&mut connection, written.request(&args.what))?;
    edit::show(args.output, &answer, None)?;
    if answer.changes.is_empty() {
        talk(&format!("no differences: revision {} says the same\n", answer.revision));
    } else {
        talk(&format!("compared with revision {}\n", answer.revision));
    }
    Ok(!answer.changes.is_empty())
}
