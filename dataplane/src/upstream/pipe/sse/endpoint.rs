//! Where an HTTP+SSE server wants its messages: the URI of its `endpoint` event, resolved against the URL of its stream
//! (RFC 3986 section 5) and held to the same origin (2024-11-05 *Transports: HTTP with SSE*). The server's credential
//! goes there: a stream that names another host must not get it sent.

use http::Uri;
use sluice_snapshot::model::HttpEndpoint;

use crate::limit;

/// Why nothing is sent there.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// It is another origin.
    Foreign,
    /// It is no URI.
    Malformed,
}

/// The path and query to which messages are POSTed.
pub(super) fn resolve(stream: &HttpEndpoint, data: &[u8]) -> Result<Uri, Refused> {
    let reference = std::str::from_utf8(data.trim_ascii()).map_err(|_| Refused::Malformed)?;
    // backslashes are slashes to some parsers and not to others
    let odd = |b: u8| !b.is_ascii_graphic() || b == b'\\';
    if reference.is_empty() || reference.len() > limit::ENDPOINT_BYTES || reference.bytes().any(odd) {
        return Err(Refused::Malformed);
    }
    let reference = reference.split('#').next().unwrap_or_default();
    let base = stream.path.split('#').next().unwrap_or_default();
    let target = match without_origin(stream, reference)? {
        Some(absolute) if absolute.starts_with('/') => absolute.to_owned(),
        Some(absolute) => format!("/{absolute}"),
        None if reference.is_empty() => base.to_owned(),
        None => relative(base, reference),
    };
    let (path, query) = target.split_once('?').map_or((&*target, None), |(path, query)| (path, Some(query)));
    let path = without_dots(path);
    let target = query.map_or_else(|| path.clone(), |query| format!("{path}?{query}"));
    target.parse().map_err(|_| Refused::Malformed)
}

/// What follows the authority of a reference that has one, once the origin is found to be the stream's own; `None` for a
/// reference without an authority.
fn without_origin<'r>(stream: &HttpEndpoint, reference: &'r str) -> Result<Option<&'r str>, Refused> {
    let (own, default_port) = if stream.tls { ("https", 443) } else { ("http", 80) };
    let first = reference.find(['/', '?']).unwrap_or(reference.len());
    let rest = match reference[..first].split_once(':') {
        Some((scheme, _)) if !scheme.eq_ignore_ascii_case(own) => return Err(Refused::Foreign),
        Some((scheme, _)) => &reference[scheme.len() + 1..],
        None => reference,
    };
    let Some(rest) = rest.strip_prefix("//") else {
        // `http:path` means different things to different parsers
        return if rest.len() == reference.len() { Ok(None) } else { Err(Refused::Malformed) };
    };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    let port = match port.filter(|port| !port.is_empty()) {
        Some(port) => port.parse().map_err(|_| Refused::Foreign)?,
        None => default_port,
    };
    if host.eq_ignore_ascii_case(&stream.host) && port == stream.port { Ok(Some(path)) } else { Err(Refused::Foreign) }
}

/// A reference without an authority.
fn relative(base: &str, reference: &str) -> String {
    let path = base.split('?').next().unwrap_or_default();
    match reference.as_bytes().first() {
        Some(b'/') => reference.to_owned(),
        Some(b'?') => format!("{path}{reference}"),
        _ => format!("{}/{reference}", path.rsplit_once('/').map_or("", |(folder, _)| folder)),
    }
}

/// RFC 3986 section 5.2.4.
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            "." | ".." => {
                if segment == ".." {
                    kept.pop();
                }
                if last {
                    kept.push("");
                }
            }
            segment => kept.push(segment),
        }
    }
    format!("/{}", kept.join("/"))
}

#[cfg(test)]
mod tests;
