//! The key ring: the newest key seals, all of them open.
//!
//! A ring is text, one `id:base64` a line: an id of letters, digits and `.-_`, and 32 random bytes. The last line is the newest
//! key. Empty lines and lines that begin with `#` are nothing. `printf 'autumn:%s\n' "$(openssl rand -base64 32)" >> FILE`
//! adds a key; `sluice secret rotate-key` then seals everything with it, after which the older lines can go.
//!
//! AES-256-GCM-SIV throughout: a key of the ring seals many data keys with random nonces, and SIV leaves nothing to be lost should
//! two of them be equal. What a value is sealed for (`context`: the record's id and version) is authenticated with it, so that
//! rows of a table cannot change places.

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::{hkdf, hmac, rand};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use zeroize::Zeroizing;

use super::sealed::{DATA_KEY, Sealed};

/// Bytes of a key.
const KEY: usize = 32;
/// Longest id of a key.
const MAX_ID: usize = 64;
/// Most keys in a ring: rotation leaves one, and each costs a key schedule.
const MAX_KEYS: usize = 64;

/// The keys that seal what is kept.
pub struct Ring {
    /// In the order of the text: the newest is the last.
    keys: Vec<Key>,
    /// Of the oldest key, so that a new one leaves digests comparable.
    digests: hmac::Key,
}

struct Key {
    id: String,
    aead: LessSafeKey,
}

/// Why a text is no ring. Lines count from 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RingError {
    /// There is no key in it.
    #[error("has no key; one `id:base64` per line, such as `k1:` and the output of `openssl rand -base64 32`")]
    Empty,
    /// More keys than anybody needs.
    #[error("has more than {MAX_KEYS} keys; `sluice secret rotate-key` makes the older ones superfluous")]
    Many,
    /// A line has no colon or no proper id.
    #[error("line {0}: is not `id:base64`, with an id of 1 to {MAX_ID} letters, digits and `.-_`")]
    Line(usize),
    /// A key is not base64 of 32 bytes.
    #[error("line {0}: the key is not base64 of 32 bytes, as `openssl rand -base64 32` prints it")]
    Length(usize),
    /// Two lines have the same id.
    #[error("line {0}: its id is that of another line; a new key needs a new id")]
    Twice(usize),
}

/// Why something sealed does not open.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Its key is not in the ring.
    #[error("{context} is sealed with key `{key}`, which is not in the key ring")]
    Key {
        /// The id of the key.
        key: String,
        /// What it was to be opened as.
        context: String,
    },
    /// It was changed, sealed for something else, or with another key of that id.
    #[error(
        "{context} does not open: it was changed or moved, or key `{key}` of the key ring is not the one it was sealed with"
    )]
    Damaged {
        /// The id of the key.
        key: String,
        /// What it was to be opened as.
        context: String,
    },
}

impl Ring {
    /// Reads a ring.
    ///
    /// # Errors
    ///
    /// It is none; no part of a key is in the error.
    pub fn parse(text: &str) -> Result<Self, RingError> {
        let mut keys: Vec<Key> = Vec::new();
        let mut digests = None;
        for (index, line) in text.lines().enumerate() {
            let (number, line) = (index + 1, line.trim());
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (id, key) = line.split_once(':').filter(|(id, _)| is_id(id)).ok_or(RingError::Line(number))?;
            let bytes = BASE64_STANDARD.decode(key.trim()).map(Zeroizing::new).ok();
            let bytes = bytes.filter(|bytes| bytes.len() == KEY).ok_or(RingError::Length(number))?;
            if keys.iter().any(|other| other.id == id) {
                return Err(RingError::Twice(number));
            }
            let secret = hkdf::Salt::new(hkdf::HKDF_SHA256, b"sluice key ring v1").extract(&bytes);
            keys.push(Key { id: id.to_owned(), aead: cipher(&derive(&secret, b"seal")) });
            digests.get_or_insert_with(|| hmac::Key::new(hmac::HMAC_SHA256, &*derive(&secret, b"digest")));
        }
        if keys.len() > MAX_KEYS {
            return Err(RingError::Many);
        }
        digests.map(|digests| Self { keys, digests }).ok_or(RingError::Empty)
    }

    /// The text of a ring with one random key.
    pub(super) fn generate(id: &str) -> Zeroizing<String> {
        let key = random::<KEY>();
        let encoded = Zeroizing::new(BASE64_STANDARD.encode(key.as_slice()));
        Zeroizing::new(format!("{id}:{}\n", &*encoded))
    }

    /// The id of the key that seals.
    #[must_use]
    pub fn newest(&self) -> &str {
        &self.sealing().id
    }

    /// `true` where a key of that id is in the ring.
    #[must_use]
    pub fn has(&self, id: &str) -> bool {
        self.key(id).is_some()
    }

    /// Seals a value for one place, named by `context`.
    #[must_use]
    pub fn seal(&self, context: &str, plaintext: &[u8]) -> Sealed {
        let data_key = random::<KEY>();
        let mut value = Vec::with_capacity(plaintext.len() + AES_256_GCM_SIV.tag_len());
        value.extend_from_slice(plaintext);
        cipher(&data_key)
            .seal_in_place_append_tag(only_nonce(), Aad::from(bound(Part::Value, "", context)), &mut value)
            .expect("values are far below the cipher's limit");
        let key = self.sealing();
        Sealed { key: key.id.clone(), data_key: key.seal(context, &data_key), value }
    }

    /// Opens what was sealed for `context`.
    ///
    /// # Errors
    ///
    /// The ring lacks its key, or it is not what was sealed there.
    pub fn open(&self, context: &str, sealed: &Sealed) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        let data_key = self.data_key(context, sealed)?;
        let mut value = Zeroizing::new(sealed.value.clone());
        let aad = Aad::from(bound(Part::Value, "", context));
        let opened = cipher(&data_key).open_in_place(only_nonce(), aad, &mut value);
        let length = opened.map_err(|_| damaged(context, sealed))?.len();
        value.truncate(length);
        Ok(value)
    }

    /// The same value under the newest key; `None` where it is already.
    ///
    /// # Errors
    ///
    /// As [`Self::open`], as far as the data key tells: the value itself is not touched.
    pub fn reseal(&self, context: &str, sealed: &Sealed) -> Result<Option<Sealed>, OpenError> {
        let newest = self.sealing();
        if sealed.key == newest.id {
            return Ok(None);
        }
        let data_key = newest.seal(context, &*self.data_key(context, sealed)?);
        Ok(Some(Sealed { key: newest.id.clone(), data_key, value: sealed.value.clone() }))
    }

    /// What a value can be compared by without being known: HMAC-SHA256 under the oldest key of the ring. When that key goes,
    /// everything compares as different once.
    #[must_use]
    pub fn digest(&self, context: &str, plaintext: &[u8]) -> [u8; 32] {
        let mut message = hmac::Context::with_key(&self.digests);
        message.update(&length(context.len()));
        message.update(context.as_bytes());
        message.update(plaintext);
        message.sign().as_ref().try_into().expect("HMAC-SHA256 has 32 bytes")
    }

    fn sealing(&self) -> &Key {
        self.keys.last().expect("a ring has a key")
    }

    fn key(&self, id: &str) -> Option<&Key> {
        self.keys.iter().find(|key| key.id == id)
    }

    fn data_key(&self, context: &str, sealed: &Sealed) -> Result<Zeroizing<[u8; KEY]>, OpenError> {
        let missing = || OpenError::Key { key: sealed.key.clone(), context: context.to_owned() };
        let key = self.key(&sealed.key).ok_or_else(missing)?;
        key.open(context, &sealed.data_key).ok_or_else(|| damaged(context, sealed))
    }
}

impl Key {
    fn seal(&self, context: &str, data_key: &[u8; KEY]) -> [u8; DATA_KEY] {
        let nonce = random::<NONCE_LEN>();
        let mut sealed = [0; DATA_KEY];
        let (head, rest) = sealed.split_at_mut(NONCE_LEN);
        let (body, tag) = rest.split_at_mut(KEY);
        head.copy_from_slice(&*nonce);
        body.copy_from_slice(data_key);
        let aad = Aad::from(bound(Part::DataKey, &self.id, context));
        let made = self
            .aead
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(*nonce), aad, body)
            .expect("a key is far below the cipher's limit");
        tag.copy_from_slice(made.as_ref());
        sealed
    }

    fn open(&self, context: &str, sealed: &[u8; DATA_KEY]) -> Option<Zeroizing<[u8; KEY]>> {
        let (nonce, body) = sealed.split_first_chunk::<NONCE_LEN>()?;
        let mut body = Zeroizing::new(body.to_vec());
        let aad = Aad::from(bound(Part::DataKey, &self.id, context));
        let opened = self.aead.open_in_place(Nonce::assume_unique_for_key(*nonce), aad, &mut body).ok()?;
        let mut data_key = Zeroizing::new([0; KEY]);
        data_key.copy_from_slice(opened.get(..KEY)?);
        Some(data_key)
    }
}

/// What is sealed, so that one part never passes for the other.
#[derive(Clone, Copy)]
#[repr(u8)]
enum Part {
    DataKey = 1,
    Value = 2,
}

/// What a part is bound to; lengths first, so that no two bindings are the same bytes.
fn bound(part: Part, key: &str, context: &str) -> Vec<u8> {
    [&[part as u8][..], &length(key.len()), key.as_bytes(), context.as_bytes()].concat()
}

fn length(of: usize) -> [u8; 8] {
    (of as u64).to_be_bytes()
}

fn damaged(context: &str, sealed: &Sealed) -> OpenError {
    OpenError::Damaged { key: sealed.key.clone(), context: context.to_owned() }
}

/// A data key seals one value, once.
fn only_nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; NONCE_LEN])
}

fn cipher(key: &[u8; KEY]) -> LessSafeKey {
    UnboundKey::new(&AES_256_GCM_SIV, key).map(LessSafeKey::new).expect("the key has the length of AES-256")
}

fn derive(secret: &hkdf::Prk, label: &[u8]) -> Zeroizing<[u8; KEY]> {
    let mut key = Zeroizing::new([0; KEY]);
    secret
        .expand(&[label], hkdf::HKDF_SHA256)
        .and_then(|okm| okm.fill(&mut *key))
        .expect("32 bytes is a valid HKDF-SHA256 output length");
    key
}

fn random<const N: usize>() -> Zeroizing<[u8; N]> {
    let mut bytes = Zeroizing::new([0; N]);
    rand::fill(&mut *bytes).expect("the operating system provides random bytes");
    bytes
}

fn is_id(id: &str) -> bool {
    (1..=MAX_ID).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b))
}

#[cfg(test)]
mod tests;
