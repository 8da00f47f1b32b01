//! `sluice audit`: who did what, and whether the log of it is whole.

use std::process::ExitCode;

use serde_json::{Value, json};
use sluice_contract::v1::{AuditEntry, AuditRequest, VerifyAuditRequest};

use crate::client::ControlPlane;
use crate::output::{self, Failure, Field, Format, Tone, talk, time};
use crate::page::Page;

/// Show who did what, newest first.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
#[command(after_help = "\
Examples:
  sluice audit
  sluice audit list --limit 1000 -o json
  sluice audit --denials                   who was refused, here and on the nodes
  sluice audit verify

Every change and every denial is an entry, and each entry holds the hash of the one before, so that none can be \
taken out or altered unseen.

A node tells the first denial of a kind (who, what, why) at once, and how often it came again as one entry a minute; also of \
what it denied while the control plane was away, as far as it has room.")]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Option<Verb>,

    #[command(flatten)]
    list: List,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Show who did what, newest first
    #[command(after_help = "Example:\n  sluice audit list --limit 1000 -o json")]
    List(List),
    /// Check from its beginning that nothing was taken out of the log or altered
    #[command(after_help = "\
Examples:
  sluice audit verify
  sluice audit verify -o json

stdout: the hash of the newest entry; with -o json or yaml also whether the log is whole, how many entries it has, and which is the first \
that does not fit. Kept elsewhere, the hash tells later whether entries were cut off at the end.
Exit code 1: the log is broken.")]
    Verify {
        /// How to show it
        #[arg(short, long, value_enum, value_name = "FORMAT", default_value_t = Format::Table)]
        output: Format,
        #[command(flatten)]
        control_plane: ControlPlane,
    },
}

#[derive(Debug, clap::Args)]
struct List {
    #[command(flatten)]
    page: Page,

    /// Only who was refused
    #[arg(long)]
    denials: bool,

    /// How to show them
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value_t = Format::Table)]
    output: Format,

    #[command(flatten)]
    control_plane: ControlPlane,
}

/// Does what was asked.
pub(crate) fn run(args: &Args) -> ExitCode {
    output::exit(match &args.verb {
        None => list(&args.list),
        Some(Verb::List(args)) => list(args),
        Some(Verb::Verify { output, control_plane }) => verify(*output, control_plane),
    })
}

fn list(args: &List) -> Result<(), Failure> {
    let mut connection = args.control_plane.connect()?;
    let entries = args.page.all(
        |entry: &AuditEntry| entry.number,
        |limit, before| {
            let request = AuditRequest { limit, before, denials: args.denials };
            connection.ask(async |admin| admin.audit(request).await).map(|answer| answer.entries)
        },
    )?;
    let now = time::now();
    let row = |entry: &AuditEntry| {
        let tone = if entry.action == "denied" { Tone::Bad } else { Tone::Plain };
        [
            Field::from(entry.number.to_string()),
            Field::new(time::relative(entry.at_ms, now), Tone::Quiet),
            Field::from(entry.actor.clone()),
            Field::new(entry.action.clone(), tone),
            Field::from(entry.object.clone()),
            Field::from(entry.detail.clone()),
        ]
    };
    let none = if args.denials { "nobody was refused" } else { "nobody has done anything yet" };
    let header = ["NUMBER", "WHEN", "WHO", "DID", "TO", "DETAIL"];
    output::list(args.output, &entries, none, header, row, value)
}

fn value(entry: &AuditEntry) -> Value {
    json!({
        "number": entry.number,
        "at": time::iso(entry.at_ms),
        "actor": entry.actor,
        "action": entry.action,
        "object": entry.object,
        "before": entry.before,
        "after": entry.after,
        "detail": entry.detail,
        "hash": entry.hash,
    })
}

fn verify(format: Format, control_plane: &ControlPlane) -> Result<(), Failure> {
    let mut connection = control_plane.connect()?;
    let answer = connection.ask(async |admin| admin.verify_audit(VerifyAuditRequest {}).await)?;
    if format != Format::Table {
        let broken_at = (!answer.intact).then_some(answer.broken_at);
        let (intact, entries, head) = (answer.intact, answer.entries, &answer.head);
        output::values(format, &json!({ "intact": intact, "entries": entries, "broken_at": broken_at, "head": head }))?;
    }
    if !answer.intact {
        return Err(Failure::other(format_args!(
            "the audit log is broken: entry {} is not what was written, or is missing",
            answer.broken_at
        )));
    }
    if format != Format::Table {
        return Ok(());
    }
    talk(&format!("the audit log is whole: {} entries\n", answer.entries));
    output::data(answer.head)
}
