//! Where clients come in: addresses, certificates, and the names a browser may use.

use std::collections::HashSet;
use std::net::SocketAddr;

use sluice_contract::v1;

use super::{Faults, certificate_names, text};
use crate::model::{Access, Certificate, Listener};

pub(super) fn parse(wire: &v1::Listener, faults: &mut Faults) -> Option<Listener> {
    let before = faults.0.len();
    let addresses = addresses(&wire.addresses, faults);
    if wire.addresses.is_empty() && !wire.stdio {
        faults.note::<()>("listener.addresses", "is empty and stdio is off: there is no way in");
    }
    let certificates = certificates(&wire.certificates, faults);
    let allowed_hosts = each(&wire.allowed_hosts, "listener.allowed_hosts", text::host, faults);
    let allowed_origins = each(&wire.allowed_origins, "listener.allowed_origins", origin, faults);
    let public_url = public_url(&wire.public_url, faults);
    let client_certificates =
        wire.client_certificates.as_ref().and_then(|wire| certificate_names::parse(wire, &certificates, faults));
    (faults.0.len() == before).then_some(Listener {
        addresses,
        stdio: wire.stdio,
        certificates,
        allowed_hosts,
        allowed_origins,
        public_url,
        client_certificates,
    })
}

/// Without authentication only loopback may be bound, unless a person wrote that this is wanted.
pub(super) fn check_openness(listener: &Listener, access: &Access, faults: &mut Faults) {
    if access.required || access.explicitly_open {
        return;
    }
    for (index, address) in listener.addresses.iter().enumerate() {
        if !address.ip().to_canonical().is_loopback() {
            faults.note::<()>(
                format!("listener.addresses[{index}]"),
                format!("{address} can be reached from other machines, but no authentication is configured"),
            );
        }
    }
}

/// The audience of a token is the URL of the door it comes to. Where clients may say any `Host` they like, they would choose
/// the audience themselves.
pub(super) fn check_audiences(listener: &Listener, access: &Access, faults: &mut Faults) {
    let loopback = listener.addresses.iter().all(|address| address.ip().to_canonical().is_loopback());
    if listener.public_url.is_some() || !listener.allowed_hosts.is_empty() || loopback {
        return;
    }
    for (index, issuer) in access.issuers.iter().enumerate() {
        if issuer.audiences.is_empty() {
            faults.note::<()>(
                format!("access.issuers[{index}].audiences"),
                "is empty, and what clients say in `Host` cannot be trusted to stand for it",
            );
        }
    }
}

/// Where clients reach the listener: an origin of `http` or `https`.
fn public_url(wire: &str, faults: &mut Faults) -> Option<Box<str>> {
    if wire.is_empty() {
        return None;
    }
    let bare = wire.strip_suffix('/').unwrap_or(wire);
    match origin(bare) {
        Ok(origin) if origin.starts_with("http://") || origin.starts_with("https://") => Some(origin.into()),
        _ => faults.note("listener.public_url", "is not a URL without a path, such as `https://mcp.example.com`"),
    }
}

fn addresses(wire: &[String], faults: &mut Faults) -> Vec<SocketAddr> {
    let mut seen = HashSet::new();
    let mut addresses = Vec::with_capacity(wire.len());
    for (index, value) in wire.iter().enumerate() {
        let path = format!("listener.addresses[{index}]");
        match value.parse::<SocketAddr>() {
            // Port 0 asks the system for a free port each time, so it may be said twice.
            Ok(address) if address.port() == 0 || seen.insert(address) => addresses.push(address),
            Ok(_) => drop(faults.note::<()>(path, "is listed twice")),
            Err(_) => drop(faults.note::<()>(path, "is not an address and port, such as `127.0.0.1:8000`")),
        }
    }
    addresses
}

fn certificates(wire: &[v1::Certificate], faults: &mut Faults) -> Vec<Certificate> {
    let mut seen = HashSet::new();
    let mut certificates = Vec::with_capacity(wire.len());
    for (index, certificate) in wire.iter().enumerate() {
        let path = format!("listener.certificates[{index}]");
        let chain = text::file(&certificate.chain_file, format!("{path}.chain_file"), faults);
        let key = text::file(&certificate.key_file, format!("{path}.key_file"), faults);
        let domains = each(&certificate.domains, &format!("{path}.domains"), domain, faults);
        for (place, domain) in domains.iter().enumerate() {
            if !seen.insert(domain.clone()) {
                faults.note::<()>(format!("{path}.domains[{place}]"), format!("`{domain}` has a certificate already"));
            }
        }
        if let (Some(chain), Some(key)) = (chain, key) {
            certificates.push(Certificate { chain, key, domains });
        }
    }
    certificates
}

/// A name a certificate answers to; the first label may be `*`.
fn domain(value: &str) -> Result<String, &'static str> {
    match value.strip_prefix("*.") {
        Some(parent) => text::host(parent).map(|parent| format!("*.{parent}")),
        None => text::host(value),
    }
}

/// An origin as browsers send it: scheme, host, and a port where it is not the scheme's own. `*` stands for all.
fn origin(value: &str) -> Result<String, &'static str> {
    const SHAPE: &str = "is not an origin; write `https://app.example.com`, with a port where it is unusual, or `*`";
    if value == "*" {
        return Ok(value.to_owned());
    }
    let (scheme, rest) = value.split_once("://").ok_or(SHAPE)?;
    let scheme_fits = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    if !scheme_fits {
        return Err(SHAPE);
    }
    if rest.contains(['/', '?', '#', '@']) {
        return Err("is not an origin: it ends after the host and port, without a path or a slash");
    }
    let scheme = scheme.to_ascii_lowercase();
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (rest, None),
    };
    let host = text::host(host).map_err(|_| SHAPE)?;
    let port = match port {
        None => None,
        Some(digits) => Some(digits.parse::<u16>().map_err(|_| SHAPE)?),
    };
    Ok(match (scheme.as_str(), port) {
        (_, None) | ("http", Some(80)) | ("https", Some(443)) => format!("{scheme}://{host}"),
        (_, Some(port)) => format!("{scheme}://{host}:{port}"),
    })
}

fn each(
    wire: &[String],
    path: &str,
    parse: impl Fn(&str) -> Result<String, &'static str>,
    faults: &mut Faults,
) -> Vec<String> {
    let mut values = Vec::with_capacity(wire.len());
    for (index, value) in wire.iter().enumerate() {
        match parse(value) {
            Ok(value) => values.push(value),
            Err(reason) => drop(faults.note::<()>(format!("{path}[{index}]"), reason)),
        }
    }
    values
}
