//! `sluice history`: who changed what, when, and why.

use std::process::ExitCode;

use serde_json::{Value, json};
use sluice_contract::v1::{HistoryRequest, Revision};

use crate::change;
use crate::client::{Connection, ControlPlane};
use crate::output::{self, Failure, Field, Format, Stream, Tone, talk, time, visible};
use crate::page::Page;

/// Revisions told of where somebody else was faster: more are a matter for `sluice history`.
const SINCE: u32 = 20;

/// Show who changed what, when and why, newest first.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sluice history
  sluice history 12                           all that revision 12 changed
  sluice history --limit 200 -o json")]
#[command(mut_arg("limit", |limit| limit.default_value("20")))]
pub(crate) struct Args {
    /// Only this revision, with all it changed
    revision: Option<u64>,

    #[command(flatten)]
    page: Page,

    /// How to show them
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value_t = Format::Table)]
    output: Format,

    #[command(flatten)]
    control_plane: ControlPlane,
}

/// Lists them.
pub(crate) fn run(args: &Args) -> ExitCode {
    output::exit(history(args))
}

fn history(args: &Args) -> Result<(), Failure> {
    let mut connection = args.control_plane.connect()?;
    if let Some(wanted) = args.revision {
        let found =
            ask(&mut connection, 1, wanted.saturating_add(1))?.into_iter().find(|found| found.revision == wanted);
        let found = found.ok_or_else(|| {
            Failure::other(format_args!("there is no revision {wanted}; `sluice history` lists those there are"))
        })?;
        return one(args.output, &found);
    }
    let revisions =
        args.page.all(|revision: &Revision| revision.revision, |limit, before| ask(&mut connection, limit, before))?;
    let now = time::now();
    let row = |revision: &Revision| {
        [
            Field::from(revision.revision.to_string()),
            Field::new(time::relative(revision.at_ms, now), Tone::Quiet),
            Field::from(revision.author.clone()),
            Field::from(change::summary(&revision.changes)),
            Field::from(revision.message.clone()),
        ]
    };
    let header = ["REVISION", "WHEN", "AUTHOR", "CHANGES", "MESSAGE"];
    let none = "there is no revision yet; `sluice apply -f FILE` makes one";
    output::list(args.output, &revisions, none, header, row, value)
}

fn one(format: Format, revision: &Revision) -> Result<(), Failure> {
    if format != Format::Table {
        return output::values(format, &value(revision));
    }
    talk(&line(revision, time::now()));
    output::painted_data(change::lines(&revision.changes, Stream::Stdout))
}

/// Lines about the revisions after one, newest first.
pub(crate) fn since(connection: &mut Connection, base: u64) -> Result<String, Failure> {
    let now = time::now();
    let later = ask(connection, SINCE, 0)?;
    Ok(later
        .iter()
        .filter(|revision| revision.revision > base)
        .map(|revision| format!("  {}", line(revision, now)))
        .collect())
}

fn ask(connection: &mut Connection, limit: u32, before: u64) -> Result<Vec<Revision>, Failure> {
    let asked = connection.ask(async |admin| admin.history(HistoryRequest { limit, before }).await);
    asked.map(|answer| answer.revisions)
}

fn line(revision: &Revision, now: u64) -> String {
    let why = if revision.message.is_empty() { String::new() } else { format!(" ({})", visible(&revision.message)) };
    let changes = change::summary(&revision.changes);
    let when = time::relative(revision.at_ms, now);
    format!("revision {} by {}, {when}: {changes}{why}\n", revision.revision, visible(&revision.author))
}

fn value(revision: &Revision) -> Value {
    json!({
        "revision": revision.revision,
        "at": time::iso(revision.at_ms),
        "author": revision.author,
        "message": revision.message,
        "base": revision.base,
        "changes": change::values(&revision.changes),
    })
}
