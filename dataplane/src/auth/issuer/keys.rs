//! Sets of public keys (JWKS, RFC 7517): read within bounds; what cannot verify signatures is left out.

use jsonwebtoken::{Algorithm as Registered, DecodingKey};
use serde_json::{Map, Value};
use sluice_snapshot::model::Algorithm;

use crate::limit;

/// The keys of an issuer.
pub(in crate::auth) struct KeySet {
    keys: Vec<Key>,
}

/// A key that verifies signatures.
pub(in crate::auth) struct Key {
    kid: Option<Box<str>>,
    /// What it is good for: its kind, and what the issuer says of it.
    algorithms: Vec<Algorithm>,
    key: DecodingKey,
}

impl KeySet {
    /// Reads a set.
    ///
    /// # Errors
    /// It is no set, has too many keys, or none that is of use.
    pub(super) fn parse(text: &[u8]) -> Result<Self, String> {
        let set: Value = serde_json::from_slice(text).map_err(|_| "is not JSON")?;
        let keys = set.get("keys").and_then(Value::as_array).ok_or("is no set of keys: it has no list `keys`")?;
        if keys.len() > limit::KEYS {
            return Err(format!("has {} keys, more than {}", keys.len(), limit::KEYS));
        }
        let keys: Vec<Key> = keys.iter().filter_map(Value::as_object).filter_map(Key::read).collect();
        if keys.is_empty() {
            return Err("has no key that could verify a signature".to_owned());
        }
        Ok(Self { keys })
    }

    /// The keys that may have made a signature. One that names its key is that key's; one that does not may be any's.
    pub(super) fn fitting(&self, kid: Option<&str>, algorithm: Algorithm) -> impl Iterator<Item = &Key> {
        let named = move |key: &&Key| kid.is_none_or(|kid| key.kid.as_deref() == Some(kid));
        self.keys.iter().filter(named).filter(move |key| key.algorithms.contains(&algorithm))
    }

    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }
}

impl Key {
    /// `None` for a key that is none of ours: private, symmetric, for encryption, or of a kind nobody here knows.
    fn read(jwk: &Map<String, Value>) -> Option<Self> {
        let text = |name: &str| jwk.get(name).and_then(Value::as_str);
        let other_use = text("use").is_some_and(|purpose| purpose != "sig");
        let operations = jwk.get("key_ops").and_then(Value::as_array);
        if other_use || operations.is_some_and(|operations| !operations.iter().any(|operation| operation == "verify")) {
            return None;
        }
        let (kind, key) = match (text("kty")?, text("crv")) {
            ("RSA", _) => (&RSA[..], DecodingKey::from_rsa_components(text("n")?, text("e")?)),
            ("EC", Some("P-256")) => (&[Algorithm::Es256][..], DecodingKey::from_ec_components(text("x")?, text("y")?)),
            ("EC", Some("P-384")) => (&[Algorithm::Es384][..], DecodingKey::from_ec_components(text("x")?, text("y")?)),
            ("OKP", Some("Ed25519")) => (&[Algorithm::EdDsa][..], DecodingKey::from_ed_components(text("x")?)),
            _ => return None,
        };
        let fits = |algorithm: &&Algorithm| text("alg").is_none_or(|said| said == algorithm.as_str());
        let algorithms: Vec<Algorithm> = kind.iter().filter(fits).copied().collect();
        let kid = text("kid").filter(|kid| kid.len() <= limit::KEY_NAME_BYTES).map(Box::from);
        Some(Self { kid, algorithms, key: key.ok()? })
    }

    /// Whether it made this signature, in base64url, over what is signed.
    pub(in crate::auth) fn verifies(&self, algorithm: Algorithm, signed: &[u8], signature: &str) -> bool {
        jsonwebtoken::crypto::verify(signature, signed, &self.key, registered(algorithm)).unwrap_or(false)
    }
}

const RSA: [Algorithm; 6] =
    [Algorithm::Rs256, Algorithm::Rs384, Algorithm::Rs512, Algorithm::Ps256, Algorithm::Ps384, Algorithm::Ps512];

fn registered(algorithm: Algorithm) -> Registered {
    match algorithm {
        Algorithm::Rs256 => Registered::RS256,
        Algorithm::Rs384 => Registered::RS384,
        Algorithm::Rs512 => Registered::RS512,
        Algorithm::Ps256 => Registered::PS256,
        Algorithm::Ps384 => Registered::PS384,
        Algorithm::Ps512 => Registered::PS512,
        Algorithm::Es256 => Registered::ES256,
        Algorithm::Es384 => Registered::ES384,
        Algorithm::EdDsa => Registered::EdDSA,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn set(keys: Value) -> Result<KeySet, String> {
        KeySet::parse(json!({ "keys": keys }).to_string().as_bytes())
    }

    fn ec(more: Value) -> Value {
        // RFC 7517 appendix A.1
        let mut key = json!({
            "kty": "EC", "crv": "P-256", "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
            "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
        });
        key.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
        key
    }

    #[test]
    fn a_key_is_found_by_its_name_and_by_what_it_is_good_for() {
        let keys = set(json!([ec(json!({"kid": "a"})), ec(json!({"kid": "b", "use": "sig", "key_ops": ["verify"]}))]))
            .unwrap();
        assert_eq!(keys.fitting(Some("a"), Algorithm::Es256).count(), 1);
        assert_eq!(keys.fitting(None, Algorithm::Es256).count(), 2);
        for (kid, algorithm) in
            [(Some("c"), Algorithm::Es256), (Some("a"), Algorithm::Es384), (Some("a"), Algorithm::Rs256)]
        {
            assert_eq!(keys.fitting(kid, algorithm).count(), 0);
        }
    }

    #[test]
    fn what_cannot_verify_is_left_out_and_too_many_are_refused() {
        for useless in [
            json!({"kty": "oct", "k": "c2VjcmV0"}),
            json!({"kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA"}),
            json!({"kty": "RSA"}),
            json!("text"),
            ec(json!({"use": "enc"})),
            ec(json!({"key_ops": ["sign"]})),
        ] {
            assert!(set(json!([useless])).is_err(), "{useless}");
            assert_eq!(set(json!([useless, ec(json!({}))])).unwrap().len(), 1);
        }
        let many: Vec<Value> = (0..10_000).map(|n| ec(json!({"kid": n.to_string()}))).collect();
        assert!(set(json!(many)).is_err_and(|reason| reason.contains("more than")));
        for text in ["", "[]", "{}", "{\"keys\":{}}"] {
            assert!(KeySet::parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}
