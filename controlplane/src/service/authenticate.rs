//! Who the bearer of a token is.

use jiff::Timestamp;
use sluice_contract::FINGERPRINT_MARK;

use super::attempts::Noted;
use super::{Caller, Role, Service, ServiceError};
use crate::audit::Event;
use crate::store::digest;
use crate::store::tokens::{self, StoredToken, TokenKind};

/// Longest token that is looked at: ours have some 120 characters.
const MAX_TOKEN: usize = 512;

/// The token in the value of an `Authorization` header.
#[must_use]
pub fn bearer(said: &str) -> Option<&str> {
    let (scheme, token) = said.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// A token without the fingerprint behind it.
pub(super) fn bare(token: &str) -> &str {
    token.split(FINGERPRINT_MARK).next().unwrap_or_default()
}

impl Service {
    /// The bearer of a token. `peer` is where it came from, for the audit log.
    ///
    /// Tokens are 256 random bits and looked up by their digests, so that how long it takes tells nothing about any of them.
    ///
    /// # Errors
    ///
    /// Nobody of the control plane is known by it, or the database fails.
    pub async fn authenticate(&self, token: Option<&str>, peer: &str) -> Result<Caller, ServiceError> {
        let Some(token) = token.filter(|token| token.len() <= MAX_TOKEN) else {
            return self.unknown(peer, "no token; send `authorization: Bearer TOKEN`").await;
        };
        let sha256 = digest(bare(token));
        let found = self.store().read(move |db| tokens::by_digest(db, &sha256)).await?;
        let reason = match found {
            None => "nobody is known by that token",
            Some(token) => match judged(token) {
                Ok(caller) => return Ok(caller),
                Err(reason) => reason,
            },
        };
        self.unknown(peer, reason).await
    }

    async fn unknown(&self, peer: &str, reason: &str) -> Result<Caller, ServiceError> {
        self.0.counters.unauthenticated();
        match self.0.attempts.note(peer, Timestamp::now()) {
            Noted::Counted(wait) => Err(ServiceError::Throttled(wait)),
            Noted::Remember => {
                let detail = reason.to_owned();
                let event = Event { actor: peer.to_owned(), action: "denied", detail, ..Event::default() };
                self.remember_refusal(event).await;
                Err(ServiceError::Unauthenticated(reason.to_owned()))
            }
        }
    }
}

fn judged(token: StoredToken) -> Result<Caller, &'static str> {
    match token.kind {
        TokenKind::Client => Err("that is the key of a client; people have tokens of their own"),
        TokenKind::Join => Err("that is a token for a node to join with; people have tokens of their own"),
        TokenKind::Person if !token.is_valid(Timestamp::now()) => Err("the token has expired"),
        TokenKind::Person => {
            let role = token.role.as_deref().and_then(Role::named).ok_or("the token has no role")?;
            Ok(Caller { name: token.name, role })
        }
    }
}
