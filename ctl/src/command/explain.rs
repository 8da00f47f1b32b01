//! `sluice explain`: what would become of a call, and why.

mod file;

use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::{Value, json};
use sluice_contract::v1::{ExplainRequest, ExplainResponse, Step};

use crate::client::ControlPlane;
use crate::output::{self, Failure, Field, Format, Paint, Stream, Tone, visible};
use crate::principal::principal;

/// Say what would become of a call, and why: where it goes, and what lets it through or stops it.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "\
Examples:
  sluice explain call github_create_issue --as client:alice
  sluice explain call github_create_issue -f mcp.yaml

It is computed by the code that the nodes run, from what they run.")]
pub(crate) enum Verb {
    /// Of a tool
    #[command(after_help = "\
Examples:
  sluice explain call github_create_issue --as client:alice
  sluice explain call github/create_issue             the same on the server's own door
  sluice explain call github_create_issue --as jwt:corp:ann --scopes repo --roles developer
  sluice explain call github_create_issue -f mcp.yaml  for `sluice run`, from its file

The first word is the verdict: `allowed`; `hidden`: not listed, and answered like a tool that does not exist; `denied`: listed, and \
refused; `insufficient_scope`: a token for more scopes would do; `unknown`: no server has it; `unauthenticated`: whoever \
asks does not come in. `allowed, if the server has it`: it would be let through, but no client has listed yet what the server offers, \
so that the node does not know whether it is there, or with -f no node was asked (`offered: unknown` in JSON).

Exit code 0: there is a verdict on the call, whatever it is; 1: whoever asks does not come in, or is none that could.")]
    Call(Args),
    /// Of a prompt
    #[command(after_help = "Example:\n  sluice explain prompt github_review --as client:alice")]
    Prompt(Args),
    /// Of a resource
    #[command(after_help = "Example:\n  sluice explain resource github/repo://sluice/readme --as client:alice")]
    Resource(Args),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Its name as clients know it, or SERVER/NAME
    name: String,

    /// Who asks: `client:NAME`, `jwt:ISSUER:SUBJECT`, `certificate:NAME`, `local` or `anonymous`
    #[arg(long = "as", value_name = "PRINCIPAL", default_value = "local", value_parser = principal)]
    principal: String,

    /// With `--as jwt:…`: the scopes of the token
    #[arg(long, value_name = "SCOPES", value_delimiter = ',')]
    scopes: Vec<String>,

    /// With `--as jwt:…`: the roles that the token says
    #[arg(long, value_name = "ROLES", value_delimiter = ',')]
    roles: Vec<String>,

    /// The arguments of the call, a JSON object
    #[arg(long, value_name = "JSON", default_value = "", hide_default_value = true, value_parser = arguments)]
    args: String,

    /// As this node would do it [default: the first that has the server]
    #[arg(long, value_name = "NODE", default_value = "", hide_default_value = true)]
    node: String,

    /// By this file, as `sluice run` would do it; no control plane is asked
    #[arg(short, long, visible_alias = "config", value_name = "FILE", conflicts_with = "node")]
    file: Option<PathBuf>,

    /// How to show it
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value_t = Format::Table)]
    output: Format,

    #[command(flatten)]
    control_plane: ControlPlane,
}

/// The verdict on a call that is let through.
const ALLOWED: &str = "allowed";
/// What is said of what is offered where no node has heard of it.
const UNKNOWN: &str = "unknown";
/// What a verdict then is to be taken with.
const UNHEARD: &str = ", if the server has it";
/// The verdict where the question is nobody's to ask.
const UNAUTHENTICATED: &str = "unauthenticated";

/// Asks, and shows the answer.
pub(crate) fn run(verb: &Verb) -> ExitCode {
    let (method, args) = match verb {
        Verb::Call(args) => ("tools/call", args),
        Verb::Prompt(args) => ("prompts/get", args),
        Verb::Resource(args) => ("resources/read", args),
    };
    output::exit(explain(method, args))
}

fn explain(method: &str, args: &Args) -> Result<(), Failure> {
    let request = ExplainRequest {
        tool: args.name.clone(),
        principal: args.principal.clone(),
        scopes: args.scopes.clone(),
        arguments_json: args.args.clone(),
        node: args.node.clone(),
        method: method.to_owned(),
        roles: args.roles.clone(),
    };
    let answer = match &args.file {
        Some(file) => file::explain(file, &args.control_plane.state, &request)?,
        None => args.control_plane.connect()?.ask(async |admin| admin.explain(request).await)?,
    };
    if args.output == Format::Table {
        output::painted_data(shown(&answer))?;
    } else {
        output::values(args.output, &value(&answer))?;
    }
    if answer.verdict != UNAUTHENTICATED {
        return Ok(());
    }
    let why = answer.steps.iter().find(|step| step.name == "principal").map_or(&args.principal, |step| &step.value);
    Err(Failure::other(format_args!("unauthenticated as {why}")))
}

fn shown(answer: &ExplainResponse) -> String {
    let tone = match answer.verdict.as_str() {
        ALLOWED => Tone::Good,
        "insufficient_scope" => Tone::Notice,
        _ => Tone::Bad,
    };
    let whose = match (answer.node.as_str(), answer.revision) {
        ("", 0) => String::new(),
        ("", revision) => format!(" by revision {revision}"),
        (node, revision) => format!(" on {} by revision {revision}", visible(node)),
    };
    let row = |step: &Step| {
        [Field::from(step.name.clone()), Field::from(step.value.clone()), Field::new(step.source.clone(), Tone::Quiet)]
    };
    let unheard = answer.verdict == ALLOWED && answer.offered == UNKNOWN;
    let (tone, condition) = if unheard { (Tone::Notice, UNHEARD) } else { (tone, "") };
    let verdict = Paint::on(Stream::Stdout).text(tone, &format!("{}{condition}", answer.verdict));
    let comma = if unheard && !whose.is_empty() { "," } else { "" };
    format!("{verdict}{comma}{whose}\n\n{}", output::table(["STEP", "FOUND", "FROM"], answer.steps.iter().map(row)))
}

fn value(answer: &ExplainResponse) -> Value {
    let step = |step: &Step| json!({"name": step.name, "value": step.value, "source": step.source});
    json!({
        "verdict": answer.verdict,
        "steps": answer.steps.iter().map(step).collect::<Vec<_>>(),
        "revision": answer.revision,
        "node": answer.node,
        "offered": (!answer.offered.is_empty()).then_some(&answer.offered),
    })
}

fn arguments(text: &str) -> Result<String, String> {
    match serde_json::from_str::<Value>(text) {
        Ok(Value::Object(_)) => Ok(text.to_owned()),
        _ if text.is_empty() => Ok(String::new()),
        Ok(_) => Err("write a JSON object, as in {\"city\": \"Bern\"}".to_owned()),
        Err(error) => Err(format!("it is no JSON: {error}")),
    }
}
