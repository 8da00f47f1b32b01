//! The words for a value that may be a credential: the value, or where it is.

use std::fmt;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor};

use super::config::{Config, Secret};
use super::credential::Auth;

/// A value that may be a credential, or where it is.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema)]
#[schemars(with = "super::schema::Sensitive", inline)]
pub enum Sensitive {
    /// The value itself, its variables expanded.
    Value(Secret),
    /// `{secret: NAME}`: what `sluice secret set NAME` was given.
    Secret(String),
    /// `{env: NAME}`: a variable of the environment of the node that needs it.
    Environment(String),
    /// `{file: PATH}`: a file of the node that needs it.
    File(PathBuf),
}

impl Sensitive {
    /// The name of the secret it refers to.
    #[must_use]
    pub fn secret(&self) -> Option<&str> {
        match self {
            Self::Secret(name) => Some(name),
            Self::Value(_) | Self::Environment(_) | Self::File(_) => None,
        }
    }

    /// The value, where it is written in place.
    #[must_use]
    pub fn value(&self) -> Option<&Secret> {
        match self {
            Self::Value(value) => Some(value),
            Self::Secret(_) | Self::Environment(_) | Self::File(_) => None,
        }
    }
}

impl Config {
    /// The named secrets that objects refer to, each with the object: `server/github`.
    pub fn secrets(&self) -> impl Iterator<Item = (String, &str)> {
        let servers = self.servers.iter().map(|(name, server)| {
            let auth = server.auth.iter().flat_map(Auth::sensitive);
            let all = server.headers.values().chain(server.env.values()).chain(auth);
            (format!("server/{name}"), all.filter_map(Sensitive::secret).collect())
        });
        let credentials = self.credentials.iter().map(|(name, auth)| {
            let secrets: Vec<&str> = auth.sensitive().filter_map(Sensitive::secret).collect();
            (format!("credential/{name}"), secrets)
        });
        servers
            .chain(credentials)
            .flat_map(|(object, secrets)| secrets.into_iter().map(move |secret| (object.clone(), secret)))
    }
}

impl From<Secret> for Sensitive {
    fn from(value: Secret) -> Self {
        Self::Value(value)
    }
}

const SHAPE: &str = "must be a text, or say where it is: `{secret: NAME}`, `{env: NAME}` or `{file: PATH}`";

impl<'de> Deserialize<'de> for Sensitive {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SensitiveVisitor)
    }
}

struct SensitiveVisitor;

impl<'de> Visitor<'de> for SensitiveVisitor {
    type Value = Sensitive;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text or where it is")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Sensitive, E> {
        Ok(Sensitive::Value(Secret::new(text.to_owned())))
    }

    fn visit_unit<E: Error>(self) -> Result<Sensitive, E> {
        Err(E::custom("must be a text, but is nothing"))
    }

    fn visit_seq<A>(self, _: A) -> Result<Sensitive, A::Error>
    where
        A: serde::de::SeqAccess<'de>,
    {
        Err(A::Error::custom(SHAPE))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Sensitive, A::Error> {
        let sensitive = match map.next_key::<String>()?.as_deref() {
            Some("secret") => Sensitive::Secret(map.next_value()?),
            Some("env") => Sensitive::Environment(map.next_value()?),
            Some("file") => Sensitive::File(map.next_value()?),
            _ => return Err(A::Error::custom(SHAPE)),
        };
        match map.next_key::<String>()? {
            None => Ok(sensitive),
            Some(_) => Err(A::Error::custom(SHAPE)),
        }
    }
}
