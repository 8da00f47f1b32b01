//! The log of this process, as far as it is kept. What clients ask is logged where they ask it, by the nodes.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};

use super::asked::Parameters;
use super::caller::Caller;
use super::problem::Problem;
use crate::log::Recent;
use crate::service::{Operation, Service};

/// Lines that are shown where nobody says how many.
const USUAL: usize = 100;

/// What the control plane logged last.
#[derive(Serialize, ToSchema)]
pub(super) struct Logs {
    /// Newest first, each as it was written to stderr: `timestamp`, `level`, `message`, `target`, and what else is particular to it.
    #[schema(value_type = Vec<Object>)]
    lines: Vec<Box<RawValue>>,
}

/// How much of it.
#[derive(Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Last {
    /// At most so many lines; 0: 100. The last 1,000 are kept, and none of those before the process was started.
    limit: usize,
}

/// What the control plane logged last. Who changed what, and who was denied what, is in `GET /api/v1/audit`; what nodes refused to run
/// in `GET /api/v1/nodes`. Requests of clients are in neither: each node writes them to its own stderr. admin.
#[utoipa::path(get, path = "/logs", operation_id = "Logs", tag = "summary", params(Last),
    responses((status = 200, body = Logs)))]
pub(super) async fn logs(
    State(service): State<Service>,
    State(log): State<Recent>,
    Caller(caller): Caller,
    Parameters(Last { limit }): Parameters<Last>,
) -> Result<Json<Logs>, Problem> {
    // whom the log names, the audit log names as well
    service.allow(&caller, Operation::Audit).await?;
    let lines = log.lines(if limit == 0 { USUAL } else { limit }).into_iter();
    Ok(Json(Logs { lines: lines.filter_map(|line| RawValue::from_string(line).ok()).collect() }))
}
