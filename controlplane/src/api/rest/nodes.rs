//! Nodes.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use serde::Serialize;
use sluice_contract::v1;
use tokio_stream::{Stream, StreamExt};
use utoipa::ToSchema;

use super::asked::{Parameters, Path};
use super::caller::Caller;
use super::objects::When;
use super::problem::Problem;
use super::words::ConfigurationFault;
use crate::api::grpc::nodes as answers;
use crate::publish::Publisher;
use crate::service::{Operation, Service};

/// Nodes, and what they should run.
#[derive(Serialize, ToSchema)]
pub(super) struct Nodes {
    /// The head.
    revision: u64,
    nodes: Vec<Node>,
}

/// How a revision spreads.
#[derive(Serialize, ToSchema)]
struct Spread {
    revision: u64,
    nodes: Vec<Node>,
    /// Every connected node has judged it; the stream ends.
    settled: bool,
}

/// A node.
#[derive(Serialize, ToSchema)]
pub(super) struct Node {
    node: String,
    /// `current`, `updating`, `rejected` or `stale`.
    state: &'static str,
    labels: BTreeMap<String, String>,
    version: String,
    /// What it runs.
    revision: u64,
    since_ms: u64,
    connected: bool,
    seen_ms: u64,
    /// What it last refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    rejected: Option<Rejection>,
    /// What is wrong with the revision it runs all the same: that it is not kept for a restart, say.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    faults: Vec<ConfigurationFault>,
    /// Whoever may not come in any more by this revision is refused, whatever revision the node runs; 0: not known of any.
    entitled_revision: u64,
    ready: bool,
    draining: bool,
    sessions: u64,
    streams: u64,
    addresses: Vec<String>,
    /// Where it takes links of other nodes.
    #[serde(skip_serializing_if = "String::is_empty")]
    link: String,
    servers: Vec<Server>,
}

/// What a node refused, and why.
#[derive(Serialize, ToSchema)]
pub(super) struct Rejection {
    revision: u64,
    at_ms: u64,
    faults: Vec<ConfigurationFault>,
}

/// A server, as a node sees it.
#[derive(Serialize, ToSchema)]
pub(super) struct Server {
    server: String,
    available: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    reason: String,
    transport: String,
    era: String,
    tools: u32,
    prompts: u32,
    resources: u32,
    /// Where it runs in several places: how many.
    endpoints: u32,
    /// How many of these are out of service.
    endpoints_out: u32,
    /// Why what it is shown to let the node in cannot be had, and since when.
    #[serde(skip_serializing_if = "Option::is_none")]
    credential: Option<CredentialTrouble>,
}

/// A credential cannot be had.
#[derive(Serialize, ToSchema)]
pub(super) struct CredentialTrouble {
    trouble: String,
    since_ms: u64,
}

impl CredentialTrouble {
    /// What is wrong with the credential of a server on a node; `None`: nothing.
    pub(super) fn of(server: &v1::ServerStatus) -> Option<Self> {
        let (trouble, since_ms) = (server.credential_trouble.clone(), server.credential_since_ms);
        (!trouble.is_empty()).then_some(Self { trouble, since_ms })
    }
}

/// Nodes, what they run, and what they last refused. viewer.
#[utoipa::path(get, path = "/nodes", operation_id = "Status", tag = "nodes", responses((status = 200, body = Nodes)))]
pub(super) async fn status(
    State(service): State<Service>,
    State(publisher): State<Arc<Publisher>>,
    Caller(caller): Caller,
) -> Result<Json<Nodes>, Problem> {
    service.allow(&caller, Operation::Status).await?;
    let v1::StatusResponse { revision, nodes, .. } = answers::status(&publisher);
    Ok(Json(Nodes { revision, nodes: nodes.into_iter().map(Node::from).collect() }))
}

/// Tells how a revision spreads, an event for each change, until every connected node has judged it. viewer.
#[utoipa::path(get, path = "/nodes/watch", operation_id = "Watch", tag = "nodes", params(When),
    responses((status = 200, description = "events whose data is JSON: `revision`, `nodes`, `settled`",
    content_type = "text/event-stream", body = String)))]
pub(super) async fn watch(
    State(service): State<Service>,
    State(publisher): State<Arc<Publisher>>,
    Caller(caller): Caller,
    Parameters(when): Parameters<When>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    service.allow(&caller, Operation::Watch).await?;
    let told = answers::watch(publisher, when.revision).filter_map(Result::ok).map(|answer| {
        let v1::WatchResponse { revision, nodes, settled } = answer;
        let spread = Spread { revision, nodes: nodes.into_iter().map(Node::from).collect(), settled };
        Ok(Event::default().json_data(spread).unwrap_or_default())
    });
    Ok(Sse::new(told).keep_alive(KeepAlive::default()))
}

/// Forgets a node and refuses its certificates. admin.
#[utoipa::path(delete, path = "/nodes/{node}", operation_id = "RevokeNode", tag = "nodes",
    params(("node" = String, Path, description = "The name of the node.", example = "edge-1")),
    responses((status = 204, description = "The node is forgotten."),
    (status = 404, description = "No node is known by that name. Certificates of that name are refused all the same.", body = Problem)))]
pub(super) async fn revoke(
    State(service): State<Service>,
    State(publisher): State<Arc<Publisher>>,
    Caller(caller): Caller,
    Path(node): Path<String>,
) -> Result<axum::http::StatusCode, Problem> {
    service.revoke_node(&caller, publisher.nodes(), &node).await?;
    Ok(axum::http::StatusCode::NO_CONTENT)
}

impl Rejection {
    /// The last refusal of a node; `None`: there was none.
    pub(super) fn of(revision: u64, at_ms: u64, faults: Vec<v1::ConfigurationFault>) -> Option<Self> {
        let faults = faults.into_iter().map(ConfigurationFault::from);
        (revision > 0).then(|| Self { revision, at_ms, faults: faults.collect() })
    }
}

/// How a node is, in a word.
pub(super) fn state(state: v1::NodeState) -> &'static str {
    match state {
        v1::NodeState::Current => "current",
        v1::NodeState::Updating => "updating",
        v1::NodeState::Rejected => "rejected",
        v1::NodeState::Stale => "stale",
        v1::NodeState::Unspecified => "unknown",
    }
}

impl From<v1::NodeStatus> for Node {
    fn from(mut status: v1::NodeStatus) -> Self {
        let state = state(status.state());
        let faults = std::mem::take(&mut status.rejected);
        let rejected = Rejection::of(status.rejected_revision, status.rejected_ms, faults);
        let server = |server: v1::ServerStatus| Server {
            credential: CredentialTrouble::of(&server),
            server: server.server,
            available: server.available,
            reason: server.reason,
            transport: server.transport,
            era: server.era,
            tools: server.tools,
            prompts: server.prompts,
            resources: server.resources,
            endpoints: server.endpoints,
            endpoints_out: server.endpoints_out,
        };
        Self {
            node: status.node,
            state,
            labels: status.labels.into_iter().collect(),
            version: status.version,
            revision: status.revision,
            since_ms: status.since_ms,
            connected: status.connected,
            seen_ms: status.seen_ms,
            rejected,
            faults: status.faults.into_iter().map(ConfigurationFault::from).collect(),
            entitled_revision: status.entitled_revision,
            ready: status.ready,
            draining: status.draining,
            sessions: status.sessions,
            streams: status.streams,
            addresses: status.addresses,
            link: status.link,
            servers: status.servers.into_iter().map(server).collect(),
        }
    }
}
