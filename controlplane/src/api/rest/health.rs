//! Health and metrics, as they are at `/health` and `/metrics`. Without names of servers and people.

use axum::extract::{Request, State};
use axum::response::IntoResponse;

use super::problem::Problem;
use crate::api::http;
use crate::service::Service;

/// Whether the control plane can do its work: whether its database can be read and written. Open.
#[utoipa::path(get, path = "/health", operation_id = "Health", tag = "summary", security(()),
    responses((status = 200, description = "It can be asked, and nodes get what they are to run. `status` is `ok`, or `degraded` where \
        nothing can be changed or little room is left to, with the `reason`: a disk that is full, say; `revision` is the head.", body = Object),
    (status = 503, description = "It cannot: `status` is `degraded`, with the `reason`.", body = Object)))]
pub(super) async fn health(service: State<Service>) -> impl IntoResponse {
    http::health(service).await
}

/// What was asked for and refused since the start, in the text format of Prometheus. Nodes have metrics of their own, at their
/// admin ports. Open to this machine; from elsewhere viewer.
#[utoipa::path(get, path = "/metrics", operation_id = "Metrics", tag = "summary", security((), ("token" = [])),
    responses((status = 200, description = "Counters and gauges, one a line.", body = String, content_type = "text/plain")))]
pub(super) async fn metrics(service: State<Service>, request: Request) -> Result<impl IntoResponse, Problem> {
    http::metrics(service, request).await
}
