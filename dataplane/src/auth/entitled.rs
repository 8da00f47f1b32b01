//! Who may come in by the newest revision, which the node need not run: whoever is taken away is refused from then on, and nobody is
//! let in by it whom the configuration does not let in.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sluice_contract::v1;
use sluice_snapshot::model::Pattern;

use super::Principal;
use super::principal::Credential;

/// Who may come in.
#[derive(Default)]
pub(crate) struct Entitled {
    /// It is about planes up to this one.
    pub generation: u64,
    /// What it is of.
    pub revision: u64,
    /// Whose each key is, and until when.
    keys: HashMap<[u8; 32], (String, Option<SystemTime>), foldhash::fast::RandomState>,
    issuers: HashSet<String>,
    /// `None`: nobody by a certificate. No name: everybody.
    certificates: Option<Vec<Pattern>>,
}

impl Entitled {
    /// As it was told. What cannot be read is nobody's.
    pub(crate) fn of(told: &v1::Entitled) -> Self {
        let keys = told.clients.iter().flat_map(|client| {
            client.keys.iter().filter_map(|key| {
                let digest = key.sha256.as_slice().try_into().ok()?;
                // too far away to be said is never
                let ends = key.expires_at.and_then(|at| UNIX_EPOCH.checked_add(Duration::from_secs(at)));
                Some((digest, (client.name.clone(), ends)))
            })
        });
        let names = || told.certificate_names.iter().map(|name| Pattern::new(name.as_str())).collect();
        Self {
            generation: told.generation,
            revision: told.revision,
            keys: keys.collect(),
            issuers: told.issuers.iter().cloned().collect(),
            certificates: told.certificates.then(names),
        }
    }

    /// A client with a key, as far as it may come in.
    pub(super) fn key(&self, client: &Principal) -> Option<Principal> {
        let Credential::Key(digest) = &client.credential else { return None };
        let (name, ends) = self.keys.get(digest)?;
        (**name == *client.name).then(|| client.until(*ends))
    }

    /// Whether tokens of this issuer may.
    pub(super) fn issuer(&self, url: &str) -> bool {
        self.issuers.contains(url)
    }

    /// Whether certificates of all these names may; none said: of every name.
    pub(super) fn certificates<'n>(&self, mut names: impl ExactSizeIterator<Item = &'n Pattern>) -> bool {
        let Some(may) = &self.certificates else { return false };
        may.is_empty() || (names.len() > 0 && names.all(|name| may.contains(name)))
    }

    /// Whether certificates of this name may.
    pub(super) fn certificate(&self, name: &str) -> bool {
        let names = self.certificates.as_ref();
        names.is_some_and(|names| names.is_empty() || names.iter().any(|pattern| pattern.matches(name)))
    }
}
