//! A server reached over the network: its URL or Unix socket, and the headers and credentials sent with every request.

use sluice_contract::v1;

use super::{Node, Notes, sensitive};
use crate::language::{Fault, Path, Server, Transport};

/// `wire` is the path of the endpoint in the contract. The transport of a server that says none is found out.
pub(super) fn compile(
    server: &Server,
    transport: Transport,
    path: &Path,
    wire: &str,
    node: &Node,
    notes: &mut Notes,
) -> Option<v1::HttpEndpoint> {
    let Address { url, socket } = address(server, transport, path, node, notes)?;
    let said = match (&server.url, server.endpoints.is_empty()) {
        (Some(_), _) => path.key("url"),
        (None, true) => path.key("socket"),
        (None, false) => path.key("endpoints").index(0).key("url"),
    };
    notes.origins.value(format!("{wire}.url"), said.clone());
    notes
        .origins
        .value(format!("{wire}.socket"), if server.socket.is_some() { path.key("socket") } else { said.clone() });
    let mut headers = Vec::with_capacity(server.headers.len());
    for (name, value) in &server.headers {
        let said = path.key("headers").key(name);
        notes.origins.key(format!("{wire}.headers[{}].name", headers.len()), said.clone());
        let wire = format!("{wire}.headers[{}].value", headers.len());
        let value = Some(sensitive::compile(value, &said, wire, node, notes));
        headers.push(v1::Header { name: name.clone(), value });
    }
    if socket.is_empty() && server.auth.is_some() && is_in_the_clear(&url) {
        let warning = Fault::value(said, "sends its credentials in the clear");
        notes.warnings.push(warning.advise("use `https://` wherever the way there is not yours alone"));
    }
    Some(v1::HttpEndpoint {
        url,
        headers,
        credential: None,
        socket,
        // of several endpoints one would have to be asked which it is, and all the others
        maybe_sse: server.transport.is_none() && transport == Transport::Http && server.endpoints.len() < 2,
    })
}

/// Where a server is, in the words of the contract.
pub(super) struct Address {
    pub url: String,
    pub socket: String,
}

fn address(server: &Server, transport: Transport, path: &Path, node: &Node, notes: &mut Notes) -> Option<Address> {
    let local = |socket: String| Address { url: format!("http://localhost{}", usual_path(transport)), socket };
    let beside = server.socket.as_ref().map(|socket| match socket.as_os_str().is_empty() {
        true => String::new(),
        false => node.folder.join(socket).to_string_lossy().into_owned(),
    });
    if beside.as_deref() == Some("") {
        notes.faults.push(Fault::value(path.key("socket"), "is empty; give the path of a socket"));
        return None;
    }
    let first = server.endpoints.first().map(|endpoint| &*endpoint.url);
    let Some(url) = server.url.as_deref().or(first).map(str::trim) else {
        if let Some(socket) = beside {
            return Some(local(socket));
        }
        let fault = Fault::key(path.clone(), "has no `url`");
        notes.faults.push(fault.advise("add `url: https://…`"));
        return None;
    };
    let address = at(url, transport);
    if !address.socket.is_empty() && beside.is_some() {
        let fault = Fault::key(path.key("socket"), "is a second socket beside the one in `url`");
        notes.faults.push(fault.advise("leave out one of them"));
        return None;
    }
    Some(Address { socket: beside.unwrap_or(address.socket), ..address })
}

/// Where a URL leads.
pub(super) fn at(url: &str, transport: Transport) -> Address {
    let socket = unix(url).unwrap_or_default().to_owned();
    let url = match scheme(url) {
        _ if !socket.is_empty() => format!("http://localhost{}", usual_path(transport)),
        Some(("ws", rest)) if transport == Transport::WebSocket => format!("http://{rest}"),
        Some(("wss", rest)) if transport == Transport::WebSocket => format!("https://{rest}"),
        _ => url.to_owned(),
    };
    Address { url, socket }
}

/// Where servers of a transport are usually found on a host of their own.
fn usual_path(transport: Transport) -> &'static str {
    match transport {
        Transport::Sse => "/sse",
        Transport::WebSocket => "/ws",
        Transport::Http | Transport::Stdio => "/mcp",
    }
}

/// The socket a `unix:` URL names.
fn unix(url: &str) -> Option<&str> {
    let rest = url.strip_prefix("unix:")?;
    Some(rest.strip_prefix("//").unwrap_or(rest))
}

/// The scheme of a URL, if it is one of those that are dialled, and what follows `://`.
pub(super) fn scheme(url: &str) -> Option<(&'static str, &str)> {
    let (scheme, rest) = url.trim().split_once("://")?;
    ["http", "https", "ws", "wss"]
        .into_iter()
        .find(|known| scheme.eq_ignore_ascii_case(known))
        .map(|known| (known, rest))
}

/// Neither encrypted nor within this machine.
fn is_in_the_clear(url: &str) -> bool {
    let Some(("http", rest)) = scheme(url) else { return false };
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    !super::own::is_loopback(super::own::host_and_port(authority, 80).0)
}
