//! One connection to another node: dialled, proved on both sides, and used by many exchanges at a time.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::roster::Peer;
use super::severable::Severable;
use super::{HELLO, Peers, Shown};
use crate::limit;

/// What nodes call each other in TLS, where names are asked for: who they are stands elsewhere in their certificates.
const NAME: &str = "node.sluice";

/// A connection to another node.
pub(crate) struct Line {
    /// Whom it leads to.
    pub peer: Arc<str>,
    send: RefCell<SendRequest<Full<Bytes>>>,
    pub(super) used: Cell<Instant>,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum Undialled {
    #[error("nobody is there: {0}")]
    Refused(io::Error),
    #[error("{0}")]
    Unreachable(String),
    #[error("it does not take links of this node")]
    Unwelcome,
}

/// Why an exchange has no answer.
pub(crate) enum Unsent {
    /// Nothing of it was sent.
    Whole(Box<Request<Full<Bytes>>>),
    /// It may have been taken up.
    Perhaps(hyper::Error),
}

impl Line {
    /// Dials a node, and makes sure that it is that one, and still one of the fleet.
    pub(super) async fn dial(peers: &Arc<Peers>, peer: &Peer) -> Result<Rc<Self>, Undialled> {
        let dialled = tokio::time::timeout(limit::LINK_CONNECT, Self::dial_on(peers, peer)).await;
        dialled.unwrap_or_else(|_| Err(Undialled::Unreachable("it does not answer in time".to_owned())))
    }

    async fn dial_on(peers: &Arc<Peers>, peer: &Peer) -> Result<Rc<Self>, Undialled> {
        let wrong = |what: &str| Undialled::Unreachable(what.to_owned());
        let tls = peers.tls().ok_or_else(|| wrong("this node has no certificate yet"))?;
        let stream = TcpStream::connect(&*peer.address).await.map_err(Undialled::of)?;
        let _ = stream.set_nodelay(true);
        let name = ServerName::try_from(NAME).map_err(|error| wrong(&error.to_string()))?;
        let stream = TlsConnector::from(Arc::clone(&tls.client)).connect(name, stream).await;
        let stream = stream.map_err(|error| wrong(&error.to_string()))?;
        let leaf = stream.get_ref().1.peer_certificates().and_then(<[CertificateDer<'_>]>::first);
        let shown = leaf.and_then(Shown::of).filter(|shown| *shown.node == *peer.name && peers.roster().admits(shown));
        let shown = shown.ok_or_else(|| wrong("what answers there is another node, or its certificate was revoked"))?;
        let (stream, knife) = Severable::new(stream);
        let (send, connection) = http2::Builder::new(LocalExecutor)
            .timer(TokioTimer::new())
            .initial_stream_window_size(limit::LINK_WINDOW)
            .initial_connection_window_size(limit::LINK_WINDOW * limit::LINK_STREAMS)
            .max_header_list_size(2 * limit::HEAD_BYTES as u32)
            .keep_alive_interval(limit::LINK_PING)
            .keep_alive_timeout(limit::LINK_PONG)
            .keep_alive_while_idle(true)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| wrong(&error.to_string()))?;
        let (fleet, name) = (Arc::clone(peers), Arc::clone(&peer.name));
        tokio::task::spawn_local(async move {
            tokio::select! {
                ended = connection => tracing::debug!(peer = %name, error = ?ended.err(), "a link ended"),
                () = fleet.dismissed(&shown) => {
                    knife.cut();
                    tracing::info!(peer = %name, "a link was cut: the node is not one of the fleet any more");
                }
            }
        });
        let (peer, send, used) = (Arc::clone(&peer.name), RefCell::new(send), Cell::new(Instant::now()));
        let line = Self { peer, send, used };
        if !line.is_taken().await {
            return Err(Undialled::Unwelcome);
        }
        tracing::debug!(peer = %line.peer, "linked");
        Ok(Rc::new(line))
    }

    /// Whether the other node lets this one in: in TLS, who dials does not hear of it.
    async fn is_taken(&self) -> bool {
        let Ok(request) = Request::get(Self::url(HELLO)).body(Full::default()) else { return false };
        self.ask(request).await.is_ok_and(|answer| answer.status().is_success())
    }

    /// Whether it can still be used.
    pub(super) fn is_closed(&self) -> bool {
        self.send.borrow().is_closed()
    }

    /// Sends a request; its answer is there with its head.
    ///
    /// # Errors
    /// The connection is gone.
    pub(crate) async fn ask(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, Unsent> {
        self.used.set(Instant::now());
        let mut send = self.send.borrow().clone();
        if send.ready().await.is_err() {
            return Err(Unsent::Whole(Box::new(request)));
        }
        send.try_send_request(request).await.map_err(|mut failed| match failed.take_message() {
            Some(request) => Unsent::Whole(Box::new(request)),
            None => Unsent::Perhaps(failed.into_error()),
        })
    }

    /// A request's URL at another node.
    pub(crate) fn url(path: &str) -> String {
        format!("http://{NAME}{path}")
    }
}

impl Undialled {
    fn of(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Self::Refused(error),
            _ => Self::Unreachable(error.to_string()),
        }
    }
}

/// Runs streams on the worker's own thread.
#[derive(Clone, Copy)]
struct LocalExecutor;

impl<F: Future + 'static> hyper::rt::Executor<F> for LocalExecutor {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(async move {
            future.await;
        });
    }
}
