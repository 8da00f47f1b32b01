//! One entry, and the hash that ties it to the one before.

use aws_lc_rs::digest::{SHA256, digest};

/// What the first entry is tied to.
pub const GENESIS: [u8; 32] = [0; 32];

/// An entry of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Counted from 1, without gaps.
    pub number: u64,
    /// Milliseconds since 1970.
    pub at_ms: i64,
    /// Who: the name of a token, of a node, or an address nobody is known at.
    pub actor: String,
    /// `apply`, `delete`, `token.create`, `denied`, …
    pub action: String,
    /// What it was about: `server/github`.
    pub object: String,
    /// Digests, in hexadecimal, of what was and what is; empty: nothing.
    pub before: String,
    /// See `before`.
    pub after: String,
    /// More, for people; nothing secret.
    pub detail: String,
    /// See [`Entry::tied_to`].
    pub hash: [u8; 32],
}

impl Entry {
    /// SHA-256 over the hash before and this entry: the former as 32 bytes, then number and time as eight bytes each, then
    /// every text with its length in eight bytes before it; numbers are big-endian. So no two entries have the same bytes.
    #[must_use]
    pub fn tied_to(&self, previous: &[u8; 32]) -> [u8; 32] {
        let mut bytes = previous.to_vec();
        bytes.extend(self.number.to_be_bytes());
        bytes.extend(self.at_ms.to_be_bytes());
        for text in [&self.actor, &self.action, &self.object, &self.before, &self.after, &self.detail] {
            bytes.extend((text.len() as u64).to_be_bytes());
            bytes.extend(text.as_bytes());
        }
        digest(&SHA256, &bytes).as_ref().try_into().expect("SHA-256 has 32 bytes")
    }
}
