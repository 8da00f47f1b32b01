//! The words for what the gateway shows a server to be let in.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;

use super::sensitive::Sensitive;

/// Credentials by name.
pub type Credentials = IndexMap<String, Auth>;

/// What the gateway shows a server to be let in: `auth` of a server, and the entries of `credentials`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Auth {
    /// With `auth`, in place of all else: one of `credentials`.
    pub credential: Option<String>,
    /// The kind.
    #[serde(rename = "type")]
    pub kind: Option<AuthKind>,
    /// With `bearer`: the token.
    pub token: Option<Sensitive>,
    /// With `basic`: `user:password`.
    pub credentials: Option<Sensitive>,
    /// With `header`: the name of the header.
    pub name: Option<String>,
    /// With `header`: its value.
    pub value: Option<Sensitive>,
    /// With `oauth_client_credentials`: where tokens are obtained.
    pub token_url: Option<String>,
    /// In place of `token_url`: the authorization server, whose metadata says where that is.
    pub issuer: Option<String>,
    /// With `oauth_client_credentials`: whose tokens.
    pub client_id: Option<String>,
    /// Proves that to the authorization server.
    pub client_secret: Option<Sensitive>,
    /// How it is proved.
    pub client_authentication: Option<ClientAuthentication>,
    /// With `private_key_jwt`: the key, PEM.
    pub private_key: Option<Sensitive>,
    /// With `private_key_jwt`: what the authorization server calls the key.
    pub key_id: Option<String>,
    /// What the tokens are to allow.
    pub scopes: Vec<String>,
    /// Whom the tokens are for.
    pub resource: Option<String>,
}

impl Auth {
    /// What of it may be secret.
    pub(super) fn sensitive(&self) -> impl Iterator<Item = &Sensitive> {
        [&self.token, &self.credentials, &self.value, &self.client_secret, &self.private_key].into_iter().flatten()
    }
}

/// The kinds of credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthKind {
    /// `Authorization: Bearer TOKEN`.
    Bearer,
    /// `Authorization: Basic …`.
    Basic,
    /// A header of its own.
    Header,
    /// `Authorization: Bearer TOKEN`, with a token that the gateway obtains.
    OauthClientCredentials,
}

impl AuthKind {
    /// What it is called in configurations.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bearer => "bearer",
            Self::Basic => "basic",
            Self::Header => "header",
            Self::OauthClientCredentials => "oauth_client_credentials",
        }
    }
}

/// How a client proves itself to an authorization server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClientAuthentication {
    /// The secret in the `Authorization` header (`client_secret_basic`).
    Basic,
    /// The secret in the body (`client_secret_post`).
    Post,
    /// An assertion signed with a private key (RFC 7523).
    PrivateKeyJwt,
}
