//! Changing the configuration of a fleet: what the verbs that do so are told alike, and what they do with the answer.

use serde_json::{Map, Value, json};
use sluice_contract::v1::ApplyResponse;
use tonic::{Code, Status};

use crate::change;
use crate::client::{Connection, ControlPlane};
use crate::command::history;
use crate::fault;
use crate::output::{self, Failure, Format, Stream, painted_talk, prompt, talk};
use crate::spread::{Spread, Wait};
use crate::written::File;

/// How a change is made.
#[derive(Debug, clap::Args)]
pub(crate) struct Edit {
    /// Judge and compare, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// How to show the changes
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value_t = Format::Table)]
    output: Format,

    /// Why, for the history
    #[arg(short, long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub(crate) message: String,

    /// Only if this is still the newest revision: nobody's change is overwritten
    #[arg(long, value_name = "REVISION")]
    pub(crate) base: Option<u64>,

    #[command(flatten)]
    wait: Wait,

    #[command(flatten)]
    control_plane: ControlPlane,
}

impl Edit {
    /// Connects to the control plane that is to be changed.
    pub(crate) fn connect(&self) -> Result<Connection, Failure> {
        self.control_plane.connect()
    }

    /// Shows what became of a change, and sees it through to the nodes.
    pub(crate) fn finish(
        &self,
        connection: &mut Connection,
        asked: Result<ApplyResponse, Status>,
        base: Option<u64>,
        files: &[File],
    ) -> Result<(), Failure> {
        let answer = accepted(connection, asked, base, files)?;
        let revision = answer.revision;
        if self.dry_run {
            show(self.output, &answer, None)?;
            talk(&format!("nothing was changed: this would be on top of revision {revision}\n"));
            return Ok(());
        }
        if self.output == Format::Table {
            show(self.output, &answer, None)?;
        }
        if answer.changes.is_empty() {
            talk(&format!("nothing to change: revision {revision} says the same\n"));
        } else {
            talk(&format!("this is revision {revision}\n"));
        }
        let spread = self.wait.on(connection, revision, files)?;
        if self.output != Format::Table {
            show(self.output, &answer, Some(&spread))?;
        }
        spread.result()
    }
}

/// Whether somebody is asked before it is done.
#[derive(Debug, clap::Args)]
pub(crate) struct Sure {
    /// Do not ask; where nobody sits at a terminal, nobody is asked
    #[arg(long, short)]
    yes: bool,
}

impl Sure {
    /// Shows what a change would do and lets a person decide, where there is one. `would` asks for a dry run. The answer: the
    /// revision that was shown, so that nothing else is done than what was agreed to; `None`: there was nothing to ask.
    pub(crate) fn agree(
        &self,
        edit: &Edit,
        connection: &mut Connection,
        would: impl FnOnce(&mut Connection) -> Result<ApplyResponse, Status>,
        question: &str,
    ) -> Result<Option<u64>, Failure> {
        if self.yes || edit.dry_run || !prompt::is_possible() {
            return Ok(None);
        }
        let asked = would(connection);
        let would = accepted(connection, asked, edit.base, &[])?;
        if would.changes.is_empty() {
            return Ok(None);
        }
        painted_talk(&format!("{}\n", change::lines(&would.changes, Stream::Stderr)));
        if prompt::confirm(question)? { Ok(Some(would.revision)) } else { Err(Failure::declined()) }
    }
}

/// What became of a change: warnings are told; faults and conflicts are failures.
pub(crate) fn accepted(
    connection: &mut Connection,
    asked: Result<ApplyResponse, Status>,
    base: Option<u64>,
    files: &[File],
) -> Result<ApplyResponse, Failure> {
    let answer = asked.map_err(|status| match (status.code(), base) {
        (Code::Aborted, Some(base)) => conflict(connection, base, &status),
        _ => connection.failure(&status),
    })?;
    talk(&fault::show("warning", &answer.warnings, files));
    if answer.faults.is_empty() { Ok(answer) } else { Err(Failure::Input(fault::show("error", &answer.faults, files))) }
}

/// Who changed what since.
fn conflict(connection: &mut Connection, base: u64, status: &Status) -> Failure {
    let Ok(since) = history::since(connection, base) else { return connection.failure(status) };
    Failure::Other(format!(
        "error: the configuration moved on since revision {base}, and nothing was changed:\n{since}  \
         = look at what the file would do now with `sluice diff -f FILE`, then apply it with --base set to that revision\n",
    ))
}

/// Shows changes on stdout.
pub(crate) fn show(format: Format, answer: &ApplyResponse, spread: Option<&Spread>) -> Result<(), Failure> {
    if format == Format::Table {
        if answer.changes.is_empty() {
            return Ok(());
        }
        return output::painted_data(change::lines(&answer.changes, Stream::Stdout));
    }
    let mut value = Map::from_iter([
        ("revision".to_owned(), json!(answer.revision)),
        ("changes".to_owned(), change::values(&answer.changes)),
        ("warnings".to_owned(), fault::values(&answer.warnings)),
    ]);
    value.extend(spread.map(|spread| ("nodes".to_owned(), spread.values())));
    output::values(format, &Value::Object(value))
}
