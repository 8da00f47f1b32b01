//! Authorization servers, and which scopes include others.

use std::collections::BTreeSet;
use std::time::Duration;

use indexmap::IndexMap;
use sluice_contract::v1;
use sluice_snapshot::model::Algorithm;

use super::listener::milliseconds;
use super::{Node, Notes};
use crate::language::{Config, Fault, Issuer, Path};

/// Clocks that are minded differ by less (RFC 7519 section 4.1.4: no more than a few minutes).
const DEFAULT_LEEWAY: Duration = Duration::from_secs(60);
/// RFC 9068 section 2.2.3.
const DEFAULT_SCOPES_CLAIM: &str = "scope";

const AUDIENCE_ADVICE: &str =
    "say where clients reach the gateway as `proxy.public_url`, or which `audiences` its tokens are for";

pub(super) fn compile_all(config: &Config, node: &Node, notes: &mut Notes) -> Vec<v1::Issuer> {
    let mut issuers = Vec::with_capacity(config.issuers.len());
    for (name, issuer) in &config.issuers {
        let path = Path::of(["issuers", name]);
        let wire = format!("access.issuers[{}]", issuers.len());
        origins(&wire, &path, notes);
        issuers.push(compile(name, issuer, &path, node, notes));
    }
    issuers
}

fn origins(wire: &str, path: &Path, notes: &mut Notes) {
    notes.origins.key(wire, path.clone());
    for key in [
        "issuer",
        "jwks_uri",
        "jwks_file",
        "algorithms",
        "roles_claim",
        "scopes_claim",
        "claims",
        "authorization_servers",
        "required_scopes",
        "scopes_supported",
        "scopes",
    ] {
        notes.origins.value(format!("{wire}.{key}"), path.key(key));
    }
    notes.origins.value(format!("{wire}.leeway_ms"), path.key("leeway_seconds"));
    notes.origins.advised(format!("{wire}.audiences"), path.clone(), AUDIENCE_ADVICE);
}

fn compile(name: &str, issuer: &Issuer, path: &Path, node: &Node, notes: &mut Notes) -> v1::Issuer {
    let keys = match (&issuer.jwks_uri, &issuer.jwks_file) {
        (Some(_), Some(_)) => {
            let fault = Fault::key(path.key("jwks_file"), "stands beside `jwks_uri`; leave out one");
            notes.faults.push(fault);
            None
        }
        (Some(url), None) => Some(v1::issuer::Keys::JwksUri(url.clone())),
        (None, Some(file)) => Some(v1::issuer::Keys::JwksFile(node.folder.join(file).to_string_lossy().into_owned())),
        (None, None) => None,
    };
    let or = |said: &[String], default: &dyn Fn() -> Vec<String>| match said {
        [] => default(),
        said => said.to_vec(),
    };
    let claims = issuer.claims.iter();
    v1::Issuer {
        name: name.to_owned(),
        issuer: issuer.issuer.clone(),
        keys,
        audiences: issuer.audiences.clone(),
        algorithms: or(&issuer.algorithms, &|| Algorithm::ALL.iter().map(|a| a.as_str().to_owned()).collect()),
        roles_claim: issuer.roles_claim.clone().unwrap_or_default(),
        scopes_claim: issuer.scopes_claim.clone().unwrap_or_else(|| DEFAULT_SCOPES_CLAIM.to_owned()),
        claims: claims
            .map(|(name, value)| v1::RequiredClaim { name: name.clone(), value_json: value.expose().to_owned() })
            .collect(),
        leeway_ms: milliseconds(issuer.leeway_seconds, DEFAULT_LEEWAY),
        authorization_servers: or(&issuer.authorization_servers, &|| vec![issuer.issuer.clone()]),
        required_scopes: issuer.required_scopes.clone(),
        scopes: scopes(issuer, path, notes),
        scopes_supported: issuer.required_scopes.iter().chain(&issuer.scopes_supported).cloned().collect(),
    }
}

/// The scopes that include others, each with all that follows from it.
fn scopes(issuer: &Issuer, path: &Path, notes: &mut Notes) -> Vec<v1::Scope> {
    let mut scopes = Vec::with_capacity(issuer.scopes.len());
    for name in issuer.scopes.keys() {
        let path = path.key("scopes").key(name);
        let mut implied = BTreeSet::new();
        include(name, &issuer.scopes, &mut implied);
        if implied.contains(&**name) {
            notes.faults.push(Fault::key(path, "includes itself, by way of what it includes"));
        }
        scopes.push(v1::Scope { name: name.clone(), implies: implied.into_iter().map(str::to_owned).collect() });
    }
    scopes
}

fn include<'s>(name: &str, all: &'s IndexMap<String, Vec<String>>, found: &mut BTreeSet<&'s str>) {
    for implied in all.get(name).into_iter().flatten() {
        if found.insert(implied) {
            include(implied, all, found);
        }
    }
}
