//! What would become of a call.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sluice_contract::v1;
use utoipa::ToSchema;

use super::asked::Body;
use super::caller::Caller;
use super::problem::Problem;
use crate::publish::Publisher;
use crate::service::{Asked, Service};

/// A call nobody makes.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Call {
    /// As on the merged door: `server_tool`; or `server/tool`.
    tool: String,
    /// `client:NAME`, `jwt:ISSUER:SUBJECT`, `local`, …. Default: `local`.
    #[serde(default)]
    principal: String,
    /// Scopes the token would have.
    #[serde(default)]
    scopes: Vec<String>,
    /// Roles the token would say.
    #[serde(default)]
    roles: Vec<String>,
    /// The arguments.
    #[schema(value_type = Option<Object>)]
    arguments: Option<Box<RawValue>>,
    /// Whose snapshot. Default: the first that has the server.
    #[serde(default)]
    node: String,
    /// Default: `tools/call`.
    #[serde(default)]
    method: String,
}

/// What would become of it.
#[derive(Serialize, ToSchema)]
pub(super) struct Explanation {
    /// `allowed`, `hidden`, `denied`, `insufficient_scope` or `unknown`.
    verdict: String,
    /// What was looked at, in order.
    steps: Vec<Step>,
    revision: u64,
    node: String,
    /// Whether the server has it, as the node heard: `yes`, `no`, or `unknown`, as long as no client has listed what the server offers
    /// there. Empty: nobody was asked who could know.
    offered: String,
}

/// Something that was looked at.
#[derive(Serialize, ToSchema)]
pub(super) struct Step {
    name: String,
    value: String,
    /// Where it comes from: `policies.readers.allow[0]`.
    source: String,
}

/// Says what would become of a call, by the code the nodes run. viewer.
#[utoipa::path(post, path = "/explain", operation_id = "Explain", tag = "explain", request_body = Call,
    responses((status = 200, body = Explanation), (status = 400, body = Problem)))]
pub(super) async fn explain(
    State(service): State<Service>,
    State(publisher): State<Arc<Publisher>>,
    Caller(caller): Caller,
    Body(call): Body<Call>,
) -> Result<Json<Explanation>, Problem> {
    let asked = v1::ExplainRequest {
        tool: call.tool,
        principal: call.principal,
        scopes: call.scopes,
        roles: call.roles,
        arguments_json: call.arguments.map(|arguments| arguments.get().to_owned()).unwrap_or_default(),
        node: call.node,
        method: call.method,
    };
    let asked = Asked::new(&asked).map_err(Problem::bad_request)?;
    let answer = service.explain(&caller, &asked, publisher.nodes()).await?;
    let step = |v1::Step { name, value, source }| Step { name, value, source };
    let steps = answer.steps.into_iter().map(step).collect();
    let v1::ExplainResponse { verdict, revision, node, offered, .. } = answer;
    Ok(Json(Explanation { verdict, steps, revision, node, offered }))
}
