//! `sluice completion`: what shells need to complete what is typed.

use std::process::ExitCode;

use clap::CommandFactory;
use clap_complete::Shell;

use crate::cli::Cli;
use crate::output;

/// Print a script that teaches a shell to complete `sluice` commands.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  source <(sluice completion bash)            now; in ~/.bashrc: from now on
  sluice completion zsh > \"${fpath[1]}/_sluice\"
  sluice completion fish > ~/.config/fish/completions/sluice.fish")]
pub(crate) struct Args {
    /// Which shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Prints the script.
pub(crate) fn run(args: &Args) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "sluice", &mut script);
    output::exit(output::exact(String::from_utf8_lossy(&script).trim_end()))
}
