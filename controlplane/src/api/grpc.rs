//! gRPC: the Admin service. Only what is in the contract is served; there is no reflection that tells strangers about it.

mod admin;
mod answer;
mod gate;
pub(in crate::api) mod nodes;
mod status;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode, Version};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use sluice_contract::v1::admin_server::AdminServer;
use sluice_contract::v1::sync_server::SyncServer;
use tonic::Status;
use tonic::service::Routes;

use super::Doors;
use super::rest::problem::Problem;
use crate::publish::Publisher;
use crate::service::Service;
use crate::sync::Sync;
pub use admin::Admin;

/// Bytes of a request: a configuration of 8 MiB, written as JSON with as many escapes again.
const MAX_REQUEST: usize = 16 << 20;
/// Bytes of an answer: all objects before and after a change of everything, and what changed in each.
const MAX_ANSWER: usize = 64 << 20;

/// What is served over gRPC: the Admin service, and that for nodes.
pub fn routes(service: Service, publisher: Arc<Publisher>, sync: SyncServer<Sync>, doors: Doors) -> Router {
    let routes = Routes::new(admin(service.clone(), publisher)).add_service(sync).prepare().into_axum_router();
    routes.layer(from_fn_with_state(service, gate::judge)).layer(from_fn_with_state(doors, only_calls))
}

/// Whether a request is a call of gRPC.
pub(super) fn is_call(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

/// What a call is answered where gRPC is not served.
pub(super) fn elsewhere(doors: Doors) -> Response {
    let told = format!(
        "this is the port for HTTP; `sluice` and nodes are served by gRPC at {} (`--grpc` of the control plane)",
        doors.grpc
    );
    Status::failed_precondition(told).into_http()
}

/// Tells those who come with something else than calls where that is served.
async fn only_calls(State(doors): State<Doors>, request: Request, next: Next) -> Response {
    if request.version() >= Version::HTTP_2 && is_call(request.headers()) {
        return next.run(request).await;
    }
    let detail = format!(
        "this port speaks gRPC, for `sluice` and nodes; HTTP is served at {} (`--http` of the control plane)",
        doors.http
    );
    Problem::new(StatusCode::MISDIRECTED_REQUEST, detail).into_response()
}

/// The Admin service, to be added to a server.
#[must_use]
pub fn admin(service: Service, publisher: Arc<Publisher>) -> AdminServer<Admin> {
    AdminServer::new(Admin::new(service, publisher))
        .max_decoding_message_size(MAX_REQUEST)
        .max_encoding_message_size(MAX_ANSWER)
}
