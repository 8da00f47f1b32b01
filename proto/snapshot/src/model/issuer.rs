//! Authorization servers and what their tokens must say.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::HttpEndpoint;

/// An authorization server whose access tokens are taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issuer {
    /// What the configuration calls it; shown in logs.
    pub name: Arc<str>,
    /// What its tokens say in `iss`, letter for letter.
    pub url: Arc<str>,
    /// Where its keys are.
    pub keys: KeySource,
    /// A token must name one of them in `aud`; empty: the URL of the door it comes to, or its origin.
    pub audiences: Vec<Box<str>>,
    /// What its tokens may be signed with; at least one.
    pub algorithms: Vec<Algorithm>,
    /// The claim (or path of claims, with dots) that has a token's roles.
    pub roles_claim: Option<Box<str>>,
    /// The claim that has a token's scopes, likewise.
    pub scopes_claim: Box<str>,
    /// What a token must say besides: claims and JSON values.
    pub claims: Vec<(Box<str>, Box<str>)>,
    /// How far clocks may differ.
    pub leeway: Duration,
    /// Where clients are sent for tokens; at least one.
    pub authorization_servers: Vec<Box<str>>,
    /// Every token must have them; sorted.
    pub required_scopes: Arc<[Arc<str>]>,
    /// What clients are told there is; sorted.
    pub scopes_supported: Arc<[Arc<str>]>,
    /// Which scopes include others.
    pub scopes: Scopes,
}

/// Where the keys of an issuer are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// Where its metadata says: the URLs to look at, in this order.
    Metadata(Vec<HttpEndpoint>),
    /// At a URL.
    Url(HttpEndpoint),
    /// In a file of the node.
    File(PathBuf),
}

/// What a token may be signed with (RFC 7518, RFC 8037): nothing that whoever can check could also make.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are those of the registry")]
pub enum Algorithm {
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    EdDsa,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
        Self::Es256,
        Self::Es384,
        Self::EdDsa,
    ];

    /// Its name in the registry of JOSE.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::EdDsa => "EdDSA",
        }
    }

    /// The algorithm of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == name)
    }
}

/// Which scopes include others, however far.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scopes(pub HashMap<Arc<str>, Arc<[Arc<str>]>>);

impl Scopes {
    /// Scopes with all that they include, sorted.
    pub fn with_included<'s>(&self, granted: impl Iterator<Item = &'s str>) -> Arc<[Arc<str>]> {
        let mut all = BTreeSet::new();
        for scope in granted {
            if let Some(included) = self.0.get(scope) {
                all.extend(included.iter().cloned());
            }
            all.insert(Arc::from(scope));
        }
        all.into_iter().collect()
    }
}
