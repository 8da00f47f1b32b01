//! The authorities as they are kept: one file, in order of their making, keys sealed.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rcgen::KeyPair;
use rustls_pki_types::PrivatePkcs8KeyDer;
use serde::{Deserialize, Serialize};

use super::AuthorityError;
use super::root::Root;
use crate::secrets::{Ring, Sealed};
use crate::store::Folder;

/// The file in the state folder.
pub(crate) const AUTHORITY: &str = "authority.json";
/// What the keys are sealed for.
const CONTEXT: &str = "key of the authority";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    /// Base64 of DER.
    certificate: String,
    /// Base64 of a sealed PKCS #8 key.
    key: String,
    /// It signs without having been announced.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    at_once: bool,
}

/// Those that are kept, none where there is no file; and whether the newest key of the ring seals all of them, so that older ones
/// can leave the ring.
pub(super) fn read(folder: &Folder, ring: &Ring) -> Result<(Vec<Root>, bool), AuthorityError> {
    let Some(text) = folder.read(AUTHORITY)? else { return Ok((Vec::new(), true)) };
    let kept: Vec<Kept> = serde_json::from_str(&text).map_err(|error| AuthorityError::Broken(error.to_string()))?;
    let mut is_newest = true;
    let mut roots = Vec::with_capacity(kept.len());
    for kept in &kept {
        let (root, key) = root(kept, ring)?;
        is_newest &= key == ring.newest();
        roots.push(root);
    }
    Ok((roots, is_newest))
}

/// Replaces what is kept.
pub(super) fn write(folder: &Folder, ring: &Ring, roots: &[Root]) -> Result<(), AuthorityError> {
    let kept = roots.iter().map(|root| Kept {
        certificate: BASE64_STANDARD.encode(root.certificate()),
        key: BASE64_STANDARD.encode(ring.seal(CONTEXT, root.key().serialized_der()).encode()),
        at_once: root.is_at_once(),
    });
    let text = serde_json::to_string_pretty(&kept.collect::<Vec<_>>());
    let text = text.map_err(|error| AuthorityError::Broken(error.to_string()))?;
    Ok(folder.write(AUTHORITY, text.as_bytes())?)
}

/// An authority, and the id of the key that seals it.
fn root(kept: &Kept, ring: &Ring) -> Result<(Root, String), AuthorityError> {
    let broken = |what: &str| AuthorityError::Broken(format!("{what} is not readable"));
    let bytes = |text: &str| BASE64_STANDARD.decode(text).ok();
    let certificate = bytes(&kept.certificate).ok_or_else(|| broken("a certificate"))?;
    let sealed = bytes(&kept.key).and_then(|bytes| Sealed::decode(&bytes).ok()).ok_or_else(|| broken("a key"))?;
    let key = ring.open(CONTEXT, &sealed)?;
    let key = KeyPair::try_from(&PrivatePkcs8KeyDer::from(key.as_slice()))?;
    Ok((Root::of(certificate.into(), key, kept.at_once)?, sealed.key))
}
