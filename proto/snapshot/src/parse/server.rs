//! The servers behind the gateway and how they are reached.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use sluice_contract::v1;

use super::Faults;
use super::endpoint::{self, Carrier};
use super::{balance, command, curation};
use crate::model::{Isolation, Protocol, Server, Transport};

/// Longest silence a request may be given: the absolute limit of a call, so that more would have no effect.
const MAX_TIMEOUT_MS: u64 = 3_600_000;
/// Longest server name: tool names are limited to 64 characters, and half of that must be left for the tool.
const MAX_NAME: usize = 32;

/// A server as it is given to the parser.
pub(crate) enum Given<'a> {
    /// In a message.
    Message(&'a v1::Server),
    /// As a message of its own.
    Read(Box<v1::Server>),
    /// Parsed already, from the same message.
    Parsed(&'a Arc<Server>),
}

impl Given<'_> {
    fn name(&self) -> &str {
        match self {
            Self::Message(wire) => &wire.name,
            Self::Read(wire) => &wire.name,
            Self::Parsed(server) => &server.name,
        }
    }
}

pub(super) fn parse_all(given: &[Given], faults: &mut Faults) -> Vec<Arc<Server>> {
    let mut names = HashSet::with_capacity(given.len());
    let mut servers = Vec::with_capacity(given.len());
    for (index, server) in given.iter().enumerate() {
        let name = server.name();
        if !names.insert(name) {
            let reason = format!("`{name}` is the name of another server already");
            faults.note::<()>(format!("servers[{index}].name"), reason);
        }
        let mut parsed = |wire| parse(wire, &format!("servers[{index}]"), faults).map(Arc::new);
        servers.extend(match server {
            Given::Message(wire) => parsed(wire),
            Given::Read(wire) => parsed(wire),
            Given::Parsed(server) => Some(Arc::clone(server)),
        });
    }
    servers
}

/// What comes of a server is decided by its message alone, so that it can be taken over: what concerns several is checked elsewhere.
fn parse(wire: &v1::Server, path: &str, faults: &mut Faults) -> Option<Server> {
    let before = faults.0.len();
    let well_formed =
        (1..=MAX_NAME).contains(&wire.name.len()) && wire.name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if !well_formed {
        faults.note::<()>(format!("{path}.name"), "is not 1 to 32 letters, digits and hyphens");
    }
    let transport = transport(wire.transport.as_ref(), path, faults);
    let protocol = protocol(wire.protocol, path, faults);
    let isolation = isolation(wire.isolation, path, faults);
    if !(1..=MAX_TIMEOUT_MS).contains(&wire.timeout_ms) {
        faults.note::<()>(format!("{path}.timeout_ms"), "is not between 1 ms and 3600 s");
    }
    if matches!((&transport, protocol), (Some(Transport::Sse(_)), Some(Protocol::Modern))) {
        faults
            .note::<()>(format!("{path}.protocol"), "is `modern`, but HTTP+SSE is a transport of legacy servers only");
    }
    let curation = wire.curation.as_ref().map(|wire| curation::parse(wire, &format!("{path}.curation"), faults));
    let balance = match (&wire.balance, &transport) {
        (Some(wire), Some(transport)) => balance::parse(wire, transport, &format!("{path}.balance"), faults),
        _ => None,
    };
    let server = Server {
        name: wire.name.as_str().into(),
        transport: transport?,
        protocol: protocol?,
        isolation: isolation?,
        timeout: Duration::from_millis(wire.timeout_ms),
        curation: curation.unwrap_or_default(),
        balance: balance.map(Arc::new),
    };
    (faults.0.len() == before).then_some(server)
}

fn transport(wire: Option<&v1::server::Transport>, path: &str, faults: &mut Faults) -> Option<Transport> {
    use v1::server::Transport as Wire;
    let mut endpoint = |wire, carrier, field| endpoint::parse(wire, carrier, &format!("{path}.{field}"), faults);
    match wire {
        Some(Wire::Http(http)) => endpoint(http, Carrier::Http, "http").map(Transport::Http),
        Some(Wire::Sse(sse)) => endpoint(sse, Carrier::Sse, "sse").map(Transport::Sse),
        Some(Wire::Websocket(socket)) => endpoint(socket, Carrier::WebSocket, "websocket").map(Transport::WebSocket),
        Some(Wire::Stdio(stdio)) => command::parse(stdio, &format!("{path}.stdio"), faults).map(Transport::Stdio),
        None => faults.note(format!("{path}.transport"), "is missing, or of a kind this version does not know"),
    }
}

fn protocol(wire: i32, path: &str, faults: &mut Faults) -> Option<Protocol> {
    match v1::Protocol::try_from(wire) {
        Ok(v1::Protocol::Auto) => Some(Protocol::Auto),
        Ok(v1::Protocol::Legacy) => Some(Protocol::Legacy),
        Ok(v1::Protocol::Modern) => Some(Protocol::Modern),
        Ok(v1::Protocol::Unspecified) => faults.note(format!("{path}.protocol"), "is missing"),
        Err(_) => faults.note(format!("{path}.protocol"), format!("{wire} is not known to this version")),
    }
}

fn isolation(wire: i32, path: &str, faults: &mut Faults) -> Option<Isolation> {
    match v1::Isolation::try_from(wire) {
        Ok(v1::Isolation::Auto) => Some(Isolation::Auto),
        Ok(v1::Isolation::Shared) => Some(Isolation::Shared),
        Ok(v1::Isolation::PerPrincipal) => Some(Isolation::PerPrincipal),
        Ok(v1::Isolation::PerSession) => Some(Isolation::PerSession),
        Ok(v1::Isolation::Unspecified) => faults.note(format!("{path}.isolation"), "is missing"),
        Err(_) => faults.note(format!("{path}.isolation"), format!("{wire} is not known to this version")),
    }
}
