//! The whole at a glance.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::caller::Caller;
use super::nodes::state;
use super::problem::Problem;
use crate::api::grpc::nodes as answers;
use crate::publish::Publisher;
use crate::service::Service;

/// The whole at a glance.
#[derive(Serialize, ToSchema)]
pub(super) struct Summary {
    version: &'static str,
    /// The head.
    revision: u64,
    /// How many objects there are, by kind.
    objects: BTreeMap<String, u64>,
    /// How many nodes there are, by state: `current`, `updating`, `rejected` or `stale`.
    nodes: BTreeMap<&'static str, u64>,
    offered: Offered,
    /// Servers that some connected node cannot reach.
    unavailable: BTreeSet<String>,
    /// Servers for which some connected node cannot have the credential.
    without_credential: BTreeSet<String>,
}

/// How many there are, as the connected nodes last heard.
#[derive(Default, Serialize, ToSchema)]
struct Offered {
    tools: u64,
    prompts: u64,
    resources: u64,
}

/// Version, head, and how many there are of everything. viewer.
#[utoipa::path(get, path = "/summary", operation_id = "Summary", tag = "summary",
    responses((status = 200, body = Summary)))]
pub(super) async fn summary(
    State(service): State<Service>,
    State(publisher): State<Arc<Publisher>>,
    Caller(caller): Caller,
) -> Result<Json<Summary>, Problem> {
    let (revision, shown) = service.get(&caller, "", "", 0).await?;
    let mut objects: BTreeMap<String, u64> = BTreeMap::new();
    for shown in shown {
        *objects.entry(shown.kind).or_default() += 1;
    }
    let mut nodes: BTreeMap<&'static str, u64> = BTreeMap::new();
    let (mut unavailable, mut without_credential) = (BTreeSet::new(), BTreeSet::new());
    let mut offered: BTreeMap<String, Offered> = BTreeMap::new();
    for node in answers::status(&publisher).nodes {
        *nodes.entry(state(node.state())).or_default() += 1;
        for server in node.servers.into_iter().filter(|_| node.connected) {
            if !server.available {
                unavailable.insert(server.server.clone());
            }
            if !server.credential_trouble.is_empty() {
                without_credential.insert(server.server.clone());
            }
            let most = offered.entry(server.server).or_default();
            most.tools = most.tools.max(server.tools.into());
            most.prompts = most.prompts.max(server.prompts.into());
            most.resources = most.resources.max(server.resources.into());
        }
    }
    let offered = offered.into_values().fold(Offered::default(), |sum, server| Offered {
        tools: sum.tools + server.tools,
        prompts: sum.prompts + server.prompts,
        resources: sum.resources + server.resources,
    });
    let version = env!("CARGO_PKG_VERSION");
    Ok(Json(Summary { version, revision, objects, nodes, offered, unavailable, without_credential }))
}
