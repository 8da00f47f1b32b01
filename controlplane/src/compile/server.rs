//! The servers: their names, and which transport was meant.

use std::time::Duration;

use indexmap::IndexMap;
use sluice_contract::v1;

use super::listener::milliseconds;
use super::{Node, Notes, command, endpoint};
use crate::language::{Fault, Isolation, Path, Protocol, Server, Transport};

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);
/// Longest name of a server; the rest is cut off.
const MAX_NAME: usize = 32;

pub(super) fn compile_all(servers: &IndexMap<String, Server>, node: &Node, notes: &mut Notes) -> Vec<v1::Server> {
    let mut compiled: Vec<v1::Server> = Vec::with_capacity(servers.len());
    let mut taken: IndexMap<String, &str> = IndexMap::new();
    for (key, server) in servers {
        let path = Path::of(["servers", key]);
        let name = slug(key);
        if name.is_empty() {
            let fault = Fault::key(path, "is no name for a server");
            notes.faults.push(fault.advise("names have letters, digits and hyphens, at most 32"));
            continue;
        }
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
        let Some(transport) = transport(server, &path, &wire, node, notes) else { continue };
        compiled.push(v1::Server {
            name,
            transport: Some(transport),
            protocol: protocol(server).into(),
            isolation: isolation(server).into(),
            timeout_ms: milliseconds(server.timeout, DEFAULT_TIMEOUT),
            curation: None,
        });
    }
    compiled
}

/// The name of a server in paths and tool names: whatever else than letters, digits and hyphens becomes a hyphen.
fn slug(key: &str) -> String {
    let mut name = String::new();
    for c in key.chars() {
        match c {
            c if c.is_ascii_alphanumeric() || c == '-' => name.push(c),
            _ if !name.ends_with('-') => name.push('-'),
            _ => {}
        }
    }
    // A key that is in order stays as it is, hyphens at its ends included.
    let name = if name == key { name.as_str() } else { name.trim_matches('-') };
    let cut = &name[..name.len().min(MAX_NAME)];
    if name.len() > MAX_NAME { cut.trim_end_matches('-').to_owned() } else { cut.to_owned() }
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
    let meant = match (server.transport, &server.url, &server.command) {
        (Some(transport), _, _) => transport,
        (None, Some(_), None) => Transport::Http,
        (None, None, Some(_)) => Transport::Stdio,
        (None, url, _) => {
            let what = if url.is_some() { "has both a `url` and a `command`" } else { "has no `url` and no `command`" };
            let advice = "give `url: https://…` for a server that is reached over HTTP, or `command: …` for one that \
                          is started here";
            notes.faults.push(Fault::key(path.clone(), what).advise(advice));
            return None;
        }
    };
    misplaced(server, meant, path, notes);
    match meant {
        Transport::Http => endpoint::compile(server, path, wire, notes).map(v1::server::Transport::Http),
        Transport::Stdio => command::compile(server, path, wire, node, notes).map(v1::server::Transport::Stdio),
    }
}

/// Words of the other transport are a mistake, not something to leave out silently.
fn misplaced(server: &Server, meant: Transport, path: &Path, notes: &mut Notes) {
    let words: &[(&str, bool)] = match meant {
        Transport::Http => &[
            ("command", server.command.is_some()),
            ("args", !server.args.is_empty()),
            ("env", !server.env.is_empty()),
            ("cwd", server.cwd.is_some()),
        ],
        Transport::Stdio => {
            &[("url", server.url.is_some()), ("headers", !server.headers.is_empty()), ("auth", server.auth.is_some())]
        }
    };
    let (this, other) = match meant {
        Transport::Http => ("http", "stdio"),
        Transport::Stdio => ("stdio", "http"),
    };
    for (word, _) in words.iter().filter(|(_, there)| *there) {
        let fault = Fault::key(path.key(word), format!("belongs to `transport: {other}`, but this one is `{this}`"));
        notes.faults.push(fault.advise("leave it out, or change the transport"));
    }
}
