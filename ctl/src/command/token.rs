//! `sluice token`: API keys of clients, made, listed and revoked. A running `sluice run` with the same state folder
//! notices within a second.

use std::process::ExitCode;

use jiff::Timestamp;
use serde_json::json;
use sluice_controlplane::store::Keys;

use crate::output::{self, Failure, Format, talk};
use crate::state::StateDir;

/// Make, list and revoke the API keys that clients come in with.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "\
Example:
  sluice token create alice
  sluice token list
  sluice token revoke alice")]
pub(crate) enum Verb {
    /// Make a key for a client and print it; it cannot be shown again
    #[command(after_help = "Example:\n  KEY=$(sluice token create alice)")]
    Create {
        /// Name of the client, shown in logs
        name: String,
        #[command(flatten)]
        state: StateDir,
    },
    /// List the clients that have a key
    #[command(after_help = "Example:\n  sluice token list -o json")]
    List {
        /// How to show them
        #[arg(short, long, value_enum, value_name = "FORMAT", default_value_t = Format::Table)]
        output: Format,
        #[command(flatten)]
        state: StateDir,
    },
    /// Take a client's key away; it is refused from the next second on
    #[command(after_help = "Example:\n  sluice token revoke alice")]
    Revoke {
        /// Name of the client
        name: String,
        #[command(flatten)]
        state: StateDir,
    },
}

/// Does what was asked.
pub(crate) fn run(verb: &Verb) -> ExitCode {
    output::exit(match verb {
        Verb::Create { name, state } => create(name, state),
        Verb::List { output, state } => list(*output, state),
        Verb::Revoke { name, state } => revoke(name, state),
    })
}

fn create(name: &str, state: &StateDir) -> Result<(), Failure> {
    let made = keys(state)?.create(name, Timestamp::now()).map_err(Failure::other)?;
    talk(&format!("made a key for `{name}`; it is shown only now\n"));
    output::data(made.key)
}

fn list(format: Format, state: &StateDir) -> Result<(), Failure> {
    let keys = keys(state)?.list().map_err(Failure::other)?;
    let rows = keys.iter().map(|key| (&key.name, seconds(key.created)));
    if format == Format::Table {
        let rows = rows.map(|(name, created)| [name.clone(), created]);
        return output::data(output::table(["NAME", "CREATED"], rows));
    }
    let rows: Vec<_> = rows.map(|(name, created)| json!({"name": name, "created": created})).collect();
    output::values(format, &json!(rows))
}

fn revoke(name: &str, state: &StateDir) -> Result<(), Failure> {
    keys(state)?.revoke(name).map_err(Failure::other)?;
    talk(&format!("revoked the key of `{name}`\n"));
    Ok(())
}

fn keys(state: &StateDir) -> Result<Keys, Failure> {
    state.folder().map(Keys::new)
}

/// A time as people read it: whole seconds, UTC.
fn seconds(time: Timestamp) -> String {
    Timestamp::from_second(time.as_second()).unwrap_or(time).to_string()
}
