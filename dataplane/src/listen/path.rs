//! Which path leads where.

use std::sync::Arc;

use crate::auth::resource::WELL_KNOWN;
use crate::exchange::call::Scope;
use crate::plane::Plane;
use crate::reason::Reason;

/// Where a path leads.
pub(super) enum Path {
    /// An MCP door and its servers, or why there is none.
    Door(Door, Result<Scope, Reason>),
    Health,
    Metrics,
    /// The metadata of the protected resource at this path (RFC 9728).
    Resource(String),
}

/// The doors, each with its transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Door {
    /// Streamable HTTP.
    Mcp,
    /// HTTP+SSE of 2024-11-05: the event stream.
    Sse,
    /// HTTP+SSE of 2024-11-05: where its messages are handed in.
    Messages,
    WebSocket,
}

impl Door {
    /// The methods it takes, as an `Allow` header field lists them.
    pub(super) fn allow(self) -> &'static str {
        match self {
            Self::Mcp => "POST, GET, DELETE, OPTIONS",
            Self::Sse | Self::WebSocket => "GET, OPTIONS",
            Self::Messages => "POST, OPTIONS",
        }
    }
}

/// `/DOOR` is all servers as one, `/servers/{server}/DOOR` one of them; a slash may follow.
pub(super) fn find(path: &str, plane: &Plane) -> Path {
    let (server, word) = match path.strip_prefix("/servers/").and_then(|rest| rest.split_once('/')) {
        Some((server, word)) => (Some(server), word),
        None => (None, path.strip_prefix('/').unwrap_or_default()),
    };
    let door = match word.strip_suffix('/').unwrap_or(word) {
        "mcp" => Door::Mcp,
        "sse" => Door::Sse,
        "messages" => Door::Messages,
        "ws" => Door::WebSocket,
        "health" if path == "/health" => return Path::Health,
        _ if path.starts_with(WELL_KNOWN) && plane.known.has_issuers() => {
            return resource(&path[WELL_KNOWN.len()..]).unwrap_or(Path::Door(Door::Mcp, Err(Reason::NoSuchDoor)));
        }
        _ if plane.snapshot.monitoring.metrics_path.as_deref() == Some(path) => return Path::Metrics,
        _ => return Path::Door(Door::Mcp, Err(Reason::NoSuchDoor)),
    };
    let scope = match server {
        None => Ok(Scope::Merged),
        Some("") => Err(Reason::NoSuchDoor),
        Some(name) => plane.server(name).cloned().map(Scope::Server).ok_or(Reason::UnknownServer),
    };
    Path::Door(door, scope)
}

/// Any door's path, and the gateway's as a whole: whether there is such a server is not told here.
fn resource(path: &str) -> Option<Path> {
    let bare = path.strip_suffix('/').unwrap_or(path);
    let word = match bare.strip_prefix("/servers/") {
        Some(rest) => rest.split_once('/').filter(|(server, _)| is_server_name(server))?.1,
        None => bare.strip_prefix('/').unwrap_or(bare),
    };
    matches!(word, "" | "mcp" | "sse" | "ws").then(|| Path::Resource(bare.to_owned()))
}

fn is_server_name(name: &str) -> bool {
    (1..=32).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// The path before a door's word.
pub(super) fn prefix(path: &str) -> &str {
    let path = path.strip_suffix('/').unwrap_or(path);
    path.rfind('/').map_or("", |at| &path[..at])
}

/// What a handle is bound to at a path: the server's name, or nothing on the merged door.
pub(super) fn server_in(path: &str) -> Arc<str> {
    let server = path.strip_prefix("/servers/").and_then(|rest| rest.split_once('/')).map(|(server, _)| server);
    server.unwrap_or_default().into()
}
