//! Where a control plane is: a URL with scheme, host and port, and nothing else.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use http::Uri;

use crate::output::Failure;

/// The port of the gRPC door.
const PORT: u16 = 9400;

/// The address of a control plane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address(Uri);

impl Address {
    /// Reads a URL; `host:port` and `host` will do. Only this machine is spoken to without TLS: on any other way there are others
    /// who would read the token.
    pub(super) fn parse(text: &str) -> Result<Self, Failure> {
        let wrong = |why: &str| {
            Failure::input(format_args!(
                "`{text}` is no address of a control plane: {why}\n  = write it as in https://control.example.com:{PORT}"
            ))
        };
        let is_whole = text.contains("://");
        let written: Uri = if is_whole { text.parse() } else { format!("https://{text}").parse() }
            .map_err(|_| wrong("it is no URL"))?;
        let host = written.host().filter(|host| !host.is_empty()).ok_or_else(|| wrong("it names no host"))?;
        let scheme = match written.scheme_str() {
            Some("https") if !is_whole && is_this_machine(host) => "http",
            Some("https") => "https",
            Some("http") if is_this_machine(host) => "http",
            Some("http") => {
                return Err(Failure::input(format_args!(
                    "{text} would carry your token over the network for anybody to read\n  = write {}",
                    text.replacen("http", "https", 1)
                )));
            }
            _ => return Err(wrong("it must begin with https://, or with http:// on this machine")),
        };
        if !written.path().trim_matches('/').is_empty() || written.query().is_some() {
            return Err(wrong("it has a path"));
        }
        let port = written.port_u16().unwrap_or(PORT);
        format!("{scheme}://{host}:{port}").parse().map(Self).map_err(|_| wrong("it is no URL"))
    }

    /// It is spoken to over TLS.
    pub(super) fn is_secured(&self) -> bool {
        self.0.scheme_str() == Some("https")
    }

    /// The host as a socket or a certificate has it: an IPv6 address without brackets.
    pub(super) fn host(&self) -> &str {
        self.0.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']')
    }

    pub(super) fn port(&self) -> u16 {
        self.0.port_u16().unwrap_or(PORT)
    }

    /// Where one listens that was started without saying where.
    pub(super) fn usual() -> SocketAddr {
        SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), PORT)
    }

    /// For requests, which do not know of TLS.
    pub(super) fn uri(&self) -> Uri {
        let authority = self.0.authority().expect("an address has a host").as_str();
        Uri::try_from(format!("http://{authority}")).expect("an address is a URL")
    }
}

fn is_this_machine(host: &str) -> bool {
    let literal = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost") || literal.is_ok_and(|ip| ip.to_canonical().is_loopback())
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // An URI is shown with the slash it has for a path.
        f.write_str(self.0.to_string().trim_end_matches('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<String> {
        Address::parse(text).ok().map(|address| address.to_string())
    }

    #[test]
    fn addresses_are_read_as_people_write_them() {
        assert_eq!(read("http://127.0.0.1:9400/").as_deref(), Some("http://127.0.0.1:9400"));
        assert_eq!(read("localhost:19400").as_deref(), Some("http://localhost:19400"));
        assert_eq!(read("[::1]").as_deref(), Some("http://[::1]:9400"));
        assert_eq!(read("https://127.0.0.1").as_deref(), Some("https://127.0.0.1:9400"));
        assert_eq!(read("sluice.example.com").as_deref(), Some("https://sluice.example.com:9400"));
        assert_eq!(read("https://10.0.0.1:443").as_deref(), Some("https://10.0.0.1:443"));
        for wrong in ["", "ftp://a", "http://", "https://a/api", "https://a?b", "https://a b"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_token_is_not_carried_in_plain_text() {
        for text in ["http://sluice.example.com:9500", "http://10.0.0.1:9500"] {
            let Err(Failure::Input(told)) = Address::parse(text) else { panic!("{text} is accepted") };
            assert!(told.contains(&text.replace("http", "https")), "{told}");
        }
    }
}
