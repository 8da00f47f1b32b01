//! `sluice session`: the sessions of legacy clients, listed and ended.

mod source;

use std::net::SocketAddr;
use std::process::ExitCode;

use serde_json::{Value, json};
use sluice_contract::v1::{EndSessionsRequest, ListSessionsRequest, Session};

use crate::client::ControlPlane;
use crate::output::{self, Failure, Field, Format, Tone, talk, time, visible};
use crate::principal::principal;
use source::Source;

/// Sessions that are asked for at a time.
const PAGE: u32 = 1_000;

/// List the sessions of legacy clients on all nodes, and end them.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "\
Example:
  sluice session list --principal client:alice
  sluice session end 5f0c2a9be47d11220000a1b2c3d4e5f6

Asks the control plane that is named, or the usual one where it runs; without one, the gateway at its admin port, as `sluice run` \
opens it. Modern clients have no sessions.")]
pub(crate) enum Verb {
    /// List sessions, in the order of their ids
    #[command(after_help = "\
Examples:
  sluice session list
  sluice session list --server github -o json
  sluice session list --after 5f0c2a9be47d11220000a1b2c3d4e5f6     the next ones
  sluice session list --admin 127.0.0.1:8001                       of one gateway

PRINCIPAL is as policies name it: client:NAME, jwt:ISSUER:SUBJECT, certificate:NAME, local or anonymous. SERVERS are those it has a \
session with; `*` is the door of all servers, which opens them as they are needed. OPEN names the nodes on which a stream or request of \
it is open now. An id is good for `end` and for nothing else: no client can be made of it.

Exit code 1: a node, or what keeps sessions, did not answer, so that there may be more than those that are listed.")]
    List(List),
    /// End sessions everywhere, towards their servers, too, as their clients would
    #[command(after_help = "\
Examples:
  sluice session end 5f0c2a9be47d11220000a1b2c3d4e5f6
  sluice session end --principal client:alice

Their streams end at once, and what they ask next is answered 404, within a second on every node: clients then begin another one, if \
they may. A node that is away is told when it is back, within 30 days. Takes the role of an editor.

Exit code 1: there is no such session; or a node, or what keeps sessions, did not answer, so that some may go on, as stderr says.")]
    End(End),
}

#[derive(Debug, clap::Args)]
pub(crate) struct List {
    /// Only those of this principal
    #[arg(long, value_name = "PRINCIPAL", default_value = "", hide_default_value = true)]
    principal: String,

    /// Only those with this server
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    server: String,

    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,

    /// Only those after this id
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    after: String,

    /// How to show them
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value_t = Format::Table)]
    output: Format,

    /// Ask the gateway with this admin port [default: 127.0.0.1:8001]
    #[arg(long, value_name = "ADDR", value_parser = sluice_arguments::address)]
    admin: Option<SocketAddr>,

    #[command(flatten)]
    control_plane: ControlPlane,
}

#[derive(Debug, clap::Args)]
pub(crate) struct End {
    /// Their ids
    #[arg(value_name = "ID", required_unless_present = "principal")]
    sessions: Vec<String>,

    /// All of this principal
    #[arg(long, value_name = "PRINCIPAL", default_value = "", hide_default_value = true, conflicts_with = "sessions")]
    principal: String,

    /// Ask the gateway with this admin port [default: 127.0.0.1:8001]
    #[arg(long, value_name = "ADDR", value_parser = sluice_arguments::address)]
    admin: Option<SocketAddr>,

    #[command(flatten)]
    control_plane: ControlPlane,
}

/// Does what was asked.
pub(crate) fn run(verb: &Verb) -> ExitCode {
    output::exit(match verb {
        Verb::List(args) => list(args),
        Verb::End(args) => end(args),
    })
}

/// Refuses what nobody can be called: of such a principal there are never any sessions, which would read like success.
fn check(text: &str) -> Result<(), Failure> {
    let wrong = |why| format!("invalid value '{}' for '--principal <PRINCIPAL>': {why}", visible(text));
    principal(text).map(drop).map_err(|why| Failure::input(wrong(why)))
}

fn list(args: &List) -> Result<(), Failure> {
    if !args.principal.is_empty() {
        check(&args.principal)?;
    }
    let mut source = Source::of(args.admin, &args.control_plane)?;
    let (mut sessions, mut trouble) = (Vec::new(), Vec::new());
    let mut after = args.after.clone();
    // a page may be short, or empty, and not be the last
    loop {
        let left = args.limit - sessions.len() as u32;
        let (principal, server) = (args.principal.clone(), args.server.clone());
        let page = source.list(ListSessionsRequest { principal, server, limit: left.min(PAGE), after })?;
        sessions.extend(page.sessions);
        trouble.extend(page.trouble.into_iter().filter(|line| !trouble.contains(line)).collect::<Vec<_>>());
        after = page.next;
        if after.is_empty() || sessions.len() >= args.limit as usize {
            break;
        }
    }
    let now = time::now();
    let header = ["SESSION", "PRINCIPAL", "CLIENT", "PROTOCOL", "SERVERS", "BEGAN", "USED", "OPEN", "KEPT"];
    let asked_for_some = !(args.principal.is_empty() && args.server.is_empty() && args.after.is_empty());
    let none = if asked_for_some { "there is no such session" } else { "there are no sessions" };
    // those that were not told cannot be said not to be
    let none = if trouble.is_empty() { none } else { "none is at hand" };
    output::list(args.output, &sessions, none, header, |session| row(session, now), value)?;
    if !after.is_empty() {
        talk(&format!("there may be more: --after {after}\n"));
    }
    tell(&trouble);
    match (trouble.is_empty(), sessions.is_empty()) {
        (true, _) => Ok(()),
        (false, true) => Err(Failure::other("it is not known which sessions there are")),
        (false, false) => Err(Failure::other("it is not known which other sessions there are")),
    }
}

fn end(args: &End) -> Result<(), Failure> {
    if args.sessions.is_empty() {
        check(&args.principal)?;
    }
    let mut source = Source::of(args.admin, &args.control_plane)?;
    let (sessions, principal) = (args.sessions.clone(), args.principal.clone());
    let answer = source.end(EndSessionsRequest { sessions, principal, begun_by_ms: 0 })?;
    if answer.ended == 0 && args.principal.is_empty() && answer.trouble.is_empty() {
        return Err(Failure::other("there is no such session; `sluice session list` lists them"));
    }
    let ended = match answer.ended {
        1 => "1 session is over".to_owned(),
        ended => format!("{ended} sessions are over"),
    };
    talk(&format!("{ended}\n"));
    tell(&answer.trouble);
    match answer.trouble.is_empty() {
        true => Ok(()),
        false => Err(Failure::other("it is not known of all of them that they are over")),
    }
}

/// What could not be looked through.
fn tell(trouble: &[String]) {
    trouble.iter().for_each(|line| talk(&format!("warning: {}\n", visible(line))));
}

fn row(session: &Session, now: u64) -> [Field; 9] {
    let client = format!("{} {}", session.client, session.client_version);
    let mut servers = session.servers.clone();
    if session.merged {
        servers.insert(0, "*".to_owned());
    }
    [
        Field::from(session.session.clone()),
        Field::from(session.principal.clone()),
        Field::from(client.trim().to_owned()),
        Field::new(session.protocol_version.clone(), Tone::Quiet),
        Field::from(servers.join(" ")),
        Field::new(time::relative(session.created_ms, now), Tone::Quiet),
        Field::from(time::relative(session.used_ms, now)),
        Field::from(session.nodes.join(" ")),
        Field::new(session.store.clone(), Tone::Quiet),
    ]
}

fn value(session: &Session) -> Value {
    json!({
        "session": session.session,
        "principal": session.principal,
        "client": session.client,
        "client_version": session.client_version,
        "protocol_version": session.protocol_version,
        "servers": session.servers,
        "merged": session.merged,
        "created": time::iso(session.created_ms),
        "used": time::iso(session.used_ms),
        "nodes": session.nodes,
        "store": session.store,
    })
}
