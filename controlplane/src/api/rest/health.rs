//! Health and metrics, as they are at `/health` and `/metrics`. Open, and without names.

use axum::extract::State;
use axum::response::IntoResponse;

use crate::api::http;
use crate::service::Service;

/// Whether the control plane can do its work: whether its database answers. Open.
#[utoipa::path(get, path = "/health", operation_id = "Health", tag = "summary", security(()),
    responses((status = 200, description = "`status` is `ok`; `revision` the head", body = Object),
    (status = 503, description = "`status` is `degraded`", body = Object)))]
pub(super) async fn health(service: State<Service>) -> impl IntoResponse {
    http::health(service).await
}

/// What was asked for and refused since the start, in the text format of Prometheus. Nodes have metrics of their own, at their
/// admin ports. Open.
#[utoipa::path(get, path = "/metrics", operation_id = "Metrics", tag = "summary", security(()),
    responses((status = 200, body = String, content_type = "text/plain")))]
pub(super) async fn metrics(service: State<Service>) -> impl IntoResponse {
    http::metrics(service).await
}
