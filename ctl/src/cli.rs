//! What can be typed. Each verb has a file of its own under `command`.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::command::{
    apply, audit, authority, completion, delete, demo_server, diff, discover, explain, get, guard, history, node,
    rollback, run, schema, secret, session, status, token, validate,
};

/// Any MCP client, any MCP server, one door.
#[derive(Debug, Parser)]
#[command(name = "sluice", version, propagate_version = true)]
#[command(after_help = "\
Examples:
  sluice run --config mcp.yaml                everything in one process, for one machine
  sluice apply -f mcp.yaml                    the same file for a fleet, through its control plane

A control plane is found by --control-plane and --token-file, or SLUICE_CONTROL_PLANE and SLUICE_TOKEN; \
else it is that of this machine, at http://127.0.0.1:9400, with the token in its state folder.

Exit code 0: it worked. Exit code 2: something typed or written is wrong, and nothing was started or changed. Exit code 1: anything \
else; among it a control plane that does not answer, which is told after 5 s without a connection, 7 s without a sign of life \
and 60 s without an answer.")]
pub(crate) struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Run(run::Args),
    Validate(validate::Args),
    Schema(schema::Args),
    Discover(discover::Args),
    Apply(apply::Args),
    Diff(diff::Args),
    Get(get::Args),
    Delete(delete::Args),
    History(history::Args),
    Rollback(rollback::Args),
    Status(status::Args),
    #[command(subcommand)]
    Explain(explain::Verb),
    #[command(subcommand)]
    Token(token::Verb),
    #[command(subcommand)]
    Secret(secret::Verb),
    #[command(subcommand)]
    Session(session::Verb),
    #[command(subcommand)]
    Node(node::Verb),
    #[command(subcommand)]
    Authority(authority::Verb),
    Audit(audit::Args),
    Completion(completion::Args),
    DemoServer(demo_server::Args),
    #[command(name = guard::NAME, hide = true)]
    Guard,
}

/// Does what was typed.
pub(crate) fn run() -> ExitCode {
    match sluice_arguments::parse::<Cli>().verb {
        Verb::Run(args) => run::run(args),
        Verb::Validate(args) => validate::run(&args),
        Verb::Schema(args) => schema::run(&args),
        Verb::Discover(args) => discover::run(&args),
        Verb::Apply(args) => apply::run(&args),
        Verb::Diff(args) => diff::run(&args),
        Verb::Get(args) => get::run(&args),
        Verb::Delete(args) => delete::run(&args),
        Verb::History(args) => history::run(&args),
        Verb::Rollback(args) => rollback::run(&args),
        Verb::Status(args) => status::run(&args),
        Verb::Explain(verb) => explain::run(&verb),
        Verb::Token(verb) => token::run(&verb),
        Verb::Secret(verb) => secret::run(&verb),
        Verb::Session(verb) => session::run(&verb),
        Verb::Node(verb) => node::run(&verb),
        Verb::Authority(verb) => authority::run(&verb),
        Verb::Audit(args) => audit::run(&args),
        Verb::Completion(args) => completion::run(&args),
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
