//! What outlives a process: the state folder, the API keys in it (`sluice run`), and the database of a control plane.
//!
//! The modules of tables are functions over a connection: who calls several of them within one [`Store::write`] has all
//! of it or nothing.

pub(crate) mod column;
mod database;
mod folder;
pub(crate) mod heard;
mod keys;
mod migration;
pub(crate) mod nodes;
pub mod objects;
mod obstacle;
pub(crate) mod owed;
pub mod revisions;
pub mod secrets;
pub(crate) mod session_keys;
#[cfg(test)]
mod tests;
pub mod tokens;

pub(crate) use database::{DATABASE, lock};
pub use database::{Failure, Store, StoreError};
pub use folder::Folder;
pub use keys::{Fingerprint, KeyError, Keys, NewKey, StoredKey};
pub use obstacle::Obstacle;

/// The SHA-256 digest under which a key is known.
#[must_use]
pub fn digest(key: &str) -> [u8; 32] {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, key.as_bytes());
    digest.as_ref().try_into().expect("SHA-256 has 32 bytes")
}
