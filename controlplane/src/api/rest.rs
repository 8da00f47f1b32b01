//! REST under `/api/v1`: the operations of the Admin service by HTTP, described by OpenAPI 3.1 at `/api/v1/openapi.json`.

mod asked;
mod audit;
mod authorities;
pub(in crate::api) mod caller;
mod catalogue;
mod document;
mod explain;
mod health;
mod integrations;
mod logs;
mod misread;
mod nodes;
mod objects;
pub(in crate::api) mod problem;
mod revisions;
mod secrets;
mod sessions;
mod summary;
#[cfg(test)]
mod tests;
mod tokens;
mod words;

use axum::extract::DefaultBodyLimit;
use axum::routing::get;
use axum::{Json, Router};
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Control;

/// Bytes of a request; as over gRPC.
const MAX_REQUEST: usize = 16 << 20;

#[derive(OpenApi)]
#[openapi(
    info(title = "Sluice", description = "The control plane of Sluice. Callers send `Authorization: Bearer TOKEN`; \
        the roles are `viewer`, `editor` and `admin`. Integrations are the servers of the configuration. Their tools, prompts and \
        resources are read here; they are made by the servers, and called, fetched and read through the nodes, by MCP."),
    security(("token" = [])),
)]
struct Document;

/// The routes, with their own description among them.
pub fn routes(control: Control) -> Router {
    let (router, document) = described();
    let described = move || async move { Json(document) };
    router.layer(DefaultBodyLimit::max(MAX_REQUEST)).with_state(control).route("/api/v1/openapi.json", get(described))
}

fn described() -> (Router<Control>, utoipa::openapi::OpenApi) {
    let v1 = OpenApiRouter::new()
        .routes(routes!(objects::apply))
        .routes(routes!(objects::list))
        .routes(routes!(objects::get, objects::put, objects::delete))
        .routes(routes!(revisions::history))
        .routes(routes!(revisions::rollback))
        .routes(routes!(tokens::create, tokens::list))
        .routes(routes!(tokens::revoke))
        .routes(routes!(nodes::status))
        .routes(routes!(nodes::watch))
        .routes(routes!(nodes::revoke))
        .routes(routes!(authorities::list))
        .routes(routes!(authorities::rotate))
        .routes(routes!(authorities::withdraw))
        .routes(routes!(secrets::list))
        .routes(routes!(secrets::set, secrets::delete))
        .routes(routes!(secrets::rotate))
        .routes(routes!(sessions::list))
        .routes(routes!(sessions::end))
        .routes(routes!(explain::explain))
        .routes(routes!(audit::entries))
        .routes(routes!(audit::verify))
        .routes(routes!(integrations::list, integrations::create))
        .routes(routes!(integrations::get, integrations::update, integrations::delete))
        .routes(routes!(catalogue::list))
        .routes(routes!(catalogue::tools::list))
        .routes(routes!(catalogue::tools::get))
        .routes(routes!(catalogue::prompts::list))
        .routes(routes!(catalogue::prompts::get))
        .routes(routes!(catalogue::resources::list))
        .routes(routes!(catalogue::resources::get))
        .routes(routes!(summary::summary))
        .routes(routes!(logs::logs))
        .routes(routes!(health::health))
        .routes(routes!(health::metrics));
    let (router, document) = OpenApiRouter::with_openapi(Document::openapi()).nest("/api/v1", v1).split_for_parts();
    (router, document::complete(document))
}
