//! Whether the control plane can do its work: whether its database answers.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::service::Service;
use crate::store::revisions;

/// `ok` with the head, or `degraded`.
pub(in crate::api) async fn health(State(service): State<Service>) -> (StatusCode, Json<Value>) {
    match service.store().read(revisions::head).await {
        Ok(revision) => (StatusCode::OK, Json(json!({"status": "ok", "revision": revision}))),
        Err(error) => {
            tracing::error!(%error, "the database does not answer");
            (StatusCode::SERVICE_UNAVAILABLE, Json(json!({"status": "degraded"})))
        }
    }
}
