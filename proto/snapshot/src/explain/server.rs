//! How a server is reached, and what it is shown.

use super::Steps;
use crate::model::{Balance, CredentialKind, HttpEndpoint, Isolation, Protocol, Retries, Sensitive, Server, Transport};

pub(super) fn describe(server: &Server, steps: &mut Steps) {
    let at = format!("servers.{}", server.name);
    let (endpoint, source) = match &server.transport {
        Transport::Http(endpoint) | Transport::Sse(endpoint) => (url(endpoint, "http"), "url"),
        Transport::WebSocket(endpoint) => (url(endpoint, "ws"), "url"),
        // Arguments may hold credentials.
        Transport::Stdio(command) => match command.args.len() {
            0 => (command.program.clone(), "command"),
            1 => (format!("{} with 1 argument", command.program), "command"),
            count => (format!("{} with {count} arguments", command.program), "command"),
        },
    };
    match &server.balance {
        Some(balance) if balance.endpoints.len() > 1 => places(balance, &at, steps),
        _ => steps.note("endpoint", endpoint, format!("{at}.{source}")),
    }
    let transport = match &server.transport {
        Transport::Http(HttpEndpoint { maybe_sse: true, .. }) => "http, or HTTP+SSE where the server refuses that",
        Transport::Http(_) => "streamable HTTP",
        Transport::Sse(_) => "HTTP+SSE of 2024-11-05",
        Transport::WebSocket(_) => "WebSocket",
        Transport::Stdio(_) => "stdio, a process that the node starts",
    };
    steps.note("transport", transport, "");
    let patience = format!("given up after {} s without a byte or progress", server.timeout.as_secs_f64());
    steps.note("timeout", patience, format!("{at}.timeout"));
    let era = match server.protocol {
        Protocol::Auto => "found out by the node and remembered",
        Protocol::Legacy => "legacy: sessions, 2024-11-05 to 2025-11-25",
        Protocol::Modern => "modern: stateless, 2026-07-28",
    };
    steps.note("era", era, if server.protocol == Protocol::Auto { String::new() } else { format!("{at}.protocol") });
    credentials(server, &at, steps);
    let shared = match server.isolation {
        Isolation::Auto => "shared among clients that cannot be asked anything; others have their own",
        Isolation::Shared => "shared by everybody",
        Isolation::PerPrincipal => "one per client",
        Isolation::PerSession => "one per session of a client",
    };
    steps.note(
        "connection",
        shared,
        if server.isolation == Isolation::Auto { String::new() } else { format!("{at}.isolation") },
    );
}

/// The places it runs in, one of which is chosen for each request or session.
fn places(balance: &Balance, at: &str, steps: &mut Steps) {
    for (index, endpoint) in balance.endpoints.iter().enumerate() {
        let weight = if endpoint.weight == 1 { String::new() } else { format!(", weight {}", endpoint.weight) };
        let standby = if endpoint.standby { ", while none of the others is in service" } else { "" };
        let shown = format!("{}{weight}{standby}", url(&endpoint.at, "http"));
        steps.note("endpoint", shown, format!("{at}.endpoints[{index}]"));
    }
    let retries = match balance.retries {
        Retries::Unsent => "sent once more to another endpoint where nothing was sent",
        Retries::Idempotent => "sent once more to another endpoint where nothing was sent, or the tool is idempotent",
    };
    steps.note("balance", format!("the less busy of two; {retries}"), format!("{at}.balance"));
}

/// Where what the server is shown comes from; never what it is.
fn credentials(server: &Server, at: &str, steps: &mut Steps) {
    match &server.transport {
        Transport::Http(endpoint) | Transport::Sse(endpoint) | Transport::WebSocket(endpoint) => {
            if endpoint.headers.is_empty() && endpoint.credential.is_none() {
                steps.note("credential", "none", "");
            }
            if let Some(credential) = &endpoint.credential {
                let source = match &credential.name {
                    Some(name) => format!("credentials.{name}"),
                    None => format!("{at}.auth"),
                };
                steps.note("credential", shown(&credential.kind), source);
            }
            for (name, value) in &endpoint.headers {
                steps.note("credential", format!("header {name}{}", from(value)), format!("{at}.headers.{name}"));
            }
        }
        Transport::Stdio(command) => {
            let names = command.env.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(" ");
            let value = if names.is_empty() { "none".to_owned() } else { format!("in its environment: {names}") };
            steps.note("credential", value, if names.is_empty() { String::new() } else { format!("{at}.env") });
        }
    }
}

fn shown(kind: &CredentialKind) -> String {
    let header = kind.header();
    match kind {
        CredentialKind::Bearer(value) => format!("header {header}, a bearer token{}", from(value)),
        CredentialKind::Basic(value) => format!("header {header}, user and password{}", from(value)),
        CredentialKind::Header(_, value) => format!("header {header}{}", from(value)),
        CredentialKind::ClientCredentials(_) => {
            format!("header {header}, a token that the node obtains by OAuth client credentials")
        }
    }
}

/// Where a value is, if that is not the configuration.
fn from(value: &Sensitive) -> String {
    if value.value().is_some() { String::new() } else { format!(" from {}", value.source()) }
}

fn url(endpoint: &HttpEndpoint, scheme: &str) -> String {
    let socket = endpoint.socket.as_ref().map(|path| format!(" through {}", path.display())).unwrap_or_default();
    // What is behind a question mark may be a credential.
    let path = endpoint.path.split('?').next().unwrap_or_default();
    let query = if endpoint.path.contains('?') { "?***" } else { "" };
    format!("{scheme}{}://{}{path}{query}{socket}", if endpoint.tls { "s" } else { "" }, endpoint.authority)
}
