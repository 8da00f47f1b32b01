//! `sluice schema`: the JSON Schema of the configuration language.

use std::process::ExitCode;

use sluice_controlplane::language;

use crate::output::{self, Failure};

/// Print the JSON Schema of configuration files, for editors that complete and check while typing.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  sluice schema > sluice.schema.json
  # first line of a YAML file, for editors with the YAML language server:
  # yaml-language-server: $schema=./sluice.schema.json")]
pub(crate) struct Args {}

/// Prints the schema.
pub(crate) fn run(_: &Args) -> ExitCode {
    let text = serde_json::to_string_pretty(&language::schema()).map_err(Failure::other);
    output::exit(text.and_then(output::exact))
}
