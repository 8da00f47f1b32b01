//! gRPC: the Admin service. Only what is in the contract is served; there is no reflection that tells strangers about it.

mod admin;
mod answer;
mod gate;
pub(in crate::api) mod nodes;
mod status;

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use sluice_contract::v1::admin_server::AdminServer;
use sluice_contract::v1::sync_server::SyncServer;
use tonic::service::Routes;

use crate::publish::Publisher;
use crate::service::Service;
use crate::sync::Sync;
pub use admin::Admin;

/// Bytes of a request: a configuration of 8 MiB, written as JSON with as many escapes again.
const MAX_REQUEST: usize = 16 << 20;
/// Bytes of an answer: all objects before and after a change of everything, and what changed in each.
const MAX_ANSWER: usize = 64 << 20;

/// What is served over gRPC: the Admin service, and that for nodes.
pub fn routes(service: Service, publisher: Arc<Publisher>, sync: SyncServer<Sync>) -> Router {
    let routes = Routes::new(admin(service.clone(), publisher)).add_service(sync).prepare().into_axum_router();
    routes.layer(from_fn_with_state(service, gate::judge))
}

/// The Admin service, to be added to a server.
#[must_use]
pub fn admin(service: Service, publisher: Arc<Publisher>) -> AdminServer<Admin> {
    AdminServer::new(Admin::new(service, publisher))
        .max_decoding_message_size(MAX_REQUEST)
        .max_encoding_message_size(MAX_ANSWER)
}
