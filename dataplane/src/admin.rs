//! The admin listener: liveness, readiness, metrics, the configuration in force, how its servers are, sessions, drain. Serves loopback peers only, beside
//! `/healthz` and `/readyz`, which are open.

mod sessions;

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use sluice_contract::v1;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::drain::Phase;
use crate::limit;
use crate::listen::door::render_metrics;
use crate::node::Node;

/// Serves until the process ends.
///
/// `stage` has the node once it has a configuration to serve by; until then `trouble` says why there is none.
pub(crate) async fn serve(
    stage: watch::Receiver<Option<Arc<Node>>>,
    trouble: watch::Receiver<String>,
    listener: std::net::TcpListener,
) {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "cannot use the admin socket"),
    };
    loop {
        let Ok((stream, peer)) = listener.accept().await else {
            tokio::time::sleep(limit::SWEEP).await;
            continue;
        };
        let (stage, trouble) = (stage.clone(), trouble.clone());
        tokio::spawn(async move {
            let service = service_fn(|request: Request<Incoming>| {
                let node = stage.borrow().clone();
                let trouble = trouble.borrow().clone();
                async move {
                    Ok::<_, Infallible>(match node {
                        Some(node) if sessions::concern(&request) => sessions::answer(&node, peer.ip(), request).await,
                        Some(node) => answer(&node, peer.ip(), &request),
                        None => not_ready(&trouble, &request),
                    })
                }
            });
            let _ = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(limit::HEAD_READ)
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

fn answer(node: &Node, peer: IpAddr, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let serving = node.drain.phase() == Phase::Serving;
    let local = is_local(peer, request);
    match (request.method(), request.uri().path()) {
        (&Method::GET, "/healthz") => text(StatusCode::OK, "ok\n".into()),
        (&Method::GET, "/readyz") if serving => {
            let plane = node.planes.borrow();
            let (revision, generation) = (plane.snapshot.revision, plane.generation);
            text(StatusCode::OK, format!("ready\nrevision: {revision}\ngeneration: {generation}\n"))
        }
        (&Method::GET, "/readyz") => text(StatusCode::SERVICE_UNAVAILABLE, "draining\n".into()),
        (_, "/metrics" | "/config" | "/servers" | "/offered" | "/drain") if !local => {
            text(StatusCode::FORBIDDEN, "only from a loopback address\n".into())
        }
        (&Method::GET, "/metrics") => {
            let plane = Arc::clone(&node.planes.borrow());
            typed("text/plain; version=0.0.4; charset=utf-8", render_metrics(node, &plane))
        }
        (&Method::GET, "/config") => {
            let plane = Arc::clone(&node.planes.borrow());
            typed("application/json", format!("{:#}\n", plane.redacted()))
        }
        (&Method::GET, "/servers") => {
            let plane = Arc::clone(&node.planes.borrow());
            let servers: Vec<_> = plane.servers().map(|upstream| upstream.shown()).collect();
            typed("application/json", format!("{:#}\n", serde_json::json!({ "servers": servers })))
        }
        (&Method::GET, "/offered") => {
            let plane = Arc::clone(&node.planes.borrow());
            let servers: Vec<_> = plane.servers().filter_map(|upstream| upstream.inventory()).map(offered).collect();
            typed("application/json", format!("{:#}\n", serde_json::json!({ "servers": servers })))
        }
        (&Method::POST, "/drain") => {
            node.drain.enter(Phase::Leaving);
            text(StatusCode::ACCEPTED, "draining\n".into())
        }
        (_, "/healthz" | "/readyz" | "/metrics" | "/config" | "/servers" | "/offered" | "/drain") => {
            text(StatusCode::METHOD_NOT_ALLOWED, "wrong method: /drain takes POST, the others GET\n".into())
        }
        _ => {
            let pages = "try /healthz, /readyz, /metrics, /config, /servers, /offered, /sessions or POST /drain\n";
            text(StatusCode::NOT_FOUND, pages.into())
        }
    }
}

/// What a server offers, as it was last listed.
fn offered(inventory: v1::Inventory) -> serde_json::Value {
    let items = |items: Vec<v1::InventoryItem>| {
        let item = |item: v1::InventoryItem| serde_json::json!({ "name": item.name, "own": item.own, "title": item.title, "description": item.description });
        items.into_iter().map(item).collect::<Vec<_>>()
    };
    serde_json::json!({
        "server": inventory.server,
        "tools": items(inventory.tools),
        "prompts": items(inventory.prompts),
        "resources": items(inventory.resources),
        "templates": items(inventory.templates),
        "left_out": inventory.left_out,
    })
}

/// What a process answers that has nothing to serve yet.
fn not_ready(trouble: &str, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    match (request.method(), request.uri().path()) {
        (&Method::GET, "/healthz") => text(StatusCode::OK, "ok\n".into()),
        _ => text(StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {trouble}\n")),
    }
}

/// Whether a request comes from this machine, and not by way of a page in a browser.
fn is_local(peer: IpAddr, request: &Request<Incoming>) -> bool {
    peer.to_canonical().is_loopback() && is_local_host(request)
}

/// A page in a browser must not reach the admin port by a name that points to this machine.
fn is_local_host(request: &Request<Incoming>) -> bool {
    let host = request.headers().get(http::header::HOST).and_then(|h| h.to_str().ok()).unwrap_or_default();
    let name = host
        .strip_prefix('[')
        .and_then(|h| h.split_once(']'))
        .map_or_else(|| host.split(':').next().unwrap_or_default(), |(name, _)| name);
    let loopback = name.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback());
    (name.eq_ignore_ascii_case("localhost") || loopback) && !request.headers().contains_key(http::header::ORIGIN)
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = typed("text/plain; charset=utf-8", body);
    *response.status_mut() = status;
    response
}

fn typed(kind: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
