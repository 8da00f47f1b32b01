//! Handles: values a server hands out (cursors, task ids, request states, event ids) sealed so that they are ours, bound to
//! the principal and the server, and refused to everybody else as if they did not exist (architecture.md, law 4).
//!
//! AES-256-GCM-SIV with an all-zero nonce: deterministic on purpose, because a task id must look the same wherever it
//! occurs. SIV mode stays safe then and shows only that two equal values were sealed for the same owner.

mod keys;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::{hkdf, hmac, rand};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::auth::PrincipalId;
use crate::settings::SessionKeys;
pub(crate) use keys::{KeyFile, Keys};

/// What a handle is; part of what it is bound to, so that one kind never passes for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    RequestState = 1,
    Cursor = 2,
    Task = 3,
    Event = 4,
    /// Where a client hands in messages whose answers come on its event stream.
    Mailbox = 5,
    /// What a store keeps of a session; no handle.
    Record = 6,
    /// An event that a node keeps, because its server did not number it.
    Kept = 7,
}

/// Whom and what a handle belongs to.
#[derive(Clone, Copy)]
pub(crate) struct Binding<'a> {
    pub kind: Kind,
    pub principal: PrincipalId,
    pub server: &'a str,
    /// Further binding: the request's digest for a request state, the session for an event id.
    pub context: &'a [u8],
}

impl Binding<'_> {
    fn aad(&self) -> Vec<u8> {
        let mut aad = Vec::with_capacity(1 + 16 + 1 + self.server.len() + self.context.len());
        aad.push(self.kind as u8);
        aad.extend_from_slice(&self.principal.0);
        aad.push(self.server.len() as u8);
        aad.extend_from_slice(self.server.as_bytes());
        aad.extend_from_slice(self.context);
        aad
    }
}

/// The node's sealing keys: the newest seals, and what any of them sealed is ours. They may be exchanged while it is in use.
pub(crate) struct Seal {
    ring: ArcSwap<Ring>,
    file: Option<KeyFile>,
    source: Mutex<Source>,
}

/// Where the keys are from. Those of the fleet seal where there are any, unless somebody gave this node its own; all open.
struct Source {
    fleet: Option<Keys>,
    own: Keys,
    own_seals: bool,
}

/// The newest first.
struct Ring(Vec<Arc<Key>>);

/// One key of the ring, in its two uses.
pub(crate) struct Key {
    id: u8,
    aead: LessSafeKey,
    mac: hmac::Key,
}

impl Seal {
    /// With the keys of a file, which is made where there is none. Nodes that serve the same sessions have the same keys.
    pub(crate) fn kept(path: &Path) -> Self {
        let (file, keys) = KeyFile::open(path);
        Self::of(Some(file), keys, false)
    }

    /// With keys that somebody else made, for all nodes that serve the same sessions.
    ///
    /// # Errors
    /// Why they cannot be used; nothing of them is told.
    pub(crate) fn given(keys: &SessionKeys) -> Result<Self, String> {
        let (file, keys) = match keys {
            SessionKeys::File(path) => KeyFile::given(path).map(|(file, keys)| (Some(file), keys)),
            SessionKeys::Text(text) => Keys::parse(text).map(|keys| (None, keys)).map_err(|error| error.to_string()),
        }?;
        Ok(Self::of(file, keys, true))
    }

    /// With one key.
    #[cfg(test)]
    pub(crate) fn new(secret: &[u8; 32]) -> Self {
        Self::of(None, Keys::one(*secret), false)
    }

    fn of(file: Option<KeyFile>, own: Keys, own_seals: bool) -> Self {
        let source = Source { fleet: None, own, own_seals };
        Self { ring: ArcSwap::from_pointee(source.ring()), file, source: Mutex::new(source) }
    }

    /// These are the keys of the fleet from now on.
    pub(crate) fn deliver(&self, keys: Keys) {
        self.change(|source| source.fleet = Some(keys));
    }

    /// Looks at the file again.
    pub(crate) fn refresh(&self) {
        if let Some(keys) = self.file.as_ref().and_then(KeyFile::look) {
            self.change(|source| source.own = keys);
        }
    }

    fn change(&self, change: impl FnOnce(&mut Source)) {
        let mut source = self.source.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut source);
        self.ring.store(Arc::new(source.ring()));
    }

    /// Seals `value`; `expires` is seconds since the epoch, 0 for never.
    pub(crate) fn seal(&self, binding: &Binding<'_>, expires: u64, value: &[u8]) -> String {
        let mut sealed = Vec::with_capacity(8 + value.len() + 16);
        sealed.extend_from_slice(&expires.to_be_bytes());
        sealed.extend_from_slice(value);
        let nonce = Nonce::assume_unique_for_key([0; 12]);
        let ring = self.ring.load();
        ring.newest()
            .aead
            .seal_in_place_append_tag(nonce, Aad::from(binding.aad()), &mut sealed)
            .expect("values are far below the cipher's limit");
        URL_SAFE_NO_PAD.encode(sealed)
    }

    /// Opens a handle; `None` when it is not ours, belongs to somebody or something else, or has expired at `now`.
    pub(crate) fn open(&self, binding: &Binding<'_>, now: u64, handle: &[u8]) -> Option<Vec<u8>> {
        let sealed = URL_SAFE_NO_PAD.decode(handle).ok()?;
        let ring = self.ring.load();
        // a handle does not say by which key: it looks like what it stands for, and there are few
        let plain = ring.0.iter().find_map(|key| key.open(binding, &sealed))?;
        let (expires, value) = plain.split_first_chunk::<8>()?;
        let expires = u64::from_be_bytes(*expires);
        (expires == 0 || expires > now).then(|| value.to_vec())
    }

    /// Seals what a store keeps, bound to `context`: the number of the key, then the ciphertext.
    pub(crate) fn seal_record(&self, context: &[u8], record: &[u8]) -> Vec<u8> {
        let key = self.newest();
        let mut sealed = record.to_vec();
        let nonce = Nonce::assume_unique_for_key([0; 12]);
        key.aead
            .seal_in_place_append_tag(nonce, Aad::from(of_record(context)), &mut sealed)
            .expect("records are far below the cipher's limit");
        sealed.insert(0, key.id);
        sealed
    }

    /// Opens what a store keeps; `None` when no key of these sealed it for this `context`.
    pub(crate) fn open_record(&self, context: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let (id, sealed) = sealed.split_first()?;
        let ring = self.ring.load();
        // keys of the node's own and of the fleet may have the same number
        ring.0.iter().filter(|key| key.id == *id).find_map(|key| key.opened(Aad::from(of_record(context)), sealed))
    }

    /// The key that authenticates what is new.
    pub(crate) fn newest(&self) -> Arc<Key> {
        Arc::clone(self.ring.load().newest())
    }

    /// Whether a key of this number made the MAC of `data`. Keys of the node's own and of the fleet may have the same number.
    pub(crate) fn is_genuine(&self, id: u8, data: &[u8], mac: &[u8]) -> bool {
        let ring = self.ring.load();
        let mut named = ring.0.iter().filter(|key| key.id == id);
        named.any(|key| verify_slices_are_equal(&key.mac(data), mac).is_ok())
    }

    /// Whether a key of this number is one of ours.
    pub(crate) fn has(&self, id: u8) -> bool {
        self.ring.load().0.iter().any(|key| key.id == id)
    }
}

/// What a record is bound to: no handle's binding begins like it.
fn of_record(context: &[u8]) -> Vec<u8> {
    [&[Kind::Record as u8], context].concat()
}

impl Source {
    fn ring(&self) -> Ring {
        let (own, fleet) = ([&self.own], self.fleet.iter());
        let order: Vec<&Keys> =
            if self.own_seals { own.into_iter().chain(fleet).collect() } else { fleet.chain(own).collect() };
        let keys = order.into_iter().flat_map(Keys::newest_first);
        Ring(keys.map(|key| Arc::new(Key::new(key.id, &key.secret))).collect())
    }
}

impl Ring {
    fn newest(&self) -> &Arc<Key> {
        self.0.first().expect("a file without a key is not used")
    }
}

impl Key {
    /// Derives both from 32 random bytes.
    fn new(id: u8, secret: &[u8; 32]) -> Self {
        let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, b"sluice handles v1");
        let prk = salt.extract(secret);
        let derive = |label: &[u8]| {
            let mut key = [0u8; 32];
            prk.expand(&[label], hkdf::HKDF_SHA256)
                .and_then(|okm| okm.fill(&mut key))
                .expect("32 bytes is a valid HKDF-SHA256 output length");
            key
        };
        let aead = UnboundKey::new(&AES_256_GCM_SIV, &derive(b"handle"))
            .map(LessSafeKey::new)
            .expect("the key has the length of AES-256");
        Self { id, aead, mac: hmac::Key::new(hmac::HMAC_SHA256, &derive(b"session")) }
    }

    /// Its number, from 1.
    pub(crate) fn id(&self) -> u8 {
        self.id
    }

    /// The first 16 bytes of HMAC-SHA256 over `data`: authenticates session ids.
    pub(crate) fn mac(&self, data: &[u8]) -> [u8; 16] {
        let tag = hmac::sign(&self.mac, data);
        let mut short = [0; 16];
        short.copy_from_slice(&tag.as_ref()[..16]);
        short
    }

    fn open(&self, binding: &Binding<'_>, sealed: &[u8]) -> Option<Vec<u8>> {
        self.opened(Aad::from(binding.aad()), sealed)
    }

    fn opened(&self, bound: Aad<Vec<u8>>, sealed: &[u8]) -> Option<Vec<u8>> {
        let mut plain = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key([0; 12]);
        let length = self.aead.open_in_place(nonce, bound, &mut plain).ok()?.len();
        plain.truncate(length);
        Some(plain)
    }
}

/// Fills a buffer from the operating system's random generator.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).expect("the operating system provides random bytes");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binding(principal: u8, context: &[u8]) -> Binding<'_> {
        Binding { kind: Kind::Task, principal: PrincipalId([principal; 16]), server: "demo", context }
    }

    #[test]
    fn a_handle_opens_only_for_its_owner_kind_context_and_time() {
        let seal = Seal::new(&[7; 32]);
        let handle = seal.seal(&binding(1, b"x"), 100, b"task-1");
        assert_eq!(seal.open(&binding(1, b"x"), 99, handle.as_bytes()).as_deref(), Some(&b"task-1"[..]));
        assert_eq!(seal.open(&binding(1, b"x"), 100, handle.as_bytes()), None, "expired");
        assert_eq!(seal.open(&binding(2, b"x"), 99, handle.as_bytes()), None, "another principal");
        assert_eq!(seal.open(&binding(1, b"y"), 99, handle.as_bytes()), None, "another context");
        let other_kind = Binding { kind: Kind::Cursor, ..binding(1, b"x") };
        assert_eq!(seal.open(&other_kind, 99, handle.as_bytes()), None, "another kind");
        assert_eq!(Seal::new(&[8; 32]).open(&binding(1, b"x"), 99, handle.as_bytes()), None, "another key");
        assert_eq!(seal.open(&binding(1, b"x"), 99, b"not a handle"), None);
    }

    #[test]
    fn the_same_value_seals_to_the_same_handle() {
        let seal = Seal::new(&[7; 32]);
        assert_eq!(seal.seal(&binding(1, b""), 0, b"t"), seal.seal(&binding(1, b""), 0, b"t"));
    }
    #[test]
    fn what_an_older_key_sealed_opens_while_it_is_in_the_ring_and_no_longer() {
        let line = |id: u8| format!("{id}:{}\n", base64::engine::general_purpose::STANDARD.encode([id; 32]));
        let folder = std::env::temp_dir().join(format!("sluice-seal-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("session.key");
        std::fs::write(&path, line(1)).unwrap();
        let seal = Seal::kept(&path);
        let old = seal.seal(&binding(1, b"x"), 0, b"task-1");
        for (text, opens) in [(line(1) + &line(2), true), (line(2), false)] {
            std::fs::write(&path, text).unwrap();
            seal.refresh();
            assert_eq!(seal.open(&binding(1, b"x"), 9, old.as_bytes()).is_some(), opens);
            assert_eq!((seal.newest().id(), seal.has(1)), (2, opens));
            let new = seal.seal(&binding(1, b"x"), 0, b"task-1");
            assert!(new != old && seal.open(&binding(1, b"x"), 9, new.as_bytes()).is_some());
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
