//! The servers: which take part, their names, and which transport was meant.

use std::net::SocketAddr;
use std::time::Duration;

use indexmap::IndexMap;
use sluice_contract::v1;

use super::credential::{self, Place};
use super::listener::milliseconds;
use super::{Node, Notes, balance, command, curation, endpoint, own};
use crate::language::{Config, Fault, Isolation, Path, Protocol, Server, Transport, slug, unlike};

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);
/// Below this, a timeout was probably meant in another unit.
const SHORT_TIMEOUT: Duration = Duration::from_millis(200);

/// `own` is where clients come in.
pub(super) fn compile_all(config: &Config, own: &[SocketAddr], node: &Node, notes: &mut Notes) -> Vec<v1::Server> {
    let mut compiled: Vec<v1::Server> = Vec::with_capacity(config.servers.len());
    let mut taken: IndexMap<String, &str> = IndexMap::new();
    for (key, server) in &config.servers {
        let path = Path::of(["servers", key]);
        if !node.is_chosen(&server.nodes) || !takes_part(server, config.foreign, own, &path, notes) {
            continue;
        }
        let name = slug(key);
        if name.is_empty() {
            let fault = Fault::key(path, "is no name for a server");
            notes.faults.push(fault.advise("names have letters, digits and hyphens, at most 32"));
            continue;
        }
        let name = if config.foreign { unlike(name, |name| taken.contains_key(name)) } else { name };
        if let Some(other) = taken.insert(name.clone(), key) {
            let fault = Fault::key(path, format!("becomes `{name}`, and so does `{other}`"));
            notes.faults.push(fault.advise("rename one of them"));
            continue;
        }
        if name != *key {
            let warning = Fault::key(path.clone(), format!("is called `{name}` in paths and tool names"));
            notes.warnings.push(warning.advise("names have letters, digits and hyphens, at most 32"));
        }
        let wire = format!("servers[{}]", compiled.len());
        notes.origins.key(format!("{wire}.name"), path.clone());
        notes.origins.value(format!("{wire}.timeout_ms"), path.key("timeout"));
        notes.origins.value(format!("{wire}.protocol"), path.key("protocol"));
        if server.timeout.is_some_and(|timeout| !timeout.0.is_zero() && timeout.0 < SHORT_TIMEOUT) {
            let warning = Fault::value(path.key("timeout"), "is so short that hardly an answer will come in time");
            notes.warnings.push(warning.advise("times are in seconds"));
        }
        let curation = curation::compile(server, &path, &wire, notes);
        let Some(mut transport) = transport(server, &path, &wire, node, notes) else { continue };
        if let (Some(auth), Some((field, endpoint))) = (&server.auth, endpoint(&mut transport)) {
            let url = endpoint.url.split(['?', '#']).next().unwrap_or_default();
            let resource = if endpoint.socket.is_empty() { url } else { "" };
            let place = Place { path: path.key("auth"), wire: format!("{wire}.{field}.credential"), resource };
            endpoint.credential = credential::compile(auth, &config.credentials, &place, node, notes);
        }
        compiled.push(v1::Server {
            name,
            transport: Some(transport),
            protocol: protocol(server).into(),
            isolation: isolation(server).into(),
            timeout_ms: milliseconds(server.timeout, DEFAULT_TIMEOUT),
            curation,
            balance: balance::compile(server, &path, &wire, node, notes),
        });
    }
    if config.foreign && compiled.is_empty() {
        let warning = Fault::key(Path::of(["servers"]), "has no server for this gateway, so that clients find nothing");
        notes.warnings.push(warning.advise("`sluice discover` shows those that clients on this machine have"));
    }
    compiled
}

/// `false` for a server that is left out, because somebody said so or because it is the gateway itself.
fn takes_part(server: &Server, foreign: bool, own: &[SocketAddr], path: &Path, notes: &mut Notes) -> bool {
    if server.enabled.is_some() && server.disabled.is_some() {
        let fault = Fault::key(path.key("disabled"), "says the same as `enabled`, or its opposite");
        notes.faults.push(fault.advise("leave out one of them"));
    }
    if !server.takes_part() {
        return false;
    }
    let is_own = own::is_called_by(server, own) || (foreign && own::is_started_by(server, own));
    if is_own && foreign {
        let warning = Fault::key(path.clone(), "is left out: it is this gateway, which would call itself without end");
        notes.warnings.push(warning);
        return false;
    }
    if is_own {
        let said = if server.endpoints.is_empty() { "url" } else { "endpoints" };
        let fault = Fault::value(path.key(said), "leads to this gateway, which would call itself without end");
        notes.faults.push(fault.advise("give the address of the server itself, or listen on another port"));
    }
    !is_own
}

fn protocol(server: &Server) -> v1::Protocol {
    match server.protocol.unwrap_or_default() {
        Protocol::Auto => v1::Protocol::Auto,
        Protocol::Legacy => v1::Protocol::Legacy,
        Protocol::Modern => v1::Protocol::Modern,
    }
}

fn isolation(server: &Server) -> v1::Isolation {
    match server.isolation.unwrap_or_default() {
        Isolation::Auto => v1::Isolation::Auto,
        Isolation::Shared => v1::Isolation::Shared,
        Isolation::PerPrincipal => v1::Isolation::PerPrincipal,
        Isolation::PerSession => v1::Isolation::PerSession,
    }
}

fn transport(
    server: &Server,
    path: &Path,
    wire: &str,
    node: &Node,
    notes: &mut Notes,
) -> Option<v1::server::Transport> {
    use v1::server::Transport as Wire;
    let has_address = server.url.is_some() || server.socket.is_some() || !server.endpoints.is_empty();
    let first = server.endpoints.first().map(|endpoint| &*endpoint.url);
    let meant = match (server.transport, has_address, &server.command) {
        (Some(transport), _, _) => transport,
        (None, true, None) => match server.url.as_deref().or(first).and_then(endpoint::scheme) {
            Some(("ws" | "wss", _)) => Transport::WebSocket,
            _ => Transport::Http,
        },
        (None, false, Some(_)) => Transport::Stdio,
        (None, ..) => {
            let what = if has_address { "has both a `url` and a `command`" } else { "has no `url` and no `command`" };
            let advice = "give `url: https://…` for a server that is reached over the network, or `command: …` for one \
                          that is started here";
            notes.faults.push(Fault::key(path.clone(), what).advise(advice));
            return None;
        }
    };
    misplaced(server, meant, path, notes);
    balance::check(server, meant, path, notes)?;
    let mut at = |field: &str| endpoint::compile(server, meant, path, &format!("{wire}.{field}"), node, notes);
    match meant {
        Transport::Http => at("http").map(Wire::Http),
        Transport::Sse => at("sse").map(Wire::Sse),
        Transport::WebSocket => at("websocket").map(Wire::Websocket),
        Transport::Stdio => command::compile(server, path, wire, node, notes).map(Wire::Stdio),
    }
}

/// The endpoint of a server that is reached over the network, and what it is called in the contract.
fn endpoint(transport: &mut v1::server::Transport) -> Option<(&'static str, &mut v1::HttpEndpoint)> {
    use v1::server::Transport as Wire;
    match transport {
        Wire::Http(endpoint) => Some(("http", endpoint)),
        Wire::Sse(endpoint) => Some(("sse", endpoint)),
        Wire::Websocket(endpoint) => Some(("websocket", endpoint)),
        Wire::Stdio(_) => None,
    }
}

/// Words of the other transport are a mistake, not something to leave out silently.
fn misplaced(server: &Server, meant: Transport, path: &Path, notes: &mut Notes) {
    let words: &[(&str, bool)] = match meant {
        Transport::Http | Transport::Sse | Transport::WebSocket => &[
            ("command", server.command.is_some()),
            ("args", !server.args.is_empty()),
            ("env", !server.env.is_empty() && server.env_file.is_none()),
            ("env_file", server.env_file.is_some()),
            ("cwd", server.cwd.is_some()),
        ],
        Transport::Stdio => &[
            ("url", server.url.is_some()),
            ("endpoints", !server.endpoints.is_empty()),
            ("socket", server.socket.is_some()),
            ("headers", !server.headers.is_empty()),
            ("auth", server.auth.is_some()),
        ],
    };
    let this = meant.as_str();
    let other = if meant == Transport::Stdio { "http" } else { "stdio" };
    for (word, _) in words.iter().filter(|(_, there)| *there) {
        let fault = Fault::key(path.key(word), format!("belongs to `transport: {other}`, but this one is `{this}`"));
        notes.faults.push(fault.advise("leave it out, or change the transport"));
    }
}
