//! Authorization servers whose tokens clients come in with, and certificates they show.

use std::path::PathBuf;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Seconds, Value};

/// An authorization server whose access tokens (JWT) let clients in.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Issuer {
    /// Its URL, as the `iss` claim of its tokens says it, letter for letter.
    pub issuer: String,
    /// What its tokens must be for: one of these in `aud`. Default: the URL of the door a token comes to, or its origin.
    #[serde(default)]
    pub audiences: Vec<String>,
    /// Where its keys are. Default: where its metadata says (RFC 8414, OpenID Connect Discovery).
    pub jwks_uri: Option<String>,
    /// The file its keys are in instead. Relative to this file.
    pub jwks_file: Option<PathBuf>,
    /// What its tokens may be signed with. Default: every asymmetric algorithm there is.
    #[serde(default)]
    pub algorithms: Vec<String>,
    /// The claim that has a token's roles, such as `roles` or `realm_access.roles`. Default: none has.
    pub roles_claim: Option<String>,
    /// The claim that has a token's scopes. Default: `scope`.
    pub scopes_claim: Option<String>,
    /// Claims that a token must have besides, and their values; of a list, one member.
    #[serde(default)]
    pub claims: IndexMap<String, Value>,
    /// How far clocks may differ. Default: 60.
    pub leeway_seconds: Option<Seconds>,
    /// Where clients are sent for tokens. Default: the issuer.
    #[serde(default)]
    pub authorization_servers: Vec<String>,
    /// Scopes that include others: a token with one has those in its list as well, and what they include.
    #[serde(default)]
    pub scopes: IndexMap<String, Vec<String>>,
    /// Scopes every token must have.
    #[serde(default)]
    pub required_scopes: Vec<String>,
    /// Scopes clients are told of beside the required ones.
    #[serde(default)]
    pub scopes_supported: Vec<String>,
}

/// Certificates by which clients are known (mutual TLS). Paths are relative to the file that names them.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TlsClients {
    /// PEM files with the authorities that issue them.
    pub authorities: Vec<PathBuf>,
    /// PEM files with what the authorities have revoked.
    pub revocations: Vec<PathBuf>,
    /// Without a certificate nobody gets a connection. Default: false, so that other credentials do as well.
    pub required: Option<bool>,
    /// Which names in a certificate come in (URI, DNS or email; `*` stands for any text), and the roles that policies know them
    /// by; the first that fits counts. Default: all, without roles.
    pub names: IndexMap<String, Vec<String>>,
}
