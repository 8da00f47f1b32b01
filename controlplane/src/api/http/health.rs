//! Whether the control plane can do its work: whether its database can be read and written.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::service::Service;
use crate::store::revisions;

/// `ok` with the head, or `degraded` with the reason. A database that can be read is enough to be asked, and for nodes, which is what probes
/// are told: to take the control plane from the network, or to start it again, would make no room on its disk.
pub(in crate::api) async fn health(State(service): State<Service>) -> (StatusCode, Json<Value>) {
    let obstacle = *service.store().obstacle().borrow();
    match (service.store().read(revisions::head).await, obstacle) {
        (Ok(revision), None) => (StatusCode::OK, Json(json!({"status": "ok", "revision": revision}))),
        (Ok(revision), Some(obstacle)) => {
            let reason = obstacle.what();
            (StatusCode::OK, Json(json!({"status": "degraded", "reason": reason, "revision": revision})))
        }
        (Err(error), _) => {
            tracing::error!(%error, "the database does not answer");
            let reason = "the database cannot be read";
            (StatusCode::SERVICE_UNAVAILABLE, Json(json!({"status": "degraded", "reason": reason})))
        }
    }
}
