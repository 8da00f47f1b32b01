//! `sluice rollback`: a new revision that says what an old one said.

use std::process::ExitCode;

use sluice_contract::v1::RollbackRequest;

use crate::edit::Edit;
use crate::output::{self, Failure};

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

    #[command(flatten)]
    edit: Edit,
}

/// Goes back.
pub(crate) fn run(args: &Args) -> ExitCode {
    output::exit(rollback(args))
}

fn rollback(args: &Args) -> Result<(), Failure> {
    let mut connection = args.edit.connect()?;
    let request = RollbackRequest {
        revision: args.revision,
        base_revision: args.edit.base,
        dry_run: args.edit.dry_run,
        message: args.edit.message.clone(),
    };
    let asked = connection.try_ask(async |admin| admin.rollback(request).await);
    args.edit.finish(&mut connection, asked, args.edit.base, &[])
}
