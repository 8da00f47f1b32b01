//! `sluice validate`: would this configuration run?

use std::path::PathBuf;
use std::process::ExitCode;

use sluice_controlplane::compile::{Node, compile};
use sluice_controlplane::secrets::Secrets;

use crate::configuration;
use crate::output::{self, Failure, talk};

/// Check a configuration without starting anything.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  sluice validate -f mcp.yaml && echo fine

Exit code 0: it would run. Exit code 2: it would not, and stderr says why. Variables are looked up as `sluice run`
does, so that one that is not set is found here.")]
pub(crate) struct Args {
    /// The file, YAML or JSON, or the file of a client such as Claude, Cursor or VS Code; `-` for stdin
    #[arg(short, long, visible_alias = "config", value_name = "FILE")]
    file: PathBuf,
}

/// Checks the file.
pub(crate) fn run(args: &Args) -> ExitCode {
    output::exit(check(args))
}

fn check(args: &Args) -> Result<(), Failure> {
    let document = configuration::read(&args.file)?;
    let node = Node { folder: document.folder.clone(), ..Node::default() };
    let compiled = compile(&document.config, &[], &Secrets::default(), &node, 1)
        .map_err(|faults| configuration::refused(&document.source, faults))?;
    let mut warnings = [document.warnings, compiled.warnings].concat();
    warnings.sort_by_key(|warning| document.source.position(warning));
    talk(&document.source.show("warning", &warnings).to_string());
    let servers = match compiled.snapshot.servers.len() {
        1 => "1 server".to_owned(),
        count => format!("{count} servers"),
    };
    talk(&format!("ok: {servers}\n"));
    Ok(())
}
