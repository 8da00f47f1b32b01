//! `sluice delete`: one object less.

use std::process::ExitCode;

use sluice_contract::v1::DeleteRequest;
use sluice_controlplane::language::Kind;

use crate::client::Connection;
use crate::edit::{Edit, Sure};
use crate::kind;
use crate::output::{self, Failure};

/// Remove an object from the configuration.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sluice delete server weather
  sluice delete policy readers --dry-run
  sluice delete server weather --yes          without being asked, on a terminal

Nothing is removed that something else still refers to: the answer says what. `sluice rollback` brings it back.")]
pub(crate) struct Args {
    /// What kind of object
    #[arg(value_parser = kind::parser())]
    kind: Kind,

    /// Its name; `proxy` and `features` have none
    name: Option<String>,

    #[command(flatten)]
    sure: Sure,

    #[command(flatten)]
    edit: Edit,
}

/// Removes it.
pub(crate) fn run(args: &Args) -> ExitCode {
    output::exit(delete(args))
}

fn delete(args: &Args) -> Result<(), Failure> {
    let mut connection = args.edit.connect()?;
    let mut request = DeleteRequest {
        kind: args.kind.as_str().to_owned(),
        name: name(args)?,
        base_revision: args.edit.base,
        dry_run: args.edit.dry_run,
        message: args.edit.message.clone(),
    };
    let dry = DeleteRequest { dry_run: true, ..request.clone() };
    let would = |connection: &mut Connection| connection.try_ask(async |admin| admin.delete(dry).await);
    request.base_revision =
        args.sure.agree(&args.edit, &mut connection, would, "Remove it?")?.or(request.base_revision);
    let base = request.base_revision;
    let asked = connection.try_ask(async |admin| admin.delete(request).await);
    args.edit.finish(&mut connection, asked, base, &[])
}

fn name(args: &Args) -> Result<String, Failure> {
    match &args.name {
        Some(name) => Ok(name.clone()),
        None if args.kind.is_single() => Ok(args.kind.as_str().to_owned()),
        None => Err(Failure::input(format_args!("which {0}? `sluice get {0}` lists them", args.kind.as_str()))),
    }
}
