//! The door for other nodes: exchanges of sessions and streams that are held here and came in there. Only nodes of the fleet get
//! through, by their certificates; whom they vouch for is believed to be who they say, and judged by this node's configuration.

use std::cell::Cell;
use std::convert::Infallible;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::StatusCode;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls_pki_types::CertificateDer;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::body::Body;
use super::door::{self, House};
use super::http2::{LocalExecutor, given, taken};
use super::path::{self, Door, Path};
use super::request::Request;
use super::response::{Response, refused};
use super::sse;
use crate::auth::shares::Via;
use crate::drain::Open;
use crate::exchange::record::Record;
use crate::limit;
use crate::peer::{HELLO, SCOPES, Shown, VOUCHER};
use crate::reason::Reason;

/// Accepts links, as long as the node lives: what is held here is reached until it is let go.
pub(crate) async fn accept(house: Rc<House>, socket: TcpListener) {
    let open = Rc::new(Cell::new(0_usize));
    loop {
        let accepted = tokio::select! {
            accepted = socket.accept() => accepted,
            // they come to the process that has the place of this one
            () = house.worker.node.drain.successor() => return,
        };
        let (stream, from) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a link");
                tokio::time::sleep(limit::SWEEP).await;
                continue;
            }
        };
        if open.get() >= limit::LINKS_TAKEN {
            tracing::warn!(%from, limit = limit::LINKS_TAKEN, "a link is closed: no place is left");
            continue;
        }
        let place = Place::take(&open);
        let house = Rc::clone(&house);
        tokio::task::spawn_local(async move {
            if let Err(cause) = serve(house, stream).await {
                tracing::warn!(%from, cause, "a link was refused");
            }
            drop(place);
        });
    }
}

/// A link's place among those of a worker.
struct Place(Rc<Cell<usize>>);

impl Place {
    fn take(open: &Rc<Cell<usize>>) -> Self {
        open.set(open.get() + 1);
        Self(Rc::clone(open))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// Serves a link to its end, or until the node at its other end is no longer one of the fleet.
async fn serve(house: Rc<House>, stream: TcpStream) -> Result<(), String> {
    let peers = Arc::clone(&house.worker.node.peers);
    let tls = peers.tls().ok_or("this node has no certificate yet")?;
    let _ = stream.set_nodelay(true);
    let handshake = TlsAcceptor::from(Arc::clone(&tls.server)).accept(stream);
    let handshake = tokio::time::timeout(limit::TLS_HANDSHAKE, handshake).await;
    let stream = handshake.map_err(|_| "its handshake took too long")?.map_err(|error| error.to_string())?;
    let leaf = stream.get_ref().1.peer_certificates().and_then(<[CertificateDer<'_>]>::first);
    let shown = leaf.and_then(Shown::of).ok_or("its certificate is not that of a node")?;
    if !peers.roster().admits(&shown) {
        return Err(format!("`{}` is no node of the fleet, or was revoked", shown.node));
    }
    let peer: Arc<str> = shown.node.as_str().into();
    let service = {
        let house = Rc::clone(&house);
        service_fn(move |request| Box::pin(answer(Rc::clone(&house), Arc::clone(&peer), request)))
    };
    let served = http2::Builder::new(LocalExecutor)
        .timer(TokioTimer::new())
        .max_concurrent_streams(limit::LINK_STREAMS)
        .max_header_list_size(2 * limit::HEAD_BYTES as u32)
        .keep_alive_interval(limit::LINK_PING)
        .keep_alive_timeout(limit::LINK_PONG)
        .serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        ended = served => drop(ended.inspect_err(|error| tracing::debug!(%error, node = shown.node, "a link ended"))),
        () = peers.dismissed(&shown) => {
            tracing::info!(node = shown.node, "a link was cut: the node is not one of the fleet any more");
        }
    }
    Ok(())
}

async fn answer(
    house: Rc<House>,
    peer: Arc<str>,
    request: http::Request<Incoming>,
) -> Result<http::Response<Counted>, Infallible> {
    let node = &house.worker.node;
    // who ends waits for what is under way
    let open = node.drain.open();
    let response = match request.uri().path() {
        HELLO => given(Response::empty(StatusCode::NO_CONTENT)),
        _ => given(exchange(&house, &peer, taken(request)).await),
    };
    Ok(response.map(|body| Counted { body, _open: open }))
}

/// An exchange whose client came in elsewhere.
async fn exchange(house: &House, peer: &str, mut request: Request) -> Response {
    let Request { head, body } = &mut request;
    let plane = house.worker.plane();
    let mut record = Record::begin(&house.worker, &plane);
    record.cause = Some(format!("handed on by {peer}"));
    let vouched = head.headers.get(VOUCHER).and_then(|text| plane.known.vouched(text));
    head.headers.remove(VOUCHER);
    let vouched = vouched.ok_or(Reason::BadCredential(UNKNOWN));
    let (door, scope) = match path::find(head.target.path(), &plane) {
        Path::Door(door @ (Door::Mcp | Door::Messages), scope) => (door, scope),
        _ => (Door::Mcp, Err(Reason::NoSuchDoor)),
    };
    let answered = match door::enter(&house.worker, &plane, vouched, scope, Via::Link, record) {
        Ok(guest) => match door {
            Door::Messages => sse::deliver(house, guest, head, body).await,
            _ => door::mcp(&house.worker, guest, head, body).await,
        },
        Err(reason) => Err(reason.into()),
    };
    answered.unwrap_or_else(|refusal| match &refusal.reason {
        Reason::InsufficientScope(scopes) => refused(&refusal).with(SCOPES, scopes.join(" ")),
        _ => refused(&refusal),
    })
}

const UNKNOWN: &str = "whoever asks would not come in at the node that holds the session";

/// An answer that is under way until it is read.
struct Counted {
    body: Body,
    _open: Open,
}

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
