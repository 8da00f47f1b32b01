//! Credentials for servers. Their values go in and never come out.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use zeroize::Zeroizing;

use super::asked::{Body, Parameters, Path};
use super::caller::Caller;
use super::problem::Problem;
use crate::service::{SecretAbout, Service};

/// The value of a secret.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Value {
    /// At most 64 KiB of text.
    value: String,
}

/// A value that was set.
#[derive(Serialize, ToSchema)]
pub(super) struct Set {
    version: u64,
    revision: u64,
}

/// Which key is exchanged.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// The key that seals the ids of sessions: another one is made, and seals a minute later.
    #[serde(default)]
    sessions: bool,
}

/// Secrets, without their values.
#[derive(Serialize, ToSchema)]
pub(super) struct Secrets {
    secrets: Vec<Secret>,
}

/// A secret, without its value.
#[derive(Serialize, ToSchema)]
pub(super) struct Secret {
    name: String,
    /// Rises with each value.
    version: u64,
    /// RFC 3339.
    changed: String,
    author: String,
    /// Objects that refer to it: `server/github`.
    used_by: Vec<String>,
    /// Which key of the ring seals it.
    key: String,
}

/// The head after a secret was deleted.
#[derive(Serialize, ToSchema)]
pub(super) struct Deleted {
    revision: u64,
}

/// What was sealed anew.
#[derive(Serialize, ToSchema)]
pub(super) struct Rotated {
    /// The key that now seals everything.
    key: String,
    resealed: u32,
}

/// Gives a secret a value. admin.
#[utoipa::path(put, path = "/secrets/{name}", operation_id = "SetSecret", tag = "secrets",
    params(("name" = String, Path, description = "Letters, digits and `._-`.", example = "github-token")),
    request_body(content = Value, example = json!({"value": "…"})), responses((status = 200, body = Set)))]
pub(super) async fn set(
    State(service): State<Service>,
    Caller(caller): Caller,
    Path(name): Path<String>,
    Body(Value { value }): Body<Value>,
) -> Result<Json<Set>, Problem> {
    let value = Zeroizing::new(value.into_bytes());
    let (version, revision) = service.set_secret(&caller, &name, value).await?;
    Ok(Json(Set { version, revision }))
}

/// Every secret, without its value. viewer.
#[utoipa::path(get, path = "/secrets", operation_id = "ListSecrets", tag = "secrets",
    responses((status = 200, body = Secrets)))]
pub(super) async fn list(State(service): State<Service>, Caller(caller): Caller) -> Result<Json<Secrets>, Problem> {
    let secrets = service.list_secrets(&caller).await?;
    Ok(Json(Secrets { secrets: secrets.into_iter().map(Secret::from).collect() }))
}

/// Deletes a secret that nothing refers to. admin.
#[utoipa::path(delete, path = "/secrets/{name}", operation_id = "DeleteSecret", tag = "secrets",
    params(("name" = String, Path, description = "The name of the secret.")),
    responses((status = 200, body = Deleted), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub(super) async fn delete(
    State(service): State<Service>,
    Caller(caller): Caller,
    Path(name): Path<String>,
) -> Result<Json<Deleted>, Problem> {
    let revision = service.delete_secret(&caller, &name).await?;
    Ok(Json(Deleted { revision }))
}

/// Seals everything with the newest key of the ring, or makes another key for sessions. admin.
#[utoipa::path(post, path = "/keys/rotate", operation_id = "RotateKey", tag = "secrets", params(Which),
    responses((status = 200, body = Rotated)))]
pub(super) async fn rotate(
    State(service): State<Service>,
    Caller(caller): Caller,
    Parameters(Which { sessions }): Parameters<Which>,
) -> Result<Json<Rotated>, Problem> {
    if sessions {
        let key = service.rotate_session_keys(&caller).await?.to_string();
        return Ok(Json(Rotated { key, resealed: 0 }));
    }
    let (key, resealed) = service.rotate_key(&caller).await?;
    Ok(Json(Rotated { key, resealed }))
}

impl From<SecretAbout> for Secret {
    fn from(about: SecretAbout) -> Self {
        let SecretAbout { name, version, at, author, used_by, key } = about;
        Self { name, version, changed: at.to_string(), author, used_by, key }
    }
}
