//! `sluice token`: API keys of clients, tokens of people, and tokens that nodes join with.

mod local;
mod remote;

use std::process::ExitCode;
use std::time::Duration;

use crate::client::ControlPlane;
use crate::output::{self, Failure, Format, time};
use crate::spread::Wait;

/// Make, list and revoke the keys of clients, the tokens of people, and those that nodes join with.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "\
Example:
  sluice token create alice
  sluice token list
  sluice token revoke alice

They are kept by the control plane that is named, or the usual one where it runs. Without one they are \
the keys of `sluice run`, in its state folder; a running one notices within a second.")]
pub(crate) enum Verb {
    /// Make a token and print it; it cannot be shown again
    #[command(after_help = "\
Examples:
  KEY=$(sluice token create alice)                        a client's API key
  sluice token create bob --role editor --expires 90d     for a person: viewer, editor or admin
  sluice token create edge-1 --join > join.token          for a node, once, within ten minutes")]
    Create(Create),
    /// List who has one; the tokens themselves are not kept
    #[command(after_help = "Example:\n  sluice token list -o json")]
    List {
        /// How to show them
        #[arg(short, long, value_enum, value_name = "FORMAT", default_value_t = Format::Table)]
        output: Format,
        #[command(flatten)]
        control_plane: ControlPlane,
    },
    /// Take a token away; it is refused from the next second on
    #[command(after_help = "\
Example:
  sluice token revoke alice

A client's key is refused by every connected node from then on, also by one that refuses the newest configuration. Exit code 1: a node \
may still take it; stderr says which and why.")]
    Revoke {
        /// Whose, or the token's id
        name: String,
        #[command(flatten)]
        wait: Wait,
        #[command(flatten)]
        control_plane: ControlPlane,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct Create {
    /// Whose it is, as logs and the history show it
    name: String,

    /// For a person, to use the control plane: `viewer` reads, `editor` changes the configuration, `admin` also tokens, secrets and nodes
    #[arg(long, value_name = "ROLE", value_parser = ["viewer", "editor", "admin"], conflicts_with = "join")]
    role: Option<String>,

    /// For a node, to join: it can be used once, within ten minutes
    #[arg(long)]
    join: bool,

    /// With --join: a label the node has, whatever it says itself; without any, those it was given when it joined last
    #[arg(long = "label", value_name = "KEY=VALUE", requires = "join", value_parser = label)]
    labels: Vec<(String, String)>,

    /// With --join: the node has the labels it says itself, also if it was given others before
    #[arg(long, requires = "join", conflicts_with = "labels")]
    own_labels: bool,

    /// When it ends, as in 90d or 12h [default: never, or ten minutes with --join]
    #[arg(long, value_name = "SPAN", value_parser = time::span)]
    expires: Option<Duration>,

    #[command(flatten)]
    control_plane: ControlPlane,
}

impl Create {
    /// Whether it is a key of a client.
    fn is_client(&self) -> bool {
        self.role.is_none() && !self.join
    }
}

/// Does what was asked.
pub(crate) fn run(verb: &Verb) -> ExitCode {
    output::exit(token(verb))
}

fn token(verb: &Verb) -> Result<(), Failure> {
    match verb {
        Verb::Create(create) => {
            // People and nodes have to do with control planes only.
            let connection = if create.is_client() {
                create.control_plane.connect_if_meant()?
            } else {
                Some(create.control_plane.connect()?)
            };
            match connection {
                Some(connection) => remote::create(connection, create),
                None => local::create(create),
            }
        }
        Verb::List { output, control_plane } => match control_plane.connect_if_meant()? {
            Some(connection) => remote::list(connection, *output),
            None => local::list(*output, &control_plane.state),
        },
        Verb::Revoke { name, wait, control_plane } => match control_plane.connect_if_meant()? {
            Some(connection) => remote::revoke(connection, name, wait),
            None => local::revoke(name, &control_plane.state),
        },
    }
}

fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write it as KEY=VALUE".to_owned()),
    }
}
