//! What a node shows a server to be let in.

use std::sync::Arc;

use sluice_contract::v1;

use super::endpoint::{self, Carrier, authority};
use super::sensitive::{self, Taken};
use super::{Faults, text};
use crate::model::{ClientAuthentication, ClientCredentials, Credential, CredentialKind, TokenEndpoint};

/// Longest client id or URL: token requests are small.
const MAX_TEXT: usize = 2048;

pub(super) fn parse(wire: &v1::Credential, carrier: Carrier, path: &str, faults: &mut Faults) -> Option<Credential> {
    use v1::credential::Kind;
    let name = match wire.name.as_str() {
        "" => Some(None),
        name => text::label(name, &format!("{path}.name"), faults).map(|name| Some(Arc::from(name))),
    };
    let kind = match wire.kind.as_ref() {
        Some(Kind::Bearer(token)) => {
            sensitive::parse(Some(token), Taken::InHeader, format!("{path}.bearer"), faults).map(CredentialKind::Bearer)
        }
        Some(Kind::Basic(pair)) => {
            let path = format!("{path}.basic");
            let pair = sensitive::parse(Some(pair), Taken::Apart, path.clone(), faults)?;
            if pair.value().is_some_and(|pair| !pair.expose().contains(':')) {
                return faults.note(path, "is not of the form `user:password`");
            }
            Some(CredentialKind::Basic(pair))
        }
        Some(Kind::Header(header)) => endpoint::header(header, carrier, &format!("{path}.header"), faults)
            .map(|(name, value)| CredentialKind::Header(name, value)),
        Some(Kind::ClientCredentials(grant)) => {
            let grant = client_credentials(grant, &format!("{path}.client_credentials"), faults);
            grant.map(|grant| CredentialKind::ClientCredentials(Arc::new(grant)))
        }
        None => faults.note(path, "is of a kind this version does not know"),
    };
    Some(Credential { name: name?, kind: kind? })
}

fn client_credentials(wire: &v1::ClientCredentials, path: &str, faults: &mut Faults) -> Option<ClientCredentials> {
    let endpoint = endpoint(wire, path, faults);
    let authentication = authentication(wire, path, faults);
    if !is_plain(&wire.client_id) {
        faults.note::<()>(format!("{path}.client_id"), "is not 1 to 2048 printable ASCII characters");
    }
    // RFC 6749 section 3.3
    let is_token =
        |scope: &String| !scope.is_empty() && scope.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\');
    for (index, _) in wire.scopes.iter().enumerate().filter(|(_, scope)| !is_token(scope)) {
        faults.note::<()>(
            format!("{path}.scopes[{index}]"),
            "is not a scope: printable ASCII without spaces, `\"` and `\\`",
        );
    }
    if !wire.resource.is_empty()
        && (!is_plain(&wire.resource) || !wire.resource.contains(':') || wire.resource.contains('#'))
    {
        faults.note::<()>(format!("{path}.resource"), "is not an absolute URI without a fragment");
    }
    Some(ClientCredentials {
        endpoint: endpoint?,
        client_id: wire.client_id.clone(),
        authentication: authentication?,
        scope: (!wire.scopes.is_empty()).then(|| wire.scopes.join(" ")),
        resource: (!wire.resource.is_empty()).then(|| wire.resource.clone()),
    })
}

fn endpoint(wire: &v1::ClientCredentials, path: &str, faults: &mut Faults) -> Option<TokenEndpoint> {
    use v1::client_credentials::Endpoint;
    let mut checked = |url: &str, field: &str| match authority(url) {
        // RFC 8414 section 2
        Ok(endpoint) if field == "issuer" && endpoint.path.contains('?') => {
            faults.note(format!("{path}.issuer"), "has a query, and no issuer has one")
        }
        Ok(_) => Some(url.to_owned()),
        Err(reason) => faults.note(format!("{path}.{field}"), reason),
    };
    match wire.endpoint.as_ref() {
        Some(Endpoint::TokenUrl(url)) => checked(url, "token_url").map(TokenEndpoint::Url),
        Some(Endpoint::Issuer(url)) => checked(url, "issuer").map(TokenEndpoint::Issuer),
        None => faults.note(path, "names neither a token endpoint nor an issuer"),
    }
}

fn authentication(wire: &v1::ClientCredentials, path: &str, faults: &mut Faults) -> Option<ClientAuthentication> {
    use v1::client_credentials::Authentication;
    let mut apart = |wire, field: &str| sensitive::parse(wire, Taken::Apart, format!("{path}.{field}"), faults);
    match wire.authentication.as_ref() {
        Some(Authentication::SecretBasic(secret)) => {
            apart(Some(secret), "secret_basic").map(ClientAuthentication::SecretBasic)
        }
        Some(Authentication::SecretPost(secret)) => {
            apart(Some(secret), "secret_post").map(ClientAuthentication::SecretPost)
        }
        Some(Authentication::PrivateKeyJwt(private)) => {
            let key = apart(private.key.as_ref(), "private_key_jwt.key")?;
            Some(ClientAuthentication::PrivateKeyJwt { key, id: Some(private.id.clone()).filter(|id| !id.is_empty()) })
        }
        None => faults.note(path, "does not say how the client proves itself"),
    }
}

fn is_plain(text: &str) -> bool {
    (1..=MAX_TEXT).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic() || b == b' ')
}
