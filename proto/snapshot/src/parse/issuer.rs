//! Authorization servers: where they are, where their keys are, and what their tokens must say.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use sluice_contract::v1;

use super::{Faults, endpoint, json, text};
use crate::model::{Algorithm, HttpEndpoint, Issuer, KeySource, Scopes};

/// Clocks that differ by more are broken, and a token must not live on for long.
const MAX_LEEWAY: Duration = Duration::from_secs(600);

pub(super) fn parse_all(wire: &[v1::Issuer], faults: &mut Faults) -> Vec<Arc<Issuer>> {
    let (mut names, mut urls) = (HashSet::new(), HashSet::new());
    let mut issuers = Vec::with_capacity(wire.len());
    for (index, issuer) in wire.iter().enumerate() {
        let path = format!("access.issuers[{index}]");
        if !names.insert(&*issuer.name) {
            faults
                .note::<()>(format!("{path}.name"), format!("`{}` is the name of another issuer already", issuer.name));
        }
        if !urls.insert(&*issuer.issuer) {
            faults.note::<()>(format!("{path}.issuer"), "is another issuer's already; its tokens could be either's");
        }
        issuers.extend(parse(issuer, &path, faults).map(Arc::new));
    }
    issuers
}

fn parse(wire: &v1::Issuer, path: &str, faults: &mut Faults) -> Option<Issuer> {
    let before = faults.0.len();
    let name = text::label(&wire.name, &format!("{path}.name"), faults);
    let metadata = metadata(&wire.issuer, &format!("{path}.issuer"), faults);
    let keys = match &wire.keys {
        None => metadata.map(KeySource::Metadata),
        Some(v1::issuer::Keys::JwksUri(url)) => url_of_keys(url, &format!("{path}.jwks_uri"), faults),
        Some(v1::issuer::Keys::JwksFile(file)) => {
            text::file(file, format!("{path}.jwks_file"), faults).map(KeySource::File)
        }
    };
    let leeway = Duration::from_millis(wire.leeway_ms);
    if leeway > MAX_LEEWAY {
        let most = MAX_LEEWAY.as_secs();
        faults.note::<()>(
            format!("{path}.leeway_ms"),
            format!("is more than {most} seconds: tokens would hardly expire"),
        );
    }
    let issuer = Issuer {
        name: name.unwrap_or_default().into(),
        url: wire.issuer.as_str().into(),
        audiences: audiences(&wire.audiences, &format!("{path}.audiences"), faults),
        algorithms: algorithms(&wire.algorithms, &format!("{path}.algorithms"), faults),
        roles_claim: (!wire.roles_claim.is_empty()).then(|| wire.roles_claim.as_str().into()),
        scopes_claim: claim(&wire.scopes_claim, &format!("{path}.scopes_claim"), faults),
        claims: claims(&wire.claims, &format!("{path}.claims"), faults),
        leeway,
        authorization_servers: servers(&wire.authorization_servers, &format!("{path}.authorization_servers"), faults),
        required_scopes: tokens(&wire.required_scopes, &format!("{path}.required_scopes"), faults),
        scopes_supported: tokens(&wire.scopes_supported, &format!("{path}.scopes_supported"), faults),
        scopes: scopes(&wire.scopes, path, faults),
        keys: keys?,
    };
    (faults.0.len() == before).then_some(issuer)
}

/// The URLs at which the metadata of an issuer may be (RFC 8414 section 3.1 and 5, OpenID Connect Discovery section 4).
fn metadata(issuer: &str, path: &str, faults: &mut Faults) -> Option<Vec<HttpEndpoint>> {
    if issuer.contains('?') {
        return faults.note(path, "has a query, which no issuer has (RFC 8414 section 2)");
    }
    let at = match reachable(issuer) {
        Ok(at) => at,
        Err(reason) => return faults.note(path, reason),
    };
    let own = at.path.trim_end_matches('/');
    let mut paths = vec![
        format!("/.well-known/oauth-authorization-server{own}"),
        format!("/.well-known/openid-configuration{own}"),
    ];
    if !own.is_empty() {
        paths.push(format!("{own}/.well-known/openid-configuration"));
    }
    Some(paths.into_iter().map(|path| HttpEndpoint { path: path.into(), ..at.clone() }).collect())
}

fn url_of_keys(url: &str, path: &str, faults: &mut Faults) -> Option<KeySource> {
    match reachable(url) {
        Ok(endpoint) => Some(KeySource::Url(endpoint)),
        Err(reason) => faults.note(path, reason),
    }
}

/// A URL nobody on the way could answer for.
fn reachable(url: &str) -> Result<HttpEndpoint, &'static str> {
    let endpoint = endpoint::address(url)?;
    if !endpoint.tls && !endpoint.is_loopback() {
        return Err("does not begin with `https://`: whoever is on the way could make tokens");
    }
    Ok(endpoint)
}

fn audiences(wire: &[String], path: &str, faults: &mut Faults) -> Vec<Box<str>> {
    let mut audiences = Vec::with_capacity(wire.len());
    for (index, audience) in wire.iter().enumerate() {
        match audience.trim() {
            "" => drop(faults.note::<()>(format!("{path}[{index}]"), "is empty")),
            _ => audiences.push(audience.as_str().into()),
        }
    }
    audiences
}

fn algorithms(wire: &[String], path: &str, faults: &mut Faults) -> Vec<Algorithm> {
    if wire.is_empty() {
        faults.note::<()>(path, "is empty: no token could be verified");
    }
    let mut algorithms = Vec::with_capacity(wire.len());
    for (index, name) in wire.iter().enumerate() {
        match Algorithm::named(name) {
            Some(algorithm) => algorithms.push(algorithm),
            None => drop(faults.note::<()>(
                format!("{path}[{index}]"),
                "is not one of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA; whoever can check another \
                 could make tokens, or anybody could",
            )),
        }
    }
    algorithms
}

fn claim(wire: &str, path: &str, faults: &mut Faults) -> Box<str> {
    if wire.is_empty() {
        faults.note::<()>(path, "is empty");
    }
    wire.into()
}

fn claims(wire: &[v1::RequiredClaim], path: &str, faults: &mut Faults) -> Vec<(Box<str>, Box<str>)> {
    let mut claims: Vec<(Box<str>, Box<str>)> = Vec::with_capacity(wire.len());
    for (index, required) in wire.iter().enumerate() {
        let path = format!("{path}[{index}]");
        let name = claim(&required.name, &format!("{path}.name"), faults);
        if claims.iter().any(|(other, _)| *other == name) {
            faults.note::<()>(format!("{path}.name"), format!("`{name}` is given twice"));
        }
        match json::value(&required.value_json) {
            Ok(value) => claims.push((name, value.into())),
            Err(reason) => drop(faults.note::<()>(format!("{path}.value_json"), reason)),
        }
    }
    claims
}

fn servers(wire: &[String], path: &str, faults: &mut Faults) -> Vec<Box<str>> {
    if wire.is_empty() {
        faults.note::<()>(path, "is empty: clients would not know where to get a token");
    }
    for (index, server) in wire.iter().enumerate() {
        if let Err(reason) = reachable(server) {
            faults.note::<()>(format!("{path}[{index}]"), reason);
        }
    }
    wire.iter().map(|server| server.as_str().into()).collect()
}

/// Scopes, sorted.
fn tokens(wire: &[String], path: &str, faults: &mut Faults) -> Arc<[Arc<str>]> {
    for (index, scope) in wire.iter().enumerate().filter(|(_, scope)| !is_scope(scope)) {
        let _ = scope;
        faults.note::<()>(format!("{path}[{index}]"), NO_SCOPE);
    }
    let sorted: BTreeSet<Arc<str>> = wire.iter().map(|scope| Arc::from(&**scope)).collect();
    sorted.into_iter().collect()
}

fn scopes(wire: &[v1::Scope], path: &str, faults: &mut Faults) -> Scopes {
    let mut scopes = Scopes::default();
    for (index, scope) in wire.iter().enumerate() {
        let path = format!("{path}.scopes[{index}]");
        if !is_scope(&scope.name) {
            faults.note::<()>(format!("{path}.name"), NO_SCOPE);
        }
        let implied = tokens(&scope.implies, &format!("{path}.implies"), faults);
        if scopes.0.insert(scope.name.as_str().into(), implied).is_some() {
            faults.note::<()>(format!("{path}.name"), format!("`{}` is listed twice", scope.name));
        }
    }
    scopes
}

const NO_SCOPE: &str =
    "is no scope: printable characters without space, quotation mark and backslash (RFC 6749 section 3.3)";

fn is_scope(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e))
}
