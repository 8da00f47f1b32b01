//! The HTTP listener: accepts, speaks TLS where configured, and serves HTTP/1.1 or HTTP/2 on each connection; what an
//! HTTP/1.1 connection becomes by an upgrade is served in its place.

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::body::Body;
use super::connection::{Connection, Connections, Watched};
use super::door::{self, House, Peer};
use super::websocket::{self, Upgrade};
use crate::drain::Phase;
use crate::limit;

/// One worker's share of one listening socket.
pub(crate) struct Listener {
    pub socket: TcpListener,
    pub address: SocketAddr,
    pub tls: Option<Arc<rustls::ServerConfig>>,
}

/// Accepts until the node closes its listeners, then lets connections finish.
pub(crate) async fn accept(house: Rc<House>, connections: Rc<Connections>, listener: Listener) {
    let drain = house.worker.node.drain.clone();
    let mut closing = Box::pin(async move { drain.reached(Phase::Closing).await });
    loop {
        let accepted = tokio::select! {
            () = &mut closing => break,
            () = connections.freed.notified(), if connections.is_full() => continue,
            accepted = listener.socket.accept(), if !connections.is_full() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let peer = Peer {
                    address: peer.ip(),
                    loopback: listener.address.ip().to_canonical().is_loopback(),
                    tls: listener.tls.is_some(),
                };
                tokio::task::spawn_local(serve(
                    Rc::clone(&house),
                    Rc::clone(&connections),
                    stream,
                    peer,
                    listener.tls.clone(),
                ));
            }
            Err(error) => {
                // out of descriptors: those that are open go on, and some will end
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    drop(listener);
    connections.close_all();
}

async fn serve(
    house: Rc<House>,
    connections: Rc<Connections>,
    stream: TcpStream,
    peer: Peer,
    tls: Option<Arc<rustls::ServerConfig>>,
) {
    let _counted = house.worker.node.metrics.connections.enter();
    let _open = house.worker.node.drain.open();
    let _ = stream.set_nodelay(true);
    let (id, connection) = connections.add();
    match tls {
        None => {
            let first = tokio::select! {
                h2 = tokio::time::timeout(limit::HEAD_READ, is_http2(&stream)) => h2.ok(),
                () = connection.cut.notified() => None,
            };
            // nothing came in time, or nothing more is taken
            if let Some(h2) = first {
                let io = Watched { io: stream, connection: Rc::clone(&connection) };
                speak(house, io, connection, peer, h2).await;
            }
        }
        Some(config) => {
            let watched = Watched { io: stream, connection: Rc::clone(&connection) };
            let handshake = TlsAcceptor::from(config).accept(watched);
            match tokio::time::timeout(limit::TLS_HANDSHAKE, handshake).await {
                Ok(Ok(stream)) => {
                    let h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                    speak(house, stream, connection, peer, h2).await;
                }
                Ok(Err(error)) => tracing::debug!(%error, "TLS handshake failed"),
                Err(_) => tracing::debug!("TLS handshake took too long"),
            }
        }
    }
    connections.remove(id);
}

/// HTTP/2 with prior knowledge begins with its preface; `P` alone may still become `POST`.
async fn is_http2(stream: &TcpStream) -> bool {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0";
    let mut start = [0; PREFACE.len()];
    let mut seen = 0;
    loop {
        match stream.peek(&mut start).await {
            Ok(0) | Err(_) => return false,
            Ok(n) if start[..n] != PREFACE[..n] => return false,
            Ok(n) if n == PREFACE.len() => return true,
            // peek is ready at once while bytes wait: only look again when there are more
            Ok(n) if n == seen => tokio::time::sleep(Duration::from_millis(5)).await,
            Ok(n) => seen = n,
        }
    }
}

async fn speak<I>(house: Rc<House>, io: I, connection: Rc<Connection>, peer: Peer, h2: bool)
where
    I: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let upgrade = Rc::new(RefCell::new(None));
    let service = {
        let (connection, upgrade) = (Rc::clone(&connection), Rc::clone(&upgrade));
        // a future of some KB: boxed it is moved once, and a connection that idles keeps no room for it
        service_fn(move |request: Request<Incoming>| {
            Box::pin(answer(Rc::clone(&house), Rc::clone(&connection), Rc::clone(&upgrade), peer, request))
        })
    };
    let io = TokioIo::new(io);
    let result = if h2 {
        connection.is_multiplexed();
        let served = http2::Builder::new(LocalExecutor)
            .timer(TokioTimer::new())
            .max_concurrent_streams(limit::H2_STREAMS)
            .max_header_list_size(limit::HEAD_BYTES as u32)
            .keep_alive_interval(limit::KEEP_ALIVE)
            .keep_alive_timeout(limit::HEAD_READ)
            .serve_connection(io, service);
        let mut served = std::pin::pin!(served);
        loop {
            tokio::select! {
                result = served.as_mut() => break result,
                () = connection.cut.notified() => break Ok(()),
                () = connection.close.notified() => served.as_mut().graceful_shutdown(),
            }
        }
    } else {
        let mut served = http1::Builder::new()
            .max_headers(limit::HEADERS)
            .max_buf_size(limit::HEAD_BYTES)
            .serve_connection(io, service);
        let result = loop {
            tokio::select! {
                // not shut down here: the socket may go on as something else
                result = poll_fn(|cx| served.poll_without_shutdown(cx)) => break result,
                () = connection.cut.notified() => return,
                () = connection.close.notified() => std::pin::Pin::new(&mut served).graceful_shutdown(),
            }
        };
        if result.is_ok() {
            let parts = served.into_parts();
            let mut io = parts.io.into_inner();
            match upgrade.take() {
                Some(upgrade) => websocket::serve(upgrade, io, parts.read_buf, &connection).await,
                None => tokio::select! {
                    _ = io.shutdown() => {}
                    () = connection.cut.notified() => {}
                },
            }
        }
        result
    };
    if let Err(error) = result {
        tracing::debug!(%error, "client connection ended");
    }
}

async fn answer(
    house: Rc<House>,
    connection: Rc<Connection>,
    upgrade: Rc<RefCell<Option<Upgrade>>>,
    peer: Peer,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let busy = connection.begin();
    let mut answer = door::answer(&house, peer, request).await;
    answer.response.body_mut().keep(busy);
    if answer.upgrade.is_some() {
        upgrade.replace(answer.upgrade);
    }
    Ok(answer.response)
}

/// Runs HTTP/2 streams on the worker's own thread.
#[derive(Clone, Copy)]
struct LocalExecutor;

impl<F: Future + 'static> hyper::rt::Executor<F> for LocalExecutor {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(async move {
            future.await;
        });
    }
}
