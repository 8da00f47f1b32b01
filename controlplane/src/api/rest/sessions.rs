//! Sessions of legacy clients.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use sluice_contract::v1;
use utoipa::{IntoParams, ToSchema};

use super::asked::{Body, Parameters};
use super::caller::Caller;
use super::problem::Problem;
use crate::publish::Publisher;
use crate::service::Service;

/// Sessions, in the order of their ids.
#[derive(Serialize, ToSchema)]
pub(super) struct Sessions {
    sessions: Vec<Session>,
    /// There may be more after this id; empty: there are none. A page may be short, or empty, and not be the last.
    next: String,
    /// What could not be looked through, and why.
    trouble: Vec<String>,
}

/// A session.
#[derive(Serialize, ToSchema)]
struct Session {
    /// 32 hexadecimal digits. What a client shows is sealed, and cannot be made of it.
    session: String,
    /// `client:NAME`, `jwt:ISSUER:SUBJECT`, `certificate:NAME`, `local` or `anonymous`.
    principal: String,
    /// What the client calls itself.
    client: String,
    client_version: String,
    protocol_version: String,
    /// Servers it has a session with.
    servers: Vec<String>,
    /// It is one of the door of all servers.
    merged: bool,
    created_ms: u64,
    /// As far as it is noted; exact where it was used on a node that answers.
    used_ms: u64,
    /// Nodes on which a stream or request of it is open now.
    nodes: Vec<String>,
    /// `memory`, `sqlite` or `redis`.
    store: String,
}

/// Which sessions.
#[derive(Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// Default: everybody's.
    principal: String,
    /// Default: of all servers.
    server: String,
    /// At most so many, and not more than 1,000; 0: 100.
    limit: u32,
    /// Only those after this id.
    after: String,
}

/// Which sessions are to be over: these, or all of a principal.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct End {
    #[serde(default)]
    sessions: Vec<String>,
    #[serde(default)]
    principal: String,
}

/// What became of it.
#[derive(Serialize, ToSchema)]
pub(super) struct Ended {
    ended: u32,
    /// What could not be reached, and why: a session there may go on.
    trouble: Vec<String>,
}

/// Sessions of legacy clients on all nodes. viewer.
#[utoipa::path(get, path = "/sessions", operation_id = "ListSessions", tag = "sessions", params(Which),
    responses((status = 200, body = Sessions), (status = 400, body = Problem)))]
pub(super) async fn list(
    State(service): State<Service>,
    State(publisher): State<Arc<Publisher>>,
    Caller(caller): Caller,
    Parameters(Which { principal, server, limit, after }): Parameters<Which>,
) -> Result<Json<Sessions>, Problem> {
    let which = v1::ListSessionsRequest { principal, server, limit, after };
    Ok(Json(service.list_sessions(&caller, publisher.nodes(), &which).await?.into()))
}

/// Ends sessions everywhere, towards their servers, too. editor.
#[utoipa::path(post, path = "/sessions/end", operation_id = "EndSessions", tag = "sessions",
    request_body(content = End, example = json!({"sessions": ["5f0c2a9be47d11220000a1b2c3d4e5f6"]})),
    responses((status = 200, body = Ended), (status = 400, body = Problem)))]
pub(super) async fn end(
    State(service): State<Service>,
    State(publisher): State<Arc<Publisher>>,
    Caller(caller): Caller,
    Body(End { sessions, principal }): Body<End>,
) -> Result<Json<Ended>, Problem> {
    let which = v1::EndSessionsRequest { sessions, principal, begun_by_ms: 0 };
    let v1::EndSessionsResponse { ended, trouble } = service.end_sessions(&caller, publisher.nodes(), &which).await?;
    Ok(Json(Ended { ended, trouble }))
}

impl From<v1::ListSessionsResponse> for Sessions {
    fn from(found: v1::ListSessionsResponse) -> Self {
        let v1::ListSessionsResponse { sessions, next, trouble } = found;
        Self { sessions: sessions.into_iter().map(Session::from).collect(), next, trouble }
    }
}

impl From<v1::Session> for Session {
    fn from(told: v1::Session) -> Self {
        let v1::Session {
            session,
            principal,
            client,
            client_version,
            protocol_version,
            servers,
            merged,
            created_ms,
            used_ms,
            nodes,
            store,
        } = told;
        Self {
            session,
            principal,
            client,
            client_version,
            protocol_version,
            servers,
            merged,
            created_ms,
            used_ms,
            nodes,
            store,
        }
    }
}
