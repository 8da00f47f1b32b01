//! `sluice secret`: credentials for servers. Values go in and never come out.

use std::process::ExitCode;

use serde_json::{Value, json};
use sluice_contract::v1::{DeleteSecretRequest, ListSecretsRequest, RotateKeyRequest, SecretStatus, SetSecretRequest};

use crate::client::ControlPlane;
use crate::output::{self, Failure, Field, Format, Tone, prompt, talk, time};
use crate::spread::Wait;

/// Keep the credentials that nodes show to servers.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "\
Example:
  sluice secret set github-token < token.txt
  sluice secret list

The control plane keeps them sealed and gives them only to nodes that use them. No verb shows one.")]
pub(crate) enum Verb {
    /// Give a secret a value, from stdin or typed unseen
    #[command(after_help = "\
Examples:
  sluice secret set github-token              asks, and does not show what is typed
  sluice secret set github-token < token.txt  without the newline at its end
  pass show github | sluice secret set github-token

The value is never an argument: those can be seen by everybody on the machine. Exit code 1: a connected node does not run the \
revision with it; stderr says which and why.")]
    Set {
        /// Its name: letters, digits and `._-`
        name: String,
        #[command(flatten)]
        wait: Wait,
        #[command(flatten)]
        control_plane: ControlPlane,
    },
    /// List the secrets, without their values
    #[command(after_help = "Example:\n  sluice secret list -o json")]
    List {
        /// How to show them
        #[arg(short, long, value_enum, value_name = "FORMAT", default_value_t = Format::Table)]
        output: Format,
        #[command(flatten)]
        control_plane: ControlPlane,
    },
    /// Forget a secret that nothing refers to
    #[command(after_help = "Example:\n  sluice secret delete github-token")]
    Delete {
        /// Its name
        name: String,
        #[command(flatten)]
        control_plane: ControlPlane,
    },
    /// Seal every secret with the newest key of the control plane's key ring
    #[command(after_help = "\
Examples:
  sluice secret rotate-key
  sluice secret rotate-key --sessions

What was sealed before opens in either case: no client notices.")]
    RotateKey {
        /// Exchange the key that seals the ids of sessions instead: nodes get another one, which seals from a minute on
        #[arg(long)]
        sessions: bool,
        #[command(flatten)]
        control_plane: ControlPlane,
    },
}

/// Does what was asked.
pub(crate) fn run(verb: &Verb) -> ExitCode {
    output::exit(match verb {
        Verb::Set { name, wait, control_plane } => set(name, wait, control_plane),
        Verb::List { output, control_plane } => list(*output, control_plane),
        Verb::Delete { name, control_plane } => delete(name, control_plane),
        Verb::RotateKey { sessions, control_plane } => rotate(*sessions, control_plane),
    })
}

fn set(name: &str, wait: &Wait, control_plane: &ControlPlane) -> Result<(), Failure> {
    // Connected first: nobody likes to type a secret for nothing.
    let mut connection = control_plane.connect()?;
    let value = prompt::secret(&format!("value of {name}"))?;
    let request = SetSecretRequest { name: name.to_owned(), value };
    let answer = connection.ask(async |admin| admin.set_secret(request).await)?;
    talk(&format!("`{name}` has a new value, version {}: revision {}\n", answer.version, answer.revision));
    wait.on_secret(&mut connection, answer.revision)?.result()
}

fn list(format: Format, control_plane: &ControlPlane) -> Result<(), Failure> {
    let mut connection = control_plane.connect()?;
    let secrets = connection.ask(async |admin| admin.list_secrets(ListSecretsRequest {}).await)?.secrets;
    let now = time::now();
    let row = |secret: &SecretStatus| {
        [
            Field::from(secret.name.clone()),
            Field::from(secret.version.to_string()),
            Field::new(time::relative(secret.changed_ms, now), Tone::Quiet),
            Field::from(secret.author.clone()),
            Field::from(secret.used_by.join(" ")),
            Field::new(secret.key.clone(), Tone::Quiet),
        ]
    };
    let header = ["NAME", "VERSION", "CHANGED", "BY", "USED BY", "KEY"];
    let none = "there is no secret; `sluice secret set NAME` makes one";
    output::list(format, &secrets, none, header, row, value)
}

fn value(secret: &SecretStatus) -> Value {
    json!({
        "name": secret.name,
        "version": secret.version,
        "changed": time::iso(secret.changed_ms),
        "author": secret.author,
        "used_by": secret.used_by,
        "key": secret.key,
    })
}

fn delete(name: &str, control_plane: &ControlPlane) -> Result<(), Failure> {
    let mut connection = control_plane.connect()?;
    let request = DeleteSecretRequest { name: name.to_owned() };
    let answer = connection.ask(async |admin| admin.delete_secret(request).await)?;
    talk(&format!("`{name}` is forgotten: revision {}\n", answer.revision));
    Ok(())
}

fn rotate(sessions: bool, control_plane: &ControlPlane) -> Result<(), Failure> {
    let mut connection = control_plane.connect()?;
    let answer = connection.ask(async |admin| admin.rotate_key(RotateKeyRequest { sessions }).await)?;
    if sessions {
        talk(&format!("sessions are sealed with key {} from a minute on\n", answer.key));
        return Ok(());
    }
    talk(&format!("{} sealed again, with key {}\n", count(answer.resealed), answer.key));
    Ok(())
}

fn count(secrets: u32) -> String {
    if secrets == 1 { "1 value is".to_owned() } else { format!("{secrets} values are") }
}
