//! Metrics in the text format of Prometheus.

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;

use crate::service::Service;

pub(in crate::api) async fn metrics(State(service): State<Service>) -> impl IntoResponse {
    let revision = *service.store().head().borrow();
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], service.counters().render(revision))
}
