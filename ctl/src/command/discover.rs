//! `sluice discover`: the servers that clients on this machine have, shown or brought into a configuration of ours.

mod client;
mod import;
mod machine;

use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::json;

use crate::output::{self, Failure, Format, talk};
use machine::Listed;

/// Find the MCP servers that clients on this machine have: Claude, Cursor, VS Code and others.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sluice discover
  sluice discover -o json
  sluice discover --import mcp.yaml && sluice run --config mcp.yaml

Looks in the home folder and in the folder it is called in, for the files of Claude Desktop,
Claude Code, Cursor, VS Code, Windsurf, Zed, Cline, Roo Code, Continue, Gemini CLI and Codex.
Values that may be secret are never shown; --import writes them, and only into a file that
nobody else may read.
Exit code 0: it looked, and may have found nothing. Exit code 2: nothing was imported, and
stderr says why.")]
pub(crate) struct Args {
    /// How to show them
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value_t = Format::Table)]
    output: Format,

    /// Add them to a configuration, which is made if it does not exist
    #[arg(long, value_name = "FILE")]
    import: Option<PathBuf>,

    /// With --import: say what would be added, and write nothing
    #[arg(long, requires = "import")]
    dry_run: bool,
}

/// Looks, and shows or imports what is found.
pub(crate) fn run(args: &Args) -> ExitCode {
    output::exit(discover(args))
}

fn discover(args: &Args) -> Result<(), Failure> {
    let (listed, unreadable) = machine::look();
    for reason in unreadable {
        talk(&format!("warning: {reason}\n"));
    }
    match &args.import {
        Some(file) => import::import(file, &listed, args.dry_run),
        None => show(&listed, args.output),
    }
}

fn show(listed: &[Listed], format: Format) -> Result<(), Failure> {
    if listed.is_empty() {
        talk("no client on this machine has a server in its configuration\n");
    }
    if format == Format::Table {
        if listed.is_empty() {
            return Ok(());
        }
        let row = |listed: &Listed| {
            let state = if listed.server.enabled { "" } else { "off" };
            let transport = listed.server.transport.as_str();
            [listed.client, &listed.server.name, transport, state, &listed.place()].map(str::to_owned)
        };
        return output::painted_data(output::table(
            ["CLIENT", "SERVER", "TRANSPORT", "STATE", "FILE"],
            listed.iter().map(row),
        ));
    }
    let row = |listed: &Listed| {
        json!({
            "client": listed.client,
            "file": listed.file,
            "project": listed.server.project,
            "server": listed.server.name,
            "transport": listed.server.transport.as_str(),
            "enabled": listed.server.enabled,
        })
    };
    output::values(format, &serde_json::Value::Array(listed.iter().map(row).collect()))
}
