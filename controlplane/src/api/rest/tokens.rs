//! Tokens.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::asked::{Body, Path};
use super::caller::Caller;
use super::problem::Problem;
use crate::service::{CreateToken, Role, Service};
use crate::store::tokens::{StoredToken, TokenKind};

/// What a token is for.
#[derive(Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    /// The API key of a client.
    Client,
    /// A person's.
    Person,
    /// Admits one node, once.
    Join,
}

/// A token to make.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    kind: Kind,
    name: String,
    /// Of a person: `viewer`, `editor` or `admin`.
    role: Option<String>,
    /// Default: never, but for join tokens, which last at most 600 seconds.
    expires_in_seconds: Option<u64>,
    /// Of a node that joins: the labels it has, whatever it says. None: those that the node of this name was given last, if there was
    /// one; else those it says.
    #[serde(default)]
    labels: BTreeMap<String, String>,
    /// Of a node that joins: it has the labels it says, also if it was given some before.
    #[serde(default)]
    own_labels: bool,
}

/// A token just made.
#[derive(Serialize, ToSchema)]
pub(super) struct Made {
    /// It is not shown again.
    token: String,
    about: Token,
}

/// A token.
#[derive(Serialize, ToSchema)]
pub(super) struct Token {
    id: String,
    kind: Kind,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<String>,
    /// RFC 3339.
    created: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<String>,
    author: String,
    /// Of a node that joins: the labels it gets; none: those it says.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<String, String>,
}

/// Tokens, in the order they were made.
#[derive(Serialize, ToSchema)]
pub(super) struct Tokens {
    tokens: Vec<Token>,
}

/// Tokens that were ended.
#[derive(Serialize, ToSchema)]
pub(super) struct Revoked {
    revoked: u32,
    /// The revision without those of clients; 0: there were none of clients.
    revision: u64,
}

/// Makes a token. admin.
#[utoipa::path(post, path = "/tokens", operation_id = "CreateToken", tag = "tokens", 
    request_body(content = Wanted, example = json!({"kind": "person", "name": "bob", "role": "editor", "expires_in_seconds": 7_776_000})),
    responses((status = 201, body = Made)))]
pub(super) async fn create(
    State(service): State<Service>,
    Caller(caller): Caller,
    Body(wanted): Body<Wanted>,
) -> Result<(StatusCode, Json<Made>), Problem> {
    let Wanted { kind, name, role, expires_in_seconds: expires_in, labels, own_labels } = wanted;
    let no_role = |name: String| {
        Problem::bad_request(format!("`{}` is no role; there are viewer, editor and admin", name.escape_debug()))
    };
    let role = role.map(|name| Role::named(&name).ok_or_else(|| no_role(name))).transpose()?;
    let made = service
        .create_token(&caller, CreateToken { kind: kind.into(), name, role, expires_in, labels, own_labels })
        .await?;
    Ok((StatusCode::CREATED, Json(Made { token: made.token.to_string(), about: made.about.into() })))
}

/// Every token, those that have ended included, but for join tokens that were used. admin.
#[utoipa::path(get, path = "/tokens", operation_id = "ListTokens", tag = "tokens",
    responses((status = 200, body = Tokens)))]
pub(super) async fn list(State(service): State<Service>, Caller(caller): Caller) -> Result<Json<Tokens>, Problem> {
    let tokens = service.list_tokens(&caller).await?;
    Ok(Json(Tokens { tokens: tokens.into_iter().map(Token::from).collect() }))
}

/// Ends a token by its id, or all of a name. admin.
#[utoipa::path(delete, path = "/tokens/{token}", operation_id = "RevokeToken", tag = "tokens",
    params(("token" = String, Path, description = "Its id, or the name of whose tokens all end.", example = "bob")),
    responses((status = 200, body = Revoked), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub(super) async fn revoke(
    State(service): State<Service>,
    Caller(caller): Caller,
    Path(token): Path<String>,
) -> Result<Json<Revoked>, Problem> {
    let (revoked, revision) = service.revoke_token(&caller, &token).await?;
    Ok(Json(Revoked { revoked, revision }))
}

impl From<Kind> for TokenKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Client => Self::Client,
            Kind::Person => Self::Person,
            Kind::Join => Self::Join,
        }
    }
}

impl From<StoredToken> for Token {
    fn from(token: StoredToken) -> Self {
        let kind = match token.kind {
            TokenKind::Client => Kind::Client,
            TokenKind::Person => Kind::Person,
            TokenKind::Join => Kind::Join,
        };
        Self {
            id: token.id,
            kind,
            name: token.name,
            role: token.role,
            created: token.created.to_string(),
            expires: token.expires.map(|at| at.to_string()),
            author: token.author,
            labels: token.labels,
        }
    }
}
