//! An endpoint reached over HTTP: its URL, split, the Unix socket in its place, and the headers of every request.

use std::collections::HashSet;
use std::net::IpAddr;
use std::path::PathBuf;

use http::{HeaderName, Uri};
use sluice_contract::v1;

use super::sensitive::{self, Taken};
use super::{Faults, credential, text};
use crate::model::{HttpEndpoint, Sensitive};

/// Headers that are the gateway's own business on every request; a fixed value would break framing or sessions.
const RESERVED: [&str; 16] = [
    "accept",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "host",
    "keep-alive",
    "last-event-id",
    "mcp-method",
    "mcp-name",
    "mcp-protocol-version",
    "mcp-session-id",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Longest path of a Unix socket: what `sockaddr_un` has room for.
const MAX_SOCKET: usize = 107;

/// What is spoken at the endpoint.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Carrier {
    Http,
    Sse,
    WebSocket,
}

pub(super) fn parse(
    wire: &v1::HttpEndpoint,
    carrier: Carrier,
    path: &str,
    faults: &mut Faults,
) -> Option<HttpEndpoint> {
    let headers = headers(&wire.headers, carrier, path, faults);
    let credential = match &wire.credential {
        Some(wire) => credential::parse(wire, carrier, &format!("{path}.credential"), faults).map(Some),
        None => Some(None),
    };
    if let (Some(headers), Some(Some(credential))) = (&headers, &credential)
        && headers.iter().any(|(name, _)| name == credential.kind.header())
    {
        let reason = format!("is sent in `{}`, which is a configured header as well", credential.kind.header());
        faults.note::<()>(format!("{path}.credential"), reason);
    }
    let socket = socket(&wire.socket, path, faults);
    if wire.maybe_sse && carrier != Carrier::Http {
        faults.note::<()>(format!("{path}.maybe_sse"), "belongs to streamable HTTP; this transport is decided already");
    }
    match address(&wire.url) {
        Ok(endpoint) => Some(HttpEndpoint {
            headers: headers?,
            credential: credential?,
            socket: socket?,
            maybe_sse: wire.maybe_sse,
            ..endpoint
        }),
        Err(reason) => faults.note(format!("{path}.url"), reason),
    }
}

/// The socket to connect to; `Some(None)` where there is none.
pub(super) fn socket(wire: &str, path: &str, faults: &mut Faults) -> Option<Option<PathBuf>> {
    if wire.is_empty() {
        return Some(None);
    }
    let path = format!("{path}.socket");
    if !wire.starts_with('/') {
        return faults.note(path, "is not an absolute path such as `/run/server.sock`");
    }
    if wire.len() > MAX_SOCKET {
        return faults.note(path, format!("is longer than the {MAX_SOCKET} bytes the system has room for"));
    }
    text::without_nul(wire, path, faults).map(|path| Some(path.into()))
}

/// Splits the URL of a party that credentials are sent to, an authorization server: encrypted, or within this machine.
///
/// # Errors
///
/// What is wrong with it, without quoting it.
pub fn authority(url: &str) -> Result<HttpEndpoint, &'static str> {
    let endpoint = address(url)?;
    let host = endpoint.host.parse::<IpAddr>().map(|ip| ip.to_canonical());
    let is_here = &*endpoint.host == "localhost" || host.is_ok_and(|ip| ip.is_loopback());
    if endpoint.tls || is_here {
        Ok(endpoint)
    } else {
        Err("is not `https://`, and a secret would go there in the clear")
    }
}

/// Splits a URL; the headers are left empty. The URL may hold a key in its query, so it is never quoted.
pub(crate) fn address(url: &str) -> Result<HttpEndpoint, &'static str> {
    const SHAPE: &str = "is not a URL such as `https://example.com/mcp`";
    if url.is_empty() {
        return Err("is empty; give a URL such as `https://example.com/mcp`");
    }
    if url.contains('#') {
        return Err("has a fragment (`#…`), which is never sent to a server; leave it out");
    }
    if !url.is_ascii() {
        return Err("is not ASCII; write international host names in their `xn--` form and other characters as `%XX`");
    }
    let scheme = url.split_once("://").map_or("", |(scheme, _)| scheme);
    let tls = match scheme.to_ascii_lowercase().as_str() {
        "http" => false,
        "https" => true,
        "ws" | "wss" => return Err("is a WebSocket URL, and this transport is another; write `http://` or `https://`"),
        _ => return Err("does not begin with `http://` or `https://`"),
    };
    let uri: Uri = url.parse().map_err(|_| SHAPE)?;
    let authority = uri.authority().ok_or(SHAPE)?;
    if authority.as_str().contains('@') {
        return Err("has credentials in it; give them as `auth: {type: basic, credentials: \"${USER}:${PASSWORD}\"}`");
    }
    let host = text::host(authority.host()).map_err(|_| "has no valid host name")?;
    let own_port = if tls { 443 } else { 80 };
    // `Authority` yields no port both where there is none and where it is not a number.
    let port = match authority.as_str().strip_prefix(authority.host()) {
        Some("") => own_port,
        _ => authority.port_u16().filter(|port| *port != 0).ok_or("has a port that is not between 1 and 65535")?,
    };
    let authority = if port == own_port { host.clone() } else { format!("{host}:{port}") };
    let bare_host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(&host);
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    Ok(HttpEndpoint {
        tls,
        host: bare_host.into(),
        port,
        path: path.into(),
        authority: authority.into(),
        headers: Vec::new(),
        credential: None,
        socket: None,
        maybe_sse: false,
    })
}

/// An address without a path: scheme, host and port.
pub(super) fn parse_origin(url: &str, path: &str, faults: &mut Faults) -> Option<String> {
    match address(url) {
        Ok(endpoint) if &*endpoint.path == "/" => {
            Some(format!("{}://{}", if endpoint.tls { "https" } else { "http" }, endpoint.authority))
        }
        Ok(_) => faults.note(path, "has a path; give scheme, host and port, such as `http://127.0.0.1:4317`"),
        Err(reason) => faults.note(path, reason),
    }
}

pub(super) fn headers(
    wire: &[v1::Header],
    carrier: Carrier,
    path: &str,
    faults: &mut Faults,
) -> Option<Vec<(String, Sensitive)>> {
    let before = faults.0.len();
    let mut seen = HashSet::new();
    let mut headers = Vec::with_capacity(wire.len());
    for (index, wire) in wire.iter().enumerate() {
        let path = format!("{path}.headers[{index}]");
        let Some((name, value)) = header(wire, carrier, &path, faults) else { continue };
        if !seen.insert(name.clone()) {
            faults.note::<()>(format!("{path}.name"), format!("`{name}` is given twice"));
        }
        headers.push((name, value));
    }
    (faults.0.len() == before).then_some(headers)
}

/// A header that configuration may set, its name in lower case.
pub(super) fn header(
    wire: &v1::Header,
    carrier: Carrier,
    path: &str,
    faults: &mut Faults,
) -> Option<(String, Sensitive)> {
    let value = sensitive::parse(wire.value.as_ref(), Taken::InHeader, format!("{path}.value"), faults);
    let Ok(name) = HeaderName::from_bytes(wire.name.as_bytes()) else {
        return faults.note(format!("{path}.name"), "is not a header name");
    };
    let handshake = carrier == Carrier::WebSocket && name.as_str().starts_with("sec-websocket-");
    if RESERVED.contains(&name.as_str()) || name.as_str().starts_with("mcp-param-") || handshake {
        return faults.note(format!("{path}.name"), format!("`{name}` is set by the gateway on every request"));
    }
    Some((name.as_str().to_owned(), value?))
}
