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
    /// Reads a URL; `host:port` and `host` will do. People come in on the control plane's own machine: elsewhere it
    /// speaks TLS with certificates that only its nodes know.
    pub(super) fn parse(text: &str) -> Result<Self, Failure> {
        let wrong = |why: &str| {
            Failure::input(format_args!(
                "`{text}` is no address of a control plane: {why}\n  = write it as in http://127.0.0.1:{PORT}"
            ))
        };
        let written: Uri = if text.contains("://") { text.parse() } else { format!("http://{text}").parse() }
            .map_err(|_| wrong("it is no URL"))?;
        let host = written.host().filter(|host| !host.is_empty()).ok_or_else(|| wrong("it names no host"))?;
        if !matches!(written.scheme_str(), Some("http" | "https")) {
            return Err(wrong("it must begin with http://"));
        }
        if !written.path().trim_matches('/').is_empty() || written.query().is_some() {
            return Err(wrong("it has a path"));
        }
        let port = written.port_u16().unwrap_or(PORT);
        if !is_this_machine(host) || written.scheme_str() == Some("https") {
            return Err(Failure::input(format_args!(
                "{text} is not served to people from other machines\n  \
                 = bring it here with `ssh -L {PORT}:127.0.0.1:{port} {host}`, or run `sluice` there"
            )));
        }
        format!("http://{host}:{port}").parse().map(Self).map_err(|_| wrong("it is no URL"))
    }

    /// Where one listens that was started without saying where.
    pub(super) fn usual() -> SocketAddr {
        SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), PORT)
    }

    pub(super) fn uri(&self) -> Uri {
        self.0.clone()
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
        let elsewhere = ["sluice.example.com", "https://sluice.example.com", "http://10.0.0.1:9400"];
        for wrong in ["", "ftp://a", "http://", "http://a/api", "http://a?b", "http://a b"].iter().chain(&elsewhere) {
            assert_eq!(read(wrong), None, "{wrong}");
        }
        let Err(Failure::Input(told)) = Address::parse("sluice.example.com:9500") else { panic!("accepted") };
        assert!(told.contains("ssh -L 9400:127.0.0.1:9500 sluice.example.com"), "{told}");
    }
}
