//! Authorities exchanged because somebody wants it: a new one beside those there are, which are withdrawn when all nodes have a
//! certificate of the new one. Between the two, whoever knows any of them is well.

use std::sync::Arc;

use jiff::Timestamp;

use super::root::Root;
use super::{Authority, AuthorityError, ROOT_LIFE, kept, serving, signing};

/// What people are told of an authority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// What certificates say that it made.
    pub name: String,
    /// SHA-256 of its certificate, in hexadecimal.
    pub fingerprint: String,
    /// Since when it is there.
    pub made: Timestamp,
    /// Until when it is good.
    pub ends: Timestamp,
    /// Certificates are made by this one.
    pub signs: bool,
}

impl Authority {
    /// All that are trusted, in order of their making.
    #[must_use]
    pub fn all(&self) -> Vec<About> {
        let roots = self.roots();
        let signing = signing(&roots, self.clock().now());
        let about = |root: &Root| About {
            name: root.name().to_owned(),
            fingerprint: root.fingerprint(),
            made: root.made(),
            ends: root.ends(),
            signs: std::ptr::eq(root, signing),
        };
        roots.iter().map(about).collect()
    }

    /// Makes another one, which signs from now on.
    ///
    /// # Errors
    ///
    /// It cannot be made or kept; what was in use stays in use.
    pub fn rotate(&self) -> Result<(), AuthorityError> {
        let mut roots = self.roots();
        roots.push(Root::make(self.clock().now(), ROOT_LIFE, true)?);
        self.settle(&roots).inspect_err(|_| drop(roots.pop()))
    }

    /// Trusts none of those any more that were made before the one that signs.
    ///
    /// # Errors
    ///
    /// What is left cannot be kept; what was in use stays in use.
    pub fn withdraw(&self) -> Result<(), AuthorityError> {
        let mut roots = self.roots();
        let signing = signing(&roots, self.clock().now());
        let before = roots.iter().take_while(|root| !std::ptr::eq(*root, signing)).count();
        let withdrawn: Vec<Root> = roots.drain(..before).collect();
        let settled = self.settle(&roots);
        if settled.is_err() {
            roots.splice(..0, withdrawn);
        }
        settled
    }

    /// On the disk before it counts: no certificate is given by an authority that would not be there after a crash.
    fn settle(&self, roots: &[Root]) -> Result<(), AuthorityError> {
        let serving = serving(roots, self.clock(), &self.names)?;
        kept::write(&self.folder, &self.ring.load(), roots)?;
        self.tls.store(Arc::new(serving));
        Ok(())
    }
}
