//! `sluice rollback`: a new revision that says what an old one said.

use std::process::ExitCode;

use sluice_contract::v1::RollbackRequest;

use crate::client::ControlPlane;
use crate::command::apply::{self, Why};
use crate::output::{self, Failure, Format, talk};
use crate::spread::Wait;

/// Make the fleet run what an old revision said.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sluice rollback 12
  sluice rollback 12 --dry-run                what would that change?

Nothing is forgotten: it is a new revision, and can be rolled back as well. Keys that were revoked stay revoked.")]
pub(crate) struct Args {
    /// The revision to go back to; `sluice history` lists them
    revision: u64,

    /// Say what would change, and change nothing
    #[arg(long)]
    dry_run: bool,

    /// How to show the changes
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value_t = Format::Table)]
    output: Format,

    #[command(flatten)]
    why: Why,

    #[command(flatten)]
    wait: Wait,

    #[command(flatten)]
    control_plane: ControlPlane,
}

/// Goes back.
pub(crate) fn run(args: &Args) -> ExitCode {
    output::exit(rollback(args))
}

fn rollback(args: &Args) -> Result<(), Failure> {
    let mut connection = args.control_plane.connect()?;
    let request = RollbackRequest {
        revision: args.revision,
        base_revision: args.why.base,
        dry_run: args.dry_run,
        message: args.why.message.clone(),
    };
    let asked = connection.try_ask(async |admin| admin.rollback(request).await);
    let answer = apply::accepted(&mut connection, asked, args.why.base, None)?;
    if args.dry_run {
        talk("nothing was changed\n");
        return apply::show(args.output, &answer, None);
    }
    apply::finish(args.output, &args.wait, &mut connection, &answer, None)
}
