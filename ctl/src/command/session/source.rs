//! Who is asked about sessions: a control plane, or a gateway that has none.

use std::net::SocketAddr;

use serde_json::{Value, json};
use sluice_contract::v1::{
    EndSessionsRequest, EndSessionsResponse, ListSessionsRequest, ListSessionsResponse, Session,
};

use crate::client::{Connection, ControlPlane};
use crate::gateway::ask;
use crate::output::Failure;

/// Either.
pub(super) enum Source {
    ControlPlane(Box<Connection>),
    Gateway(SocketAddr),
}

impl Source {
    /// The gateway that was named, else the control plane that is meant, else the usual gateway.
    pub(super) fn of(admin: Option<SocketAddr>, control_plane: &ControlPlane) -> Result<Self, Failure> {
        if let Some(admin) = admin {
            return Ok(Self::Gateway(admin));
        }
        let connection = control_plane.connect_if_meant()?;
        Ok(connection.map_or(Self::Gateway(sluice_dataplane::ADMIN), |it| Self::ControlPlane(Box::new(it))))
    }

    pub(super) fn list(&mut self, which: ListSessionsRequest) -> Result<ListSessionsResponse, Failure> {
        let admin = match self {
            Self::ControlPlane(connection) => return connection.ask(async |admin| admin.list_sessions(which).await),
            Self::Gateway(admin) => *admin,
        };
        let ListSessionsRequest { principal, server, limit, after } = which;
        let body = json!({ "principal": principal, "server": server, "limit": limit, "after": after });
        let page = ask(admin, "/sessions", Some(&body))?;
        let sessions = page["sessions"].as_array().into_iter().flatten().map(session).collect();
        Ok(ListSessionsResponse { sessions, next: text(&page["next"]), trouble: texts(&page["trouble"]) })
    }

    pub(super) fn end(&mut self, which: EndSessionsRequest) -> Result<EndSessionsResponse, Failure> {
        let admin = match self {
            Self::ControlPlane(connection) => return connection.ask(async |admin| admin.end_sessions(which).await),
            Self::Gateway(admin) => *admin,
        };
        let body = json!({ "sessions": which.sessions, "principal": which.principal });
        let answer = ask(admin, "/sessions/end", Some(&body))?;
        let ended = answer["ended"].as_u64().and_then(|ended| u32::try_from(ended).ok()).unwrap_or_default();
        Ok(EndSessionsResponse { ended, trouble: texts(&answer["trouble"]) })
    }
}

fn session(told: &Value) -> Session {
    let milliseconds = |key: &str| told[key].as_u64().unwrap_or_default();
    Session {
        session: text(&told["session"]),
        principal: text(&told["principal"]),
        client: text(&told["client"]),
        client_version: text(&told["client_version"]),
        protocol_version: text(&told["protocol_version"]),
        servers: texts(&told["servers"]),
        merged: told["merged"] == true,
        created_ms: milliseconds("created_ms"),
        used_ms: milliseconds("used_ms"),
        nodes: texts(&told["nodes"]),
        store: text(&told["store"]),
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn texts(values: &Value) -> Vec<String> {
    values.as_array().into_iter().flatten().map(text).collect()
}
