//! What outlives a process: the state folder and the API keys in it.

mod folder;
mod keys;
#[cfg(test)]
mod tests;

pub use folder::Folder;
pub use keys::{Fingerprint, KeyError, Keys, NewKey, StoredKey};

/// The SHA-256 digest under which a key is known.
#[must_use]
pub fn digest(key: &str) -> [u8; 32] {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, key.as_bytes());
    digest.as_ref().try_into().expect("SHA-256 has 32 bytes")
}
