//! The whole at a glance.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::caller::Caller;
use super::problem::Problem;
use crate::service::Service;

/// The whole at a glance.
#[derive(Serialize, ToSchema)]
pub(super) struct Summary {
    version: &'static str,
    /// The head.
    revision: u64,
    /// How many objects there are, by kind.
    objects: BTreeMap<String, u64>,
}

/// Version, head, and how many objects there are. viewer.
#[utoipa::path(get, path = "/summary", operation_id = "Summary", tag = "summary",
    responses((status = 200, body = Summary)))]
pub(super) async fn summary(State(service): State<Service>, Caller(caller): Caller) -> Result<Json<Summary>, Problem> {
    let (revision, shown) = service.get(&caller, "", "", 0).await?;
    let mut objects: BTreeMap<String, u64> = BTreeMap::new();
    for shown in shown {
        *objects.entry(shown.kind).or_default() += 1;
    }
    Ok(Json(Summary { version: env!("CARGO_PKG_VERSION"), revision, objects }))
}
