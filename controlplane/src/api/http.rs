//! HTTP: health and metrics for probes and Prometheus, and the REST API.

mod health;
mod metrics;

use axum::Router;
use axum::routing::get;

use super::{Control, rest};

/// What is served over HTTP.
pub fn routes(control: Control) -> Router {
    Router::new()
        .route("/health", get(health::health))
        .route("/metrics", get(metrics::metrics))
        .with_state(control.clone())
        .merge(rest::routes(control))
}
