//! `sluice node`: what can be done about nodes. `sluice status` shows them.

use std::process::ExitCode;

use sluice_contract::v1::RevokeNodeRequest;

use crate::client::ControlPlane;
use crate::output::{self, Failure, talk};

/// Turn nodes away.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "Example:\n  sluice node revoke edge-1")]
pub(crate) enum Verb {
    /// Forget a node and refuse its certificates; it comes back only with a new join token
    #[command(after_help = "Example:\n  sluice node revoke edge-1")]
    Revoke {
        /// Its name
        node: String,
        #[command(flatten)]
        control_plane: ControlPlane,
    },
}

/// Does what was asked.
pub(crate) fn run(verb: &Verb) -> ExitCode {
    let Verb::Revoke { node, control_plane } = verb;
    output::exit(revoke(node, control_plane))
}

fn revoke(node: &str, control_plane: &ControlPlane) -> Result<(), Failure> {
    let mut connection = control_plane.connect()?;
    let request = RevokeNodeRequest { node: node.to_owned() };
    connection.ask(async |admin| admin.revoke_node(request).await)?;
    talk(&format!(
        "`{node}` is forgotten and its certificates are refused; what it runs it goes on with until it is stopped\n"
    ));
    Ok(())
}
