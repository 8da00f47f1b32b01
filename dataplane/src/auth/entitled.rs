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

#[cfg(test)]
mod tests {
    use super::*;

    fn of(names: Option<&[&str]>) -> Entitled {
        let certificate_names = names.unwrap_or_default().iter().map(|name| (*name).to_owned()).collect();
        Entitled::of(&v1::Entitled { certificates: names.is_some(), certificate_names, ..v1::Entitled::default() })
    }

    #[test]
    fn certificates_are_of_nobody_of_some_or_of_everybody() {
        let (nobody, some, everybody) = (of(None), of(Some(&["alice", "*.west"])), of(Some(&[])));
        for (name, is_some) in [("alice", true), ("node.west", true), ("bob", false), ("", false)] {
            assert!(!nobody.certificate(name) && everybody.certificate(name));
            assert_eq!(some.certificate(name), is_some, "{name}");
        }
    }

    #[test]
    fn what_is_configured_is_within_it_where_each_of_its_names_is() {
        let configured = |names: &[&str]| names.iter().map(|name| Pattern::new(*name)).collect::<Vec<_>>();
        for (entitled, names, within) in [
            (of(None), &["alice"][..], false),
            (of(None), &[], false),
            (of(Some(&[])), &["alice"], true),
            (of(Some(&[])), &[], true),
            (of(Some(&["alice", "bob"])), &["bob"], true),
            (of(Some(&["alice", "bob"])), &["bob", "carol"], false),
            // of every name
            (of(Some(&["alice"])), &[], false),
        ] {
            assert_eq!(entitled.certificates(configured(names).iter()), within, "{names:?}");
        }
    }

    #[test]
    fn a_key_is_that_of_its_client_until_its_end() {
        let told = |keys| v1::Entitled {
            clients: vec![v1::Client { name: "alice".into(), keys, roles: Vec::new() }],
            ..v1::Entitled::default()
        };
        let key = |digest: Vec<u8>| v1::Key { sha256: digest, expires_at: Some(u64::MAX) };
        let entitled = Entitled::of(&told(vec![key(vec![7; 32]), key(vec![8; 31])]));
        assert_eq!(entitled.keys.len(), 1, "what is no digest is nobody's");
        assert_eq!(entitled.keys[&[7; 32]], ("alice".to_owned(), None), "an end too far away to be said is none");
    }
}
