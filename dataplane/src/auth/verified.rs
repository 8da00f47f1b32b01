//! Tokens that were verified, so that each is verified once by each worker and not with every request.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::Arc;

use super::Principal;
use super::digests::Digests;
use super::issuer::Authority;
use super::resource::Resource;
use super::token::check_audience;
use crate::limit;
use crate::reason::Reason;

/// One worker's verified tokens, by their digests: the tokens themselves are kept nowhere.
#[derive(Default)]
pub(crate) struct Verified {
    entries: RefCell<HashMap<[u8; 32], Entry, foldhash::fast::RandomState>>,
    digests: Digests,
    /// The configuration they were verified by.
    serial: Cell<u64>,
}

/// A token and what follows from it.
pub(super) struct Entry {
    pub principal: Principal,
    /// What it is for, where that depends on the door it comes to.
    pub audiences: Option<Box<[Box<str>]>>,
    pub authority: Arc<Authority>,
    /// The keys it was verified with: others may no longer have signed it.
    pub generation: u64,
}

impl Entry {
    /// Whether its holder may come in here.
    ///
    /// # Errors
    /// [`Reason::BadCredential`], [`Reason::InsufficientScope`].
    pub(super) fn admit(&self, resource: Resource<'_>) -> Result<Principal, Reason> {
        if let Some(audiences) = &self.audiences {
            check_audience(audiences, &resource).map_err(Reason::BadCredential)?;
        }
        let needed = &self.authority.config.required_scopes;
        let has = self.principal.scopes.as_deref().unwrap_or_default();
        match needed.iter().all(|scope| has.contains(scope)) {
            true => Ok(self.principal.clone()),
            false => Err(Reason::InsufficientScope(Arc::clone(needed))),
        }
    }
}

impl Verified {
    /// SHA-256 of a credential.
    pub(super) fn digest(&self, credential: &[u8]) -> [u8; 32] {
        self.digests.of(credential)
    }

    /// Whoever a token was issued to, if it was verified before and is still good.
    pub(super) fn find(&self, digest: &[u8; 32], resource: Resource<'_>) -> Option<Result<Principal, Reason>> {
        let mut entries = self.entries.borrow_mut();
        let entry = entries.get(digest)?;
        if !entry.principal.is_current() || entry.generation != entry.authority.generation() {
            entries.remove(digest);
            return None;
        }
        Some(entry.admit(resource))
    }

    /// Keeps a token, verified by the configuration of that number; an older one would bring back what was changed.
    pub(super) fn keep(&self, digest: [u8; 32], serial: u64, entry: Entry) {
        if serial != self.serial.get() {
            return;
        }
        let mut entries = self.entries.borrow_mut();
        if entries.len() >= limit::TOKENS_VERIFIED {
            // only good tokens are here: to verify some again costs less than to know which
            entries.clear();
        }
        entries.insert(digest, entry);
    }

    /// Forgets what another configuration let in.
    pub(crate) fn adopt(&self, serial: u64) {
        self.serial.set(serial);
        self.entries.borrow_mut().clear();
    }

    /// Forgets what has expired.
    pub(crate) fn sweep(&self) {
        self.entries.borrow_mut().retain(|_, entry| entry.principal.is_current());
    }
}
