//! What can be typed. Each verb has a file of its own under `command`.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::command::{demo_server, discover, get, guard, run, schema, token, validate};

/// Any MCP client, any MCP server, one door.
#[derive(Debug, Parser)]
#[command(name = "sluice", version, propagate_version = true)]
#[command(after_help = "Example:\n  sluice run --config mcp.yaml")]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Run(run::Args),
    Validate(validate::Args),
    Schema(schema::Args),
    Discover(discover::Args),
    #[command(subcommand)]
    Get(get::Verb),
    #[command(subcommand)]
    Token(token::Verb),
    DemoServer(demo_server::Args),
    #[command(name = guard::NAME, hide = true)]
    Guard,
}

/// Does what was typed.
pub(crate) fn run() -> ExitCode {
    match Cli::parse().verb {
        Verb::Run(args) => run::run(args),
        Verb::Validate(args) => validate::run(&args),
        Verb::Schema(args) => schema::run(&args),
        Verb::Discover(args) => discover::run(&args),
        Verb::Get(verb) => get::run(&verb),
        Verb::Token(verb) => token::run(&verb),
        Verb::DemoServer(args) => demo_server::run(args),
        Verb::Guard => guard::run(),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Cli;

    #[test]
    fn every_verb_has_help_with_an_example() {
        fn check(command: &mut clap::Command) {
            let name = command.get_name().to_owned();
            let help = command.render_long_help().to_string();
            assert!(help.contains("Example"), "{name} has no example:\n{help}");
            for verb in command.get_subcommands_mut().filter(|verb| verb.get_name() != "help" && !verb.is_hide_set()) {
                check(verb);
            }
        }
        let mut command = Cli::command();
        command.build();
        command.clone().debug_assert();
        check(&mut command);
    }
}
