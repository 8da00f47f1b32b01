//! `sluice rollback`: a new revision that says what an old one said.

use std::process::ExitCode;

use sluice_contract::v1::RollbackRequest;

use crate::client::Connection;
use crate::edit::{Edit, Sure};
use crate::output::{self, Failure, talk};

/// Make the fleet run what an old revision said.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sluice rollback 12
  sluice rollback 12 --dry-run                what would that change?
  sluice rollback 12 --yes                    without being asked, on a terminal

Nothing is forgotten: it is a new revision, and can be rolled back as well. Keys that were revoked stay revoked.")]
pub(crate) struct Args {
    /// The revision to go back to; `sluice history` lists them
    revision: u64,

    #[command(flatten)]
    sure: Sure,

    #[command(flatten)]
    edit: Edit,
}

/// Goes back.
pub(crate) fn run(args: &Args) -> ExitCode {
    output::exit(rollback(args))
}

fn rollback(args: &Args) -> Result<(), Failure> {
    let mut connection = args.edit.connect()?;
    let mut request = RollbackRequest {
        revision: args.revision,
        base_revision: args.edit.base,
        dry_run: args.edit.dry_run,
        message: args.edit.message.clone(),
    };
    let dry = RollbackRequest { dry_run: true, ..request.clone() };
    let would = |connection: &mut Connection| connection.try_ask(async |admin| admin.rollback(dry).await);
    let question = format!("Go back to what revision {} said?", args.revision);
    request.base_revision = args.sure.agree(&args.edit, &mut connection, would, &question)?.or(request.base_revision);
    let base = request.base_revision;
    let asked = connection.try_ask(async |admin| admin.rollback(request).await);
    if asked.as_ref().is_ok_and(|answer| answer.changes.is_empty() && answer.revision == args.revision) {
        talk(&format!("revision {} is the newest one: there is nothing to go back from\n", args.revision));
    }
    args.edit.finish(&mut connection, asked, base, &[])
}
