//! A scripted authorization server over HTTP: metadata and keys, which a test may change or withhold, and tokens of any kind.

use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::Upstream;
use crate::upstream::Answer;

/// How keys are asked for.
pub const KEYS: &str = "/jwks";

/// An authorization server.
pub struct Issuer {
    server: Upstream,
    state: Arc<Mutex<State>>,
}

struct State {
    keys: Vec<Key>,
    /// What is answered instead of the keys.
    instead: Option<Arc<dyn Fn() -> Option<Answer> + Send + Sync>>,
}

/// A key that signs tokens.
#[derive(Clone)]
pub struct Key {
    /// Its name.
    pub kid: String,
    pair: Arc<EcdsaKeyPair>,
}

impl Key {
    /// A new key of that name.
    #[must_use]
    pub fn new(kid: &str) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        Self { kid: kid.into(), pair: Arc::new(pair) }
    }

    /// The uncompressed point that everybody may know.
    #[must_use]
    pub fn public(&self) -> &[u8] {
        self.pair.public_key().as_ref()
    }

    /// As it stands in a set of keys.
    #[must_use]
    pub fn jwk(&self) -> Value {
        let (x, y) = self.public()[1..].split_at(32);
        json!({ "kty": "EC", "crv": "P-256", "kid": self.kid, "use": "sig", "x": encoded(x), "y": encoded(y) })
    }

    /// The same by another name.
    #[must_use]
    pub fn jwk_named(&self, kid: &str) -> Value {
        let mut jwk = self.jwk();
        jwk["kid"] = kid.into();
        jwk
    }

    /// A token of this header and these claims, as they are written.
    #[must_use]
    pub fn sign(&self, header: &str, claims: &str) -> String {
        let signed = format!("{}.{}", encoded(header), encoded(claims));
        let signature = self.pair.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", encoded(signature))
    }

    /// The header of its tokens.
    #[must_use]
    pub fn header(&self) -> Value {
        json!({ "alg": "ES256", "typ": "at+jwt", "kid": self.kid })
    }
}

/// In base64url.
#[must_use]
pub fn encoded(bytes: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// Seconds since 1970.
#[must_use]
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

impl Issuer {
    /// Starts one with one key.
    #[must_use]
    pub fn start() -> Self {
        let state = Arc::new(Mutex::new(State { keys: vec![Key::new("first")], instead: None }));
        let script = Arc::clone(&state);
        let server = Upstream::start(move |request| {
            let origin = format!("http://{}", request.header("host").unwrap());
            let state = script.lock().unwrap();
            let instead = state.instead.clone();
            let keys = json!({ "keys": state.keys.iter().map(Key::jwk).collect::<Vec<_>>() });
            let withheld = instead.is_some();
            drop(state);
            async move {
                match &*request.path {
                    KEYS if withheld => match instead.and_then(|instead| instead()) {
                        Some(answer) => answer,
                        None => Answer::never().await,
                    },
                    KEYS => Answer::message(&keys),
                    "/.well-known/oauth-authorization-server" => {
                        Answer::message(&json!({ "issuer": origin, "jwks_uri": format!("{origin}{KEYS}") }))
                    }
                    _ => Answer::empty(404),
                }
            }
        });
        Self { server, state }
    }

    /// What its tokens say in `iss`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.server.port)
    }

    /// Its entry in a configuration, and more of it.
    #[must_use]
    pub fn config(&self, more: Value) -> Value {
        let mut config = json!({ "issuer": self.url() });
        config.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
        config
    }

    /// The key its tokens are signed with.
    #[must_use]
    pub fn key(&self) -> Key {
        self.state.lock().unwrap().keys[0].clone()
    }

    /// Signs with a new key from now on; the others are withdrawn.
    pub fn rotate(&self, kid: &str) {
        self.state.lock().unwrap().keys = vec![Key::new(kid)];
    }

    /// Answers this in place of the keys; `None` of the script: nothing at all.
    pub fn instead(&self, script: impl Fn() -> Option<Answer> + Send + Sync + 'static) {
        self.state.lock().unwrap().instead = Some(Arc::new(script));
    }

    /// Answers with the keys again.
    pub fn recover(&self) {
        self.state.lock().unwrap().instead = None;
    }

    /// How often its keys were asked for.
    #[must_use]
    pub fn fetches(&self) -> usize {
        self.server.received().iter().filter(|received| received.path == KEYS).count()
    }

    /// Claims of a good token for alice, with these in place of its own; null leaves one out.
    #[must_use]
    pub fn claims(&self, audience: &str, other: Value) -> Value {
        let mut claims = json!({
            "iss": self.url(), "aud": audience, "sub": "alice", "client_id": "app", "iat": now(), "exp": now() + 600,
            "scope": "mcp:read", "jti": encoded(now().to_string()),
        });
        for (claim, value) in other.as_object().unwrap() {
            match value {
                Value::Null => drop(claims.as_object_mut().unwrap().remove(claim)),
                value => claims[claim] = value.clone(),
            }
        }
        claims
    }

    /// Such a token.
    #[must_use]
    pub fn token(&self, audience: &str, other: Value) -> String {
        let key = self.key();
        key.sign(&key.header().to_string(), &self.claims(audience, other).to_string())
    }
}
