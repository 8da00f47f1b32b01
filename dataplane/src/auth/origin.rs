//! Host and Origin: DNS rebinding is refused here, and browsers get their CORS answers (2026-07-28 *Security & Endpoint*).

use sluice_http1::{Fields, Target};
use sluice_snapshot::model::Listener;

use crate::reason::Reason;

/// What a listener accepts as Host and Origin.
pub(crate) struct Rules {
    hosts: Vec<String>,
    origins: Vec<String>,
    any_origin: bool,
}

impl Rules {
    pub(crate) fn new(listener: &Listener) -> Self {
        Self {
            hosts: listener.allowed_hosts.iter().map(|h| fold(h)).collect(),
            origins: listener.allowed_origins.iter().map(|o| o.trim_end_matches('/').to_ascii_lowercase()).collect(),
            any_origin: listener.allowed_origins.iter().any(|o| o == "*"),
        }
    }

    /// Checks the host a request names. It is checked wherever `allowed_hosts` is set, and on loopback listeners.
    ///
    /// # Errors
    /// [`Reason::BadHost`]; [`Reason::HostMalformed`] for a missing Host, several, one that is no host, or one that disagrees
    /// with the request target (RFC 9112 section 3.2).
    pub(crate) fn check_host(&self, target: &Target, headers: &Fields, loopback: bool) -> Result<(), Reason> {
        let mut named = headers.all("host");
        let field = named.next();
        if named.next().is_some() {
            return Err(Reason::HostMalformed);
        }
        let target = target.authority().map(str::as_bytes);
        let host = match (target, field) {
            (Some(target), Some(field)) if !target.eq_ignore_ascii_case(field) => return Err(Reason::HostMalformed),
            (Some(host), _) | (None, Some(host)) => host,
            (None, None) => return Err(Reason::HostMalformed),
        };
        if self.hosts.is_empty() && !loopback {
            return Ok(());
        }
        let Some(name) = std::str::from_utf8(host).ok().and_then(host_name) else {
            return Err(Reason::HostMalformed);
        };
        if self.hosts.is_empty() {
            is_loopback_name(name)
        } else {
            self.hosts.iter().any(|h| h.eq_ignore_ascii_case(name))
        }
        .then_some(())
        .ok_or(Reason::BadHost)
    }

    /// Checks the Origin of a request: absent is fine, the listener's own and listed ones are, others are not. Returns the
    /// origin to answer CORS to.
    ///
    /// # Errors
    /// [`Reason::BadOrigin`].
    pub(crate) fn check_origin<'h>(
        &self,
        target: &Target,
        headers: &'h Fields,
        tls: bool,
    ) -> Result<Option<&'h str>, Reason> {
        let mut origins = headers.all("origin");
        let Some(origin) = origins.next() else { return Ok(None) };
        // HTTP/2 names the host in its request target
        let host = target.authority().or_else(|| headers.text("host"));
        if origins.next().is_some() {
            return Err(Reason::BadOrigin);
        }
        let visible = origin.iter().all(|b| matches!(b, b' '..=b'~'));
        let text = std::str::from_utf8(origin).ok().filter(|_| visible).ok_or(Reason::BadOrigin)?;
        let allowed =
            self.any_origin || self.origins.iter().any(|o| o.eq_ignore_ascii_case(text)) || is_own(text, host, tls);
        if allowed { Ok(Some(text)) } else { Err(Reason::BadOrigin) }
    }
}

/// Whether the origin is this listener itself: same scheme, and the host and port the request was sent to.
fn is_own(origin: &str, host: Option<&str>, tls: bool) -> bool {
    let scheme = if tls { "https://" } else { "http://" };
    let Some(rest) = origin.get(..scheme.len()).filter(|s| s.eq_ignore_ascii_case(scheme)).map(|s| &origin[s.len()..])
    else {
        return false;
    };
    host.is_some_and(|h| h.eq_ignore_ascii_case(rest))
}

/// The name in `host[:port]`, brackets and trailing dot removed; `None` when it is not of that form.
fn host_name(authority: &str) -> Option<&str> {
    let (name, port) = if let Some(rest) = authority.strip_prefix('[') {
        let (name, port) = rest.split_once(']')?;
        (name, port.strip_prefix(':').or(port.is_empty().then_some("")))
    } else {
        match authority.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (authority, Some("")),
        }
    };
    let port = port?;
    (port.bytes().all(|b| b.is_ascii_digit()) && !name.is_empty()).then(|| name.strip_suffix('.').unwrap_or(name))
}

fn fold(host: &str) -> String {
    host_name(host).unwrap_or(host).to_ascii_lowercase()
}

fn is_loopback_name(name: &str) -> bool {
    name.eq_ignore_ascii_case("localhost")
        // by far the most common, and dear to take apart
        || name == "127.0.0.1"
        || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(hosts: &[&str], origins: &[&str]) -> Rules {
        Rules::new(&Listener {
            addresses: Vec::new(),
            stdio: false,
            certificates: Vec::new(),
            allowed_hosts: hosts.iter().map(|h| (*h).to_owned()).collect(),
            allowed_origins: origins.iter().map(|h| (*h).to_owned()).collect(),
            public_url: None,
            client_certificates: None,
        })
    }

    fn with(name: &str, values: &[&str]) -> Fields {
        let mut fields = Fields::default();
        values.iter().for_each(|value| fields.push(name.as_bytes(), value.as_bytes()).unwrap());
        fields
    }

    fn target(text: &str) -> Target {
        Target::parse(text).unwrap()
    }

    #[test]
    fn a_loopback_listener_answers_to_loopback_names_only() {
        let rules = rules(&[], &[]);
        let uri = target("/mcp");
        for host in ["localhost", "LOCALHOST:8000", "127.0.0.1:8000", "[::1]:8000", "localhost.", "127.0.0.2"] {
            assert!(rules.check_host(&uri, &with("host", &[host]), true).is_ok(), "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "localhost:80x",
            "",
            "[::1",
            "user@localhost",
        ] {
            assert!(rules.check_host(&uri, &with("host", &[host]), true).is_err(), "{host}");
        }
        assert!(rules.check_host(&uri, &Fields::default(), true).is_err(), "no Host");
        assert!(rules.check_host(&uri, &with("host", &["localhost", "localhost"]), true).is_err(), "two Hosts");
        let absolute = target("http://evil.example/mcp");
        assert!(rules.check_host(&absolute, &with("host", &["localhost"]), true).is_err(), "target and Host disagree");
    }

    #[test]
    fn listed_hosts_replace_the_loopback_names() {
        let rules = rules(&["mcp.example.com"], &[]);
        let uri = target("/mcp");
        assert!(rules.check_host(&uri, &with("host", &["MCP.example.com:443"]), false).is_ok());
        assert!(rules.check_host(&uri, &with("host", &["localhost"]), true).is_err());
    }

    #[test]
    fn an_origin_is_absent_own_or_listed() {
        let rules = rules(&[], &["https://app.example.com"]);
        let own = |origin: &str| {
            let mut map = with("host", &["localhost:8000"]);
            map.push(b"origin", origin.as_bytes()).unwrap();
            rules.check_origin(&target("/mcp"), &map, false).map(|o| o.is_some())
        };
        assert_eq!(own("http://localhost:8000"), Ok(true));
        let h2 = target("http://localhost:8000/mcp");
        let map = with("origin", &["http://localhost:8000"]);
        assert_eq!(rules.check_origin(&h2, &map, false).map(|o| o.is_some()), Ok(true), "HTTP/2");
        assert_eq!(own("https://APP.example.com"), Ok(true));
        for origin in [
            "http://localhost:9999",
            "https://localhost:8000",
            "null",
            "http://evil.example",
            "https://app.example.com.evil",
        ] {
            assert_eq!(own(origin), Err(Reason::BadOrigin), "{origin}");
        }
        assert_eq!(rules.check_origin(&target("/mcp"), &Fields::default(), false), Ok(None));
    }
}
