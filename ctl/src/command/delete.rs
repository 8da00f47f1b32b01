//! `sluice delete`: one object less.

use std::process::ExitCode;

use sluice_contract::v1::DeleteRequest;
use sluice_controlplane::language::Kind;

use crate::client::ControlPlane;
use crate::command::apply::{self, Why};
use crate::kind;
use crate::output::{self, Failure, Format, talk};
use crate::spread::Wait;

/// Remove an object from the configuration.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sluice delete server weather
  sluice delete policy readers --dry-run

Nothing is removed that something else still refers to: the answer says what. `sluice rollback` brings it back.")]
pub(crate) struct Args {
    /// What kind of object
    #[arg(value_parser = kind::parser())]
    kind: Kind,

    /// Its name; `proxy` and `features` have none
    name: Option<String>,

    /// Say what would happen, and change nothing
    #[arg(long)]
    dry_run: bool,

    /// How to show the change
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value_t = Format::Table)]
    output: Format,

    #[command(flatten)]
    why: Why,

    #[command(flatten)]
    wait: Wait,

    #[command(flatten)]
    control_plane: ControlPlane,
}

/// Removes it.
pub(crate) fn run(args: &Args) -> ExitCode {
    output::exit(delete(args))
}

fn delete(args: &Args) -> Result<(), Failure> {
    let mut connection = args.control_plane.connect()?;
    let request = DeleteRequest {
        kind: args.kind.as_str().to_owned(),
        name: name(args)?,
        base_revision: args.why.base,
        dry_run: args.dry_run,
        message: args.why.message.clone(),
    };
    let asked = connection.try_ask(async |admin| admin.delete(request).await);
    let answer = apply::accepted(&mut connection, asked, args.why.base, None)?;
    if args.dry_run {
        talk("nothing was changed\n");
        return apply::show(args.output, &answer, None);
    }
    apply::finish(args.output, &args.wait, &mut connection, &answer, None)
}

fn name(args: &Args) -> Result<String, Failure> {
    match &args.name {
        Some(name) => Ok(name.clone()),
        None if args.kind.is_single() => Ok(args.kind.as_str().to_owned()),
        None => Err(Failure::input(format_args!("which {0}? `sluice get {0}` lists them", args.kind.as_str()))),
    }
}
