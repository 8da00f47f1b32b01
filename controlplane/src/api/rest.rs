//! REST under `/api/v1`: the operations of the Admin service by HTTP, described by OpenAPI 3.1 at `/api/v1/openapi.json`.

mod asked;
mod audit;
mod caller;
mod explain;
mod integrations;
mod nodes;
mod objects;
mod problem;
mod revisions;
mod secrets;
mod summary;
#[cfg(test)]
mod tests;
mod tokens;
mod words;

use axum::extract::DefaultBodyLimit;
use axum::routing::get;
use axum::{Json, Router};
use utoipa::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Control;

/// Bytes of a request; as over gRPC.
const MAX_REQUEST: usize = 16 << 20;

#[derive(OpenApi)]
#[openapi(
    info(title = "Sluice", description = "The control plane of Sluice. Callers send `Authorization: Bearer TOKEN`; \
        the roles are `viewer`, `editor` and `admin`."),
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
        .routes(routes!(secrets::list))
        .routes(routes!(secrets::set, secrets::delete))
        .routes(routes!(secrets::rotate))
        .routes(routes!(explain::explain))
        .routes(routes!(audit::entries))
        .routes(routes!(audit::verify))
        .routes(routes!(integrations::list, integrations::create))
        .routes(routes!(integrations::get, integrations::update, integrations::delete))
        .routes(routes!(summary::summary));
    let (router, mut document) = OpenApiRouter::with_openapi(Document::openapi()).nest("/api/v1", v1).split_for_parts();
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
    document.components.get_or_insert_default().add_security_scheme("token", SecurityScheme::Http(bearer));
    (router, document)
}
