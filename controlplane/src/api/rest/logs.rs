//! What happened to the configuration. What clients ask is logged where they ask it, by the nodes.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::asked::Parameters;
use super::audit::Entry;
use super::caller::Caller;
use super::nodes::Rejection;
use super::problem::Problem;
use super::words::Page;
use crate::api::grpc::nodes as answers;
use crate::publish::Publisher;
use crate::service::Service;

/// Changes, denials and refusals.
#[derive(Serialize, ToSchema)]
pub(super) struct Logs {
    /// The audit log, newest first: every change, and every denial, here and on the nodes.
    entries: Vec<Entry>,
    /// What each node last refused to run, and why.
    rejections: Vec<Rejected>,
}

/// A node's last refusal.
#[derive(Serialize, ToSchema)]
pub(super) struct Rejected {
    node: String,
    #[serde(flatten)]
    rejection: Rejection,
}

/// What was changed and denied, and what nodes refused. Requests of clients are not in it: each node writes them to its own stderr,
/// one JSON line each, and counts them in its metrics; the control plane does not gather them. admin.
#[utoipa::path(get, path = "/logs", operation_id = "Logs", tag = "summary", params(Page),
    responses((status = 200, body = Logs)))]
pub(super) async fn logs(
    State(service): State<Service>,
    State(publisher): State<Arc<Publisher>>,
    Caller(caller): Caller,
    Parameters(page): Parameters<Page>,
) -> Result<Json<Logs>, Problem> {
    let entries = service.audit(&caller, page.limit, page.before, false).await?;
    let rejected = answers::status(&publisher).nodes.into_iter().filter_map(|status| {
        let rejection = Rejection::of(status.rejected_revision, status.rejected_ms, status.rejected)?;
        Some(Rejected { node: status.node, rejection })
    });
    Ok(Json(Logs { entries: entries.into_iter().map(Entry::from).collect(), rejections: rejected.collect() }))
}
