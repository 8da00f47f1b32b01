//! `sluice apply`: a file becomes what the fleet runs.

use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::{Map, Value, json};
use sluice_contract::v1::{ApplyRequest, ApplyResponse, ChangeKind, Object};
use sluice_controlplane::language::{self, Split};
use sluice_controlplane::source::Document;
use tonic::{Code, Status};

use crate::change;
use crate::client::{Connection, ControlPlane};
use crate::command::history;
use crate::configuration;
use crate::fault::{self, File};
use crate::output::{self, Failure, Format, prompt, talk};
use crate::spread::{Spread, Wait};

/// Make the fleet run what a file says.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sluice apply -f mcp.yaml
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

    /// Judge and compare, and change nothing
    #[arg(long)]
    dry_run: bool,

    /// With --prune: do not ask
    #[arg(long, short, requires = "prune")]
    yes: bool,

    #[command(flatten)]
    why: Why,

    #[command(flatten)]
    wait: Wait,

    #[command(flatten)]
    control_plane: ControlPlane,
}

/// What is to be applied or compared.
#[derive(Debug, clap::Args)]
pub(crate) struct What {
    /// The file, YAML or JSON; `-` for stdin
    #[arg(short, long, visible_alias = "config", value_name = "FILE")]
    file: PathBuf,

    /// Remove what the file does not have
    #[arg(long)]
    prune: bool,

    /// How to show the changes
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value_t = Format::Table)]
    pub(crate) output: Format,
}

/// What goes with every change.
#[derive(Debug, clap::Args)]
pub(crate) struct Why {
    /// Why, for the history
    #[arg(short, long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub(crate) message: String,

    /// Only if this is still the newest revision: nobody's change is overwritten
    #[arg(long, value_name = "REVISION")]
    pub(crate) base: Option<u64>,
}

impl Why {
    /// Nothing to say.
    pub(crate) fn none() -> Self {
        Self { message: String::new(), base: None }
    }
}

/// Applies the file.
pub(crate) fn run(args: &Args) -> ExitCode {
    output::exit(apply(args))
}

fn apply(args: &Args) -> Result<(), Failure> {
    let written = Written::read(&args.what)?;
    let mut connection = args.control_plane.connect()?;
    let mut request = written.request(&args.what, &args.why);
    request.dry_run = args.dry_run;
    if args.what.prune && !args.dry_run {
        request.base_revision = Some(agree(&mut connection, &written, &request, args)?);
    }
    let answer = written.send(&mut connection, request)?;
    if args.dry_run {
        show(args.what.output, &answer, None)?;
        talk(&format!("nothing was changed: this would be on top of revision {}\n", answer.revision));
        return Ok(());
    }
    finish(args.what.output, &args.wait, &mut connection, &answer, Some(written.file()))
}

/// Shows what pruning would do and lets a person decide. The answer: the revision that was shown.
fn agree(connection: &mut Connection, written: &Written, request: &ApplyRequest, args: &Args) -> Result<u64, Failure> {
    let would = written.send(connection, ApplyRequest { dry_run: true, ..request.clone() })?;
    if would.changes.is_empty() || args.yes {
        return Ok(would.revision);
    }
    talk(&format!("{}\n", change::lines(&would.changes)));
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

/// A file that was read, in the parts that a control plane keeps.
pub(crate) struct Written {
    document: Document,
    split: Split,
}

impl Written {
    /// Reads the file, with its variables expanded.
    pub(crate) fn read(what: &What) -> Result<Self, Failure> {
        let document = configuration::read(&what.file)?;
        let split = language::split(&document.source, &document.config)
            .map_err(|faults| configuration::refused(&document.source, faults))?;
        let mut warnings = [&document.warnings[..], &split.warnings].concat();
        warnings.sort_by_key(|warning| document.source.position(warning));
        talk(&document.source.show("warning", &warnings).to_string());
        Ok(Self { document, split })
    }

    pub(crate) fn request(&self, what: &What, why: &Why) -> ApplyRequest {
        ApplyRequest {
            objects: self.split.parts.iter().map(|part| object(&part.object)).collect(),
            base_revision: why.base,
            dry_run: false,
            prune: what.prune,
            message: why.message.clone(),
        }
    }

    pub(crate) fn file(&self) -> File<'_> {
        File { source: &self.document.source, split: &self.split }
    }

    /// Sends it; what the control plane finds wrong is shown at its place in the file.
    pub(crate) fn send(&self, connection: &mut Connection, request: ApplyRequest) -> Result<ApplyResponse, Failure> {
        let base = request.base_revision;
        let asked = connection.try_ask(async |admin| admin.apply(request).await);
        accepted(connection, asked, base, Some(self.file()))
    }
}

/// An object as it is sent.
fn object(object: &language::Object) -> Object {
    Object {
        kind: object.kind.as_str().to_owned(),
        name: object.name.clone(),
        spec_json: object.spec.canonical(),
        revision: 0,
    }
}

/// What became of a change: warnings are told; faults and conflicts are failures.
pub(crate) fn accepted(
    connection: &mut Connection,
    asked: Result<ApplyResponse, Status>,
    base: Option<u64>,
    file: Option<File<'_>>,
) -> Result<ApplyResponse, Failure> {
    let answer = asked.map_err(|status| match (status.code(), base) {
        (Code::Aborted, Some(base)) => conflict(connection, base, &status),
        _ => connection.failure(&status),
    })?;
    talk(&fault::show("warning", &answer.warnings, file));
    if answer.faults.is_empty() { Ok(answer) } else { Err(Failure::Input(fault::show("error", &answer.faults, file))) }
}

/// Who changed what since.
fn conflict(connection: &mut Connection, base: u64, status: &Status) -> Failure {
    let Ok(since) = history::since(connection, base) else { return connection.failure(status) };
    Failure::Other(format!(
        "error: the configuration moved on since revision {base}, and nothing was changed:\n{since}  \
         = look at what the file would do now with `sluice diff -f FILE`, then apply it with --base set to that revision\n",
    ))
}

/// Shows what was done, and sees it through to the nodes.
pub(crate) fn finish(
    format: Format,
    wait: &Wait,
    connection: &mut Connection,
    answer: &ApplyResponse,
    file: Option<File<'_>>,
) -> Result<(), Failure> {
    if format == Format::Table {
        show(format, answer, None)?;
    }
    let revision = answer.revision;
    if answer.changes.is_empty() {
        talk(&format!("nothing to change: revision {revision} says the same\n"));
    } else {
        talk(&format!("this is revision {revision}\n"));
    }
    let spread = wait.on(connection, revision, file)?;
    if format != Format::Table {
        show(format, answer, Some(&spread))?;
    }
    spread.result()
}

/// Shows changes on stdout.
pub(crate) fn show(format: Format, answer: &ApplyResponse, spread: Option<&Spread>) -> Result<(), Failure> {
    if format == Format::Table {
        return if answer.changes.is_empty() { Ok(()) } else { output::data(change::lines(&answer.changes)) };
    }
    let mut value = Map::from_iter([
        ("revision".to_owned(), json!(answer.revision)),
        ("changes".to_owned(), change::values(&answer.changes)),
        ("warnings".to_owned(), fault::values(&answer.warnings)),
    ]);
    value.extend(spread.map(|spread| ("nodes".to_owned(), spread.values())));
    output::values(format, &Value::Object(value))
}
