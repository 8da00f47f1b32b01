//! HTTP: health and metrics for probes and Prometheus, the authority's certificates, and the REST API.

mod authority;
mod health;
mod metrics;
mod site;

pub(super) use health::health;
pub(super) use metrics::metrics;
pub use site::Site;

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::rest::problem::Problem;
use super::{Control, Doors, grpc, rest};

/// What is served over HTTP.
pub fn routes(control: Control, site: Site) -> Router {
    let doors = control.doors;
    Router::new()
        .route("/health", get(health))
        .route("/authority.pem", get(authority::certificates))
        .route("/metrics", get(metrics))
        .with_state(control.clone())
        .merge(rest::routes(control))
        .method_not_allowed_fallback(wrong_method)
        .fallback(async move |request: Request| nothing(doors, &request))
        .layer(from_fn_with_state((Arc::new(site), doors), site::judge))
}

/// What is answered where there is nothing.
fn nothing(doors: Doors, request: &Request) -> Response {
    if grpc::is_call(request.headers()) {
        return grpc::elsewhere(doors);
    }
    let shown = request.uri().path().escape_debug().to_string();
    let detail = format!("there is nothing at `{shown}`; `/api/v1/openapi.json` describes what there is");
    Problem::new(StatusCode::NOT_FOUND, detail).into_response()
}

/// Which methods there are is in `Allow`.
async fn wrong_method(request: Request) -> Problem {
    let (method, path) = (request.method(), request.uri().path().escape_debug().to_string());
    let detail = format!("{method} is nothing that can be done with `{path}`; `Allow` says what can be");
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail)
}
