//! The gateway as an OAuth protected resource: what a door is called as an audience (RFC 8707), and the metadata that tell
//! clients where to get a token for it (RFC 9728).

use serde_json::json;
use sluice_snapshot::model::Snapshot;

/// Where the metadata of a resource are: this, and the resource's own path behind it (RFC 9728 section 3.1).
pub(crate) const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

/// A door, as clients call it.
#[derive(Clone, Copy)]
pub(crate) struct Resource<'r> {
    /// The configured place, without a path.
    public: Option<&'r str>,
    /// What the client says in `Host`.
    host: Option<&'r str>,
    tls: bool,
    /// What it says can stand for an audience.
    host_counts: bool,
    path: &'r str,
}

/// How a request came to the door.
#[derive(Clone, Copy)]
pub(crate) struct Approach<'r> {
    /// What the client says in `Host`; not looked for where nobody asks.
    pub host: Option<&'r str>,
    pub path: &'r str,
    pub tls: bool,
    /// The listener's own address: bound to loopback, and its port.
    pub loopback: bool,
    pub port: u16,
}

impl<'r> Resource<'r> {
    /// The door that a request came to.
    pub(super) fn asked(public: Option<&'r str>, hosts_listed: bool, approach: Approach<'r>) -> Self {
        let own_port = if approach.tls { 443 } else { 80 };
        let port = |host: &str| match host.rsplit_once(':') {
            Some((_, port)) if !port.ends_with(']') => port.parse().ok(),
            _ => Some(own_port),
        };
        // any other Host is one the client made up: it would choose whose tokens are good here
        let checked = approach.loopback || hosts_listed;
        Self {
            public,
            host: approach.host,
            tls: approach.tls,
            host_counts: checked && approach.host.and_then(port) == Some(approach.port),
            path: approach.path,
        }
    }

    /// The path of the resource. Messages are handed in beside the event stream they belong to.
    fn path(&self) -> (&'r str, &'static str) {
        let path = self.path.strip_suffix('/').unwrap_or(self.path);
        match path.strip_suffix("/messages") {
            Some(prefix) => (prefix, "/sse"),
            None => (path, ""),
        }
    }

    /// Scheme and host, as far as they can stand in a header field.
    fn origin(&self) -> Option<String> {
        if let Some(public) = self.public {
            return Some(public.to_owned());
        }
        let plain = |b: u8| b.is_ascii_alphanumeric() || b".-_:[]".contains(&b);
        let host = self.host.filter(|host| host.bytes().all(plain))?;
        Some(format!("{}://{host}", if self.tls { "https" } else { "http" }))
    }

    /// Its URL: the audience of its tokens.
    fn url(&self) -> Option<String> {
        let (path, word) = self.path();
        Some(format!("{}{path}{word}", self.origin()?))
    }

    /// Where its metadata are.
    pub(super) fn metadata_url(&self) -> Option<String> {
        let (path, word) = self.path();
        Some(format!("{}{WELL_KNOWN}{path}{word}", self.origin()?))
    }

    /// Whether an audience names this door, or the gateway whose door it is.
    pub(super) fn is_named(&self, audience: &str) -> bool {
        let Some(rest) = self.without_origin(audience) else { return false };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (path, word) = self.path();
        rest.is_empty() || rest.strip_prefix(path) == Some(word)
    }

    fn without_origin<'a>(&self, audience: &'a str) -> Option<&'a str> {
        let strip = |text: &'a str, prefix: &str| {
            let (start, rest) = text.split_at_checked(prefix.len())?;
            (start.eq_ignore_ascii_case(prefix) && (rest.is_empty() || rest.starts_with('/'))).then_some(rest)
        };
        match self.public {
            Some(public) => strip(audience, public),
            None => {
                let scheme = if self.tls { "https://" } else { "http://" };
                let (start, rest) = audience.split_at_checked(scheme.len())?;
                let host = self.host.filter(|_| self.host_counts && start.eq_ignore_ascii_case(scheme))?;
                strip(rest, host)
            }
        }
    }
}

/// The metadata of the resource whose path follows [`WELL_KNOWN`] (RFC 9728 section 2); `None` where no issuer is configured,
/// or the request says no host that could be told.
pub(crate) fn metadata(snapshot: &Snapshot, resource: Resource<'_>) -> Option<String> {
    let issuers = &snapshot.access.issuers;
    if issuers.is_empty() {
        return None;
    }
    let servers = issuers.iter().flat_map(|issuer| &issuer.authorization_servers);
    let scopes: std::collections::BTreeSet<_> = issuers.iter().flat_map(|issuer| &*issuer.scopes_supported).collect();
    let mut metadata = json!({
        "resource": resource.url()?,
        "resource_name": &*snapshot.name,
        "authorization_servers": servers.collect::<Vec<_>>(),
        "bearer_methods_supported": ["header"],
    });
    if !scopes.is_empty() {
        metadata["scopes_supported"] = json!(scopes);
    }
    Some(metadata.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource<'r>(public: Option<&'r str>, host: &'r str, path: &'r str) -> Resource<'r> {
        Resource { public, host: Some(host), tls: false, host_counts: true, path }
    }

    #[test]
    fn a_door_is_named_by_its_url_or_the_gateways() {
        let door = resource(None, "localhost:8000", "/servers/one/mcp/");
        assert_eq!(door.url().unwrap(), "http://localhost:8000/servers/one/mcp");
        let known = "http://localhost:8000/.well-known/oauth-protected-resource/servers/one/mcp";
        assert_eq!(door.metadata_url().unwrap(), known);
        for audience in [
            "http://localhost:8000/servers/one/mcp",
            "http://localhost:8000/servers/one/mcp/",
            "HTTP://LocalHost:8000/servers/one/mcp",
            "http://localhost:8000",
            "http://localhost:8000/",
        ] {
            assert!(door.is_named(audience), "{audience}");
        }
        for audience in [
            "http://localhost:8000/mcp",
            "http://localhost:8000/servers/one",
            "http://localhost:8000/servers/one/mcp/more",
            "http://localhost:80001",
            "http://localhost:8000.evil.example",
            "https://localhost:8000/servers/one/mcp",
            "localhost:8000",
            "",
        ] {
            assert!(!door.is_named(audience), "{audience}");
        }
        assert!(!Resource { host_counts: false, ..door }.is_named("http://localhost:8000"), "anybody can say a host");
    }

    #[test]
    fn a_configured_place_counts_whatever_the_client_says() {
        let door = resource(Some("https://mcp.example.com"), "evil.example", "/sse");
        assert_eq!(door.url().unwrap(), "https://mcp.example.com/sse");
        assert!(door.is_named("https://mcp.example.com/sse") && !door.is_named("http://evil.example/sse"));
        let messages = Resource { path: "/messages", ..door };
        assert!(messages.is_named("https://mcp.example.com/sse"), "they belong to the event stream");
        assert!(!messages.is_named("https://mcp.example.com/messages"));
    }

    #[test]
    fn what_cannot_stand_in_a_field_is_not_told() {
        assert_eq!(resource(None, "a\" b", "/mcp").metadata_url(), None);
    }
}
