//! HTTP on the connections of a door, within bounds.

use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming as Sent;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tower::ServiceExt as _;

use super::calls::Calls;
use super::{Incoming, Welcomed};

/// How long a connection stays on which nothing is asked: as long as somebody reads a page; its place is then another's.
const IDLE: Duration = Duration::from_secs(30);
/// How long the head of a request may take, and with HTTP/1.1 the pause before it.
const HEAD: Duration = IDLE;
/// How often a client of HTTP/2 that says nothing is asked whether it is there, and how long it may take to answer: a half-open
/// connection is noticed within 20 s.
const PING: Duration = Duration::from_secs(10);
/// See [`PING`]. As long a client has to go that is told to.
const PONG: Duration = Duration::from_secs(8);
/// Bytes of a head: a token and the context of a trace take less than one in ten.
const HEAD_BYTES: u16 = 32 << 10;
/// Requests at a time on a connection of HTTP/2: what a page loads at once, and little to have under way for one who sends heads only.
const STREAMS: u32 = 64;

/// How long a connection stays when the process ends, once nothing is under way on it: the last bytes of an answer are on their way.
const PARTING: Duration = Duration::from_millis(200);

/// HTTP/1.1 or HTTP/2, whichever a client begins with: one that begins with the wrong one can be told so.
fn http() -> Builder<TokioExecutor> {
    let mut http = Builder::new(TokioExecutor::new());
    http.http1().timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(HEAD_BYTES.into());
    let mut second = http.http2();
    second.timer(TokioTimer::new()).keep_alive_interval(PING).keep_alive_timeout(PONG);
    second.max_header_list_size(HEAD_BYTES.into()).max_concurrent_streams(STREAMS);
    http
}

/// Serves what comes in, each request with the [`super::Peer`] that sent it, until it is told to stop; then lets requests end.
pub async fn serve(mut incoming: Incoming, routes: Router, until: impl Future<Output = ()>) {
    let http = http();
    let (stop, stopping) = watch::channel(false);
    let mut open = JoinSet::new();
    let mut until = pin!(until);
    loop {
        tokio::select! {
            () = &mut until => break,
            Some(_) = open.join_next() => {}
            Some(welcomed) = incoming.next() => {
                open.spawn(speak(http.clone(), welcomed, routes.clone(), stopping.clone()));
            }
        }
    }
    drop(incoming);
    stop.send_replace(true);
    while open.join_next().await.is_some() {}
}

async fn speak(http: Builder<TokioExecutor>, welcomed: Welcomed, routes: Router, stopping: watch::Receiver<bool>) {
    let Welcomed { connection, place } = welcomed;
    let (peer, calls) = (connection.peer().clone(), Calls::default());
    let address = peer.address;
    let answer = |request: Request<Sent>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(peer.clone());
        let (call, routes) = (calls.begin(), routes.clone());
        async move {
            let response = routes.oneshot(request).await?;
            Ok::<_, Infallible>(response.map(|body| call.answer(body)))
        }
    };
    let mut spoken = pin!(http.serve_connection(TokioIo::new(connection), service_fn(answer)));
    let ended = tokio::select! {
        ended = &mut spoken => Some(ended),
        () = calls.idle(IDLE) => {
            spoken.as_mut().graceful_shutdown();
            tokio::time::timeout(PONG, spoken).await.ok()
        }
        () = told(stopping) => {
            spoken.as_mut().graceful_shutdown();
            tokio::select! {
                ended = &mut spoken => Some(ended),
                // it has been told, and there is nothing to wait for
                () = calls.idle(PARTING) => None,
            }
        }
    };
    match ended {
        Some(Ok(())) => {}
        Some(Err(error)) => tracing::debug!(%address, %error, "a connection ended"),
        None => tracing::debug!(%address, "a connection on which nothing was under way was closed"),
    }
    drop(place);
}

async fn told(mut stopping: watch::Receiver<bool>) {
    // an error is that the server is gone
    let _ = stopping.wait_for(|stopping| *stopping).await;
}
