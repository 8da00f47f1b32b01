//! Objects.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};

use super::asked::{Body, Parameters, Path};
use super::caller::Caller;
use super::problem::Problem;
use super::words::{How, Outcome};
use crate::service::{Apply, Delete, RawObject, Service, Shown};

/// An object to create or update.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Named {
    /// `server`, `client`, `policy`, …
    kind: String,
    name: String,
    /// In the words of the configuration language; `***` stands for a secret that stays as it is.
    #[schema(value_type = Object)]
    spec: Box<RawValue>,
    /// Places in it, such as `args[0]`, of what is secret beyond what the language calls so: sealed, and shown as `***`.
    #[serde(default)]
    secrets: Vec<String>,
}

/// What to apply.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Applied {
    objects: Vec<Named>,
    /// The revision the caller has seen. Default: whatever is there.
    base_revision: Option<u64>,
    /// Judges and compares, and changes nothing.
    #[serde(default)]
    dry_run: bool,
    /// Objects that are not named are removed.
    #[serde(default)]
    prune: bool,
    /// Why, for the history; at most 1,000 characters.
    #[serde(default)]
    message: String,
}

/// An object of the configuration.
#[derive(Serialize, ToSchema)]
#[schema(as = Object)]
pub(super) struct Configured {
    kind: String,
    name: String,
    /// In the words of the configuration language; secrets are masked as `***`.
    #[schema(value_type = Object)]
    spec: Box<RawValue>,
    /// The revision it was last changed in.
    revision: u64,
}

/// Objects at a revision.
#[derive(Serialize, ToSchema)]
pub(super) struct Objects {
    objects: Vec<Configured>,
    revision: u64,
}

/// Which objects.
#[derive(Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// Default: all kinds.
    kind: String,
    /// Default: the head.
    revision: u64,
}

/// At which revision.
#[derive(Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct When {
    /// Default: the head.
    pub(super) revision: u64,
}

/// Makes objects what is said. editor; with `dry_run` viewer.
#[utoipa::path(post, path = "/apply", operation_id = "Apply", tag = "objects",
    request_body(content = Applied, example = json!({"objects": [{"kind": "server", "name": "weather",
    "spec": {"url": "https://weather.example.com/mcp", "timeout": 30}}], "message": "weather comes in"})), responses(
    (status = 200, body = Outcome), (status = 422, body = Outcome, description = "the configuration is wrong"),
    (status = 409, body = Problem, description = "the configuration moved on since `base_revision`")))]
pub(super) async fn apply(
    State(service): State<Service>,
    Caller(caller): Caller,
    Body(asked): Body<Applied>,
) -> Result<Outcome, Problem> {
    let Applied { objects, base_revision: base, dry_run, prune, message } = asked;
    let raw = |Named { kind, name, spec, secrets }| RawObject {
        kind,
        name,
        json: String::from(Box::<str>::from(spec)),
        secrets,
    };
    let objects = objects.into_iter().map(raw).collect();
    Ok(service.apply(&caller, Apply { objects, base, dry_run, prune, message }).await?.into())
}

/// Objects, of a kind or all. viewer.
#[utoipa::path(get, path = "/objects", operation_id = "Get", tag = "objects", params(Which),
    responses((status = 200, body = Objects), (status = 404, body = Problem)))]
pub(super) async fn list(
    State(service): State<Service>,
    Caller(caller): Caller,
    Parameters(which): Parameters<Which>,
) -> Result<Json<Objects>, Problem> {
    let (revision, shown) = service.get(&caller, &which.kind, "", which.revision).await?;
    Ok(Json(Objects { objects: shown.into_iter().map(Configured::from).collect(), revision }))
}

/// One object. viewer.
#[utoipa::path(get, path = "/objects/{kind}/{name}", operation_id = "GetOne", tag = "objects",
    params(("kind" = String, Path, description = "`server`, `client`, `policy`, …: `GET /api/v1/objects` shows those there are.", example = "server"),
    ("name" = String, Path, description = "Its name; `proxy` and `features` are called like their kind.", example = "weather"), When),
    responses((status = 200, body = Configured), (status = 404, body = Problem)))]
pub(super) async fn get(
    State(service): State<Service>,
    Caller(caller): Caller,
    Path((kind, name)): Path<(String, String)>,
    Parameters(when): Parameters<When>,
) -> Result<Json<Configured>, Problem> {
    Ok(Json(one(&service, &caller, &kind, &name, when.revision).await?))
}

/// Makes one object what is said. editor.
#[utoipa::path(put, path = "/objects/{kind}/{name}", operation_id = "ApplyOne", tag = "objects",
    params(("kind" = String, Path, description = "`server`, `client`, `policy`, …: `GET /api/v1/objects` shows those there are.", example = "server"),
    ("name" = String, Path, description = "Its name; `proxy` and `features` are called like their kind.", example = "weather"), How),
    request_body(content = serde_json::Map<String, serde_json::Value>, description = "The object in the words of the configuration \
    language.", example = json!({"url": "https://weather.example.com/mcp", "timeout": 30})), responses(
    (status = 200, body = Outcome), (status = 422, body = Outcome), (status = 409, body = Problem)))]
pub(super) async fn put(
    State(service): State<Service>,
    Caller(caller): Caller,
    Path((kind, name)): Path<(String, String)>,
    Parameters(how): Parameters<How>,
    Body(spec): Body<Box<RawValue>>,
) -> Result<Outcome, Problem> {
    apply_one(&service, &caller, kind, name, how, spec).await
}

/// Removes one object. editor.
#[utoipa::path(delete, path = "/objects/{kind}/{name}", operation_id = "Delete", tag = "objects",
    params(("kind" = String, Path, description = "`server`, `client`, `policy`, …: `GET /api/v1/objects` shows those there are.", example = "server"),
    ("name" = String, Path, description = "Its name; `proxy` and `features` are called like their kind.", example = "weather"), How), responses(
    (status = 200, body = Outcome), (status = 422, body = Outcome, description = "others need it"),
    (status = 404, body = Problem), (status = 409, body = Problem)))]
pub(super) async fn delete(
    State(service): State<Service>,
    Caller(caller): Caller,
    Path((kind, name)): Path<(String, String)>,
    Parameters(how): Parameters<How>,
) -> Result<Outcome, Problem> {
    remove(&service, &caller, kind, name, how).await
}

pub(super) async fn one(
    service: &Service,
    caller: &crate::service::Caller,
    kind: &str,
    name: &str,
    revision: u64,
) -> Result<Configured, Problem> {
    let (_, shown) = service.get(caller, kind, name, revision).await?;
    shown.into_iter().next().map(Configured::from).ok_or_else(|| Problem::bad_request("the name is empty"))
}

pub(super) async fn apply_one(
    service: &Service,
    caller: &crate::service::Caller,
    kind: String,
    name: String,
    how: How,
    spec: Box<RawValue>,
) -> Result<Outcome, Problem> {
    let How { base_revision: base, dry_run, message } = how;
    let objects = vec![RawObject { kind, name, json: String::from(Box::<str>::from(spec)), secrets: Vec::new() }];
    Ok(service.apply(caller, Apply { objects, base, dry_run, prune: false, message }).await?.into())
}

pub(super) async fn remove(
    service: &Service,
    caller: &crate::service::Caller,
    kind: String,
    name: String,
    how: How,
) -> Result<Outcome, Problem> {
    let How { base_revision: base, dry_run, message } = how;
    Ok(service.delete(caller, Delete { kind, name, base, dry_run, message }).await?.into())
}

impl From<Shown> for Configured {
    fn from(shown: Shown) -> Self {
        let Shown { kind, name, json, revision } = shown;
        // What is stored is canonical JSON.
        let spec = RawValue::from_string(json).unwrap_or_else(|_| RawValue::NULL.to_owned());
        Self { kind, name, spec, revision }
    }
}
