//! `sluice apply`: a file becomes what the fleet runs.

use std::process::ExitCode;

use sluice_contract::v1::{ApplyRequest, ChangeKind};

use crate::change;
use crate::client::Connection;
use crate::edit::Edit;
use crate::output::{self, Failure, Stream, painted_talk, prompt};
use crate::written::{What, Written};

/// Make the fleet run what a file says.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sluice apply -f mcp.yaml
  sluice apply -f fleet/                      every *.yaml, *.yml and *.json of a folder, as one
  sluice apply -f mcp.yaml --dry-run          judge and compare, change nothing
  sluice apply -f mcp.yaml --prune            and remove what the file does not have
  sluice apply -f mcp.yaml --message 'weather moves to its new host'

What the file has is created or changed; what it does not have stays, but for --prune. Variables are expanded \
here, where they are known. All of it is applied or nothing: a mistake is shown at its place in the file.

stdout: a line per change. Exit code 0: every connected node runs it. Exit code 1: a node refused it, somebody else \
was faster than --base, or the control plane failed. Exit code 2: the configuration is wrong, and nothing was changed.

Under `sluice run` there is no control plane to apply to: the file is the only writer, edit it.")]
pub(crate) struct Args {
    #[command(flatten)]
    what: What,

    /// With --prune: do not ask
    #[arg(long, short, requires = "prune")]
    yes: bool,

    #[command(flatten)]
    edit: Edit,
}

/// Applies the file.
pub(crate) fn run(args: &Args) -> ExitCode {
    output::exit(apply(args))
}

fn apply(args: &Args) -> Result<(), Failure> {
    let written = Written::read(&args.what)?;
    let mut connection = args.edit.connect()?;
    let mut request = ApplyRequest {
        base_revision: args.edit.base,
        dry_run: args.edit.dry_run,
        message: args.edit.message.clone(),
        ..written.request(&args.what)
    };
    if args.what.prune && !args.edit.dry_run {
        request.base_revision = Some(agree(&mut connection, &written, &request, args)?);
    }
    let base = request.base_revision;
    let asked = connection.try_ask(async |admin| admin.apply(request).await);
    args.edit.finish(&mut connection, asked, base, written.files())
}

/// Shows what pruning would do and lets a person decide. The answer: the revision that was shown.
fn agree(connection: &mut Connection, written: &Written, request: &ApplyRequest, args: &Args) -> Result<u64, Failure> {
    let would = written.compare(connection, request.clone())?;
    if would.changes.is_empty() || args.yes {
        return Ok(would.revision);
    }
    painted_talk(&format!("{}\n", change::lines(&would.changes, Stream::Stderr)));
    if !prompt::is_possible() {
        return Err(Failure::input("--prune removes what the file does not have; say --yes where nobody can be asked"));
    }
    let removed = would.changes.iter().filter(|change| change.change() == ChangeKind::Removed).count();
    let question = match removed {
        0 => "Apply?".to_owned(),
        1 => "Apply, and remove 1 object?".to_owned(),
        count => format!("Apply, and remove {count} objects?"),
    };
    if prompt::confirm(&question)? { Ok(would.revision) } else { Err(Failure::declined()) }
}
