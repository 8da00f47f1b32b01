//! Principals that another node of the fleet let in: what it says of them, and what this node's configuration makes of it.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sluice_snapshot::model::Issuer;

use super::PrincipalId;
use super::principal::{Credential, Identity, Principal};

/// What one node says to another of whom it let in.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Voucher {
    id: [u8; 16],
    anonymous: bool,
    name: Arc<str>,
    subject: Arc<str>,
    roles: Vec<Arc<str>>,
    scopes: Option<Vec<Arc<str>>>,
    /// Milliseconds since 1970.
    expires: Option<u64>,
    by: By,
}

/// By what somebody came in there.
#[derive(Serialize, Deserialize)]
enum By {
    Place,
    /// The digest of an API key.
    Key([u8; 32]),
    /// The URL of a token's issuer.
    Token(String),
    Certificate,
}

impl Principal {
    /// What another node is told of whom this one let in: as text of a header field. No credential is in it.
    pub(crate) fn voucher(&self) -> String {
        let ms = |at: SystemTime| at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
        let voucher = Voucher {
            id: self.id.0,
            anonymous: self.anonymous,
            name: Arc::clone(&self.name),
            subject: Arc::clone(&self.subject),
            roles: self.roles.to_vec(),
            scopes: self.scopes.as_ref().map(|scopes| scopes.to_vec()),
            expires: self.expires.map(ms),
            by: match &self.credential {
                Credential::Place => By::Place,
                Credential::Key(digest) => By::Key(*digest),
                Credential::Token(issuer) => By::Token(issuer.url.to_string()),
                Credential::Certificate(_) => By::Certificate,
            },
        };
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(&voucher).expect("texts and numbers have a form in JSON"))
    }
}

impl Voucher {
    /// Reads what a node of the fleet says.
    pub(super) fn read(text: &[u8]) -> Option<Self> {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()
    }

    /// Whom it is about. `issuer` knows those of this node by their URLs; `None`: its tokens are not taken here.
    pub(super) fn principal(self, issuer: impl FnOnce(&str) -> Option<Arc<Issuer>>) -> Option<Principal> {
        let credential = match self.by {
            By::Place => Credential::Place,
            By::Key(digest) => Credential::Key(digest),
            By::Token(url) => Credential::Token(issuer(&url)?),
            By::Certificate => Credential::Certificate(None),
        };
        let identity = Identity {
            name: self.name,
            subject: self.subject,
            roles: self.roles.into(),
            scopes: self.scopes.map(Into::into),
            expires: self.expires.map(|ms| UNIX_EPOCH + Duration::from_millis(ms)),
            credential,
        };
        Some(Principal::vouched(PrincipalId(self.id), self.anonymous, identity))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_let_in_elsewhere_is_the_same_here() {
        for principal in [Principal::local(), Principal::anonymous()] {
            let told = principal.voucher();
            let same = Voucher::read(told.as_bytes()).and_then(|voucher| voucher.principal(|_| None)).unwrap();
            assert_eq!((same.id, same.anonymous), (principal.id, principal.anonymous));
            assert_eq!((&same.name, &same.subject), (&principal.name, &principal.subject));
        }
        assert!(Voucher::read(b"").is_none() && Voucher::read(b"e30").is_none());
    }
}
