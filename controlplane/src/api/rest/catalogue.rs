//! What servers offer: tools, prompts and resources, to be read. They are made, run and read where they live, in the servers,
//! through the nodes' doors for MCP.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use sluice_contract::v1;
use utoipa::{IntoParams, ToSchema};

use super::asked::{Parameters, Path};
use super::caller::Caller;
use super::problem::Problem;
use crate::publish::{OfferKind, Publisher};
use crate::service::{self, Service};

/// Items, by server and name.
#[derive(Serialize, ToSchema)]
pub(super) struct Catalogue {
    items: Vec<Item>,
    /// How many there are in all.
    total: u32,
    /// How many more items, of any kind, the servers offer than nodes have room for in their reports.
    left_out: u32,
}

/// A tool, a prompt, a resource or a resource template.
#[derive(Serialize, ToSchema)]
pub(super) struct Item {
    /// Its name, URI or URI template on the door of all servers.
    name: String,
    /// The server's own.
    own: String,
    server: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    title: String,
    /// Cut where it is long.
    #[serde(skip_serializing_if = "String::is_empty")]
    description: String,
    /// A resource that is made from a template.
    template: bool,
    /// How many connected nodes offer it. 0: those that did are away, or have started again and not heard of it since.
    nodes: u32,
    /// When a node last said so.
    heard_ms: u64,
}

/// Which of a kind.
#[derive(Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// Default: of all servers.
    server: String,
    /// At most so many; 0: the usual number.
    limit: u32,
    /// How many to pass over.
    offset: u32,
}

/// Of which server.
#[derive(Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Where {
    /// Needed where several servers offer something of that name.
    server: String,
}

/// What servers offer of a kind (`tool`, `prompt`, `resource`), as the nodes last heard them. Servers that are one for
/// each client (`isolation`) are only counted. viewer.
#[utoipa::path(get, path = "/catalogue/{kind}", operation_id = "Catalogue", tag = "catalogue",
    params(("kind" = String, Path, description = "`tool`, `prompt` or `resource`.", example = "tool"), Which),
    responses((status = 200, body = Catalogue)))]
pub(super) async fn list(
    State(service): State<Service>,
    State(publisher): State<Arc<Publisher>>,
    Caller(caller): Caller,
    Path(kind): Path<String>,
    Parameters(which): Parameters<Which>,
) -> Result<Json<Catalogue>, Problem> {
    let Which { server, limit, offset } = which;
    let asked = v1::CatalogueRequest { kind, server, limit, offset, ..v1::CatalogueRequest::default() };
    Ok(Json(service.catalogue(&caller, publisher.nodes(), &asked).await?.into()))
}

/// Declares the list of a kind, and one of it.
macro_rules! kind {
    ($module:ident, $kind:ident, $list:literal, $get:literal, $path:literal, $one:literal) => {
        pub(super) mod $module {
            use super::*;

            #[doc = concat!("All ", $path, " that servers offer. viewer.")]
            #[utoipa::path(get, path = concat!("/", $path), operation_id = $list, tag = $path, params(Which),
                responses((status = 200, body = Catalogue)))]
            pub(in crate::api::rest) async fn list(
                state: State<Service>,
                publisher: State<Arc<Publisher>>,
                caller: Caller,
                which: Parameters<Which>,
            ) -> Result<Json<Catalogue>, Problem> {
                super::list(state, publisher, caller, Path(OfferKind::$kind.as_str().to_owned()), which).await
            }

            #[doc = concat!("One of the ", $path, ", by the name it has on the door of all servers, or by the server's own. viewer.")]
            #[utoipa::path(get, path = concat!("/", $path, "/{", $one, "}"), operation_id = $get, tag = $path,
                params(($one = String, Path, description = "Its name or URI, percent-encoded."), Where),
                responses((status = 200, body = Item), (status = 404, body = Problem),
                (status = 409, body = Problem, description = "several servers offer one of that name")))]
            pub(in crate::api::rest) async fn get(
                State(service): State<Service>,
                State(publisher): State<Arc<Publisher>>,
                Caller(caller): Caller,
                Path(name): Path<String>,
                Parameters(at): Parameters<Where>,
            ) -> Result<Json<Item>, Problem> {
                one(&service, &publisher, &caller, OfferKind::$kind, name, at.server).await.map(Json)
            }
        }
    };
}

kind!(tools, Tool, "ListTools", "GetTool", "tools", "tool");
kind!(prompts, Prompt, "ListPrompts", "GetPrompt", "prompts", "prompt");
kind!(resources, Resource, "ListResources", "GetResource", "resources", "resource");

async fn one(
    service: &Service,
    publisher: &Publisher,
    caller: &service::Caller,
    kind: OfferKind,
    name: String,
    server: String,
) -> Result<Item, Problem> {
    let asked =
        v1::CatalogueRequest { kind: kind.as_str().to_owned(), server, name, ..v1::CatalogueRequest::default() };
    let mut items = service.catalogue(caller, publisher.nodes(), &asked).await?.items;
    // the door of all servers has each name once; servers may share theirs
    if items.iter().any(|item| item.name == asked.name) {
        items.retain(|item| item.name == asked.name);
    }
    let shown = asked.name.escape_debug();
    let servers = items.iter().map(|item| item.server.as_str()).collect::<Vec<_>>().join(", ");
    let Some(item) = items.pop() else {
        let detail = format!("no connected node has heard of a server that offers the {} `{shown}`", kind.as_str());
        return Err(Problem::new(StatusCode::NOT_FOUND, detail));
    };
    if !items.is_empty() {
        let detail = format!("several servers offer a {} `{shown}`: {servers}; say which with `server`", kind.as_str());
        return Err(Problem::new(StatusCode::CONFLICT, detail));
    }
    Ok(item.into())
}

impl From<v1::CatalogueResponse> for Catalogue {
    fn from(found: v1::CatalogueResponse) -> Self {
        let v1::CatalogueResponse { items, total, left_out } = found;
        Self { items: items.into_iter().map(Item::from).collect(), total, left_out }
    }
}

impl From<v1::CatalogueItem> for Item {
    fn from(item: v1::CatalogueItem) -> Self {
        let v1::CatalogueItem { name, own, server, title, description, template, nodes, heard_ms } = item;
        Self { name, own, server, title, description, template, nodes, heard_ms }
    }
}
