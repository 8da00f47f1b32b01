//! Values that may be credentials, where a node finds them, and what it shows a server to be let in.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::{Server, Transport};

/// A string that is never shown: no `Display`, no serialisation, `Debug` prints `***`. Wiped from memory with its last copy.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<Zeroizing<Box<str>>>);

impl Secret {
    /// Wraps a value.
    pub fn new(value: impl Into<Box<str>>) -> Self {
        Self(Arc::new(Zeroizing::new(value.into())))
    }

    /// The value itself; call it only where it leaves for its destination.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A value that may be a credential, or where the node finds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sensitive {
    /// The value itself.
    Value(Secret),
    /// A named secret; it is one of [`super::Snapshot::secrets`].
    Secret(Arc<str>),
    /// A variable of the node's environment.
    Environment(Arc<str>),
    /// A file of the node, by its absolute path. Its content may change at any time.
    File(PathBuf),
}

impl Sensitive {
    /// The value itself, where that is what is said.
    #[must_use]
    pub fn value(&self) -> Option<&Secret> {
        match self {
            Self::Value(value) => Some(value),
            Self::Secret(_) | Self::Environment(_) | Self::File(_) => None,
        }
    }

    /// Where it comes from, for people: never the value.
    #[must_use]
    pub fn source(&self) -> String {
        match self {
            Self::Value(_) => "configuration".to_owned(),
            Self::Secret(name) => format!("secret `{name}`"),
            Self::Environment(name) => format!("environment variable `{name}`"),
            Self::File(path) => format!("file {}", path.display()),
        }
    }
}

/// A named secret in one of its versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedSecret {
    /// Rises with each value.
    pub version: u64,
    /// The value.
    pub value: Secret,
}

/// What a node shows a server to be let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// What people call it.
    pub name: Option<Arc<str>>,
    /// What it is.
    pub kind: CredentialKind,
}

/// The kinds of credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CredentialKind {
    /// `Authorization: Bearer …`.
    Bearer(Sensitive),
    /// `Authorization: Basic …`, of `user:password`.
    Basic(Sensitive),
    /// A header of its own; the name is lower case.
    Header(String, Sensitive),
    /// `Authorization: Bearer …`, with a token that the node obtains.
    ClientCredentials(Arc<ClientCredentials>),
}

impl CredentialKind {
    /// The word of the configuration for it.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Bearer(_) => "bearer",
            Self::Basic(_) => "basic",
            Self::Header(..) => "header",
            Self::ClientCredentials(_) => "oauth_client_credentials",
        }
    }

    /// The header it is sent in, in lower case.
    #[must_use]
    pub fn header(&self) -> &str {
        match self {
            Self::Header(name, _) => name,
            Self::Bearer(_) | Self::Basic(_) | Self::ClientCredentials(_) => "authorization",
        }
    }

    /// The value it is made of, with its place in the message.
    fn sensitive(&self) -> (&'static str, &Sensitive) {
        match self {
            Self::Bearer(token) => ("bearer", token),
            Self::Basic(pair) => ("basic", pair),
            Self::Header(_, value) => ("header.value", value),
            Self::ClientCredentials(grant) => match &grant.authentication {
                ClientAuthentication::SecretBasic(secret) => ("client_credentials.secret_basic", secret),
                ClientAuthentication::SecretPost(secret) => ("client_credentials.secret_post", secret),
                ClientAuthentication::PrivateKeyJwt { key, .. } => ("client_credentials.private_key_jwt.key", key),
            },
        }
    }
}

/// A token by the client credentials grant (RFC 6749 section 4.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCredentials {
    /// Where it is obtained.
    pub endpoint: TokenEndpoint,
    /// Whose it is.
    pub client_id: String,
    /// How the client proves itself.
    pub authentication: ClientAuthentication,
    /// Scope tokens, separated by spaces.
    pub scope: Option<String>,
    /// Whom the token is for (RFC 8707).
    pub resource: Option<String>,
}

/// Where a token is obtained; both are URLs that [`crate::authority`] accepts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenEndpoint {
    /// There.
    Url(String),
    /// Where the metadata of this authorization server says (RFC 8414).
    Issuer(String),
}

/// How a client proves itself to an authorization server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientAuthentication {
    /// `client_secret_basic`.
    SecretBasic(Sensitive),
    /// `client_secret_post`.
    SecretPost(Sensitive),
    /// `private_key_jwt` (RFC 7523).
    PrivateKeyJwt {
        /// PEM.
        key: Sensitive,
        /// `kid`.
        id: Option<String>,
    },
}

impl Server {
    /// Every value that may be a credential with which it is reached, with its place in the message: `http.credential.bearer`.
    #[must_use]
    pub fn sensitive(&self) -> Vec<(String, &Sensitive)> {
        let carrier = self.transport.as_str();
        let numbered = |field: &str, index: usize| format!("{carrier}.{field}[{index}].value");
        match &self.transport {
            Transport::Stdio(command) => {
                let variables = command.env.iter().enumerate();
                variables.map(|(index, (_, value))| (numbered("env", index), value)).collect()
            }
            Transport::Http(endpoint) | Transport::Sse(endpoint) | Transport::WebSocket(endpoint) => {
                let headers = endpoint.headers.iter().enumerate();
                let headers = headers.map(|(index, (_, value))| (numbered("headers", index), value));
                let credential = endpoint.credential.as_ref().map(|credential| credential.kind.sensitive());
                headers.chain(credential.map(|(at, value)| (format!("{carrier}.credential.{at}"), value))).collect()
            }
        }
    }
}
