//! What a refused client is told to do about it: the `WWW-Authenticate` field (RFC 6750 section 3, RFC 9728 section 5.1), as
//! both eras of the specification ask for it (*Authorization: Error Handling*).

use std::collections::BTreeSet;
use std::sync::Arc;

use sluice_snapshot::model::Snapshot;

use super::resource::Resource;
use crate::reason::Reason;

/// The value of the field, for reasons that have one.
pub(crate) fn challenge(reason: &Reason, snapshot: &Snapshot, resource: Resource<'_>) -> Option<String> {
    let (error, scopes) = match reason {
        Reason::Unauthenticated => (None, needed(snapshot)),
        Reason::BadCredential(_) => (Some("invalid_token"), needed(snapshot)),
        Reason::ManyCredentials => (Some("invalid_request"), Vec::new()),
        // all of them: a client asks for a token with these, and no others
        Reason::InsufficientScope(scopes) => {
            let all: BTreeSet<_> = needed(snapshot).into_iter().chain(scopes.iter().cloned()).collect();
            (Some("insufficient_scope"), all.into_iter().collect())
        }
        _ => return None,
    };
    let mut parameters = Vec::with_capacity(4);
    if let Some(error) = error {
        parameters.push(format!("error=\"{error}\""));
        // our own words, without quotation marks
        parameters.push(format!("error_description=\"{}\"", reason.text().replace('"', "'")));
    }
    if !snapshot.access.issuers.is_empty() {
        parameters.extend(resource.metadata_url().map(|url| format!("resource_metadata=\"{url}\"")));
        if !scopes.is_empty() {
            parameters.push(format!("scope=\"{}\"", scopes.join(" ")));
        }
    }
    Some(format!("Bearer {}", parameters.join(", ")).trim_end().to_owned())
}

/// The scopes that no call does without.
fn needed(snapshot: &Snapshot) -> Vec<Arc<str>> {
    let issuers = snapshot.access.issuers.iter();
    let all: BTreeSet<_> = issuers.flat_map(|issuer| issuer.required_scopes.iter().cloned()).collect();
    all.into_iter().collect()
}
