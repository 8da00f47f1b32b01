//! Who asks, and whether it comes in.

use std::sync::Arc;

use super::{Question, Steps, Verdict};
use crate::model::{Pattern, Roles, Snapshot};
use crate::policy::Caller;

/// Who asks, as policies know it.
pub(super) struct Principal {
    name: String,
    roles: Vec<Arc<str>>,
    /// `None`: a credential that knows no scopes.
    pub scopes: Option<Arc<[Arc<str>]>>,
}

impl Principal {
    pub(super) fn caller(&self) -> Caller<'_> {
        Caller { name: &self.name, roles: &self.roles }
    }

    fn known(name: &str, roles: &[Arc<str>]) -> Self {
        Self { name: name.to_owned(), roles: roles.to_vec(), scopes: None }
    }
}

/// Finds the principal.
///
/// # Errors
/// It does not come in.
pub(super) fn find(snapshot: &Snapshot, question: &Question<'_>, steps: &mut Steps) -> Result<Principal, Verdict> {
    let found = match question.principal.split_once(':') {
        Some(("client", name)) => client(snapshot, question, name),
        Some(("jwt", rest)) => token(snapshot, question, rest),
        Some(("certificate", name)) => certificate(snapshot, question, name),
        None if matches!(question.principal, "local" | "anonymous") => nobody(snapshot, question),
        _ => Err(refusal(
            "is no principal; write `client:NAME`, `jwt:ISSUER:SUBJECT`, `certificate:NAME`, `local` or `anonymous`",
            "",
        )),
    };
    match found {
        Ok((principal, source)) => {
            let roles = principal.roles.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(", ");
            let roles = if roles.is_empty() { "no roles".to_owned() } else { format!("roles {roles}") };
            steps.note("principal", format!("{}, {roles}", question.principal), source);
            if let Some(scopes) = &principal.scopes {
                let scopes = scopes.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(" ");
                steps.note("scopes", if scopes.is_empty() { "none".to_owned() } else { scopes }, "");
            }
            Ok(principal)
        }
        Err(Refusal { why, source, verdict }) => {
            steps.note("principal", format!("{}: {why}", question.principal), source);
            Err(verdict)
        }
    }
}

struct Refusal {
    why: String,
    source: String,
    verdict: Verdict,
}

fn refusal(why: impl Into<String>, source: impl Into<String>) -> Refusal {
    Refusal { why: why.into(), source: source.into(), verdict: Verdict::Unauthenticated }
}

type Found = Result<(Principal, String), Refusal>;

/// Without a credential.
fn nobody(snapshot: &Snapshot, question: &Question<'_>) -> Found {
    let is_stdio = question.principal == "local" && snapshot.listener.stdio;
    if snapshot.access.required && !is_stdio {
        return Err(refusal("nobody comes in without a credential", "features.authentication"));
    }
    Ok((Principal::known(question.principal, &[]), String::new()))
}

/// With an API key.
fn client(snapshot: &Snapshot, question: &Question<'_>, name: &str) -> Found {
    let source = format!("clients.{name}");
    let mut keys = snapshot.access.keys.values().filter(|key| key.client.name == name).peekable();
    let Some(client) = keys.peek().map(|key| Arc::clone(&key.client)) else {
        return Err(refusal("no client of that name has a key", source));
    };
    if keys.all(|key| key.expires.is_some_and(|end| end <= question.now)) {
        return Err(refusal("its key has expired", source));
    }
    Ok((Principal::known(question.principal, &client.roles), source))
}

/// With a token of an issuer.
fn token(snapshot: &Snapshot, question: &Question<'_>, rest: &str) -> Found {
    let issuers = &snapshot.access.issuers;
    let issuer = rest.split_once(':').and_then(|(name, _)| issuers.iter().find(|issuer| *issuer.name == *name));
    let Some(issuer) = issuer else {
        let names = issuers.iter().map(|issuer| &*issuer.name).collect::<Vec<_>>().join(", ");
        let known = if names.is_empty() { "there is none".to_owned() } else { format!("there are {names}") };
        return Err(refusal(format!("names no issuer: {known}"), "issuers"));
    };
    let source = format!("issuers.{}", issuer.name);
    let scopes = issuer.scopes.with_included(question.scopes.iter().map(String::as_str));
    let missing: Vec<&str> =
        issuer.required_scopes.iter().filter(|scope| scopes.binary_search(scope).is_err()).map(AsRef::as_ref).collect();
    if !missing.is_empty() {
        let why = format!("every token of this issuer needs the scopes `{}`", missing.join(" "));
        return Err(Refusal {
            verdict: Verdict::InsufficientScope,
            ..refusal(why, format!("{source}.required_scopes"))
        });
    }
    let mut roles: Vec<Arc<str>> = question.roles.iter().map(|role| Arc::from(role.as_str())).collect();
    roles.sort();
    let principal = Principal { name: question.principal.to_owned(), roles, scopes: Some(scopes) };
    Ok((principal, source))
}

/// With a TLS certificate.
fn certificate(snapshot: &Snapshot, question: &Question<'_>, name: &str) -> Found {
    let source = "proxy.tls_clients".to_owned();
    let Some(taken) = &snapshot.listener.client_certificates else {
        return Err(refusal("clients are not asked for certificates", source));
    };
    let fits = |(pattern, _): &&(Pattern, Roles)| pattern.matches(name);
    match taken.names.iter().find(fits) {
        Some((_, roles)) => Ok((Principal::known(question.principal, roles), source)),
        None if taken.names.is_empty() => Ok((Principal::known(question.principal, &[]), source)),
        None => Err(refusal("no name that comes in fits it", format!("{source}.names"))),
    }
}
