//! Sessions on the admin port: listed and ended where there is no control plane to ask.
//!
//! `GET /sessions`: the first page of all. `POST /sessions` with `principal`, `server`, `limit` and `after`, all optional, in a
//! JSON object: any page. `POST /sessions/end` with `sessions` or `principal`.

use std::net::IpAddr;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use serde_json::{Value, json};
use sluice_contract::v1;

use super::{is_local, text, typed};
use crate::exchange;
use crate::limit;
use crate::node::Node;

const LIST: &str = "/sessions";
const END: &str = "/sessions/end";

/// Whether a request is for these pages.
pub(super) fn concern(request: &Request<Incoming>) -> bool {
    matches!(request.uri().path(), LIST | END)
}

/// Answers it.
pub(super) async fn answer(node: &Node, peer: IpAddr, request: Request<Incoming>) -> Response<Full<Bytes>> {
    if !is_local(peer, &request) {
        return text(StatusCode::FORBIDDEN, "only from a loopback address\n".into());
    }
    let (head, body) = request.into_parts();
    let asked = match head.method {
        Method::GET if head.uri.path() == LIST => json!({}),
        Method::POST => match Limited::new(body, limit::ADMIN_BYTES).collect().await {
            Ok(body) => serde_json::from_slice(&body.to_bytes()).unwrap_or_default(),
            Err(_) => Value::Null,
        },
        _ => return text(StatusCode::METHOD_NOT_ALLOWED, "wrong method: /sessions/end takes POST\n".into()),
    };
    if !asked.is_object() {
        return text(StatusCode::BAD_REQUEST, "the body is to be a JSON object\n".into());
    }
    let word = |key: &str| asked[key].as_str().unwrap_or_default().to_owned();
    let page = match head.uri.path() {
        LIST => {
            let limit = asked["limit"].as_u64().and_then(|limit| u32::try_from(limit).ok()).unwrap_or_default();
            let (principal, server, after) = (word("principal"), word("server"), word("after"));
            let which = v1::ListSessionsRequest { principal, server, limit, after };
            listed(exchange::list_sessions(node, &which, true).await)
        }
        _ => {
            let ids = asked["sessions"].as_array().into_iter().flatten();
            let sessions = ids.filter_map(Value::as_str).map(str::to_owned).collect();
            let which = v1::EndSessionsRequest { sessions, principal: word("principal"), begun_by_ms: 0 };
            let v1::EndSessionsResponse { ended, trouble } = exchange::end_sessions_for(node, &which, true).await;
            json!({ "ended": ended, "trouble": trouble })
        }
    };
    typed("application/json", format!("{page:#}\n"))
}

fn listed(found: v1::ListSessionsResponse) -> Value {
    let v1::ListSessionsResponse { sessions, next, trouble } = found;
    json!({ "sessions": sessions.into_iter().map(value).collect::<Vec<_>>(), "next": next, "trouble": trouble })
}

fn value(session: v1::Session) -> Value {
    json!({
        "session": session.session,
        "principal": session.principal,
        "client": session.client,
        "client_version": session.client_version,
        "protocol_version": session.protocol_version,
        "servers": session.servers,
        "merged": session.merged,
        "created_ms": session.created_ms,
        "used_ms": session.used_ms,
        "nodes": session.nodes,
        "store": session.store,
    })
}
