//! Servers under the name that MCP support asks for, integrations: the same objects, the same operations.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sluice_contract::v1;
use utoipa::ToSchema;

use super::asked::{Body, Parameters, Path};
use super::caller::Caller;
use super::nodes::CredentialTrouble;
use super::objects::{self, Configured};
use super::problem::Problem;
use super::words::{How, Outcome};
use crate::api::grpc::nodes as answers;
use crate::publish::Publisher;
use crate::service::Service;

const KIND: &str = "server";

/// A server to create.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct New {
    name: String,
    /// As the configuration language describes a server.
    #[schema(value_type = Object)]
    spec: Box<RawValue>,
}

/// Servers, in configured order.
#[derive(Serialize, ToSchema)]
pub(super) struct Integrations {
    integrations: Vec<Configured>,
    revision: u64,
    /// By name, those that something is wrong with.
    troubles: BTreeMap<String, Vec<ServerTrouble>>,
}

/// What is wrong with a server, as a connected node sees it.
#[derive(Serialize, ToSchema)]
struct ServerTrouble {
    node: String,
    available: bool,
    /// Why not.
    #[serde(skip_serializing_if = "String::is_empty")]
    reason: String,
    /// Why what it is shown to let the node in cannot be had, and since when.
    #[serde(skip_serializing_if = "Option::is_none")]
    credential: Option<CredentialTrouble>,
}

fn troubles(nodes: Vec<v1::NodeStatus>) -> BTreeMap<String, Vec<ServerTrouble>> {
    let mut troubles: BTreeMap<String, Vec<ServerTrouble>> = BTreeMap::new();
    for node in nodes.into_iter().filter(|node| node.connected) {
        for server in node.servers {
            let credential = CredentialTrouble::of(&server);
            if server.available && credential.is_none() {
                continue;
            }
            let v1::ServerStatus { server, available, reason, .. } = server;
            let trouble = ServerTrouble { node: node.node.clone(), available, reason, credential };
            troubles.entry(server).or_default().push(trouble);
        }
    }
    troubles
}

/// All servers, and what is wrong with them. viewer.
#[utoipa::path(get, path = "/integrations", operation_id = "ListIntegrations", tag = "integrations",
    responses((status = 200, body = Integrations)))]
pub(super) async fn list(
    State(service): State<Service>,
    State(publisher): State<Arc<Publisher>>,
    Caller(caller): Caller,
) -> Result<Json<Integrations>, Problem> {
    let (revision, shown) = service.get(&caller, KIND, "", 0).await?;
    let troubles = troubles(answers::status(&publisher).nodes);
    Ok(Json(Integrations { integrations: shown.into_iter().map(Configured::from).collect(), revision, troubles }))
}

/// Creates a server; one of that name must not exist. editor.
#[utoipa::path(post, path = "/integrations", operation_id = "CreateIntegration", tag = "integrations", params(How),
    request_body(content = New, example = json!({"name": "maps", "spec": {"url": "https://maps.example.com/mcp"}})),
    responses((status = 200, body = Outcome), (status = 422, body = Outcome),
    (status = 409, body = Problem)))]
pub(super) async fn create(
    State(service): State<Service>,
    Caller(caller): Caller,
    Parameters(how): Parameters<How>,
    Body(new): Body<New>,
) -> Result<Outcome, Problem> {
    let (revision, shown) = service.get(&caller, KIND, "", how.base_revision.unwrap_or_default()).await?;
    if shown.iter().any(|shown| shown.name == new.name) {
        let detail = format!("there is a server `{}` already; PUT changes it", new.name.escape_debug());
        return Err(Problem::new(axum::http::StatusCode::CONFLICT, detail));
    }
    // Nobody else may create it meanwhile.
    let how = How { base_revision: Some(revision), ..how };
    objects::apply_one(&service, &caller, KIND.to_owned(), new.name, how, new.spec).await
}

/// One server. viewer.
#[utoipa::path(get, path = "/integrations/{integration}", operation_id = "GetIntegration", tag = "integrations",
    params(("integration" = String, Path, description = "The name of the server.", example = "weather")),
    responses((status = 200, body = Configured), (status = 404, body = Problem)))]
pub(super) async fn get(
    State(service): State<Service>,
    Caller(caller): Caller,
    Path(name): Path<String>,
) -> Result<Json<Configured>, Problem> {
    Ok(Json(objects::one(&service, &caller, KIND, &name, 0).await?))
}

/// Changes a server. editor.
#[utoipa::path(put, path = "/integrations/{integration}", operation_id = "UpdateIntegration", tag = "integrations",
    params(("integration" = String, Path, description = "The name of the server.", example = "weather"), How), request_body(content = serde_json::Map<String, serde_json::Value>,
    description = "The server in the words of the configuration language.",
    example = json!({"url": "https://weather.example.com/mcp", "timeout": 30})), responses((status = 200, body = Outcome),
    (status = 422, body = Outcome), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub(super) async fn update(
    State(service): State<Service>,
    Caller(caller): Caller,
    Path(name): Path<String>,
    Parameters(how): Parameters<How>,
    Body(spec): Body<Box<RawValue>>,
) -> Result<Outcome, Problem> {
    objects::one(&service, &caller, KIND, &name, 0).await?;
    objects::apply_one(&service, &caller, KIND.to_owned(), name, how, spec).await
}

/// Removes a server. editor.
#[utoipa::path(delete, path = "/integrations/{integration}", operation_id = "DeleteIntegration", tag = "integrations",
    params(("integration" = String, Path, description = "The name of the server.", example = "weather"), How), responses((status = 200, body = Outcome), (status = 422, body = Outcome),
    (status = 404, body = Problem), (status = 409, body = Problem)))]
pub(super) async fn delete(
    State(service): State<Service>,
    Caller(caller): Caller,
    Path(name): Path<String>,
    Parameters(how): Parameters<How>,
) -> Result<Outcome, Problem> {
    objects::remove(&service, &caller, KIND.to_owned(), name, how).await
}
