//! The digests of credentials that came lately: a client sends the same one with every request, and SHA-256 costs ten times
//! what it takes to see that.

use std::cell::RefCell;
use std::hash::Hasher as _;

use aws_lc_rs::{digest, rand};
use siphasher::sip128::{Hasher128 as _, SipHasher24};

use crate::limit;

/// One worker's digests, by a hash of 128 bits under a key that nobody knows (SipHash-2-4, a pseudorandom function): no other
/// credential can be found that has the same one. The credentials themselves are kept nowhere.
pub(super) struct Digests {
    hasher: SipHasher24,
    /// Where a hash has its place, the last one of it.
    slots: RefCell<Box<[Option<Slot>]>>,
}

#[derive(Clone, Copy)]
struct Slot {
    hash: u128,
    digest: [u8; 32],
}

impl Default for Digests {
    fn default() -> Self {
        let slots = vec![None; limit::CREDENTIAL_DIGESTS].into_boxed_slice();
        let mut key = [0; 16];
        rand::fill(&mut key).expect("the operating system provides random bytes");
        Self { hasher: SipHasher24::new_with_key(&key), slots: RefCell::new(slots) }
    }
}

impl Digests {
    /// SHA-256 of a credential.
    pub(super) fn of(&self, credential: &[u8]) -> [u8; 32] {
        let mut hasher = self.hasher;
        hasher.write(credential);
        let hash = hasher.finish128().as_u128();
        let mut slots = self.slots.borrow_mut();
        let place = hash as usize % slots.len();
        match slots[place] {
            Some(slot) if slot.hash == hash => slot.digest,
            _ => {
                let mut digest = [0; 32];
                digest.copy_from_slice(digest::digest(&digest::SHA256, credential).as_ref());
                slots[place] = Some(Slot { hash, digest });
                digest
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_that_of_its_credential_however_often_it_is_asked_for() {
        let digests = Digests::default();
        let credentials: Vec<String> = (0..3 * limit::CREDENTIAL_DIGESTS).map(|n| format!("key-{n}")).collect();
        for _ in 0..2 {
            for credential in &credentials {
                for _ in 0..2 {
                    let expected = digest::digest(&digest::SHA256, credential.as_bytes());
                    assert_eq!(digests.of(credential.as_bytes()), expected.as_ref());
                }
            }
        }
    }
}
