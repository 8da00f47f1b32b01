//! `sluice authority`: exchange what nodes and control plane know each other by.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sluice_contract::v1::{
    Authorities, Authority, ListAuthoritiesRequest, RotateAuthorityRequest, WithdrawAuthoritiesRequest,
};

use crate::client::{Connection, ControlPlane};
use crate::output::{self, Failure, Field, Format, Tone, talk, time};

/// How long connected nodes may take to renew their certificates: each does at once, with one call.
const RENEWAL: Duration = Duration::from_secs(60);
/// Pause between looks at how far they are.
const LOOK: Duration = Duration::from_millis(200);

/// Exchange what nodes and control plane know each other by.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "\
Example:
  sluice authority rotate      a new authority beside the old ones; nodes get certificates of it
  sluice authority list        who has one
  sluice authority withdraw    the old ones are not trusted any more

Calls of clients go on meanwhile: nodes serve what they have. Tokens end with the fingerprint of the authority they were made
under: whoever uses one on another machine needs a new one before that authority is withdrawn.")]
pub(crate) enum Verb {
    /// List the authorities that are trusted, and which connected nodes have certificates of which
    #[command(after_help = "Example:\n  sluice authority list -o json")]
    List {
        /// How to show them
        #[arg(short, long, value_enum, value_name = "FORMAT", default_value_t = Format::Table)]
        output: Format,
        #[command(flatten)]
        control_plane: ControlPlane,
    },
    /// Make a new authority, and wait until connected nodes have certificates of it
    #[command(after_help = "Example:\n  sluice authority rotate")]
    Rotate {
        #[command(flatten)]
        control_plane: ControlPlane,
    },
    /// End the trust in all authorities before the one that signs
    #[command(after_help = "Examples:
  sluice authority withdraw
  sluice authority withdraw --force     also if nodes are away that would have to join again")]
    Withdraw {
        /// Also if nodes would have to join again
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        control_plane: ControlPlane,
    },
}

/// Does what was asked.
pub(crate) fn run(verb: &Verb) -> ExitCode {
    output::exit(match verb {
        Verb::List { output, control_plane } => list(*output, control_plane),
        Verb::Rotate { control_plane } => rotate(control_plane),
        Verb::Withdraw { force, control_plane } => withdraw(*force, control_plane),
    })
}

fn list(format: Format, control_plane: &ControlPlane) -> Result<(), Failure> {
    let mut connection = control_plane.connect()?;
    let Authorities { authorities, behind } = ask(&mut connection)?;
    let now = time::now();
    let row = |authority: &Authority| {
        [
            Field::from(if authority.signs { "signs" } else { "trusted" }),
            Field::new(time::relative(authority.made_ms, now), Tone::Quiet),
            Field::from(time::relative(authority.expires_ms, now)),
            Field::from(authority.nodes.join(" ")),
            Field::new(authority.fingerprint.clone(), Tone::Quiet),
        ]
    };
    let header = ["STATE", "MADE", "ENDS", "NODES", "FINGERPRINT"];
    output::list(format, &authorities, "there is no authority", header, row, value)?;
    if !behind.is_empty() {
        talk(&format!("no certificate of the one that signs, as far as is known: {}\n", behind.join(" ")));
    }
    Ok(())
}

fn value(authority: &Authority) -> Value {
    json!({
        "name": authority.name,
        "fingerprint": authority.fingerprint,
        "made": time::iso(authority.made_ms),
        "expires": time::iso(authority.expires_ms),
        "signs": authority.signs,
        "nodes": authority.nodes,
    })
}

fn rotate(control_plane: &ControlPlane) -> Result<(), Failure> {
    let mut connection = control_plane.connect()?;
    let mut now = connection.ask(async |admin| admin.rotate_authority(RotateAuthorityRequest {}).await)?;
    talk("there is a new authority, and certificates are made by it; those before it are trusted as well\n");
    let start = Instant::now();
    // those that are connected by a certificate of another one
    while lagging(&now) > 0 && start.elapsed() < RENEWAL {
        std::thread::sleep(LOOK);
        now = ask(&mut connection)?;
    }
    let renewed: usize = now.authorities.iter().filter(|one| one.signs).map(|one| one.nodes.len()).sum();
    talk(&format!(
        "{} of it\n",
        if renewed == 1 { "1 node has a certificate".to_owned() } else { format!("{renewed} nodes have certificates") }
    ));
    if now.behind.is_empty() {
        talk("`sluice authority withdraw` ends the trust in the others\n");
        return Ok(());
    }
    talk(&format!("not yet: {}\n", now.behind.join(" ")));
    talk("they get one when they are connected; then `sluice authority withdraw` ends the trust in the others\n");
    if lagging(&now) > 0 { Err(Failure::other("connected nodes did not renew their certificates")) } else { Ok(()) }
}

fn withdraw(force: bool, control_plane: &ControlPlane) -> Result<(), Failure> {
    let mut connection = control_plane.connect()?;
    let request = WithdrawAuthoritiesRequest { force };
    let left = connection.ask(async |admin| admin.withdraw_authorities(request).await)?;
    talk(
        "one authority is trusted, the one that signs; tokens that end with the fingerprint of another are to be made again\n",
    );
    if !left.behind.is_empty() {
        talk(&format!("to join again with new tokens: {}\n", left.behind.join(" ")));
    }
    Ok(())
}

fn ask(connection: &mut Connection) -> Result<Authorities, Failure> {
    connection.ask(async |admin| admin.list_authorities(ListAuthoritiesRequest {}).await)
}

/// How many connected nodes have a certificate of an authority that does not sign.
fn lagging(authorities: &Authorities) -> usize {
    authorities.authorities.iter().filter(|authority| !authority.signs).map(|authority| authority.nodes.len()).sum()
}
