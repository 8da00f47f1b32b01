//! A join token: what admits a node once, and by what it knows whom it may show it to.

use std::path::Path;

use sluice_contract::FINGERPRINT_MARK;
use sluice_snapshot::chunk::Name;

/// A join token.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct JoinToken {
    /// The whole, as it was given.
    pub text: String,
    /// SHA-256 of the certificate of the authority.
    pub authority: Name,
}

impl JoinToken {
    /// Reads a token from a file.
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path);
        let text = text.map_err(|error| format!("the join token in {} cannot be read: {error}", path.display()))?;
        let not_one = || {
            let path = path.display();
            format!("what is in {path} is no join token: `sluice token create NAME --join` makes one")
        };
        Self::parse(text.trim()).ok_or_else(not_one)
    }

    fn parse(text: &str) -> Option<Self> {
        let (random, fingerprint) = text.split_once(FINGERPRINT_MARK)?;
        let authority = Name::from_hex(fingerprint).filter(|_| !random.is_empty())?;
        Some(Self { text: text.to_owned(), authority })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_the_fingerprint_of_its_authority() {
        let name = Name::of(b"an authority");
        let token = JoinToken::parse(&format!("sluice_join_abc.{name:?}"));
        assert!(token.is_some_and(|token| token.authority == name && token.text.starts_with("sluice_join_abc.")));
        for bad in ["", "sluice_join_abc", "sluice_join_abc.", ".00", "a.zz", &format!("a.{}", "é".repeat(32))] {
            assert!(JoinToken::parse(bad).is_none(), "{bad}");
        }
    }
}
