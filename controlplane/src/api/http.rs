//! HTTP: health and metrics for probes and Prometheus, and the REST API.

mod health;
mod metrics;

use axum::Router;
use axum::routing::get;

use super::rest;
use crate::service::Service;

/// What is served over HTTP.
pub fn routes(service: Service) -> Router {
    Router::new()
        .route("/health", get(health::health))
        .route("/metrics", get(metrics::metrics))
        .with_state(service.clone())
        .merge(rest::routes(service))
}
