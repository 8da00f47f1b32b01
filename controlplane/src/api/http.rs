//! HTTP: health and metrics for probes and Prometheus, the authority's certificates, and the REST API.

mod authority;
mod health;
mod metrics;

pub(super) use health::health;
pub(super) use metrics::metrics;

use axum::Router;
use axum::routing::get;

use super::{Control, rest};

/// What is served over HTTP.
pub fn routes(control: Control) -> Router {
    Router::new()
        .route("/health", get(health))
        .route("/authority.pem", get(authority::certificates))
        .route("/metrics", get(metrics))
        .with_state(control.clone())
        .merge(rest::routes(control))
}
