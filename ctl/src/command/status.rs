//! `sluice status`: who runs what since when, and what is wrong where.

pub(super) mod trouble;

use std::process::ExitCode;

use serde_json::{Value, json};
use sluice_contract::v1::{NodeState, NodeStatus, ServerStatus, StatusRequest, StatusResponse};

use crate::client::{Connection, ControlPlane};
use crate::fault;
use crate::output::{self, Failure, Field, Format, Tone, time};

/// Show which nodes run what, since when, and what is wrong where.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sluice status
  sluice status -o json | jq '.nodes[] | select(.state != \"current\")'

STATE: `current` runs the newest revision; `updating` was sent it and has not answered; `rejected` refused it and goes on \
with what it had; `stale` is not connected and goes on with what it had. Below the table: \
the last refusal in full, what is wrong with a revision that runs all the same, servers that are down or in trouble and why, or whose credential cannot be had, and certificates about to end. SINCE: when \
the node's process began to run its revision; to come back to the control plane is no new beginning.

Exit code 0: the control plane answered, whatever it said.")]
pub(crate) struct Args {
    /// How to show it
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value_t = Format::Table)]
    output: Format,

    #[command(flatten)]
    control_plane: ControlPlane,
}

/// Asks, and shows the answer.
pub(crate) fn run(args: &Args) -> ExitCode {
    output::exit(status(args))
}

fn status(args: &Args) -> Result<(), Failure> {
    let mut connection = args.control_plane.connect()?;
    let answer = connection.ask(async |admin| admin.status(StatusRequest {}).await)?;
    if args.output != Format::Table {
        return output::values(args.output, &values(&answer));
    }
    // The times are those of the control plane's clock.
    let now = if answer.at_ms == 0 { time::now() } else { answer.at_ms };
    let mut parts = vec![heading(&connection, &answer)];
    if !answer.nodes.is_empty() {
        parts.push(table(&answer.nodes, &answer.version, now));
    }
    parts.extend(trouble::lines(&answer.nodes, now));
    output::painted_data(parts.join("\n\n"))
}

fn heading(connection: &Connection, answer: &StatusResponse) -> String {
    let revision = match answer.revision {
        0 => "none: `sluice apply -f FILE` makes the first".to_owned(),
        revision => revision.to_string(),
    };
    let count = |state: NodeState| answer.nodes.iter().filter(|node| node.state() == state).count();
    let counts = [NodeState::Current, NodeState::Updating, NodeState::Rejected, NodeState::Stale]
        .map(|state| (count(state), word(state).0))
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| format!("{count} {word}"));
    let nodes = match answer.nodes.len() {
        0 => "none: `sluice token create NAME --join` makes a token for one".to_owned(),
        _ => counts.collect::<Vec<_>>().join(", "),
    };
    let version = &answer.version;
    format!(
        "control plane  {}, version {version}\nrevision       {revision}\nnodes          {nodes}",
        connection.address()
    )
}

/// A node's version is told where it is not that of the control plane.
fn table(nodes: &[NodeStatus], version: &str, now: u64) -> String {
    let row = |node: &NodeStatus| {
        let (word, tone) = word(node.state());
        let state = match (node.connected, node.draining, node.ready) {
            (true, true, _) => format!("{word}, draining"),
            (true, false, false) => format!("{word}, not ready"),
            _ => word.to_owned(),
        };
        [
            Field::from(node.node.clone()),
            Field::new(state, tone),
            Field::from(if node.revision == 0 { String::new() } else { node.revision.to_string() }),
            Field::new(time::relative(node.since_ms, now), Tone::Quiet),
            Field::from(if node.connected { "connected".to_owned() } else { time::relative(node.seen_ms, now) }),
            Field::from(node.sessions.to_string()),
            Field::from(node.streams.to_string()),
            Field::from(if node.version == version { String::new() } else { node.version.clone() }),
            Field::from(node.link.clone()),
            Field::from(labels(node)),
        ]
    };
    let header = ["NODE", "STATE", "REVISION", "SINCE", "SEEN", "SESSIONS", "STREAMS", "VERSION", "LINK", "LABELS"];
    output::table(header, nodes.iter().map(row))
}

/// `key=value` pairs.
fn labels(node: &NodeStatus) -> String {
    node.labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(" ")
}

fn word(state: NodeState) -> (&'static str, Tone) {
    match state {
        NodeState::Current => ("current", Tone::Good),
        NodeState::Updating => ("updating", Tone::Notice),
        NodeState::Rejected => ("rejected", Tone::Bad),
        NodeState::Stale => ("stale", Tone::Notice),
        NodeState::Unspecified => ("unknown", Tone::Notice),
    }
}

fn values(answer: &StatusResponse) -> Value {
    json!({
        "revision": answer.revision,
        "at": time::iso(answer.at_ms),
        "version": answer.version,
        "nodes": answer.nodes.iter().map(value).collect::<Vec<_>>(),
    })
}

fn value(node: &NodeStatus) -> Value {
    let rejected = json!({
        "revision": node.rejected_revision,
        "at": time::iso(node.rejected_ms),
        "faults": fault::values(&node.rejected),
    });
    let server = |server: &ServerStatus| {
        json!({
            "server": server.server,
            "available": server.available,
            "reason": server.reason,
            "transport": server.transport,
            "era": server.era,
            "tools": server.tools,
            "prompts": server.prompts,
            "resources": server.resources,
            "credential_trouble": server.credential_trouble,
            "credential_since": time::iso(server.credential_since_ms),
            "endpoints": server.endpoints,
            "endpoints_out": server.endpoints_out,
        })
    };
    json!({
        "node": node.node,
        "state": word(node.state()).0,
        "labels": node.labels,
        "version": node.version,
        "revision": node.revision,
        "since": time::iso(node.since_ms),
        "connected": node.connected,
        "seen": time::iso(node.seen_ms),
        "faults": fault::values(&node.faults),
        "rejected": if node.rejected_revision == 0 { Value::Null } else { rejected },
        "ready": node.ready,
        "draining": node.draining,
        "sessions": node.sessions,
        "streams": node.streams,
        "servers": node.servers.iter().map(server).collect::<Vec<_>>(),
        "addresses": node.addresses,
        "link": node.link,
        "certificate_expires": time::iso(node.certificate_expires_ms),
    })
}
