//! Metrics in the text format of Prometheus: open to this machine, as those of a node are; from elsewhere they take a token, because
//! how often somebody tried to get in is nobody else's business.

use axum::extract::{FromRequestParts, Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;

use crate::api::rest::caller::Caller;
use crate::api::rest::problem::Problem;
use crate::listen::Peer;
use crate::service::{Operation, Service};

pub(in crate::api) async fn metrics(
    State(service): State<Service>,
    request: Request,
) -> Result<impl IntoResponse, Problem> {
    let (mut head, _) = request.into_parts();
    if !head.extensions.get::<Peer>().is_some_and(Peer::is_here) {
        let Caller(caller) = Caller::from_request_parts(&mut head, &service).await?;
        service.allow(&caller, Operation::Status).await?;
    }
    let revision = *service.store().head().borrow();
    let is_writable = service.store().obstacle().borrow().is_none();
    Ok(([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], service.counters().render(revision, is_writable)))
}
