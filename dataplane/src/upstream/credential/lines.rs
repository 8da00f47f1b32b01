//! Header lines: those that are always the same, and those that follow their sources.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use sluice_http1::Fields;
use sluice_snapshot::model::{Credential, CredentialKind, HttpEndpoint, Sensitive, Server};
use zeroize::Zeroizing;

use super::source::Found;

/// Whether an endpoint's requests have lines that follow their sources.
pub(super) fn are_needed(endpoint: &HttpEndpoint) -> bool {
    endpoint.headers.iter().any(|(_, value)| value.value().is_none())
        || endpoint.credential.as_ref().is_some_and(follows)
}

/// Whether a credential is a value that follows its source. A token does, but not in these lines.
fn follows(credential: &Credential) -> bool {
    fixed_value(credential).is_none() && !matches!(credential.kind, CredentialKind::ClientCredentials(_))
}

/// The fields that are always the same: name and value.
pub(in crate::upstream) fn fixed(endpoint: &HttpEndpoint) -> Vec<(&str, Zeroizing<String>)> {
    let text = |value: &str| Zeroizing::new(value.to_owned());
    let headers = endpoint.headers.iter().filter_map(|(name, value)| Some((&**name, text(value.value()?.expose()))));
    let credential = endpoint.credential.as_ref();
    let credential = credential.and_then(|credential| Some((credential.kind.header(), fixed_value(credential)?)));
    headers.chain(credential).collect()
}

fn fixed_value(credential: &Credential) -> Option<Zeroizing<String>> {
    let (CredentialKind::Bearer(value) | CredentialKind::Basic(value) | CredentialKind::Header(_, value)) =
        &credential.kind
    else {
        return None;
    };
    value.value().map(|value| field(&credential.kind, value.expose()))
}

/// The value of a credential's field.
fn field(kind: &CredentialKind, value: &str) -> Zeroizing<String> {
    Zeroizing::new(match kind {
        CredentialKind::Bearer(_) | CredentialKind::ClientCredentials(_) => format!("Bearer {value}"),
        CredentialKind::Basic(_) => format!("Basic {}", BASE64_STANDARD.encode(value)),
        CredentialKind::Header(..) => value.to_owned(),
    })
}

/// The lines that follow their sources, made of what was found; `None` where an endpoint needs none.
pub(super) fn write(server: &Server, found: &[Found]) -> Option<Zeroizing<Vec<u8>>> {
    let endpoint = server.transport.endpoint().filter(|endpoint| are_needed(endpoint))?;
    let mut fields = Fields::default();
    let mut found = found.iter();
    for (name, source) in &endpoint.headers {
        let value = &found.next()?.value;
        if !matches!(source, Sensitive::Value(_)) {
            // what was found was checked to be a field's value
            let _ = fields.set(name, value.expose().as_bytes());
        }
    }
    if let Some(credential) = endpoint.credential.as_ref().filter(|credential| follows(credential)) {
        let value = field(&credential.kind, found.next()?.value.expose());
        let _ = fields.set(credential.kind.header(), value.as_bytes());
    }
    let mut lines = Zeroizing::new(Vec::new());
    fields.write(&mut lines);
    Some(lines)
}
