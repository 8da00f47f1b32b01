//! The demo server on streamable HTTP, at `/mcp`: sessions for legacy clients, none for modern ones.
//!
//! The SDK has no 2024-11-05 transport (`/sse` + `/messages`) and no WebSocket, so neither has this server. It sends
//! a legacy client's log messages on the session's GET stream, never on the stream of the call they come from.

use std::{convert::Infallible, io, net::SocketAddr, time::Duration};

use http_body_util::{BodyExt as _, Full, combinators::BoxBody};
use hyper::{Request, Response, StatusCode, body::Bytes, body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use rmcp::transport::streamable_http_server::{
    StreamableHttpServerConfig, StreamableHttpService, session::local::LocalSessionManager,
};
use tokio::net::TcpListener;

use super::{connection::Connection, demo::Demo};

/// Waited after a failed accept (out of file descriptors, say), so that it is not a busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

type Service = StreamableHttpService<Connection, LocalSessionManager>;

/// Listens on `address` and serves until the process is told to stop; open streams end with it.
pub(super) async fn serve(demo: Demo, address: SocketAddr) -> io::Result<()> {
    let listener = TcpListener::bind(address)
        .await
        .map_err(|e| io::Error::new(e.kind(), format!("cannot listen on {address} (--listen): {e}")))?;
    let address = listener.local_addr()?;
    eprintln!("demo server on http://{address}/mcp");
    if !address.ip().is_loopback() {
        eprintln!("warning: whoever can reach {address} can use this server");
    }
    tokio::select! {
        () = accept(listener, service(demo, address)) => Ok(()),
        stopped = stop() => stopped,
    }
}

/// The MCP endpoint without a socket.
pub(super) fn service(demo: Demo, address: SocketAddr) -> Service {
    let config = StreamableHttpServerConfig::default();
    let config = if address.ip().is_loopback() {
        // A web page elsewhere must not reach a server that is meant for this machine (DNS rebinding). The SDK knows two
        // addresses of loopback, which has more.
        let own = address.ip().to_string();
        let hosts = config.allowed_hosts.iter().cloned().chain([own]).collect::<Vec<_>>();
        config.with_allowed_hosts(hosts).with_allowed_origins([
            "http://localhost:*",
            "http://127.0.0.1:*",
            "http://[::1]:*",
        ])
    } else {
        config.disable_allowed_hosts()
    };
    StreamableHttpService::new(move || Ok(demo.connect()), LocalSessionManager::default().into(), config)
}

/// Serves every connection in a task of its own, for ever.
pub(super) async fn accept(listener: TcpListener, service: Service) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        // Small messages in both directions; waiting to fill a packet only delays them.
        let _ = stream.set_nodelay(true);
        let service = service.clone();
        tokio::spawn(async move {
            let respond = service_fn(|request| respond(service.clone(), request));
            // What goes wrong with one connection is its client's to notice.
            let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), respond).await;
        });
    }
}

async fn respond(
    service: Service,
    request: Request<Incoming>,
) -> Result<Response<BoxBody<Bytes, Infallible>>, Infallible> {
    match request.uri().path() {
        "/mcp" | "/mcp/" => Ok(service.handle(request).await),
        _ => {
            let mut response = Response::new(Full::from("MCP is served at /mcp\n").boxed());
            *response.status_mut() = StatusCode::NOT_FOUND;
            Ok(response)
        }
    }
}

/// Waits for Ctrl-C or, where there is such a thing, the polite kill.
async fn stop() -> io::Result<()> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminated = signal(SignalKind::terminate())?;
        tokio::select! {
            interrupted = tokio::signal::ctrl_c() => interrupted,
            _ = terminated.recv() => Ok(()),
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await
}
