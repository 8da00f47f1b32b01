//! Servers that are the gateway itself: calling them would go round in a circle.

use std::net::{IpAddr, SocketAddr};

use super::endpoint::scheme;
use crate::language::Server;

/// The program that stands for the gateway.
const OWN_PROGRAM: &str = "sluice";

/// `true` when the server's URL leads to one of these addresses.
pub(super) fn is_called_by(server: &Server, own: &[SocketAddr]) -> bool {
    let endpoints = server.endpoints.iter().map(|endpoint| &*endpoint.url);
    server.socket.is_none() && server.url.as_deref().into_iter().chain(endpoints).any(|url| leads_to(url, own))
}

/// `true` when the server is a gateway started again: `sluice run`, or a bridge (such as `mcp-remote`) to these addresses.
pub(super) fn is_started_by(server: &Server, own: &[SocketAddr]) -> bool {
    let Some(command) = &server.command else { return false };
    let program = std::path::Path::new(command).file_stem().and_then(|name| name.to_str());
    let is_own = program == Some(OWN_PROGRAM) && server.args.first().is_some_and(|verb| verb == "run");
    is_own || server.args.iter().any(|arg| leads_to(arg, own))
}

fn leads_to(url: &str, own: &[SocketAddr]) -> bool {
    let Some((scheme, rest)) = scheme(url) else { return false };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let usual = if scheme.ends_with('s') && scheme != "ws" { 443 } else { 80 };
    let (host, port) = host_and_port(authority, usual);
    own.iter().any(|address| {
        let ip = address.ip().to_canonical();
        let here = ip.is_loopback() || ip.is_unspecified();
        address.port() == port && port != 0 && ((here && is_loopback(host)) || host.parse() == Ok(ip))
    })
}

/// Host, without brackets, and port of `host[:port]`.
pub(super) fn host_and_port(authority: &str, usual: u16) -> (&str, u16) {
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port.parse().unwrap_or(0)),
        _ => (authority, usual),
    };
    (host.trim_start_matches('[').trim_end_matches(']'), port)
}

/// `true` for the names and addresses by which a machine calls itself.
pub(super) fn is_loopback(host: &str) -> bool {
    let address = host.parse::<IpAddr>().map(|ip| ip.to_canonical());
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|ip| ip.is_loopback() || ip.is_unspecified())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_own_address_under_any_of_its_names_is_the_own_one() {
        let own: [SocketAddr; 1] = ["127.0.0.1:8000".parse().unwrap()];
        for url in ["http://localhost:8000/mcp", "ws://127.0.0.1:8000/ws", "http://[::1]:8000", "http://0.0.0.0:8000/x"]
        {
            assert!(leads_to(url, &own), "{url}");
        }
        for url in
            ["http://localhost:8001/mcp", "http://localhost/mcp", "http://10.0.0.1:8000/mcp", "http://a:b:8000", "x"]
        {
            assert!(!leads_to(url, &own), "{url}");
        }
        assert!(leads_to("https://10.0.0.1/mcp", &["10.0.0.1:443".parse().unwrap()]));
        assert!(leads_to("http://localhost/mcp", &["0.0.0.0:80".parse().unwrap()]));
        assert!(!leads_to("http://localhost:0/mcp", &["127.0.0.1:0".parse().unwrap()]));
    }
}
