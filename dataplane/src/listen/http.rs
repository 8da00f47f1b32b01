//! The HTTP listener: accepts, speaks TLS where configured, and serves HTTP/1.1 or HTTP/2 on each connection; what an
//! HTTP/1.1 connection becomes by an upgrade is served in its place.

use std::net::SocketAddr;
use std::ops::Range;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;

use super::balance::{Balance, Handed, Place};
use super::connection::{Connection, Connections};
use super::door::{House, Peer};
use super::entrance::{Closed, Entrance};
use super::tls::Tls;
use super::{http1, http2, websocket};
use crate::drain::Phase;
use crate::limit;
use crate::wire::Socket;

/// One worker's share of one entrance.
pub(crate) struct Listener {
    pub desk: Desk,
    pub socket: TcpListener,
}

/// Who receives those that come in by an entrance.
pub(crate) struct Desk {
    pub house: Rc<House>,
    pub connections: Rc<Connections>,
    pub balance: Arc<Balance>,
    pub entrance: Arc<Entrance>,
}

impl Listener {
    /// Accepts until the entrance is closed; `closed` says when it is. Then lets connections finish; those that wait to be accepted are
    /// left to whoever closes the entrance.
    pub(crate) async fn accept(self, mut closed: oneshot::Receiver<()>) {
        let Self { desk, socket } = &self;
        let Desk { house, connections, balance, .. } = desk;
        let own = house.worker.index();
        let drain = house.worker.node.drain.clone();
        let mut leaving = pin!(drain.reached(Phase::Leaving));
        let mut stays = true;
        loop {
            let accepted = tokio::select! {
                // clients that are told with an answer go elsewhere before anything is closed on them
                () = &mut leaving, if stays => {
                    stays = false;
                    connections.leave_all();
                    continue;
                }
                _ = &mut closed => return connections.leave(&desk.entrance),
                () = connections.freed.notified(), if balance.is_full(own) => continue,
                accepted = socket.accept(), if !balance.is_full(own) => accepted,
            };
            match accepted {
                Ok((stream, peer)) => desk.welcome(stream, peer),
                Err(error) => {
                    // out of descriptors: those that are open go on, and some will end
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
}

impl Desk {
    fn welcome(&self, stream: TcpStream, peer: SocketAddr) {
        let Self { house, connections, balance, entrance } = self;
        let own = house.worker.index();
        let tls = entrance.tls.spoken();
        let peer = entrance.peer(peer, tls.is_some());
        let (place, entrance) = (balance.place(own), Arc::clone(entrance));
        if place.worker == own {
            let (house, connections) = (Rc::clone(house), Rc::clone(connections));
            tokio::task::spawn_local(serve(house, connections, stream, peer, tls, entrance, place));
        } else if let Ok(stream) = stream.into_std() {
            Handed { stream, peer, tls, entrance, place }.on();
        }
    }
}

/// Serves the connections that other workers accepted.
pub(crate) async fn receive(house: Rc<House>, connections: Rc<Connections>, mut handed: UnboundedReceiver<Handed>) {
    while let Some(Handed { stream, peer, tls, entrance, place }) = handed.recv().await {
        if entrance.closed() == Some(Closed::Cut) {
            // handed on while it closed: as if it had come a moment later
            continue;
        }
        match TcpStream::from_std(stream) {
            Ok(stream) => {
                let (house, connections) = (Rc::clone(&house), Rc::clone(&connections));
                tokio::task::spawn_local(serve(house, connections, stream, peer, tls, entrance, place));
            }
            Err(error) => tracing::warn!(%error, "cannot take over a connection"),
        }
    }
}

async fn serve(
    house: Rc<House>,
    connections: Rc<Connections>,
    stream: TcpStream,
    peer: Peer,
    tls: Option<Arc<Tls>>,
    entrance: Arc<Entrance>,
    place: Place,
) {
    let _counted = house.worker.node.metrics.connections.enter();
    let _open = house.worker.node.drain.open();
    let _ = stream.set_nodelay(true);
    let (id, connection) = connections.add();
    connection.came_by(entrance);
    match tls {
        None => {
            let first = tokio::select! {
                h2 = tokio::time::timeout(limit::HEAD_READ, is_http2(&stream)) => h2.ok(),
                () = connection.cut() => None,
            };
            // nothing came in time, or nothing more is taken
            if let Some(h2) = first {
                speak(house, stream, connection, peer, h2).await;
            }
        }
        // boxed: a plain connection has no room for it
        Some(config) => Box::pin(serve_tls(house, stream, connection, peer, config)).await,
    }
    // free before whoever waits for that is told
    drop(place);
    connections.remove(id);
}

async fn serve_tls(house: Rc<House>, stream: TcpStream, connection: Rc<Connection>, peer: Peer, tls: Arc<Tls>) {
    let handshake = TlsAcceptor::from(Arc::clone(&tls.config)).accept(stream);
    let handshake = tokio::select! {
        handshake = tokio::time::timeout(limit::TLS_HANDSHAKE, handshake) => handshake,
        () = connection.cut() => return,
    };
    match handshake {
        Ok(Ok(stream)) => {
            let session = stream.get_ref().1;
            let h2 = session.alpn_protocol() == Some(b"h2");
            match tls.clients.shown(session) {
                Ok(certificate) => {
                    let peer = Peer { certificate: certificate.map(Arc::new), ..peer };
                    speak(house, stream, connection, peer, h2).await;
                }
                Err(error) => tracing::debug!(%error, "a client's certificate is no longer good"),
            }
        }
        Ok(Err(error)) => tracing::debug!(%error, "TLS handshake failed"),
        Err(_) => tracing::debug!("TLS handshake took too long"),
    }
}

/// How long to wait for more of what may become the preface, at first and at last: a client that was cut off within a few bytes
/// goes on at once, and one that stops there is not looked at all the time.
const PREFACE_PAUSE: Range<Duration> = Duration::from_millis(5)..Duration::from_millis(320);

/// HTTP/2 with prior knowledge begins with its preface; `P` alone may still become `POST`.
async fn is_http2(stream: &TcpStream) -> bool {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0";
    let mut start = [0; PREFACE.len()];
    let mut seen = 0;
    let mut pause = PREFACE_PAUSE.start;
    loop {
        match stream.peek(&mut start).await {
            Ok(0) | Err(_) => return false,
            Ok(n) if start[..n] != PREFACE[..n] => return false,
            Ok(n) if n == PREFACE.len() => return true,
            // peek is ready at once while bytes wait: look again after a while, and ever more seldom where nothing more comes
            Ok(n) if n == seen => {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PREFACE_PAUSE.end);
            }
            Ok(n) => seen = n,
        }
    }
}

/// Speaks HTTP on a connection until it ends, and what it becomes by an upgrade.
async fn speak<I>(house: Rc<House>, io: I, connection: Rc<Connection>, peer: Peer, h2: bool)
where
    I: Socket + 'static,
{
    if h2 {
        return Box::pin(http2::serve(house, io, connection, peer)).await;
    }
    let mut served = pin!(http1::serve(&house, io, &connection, &peer));
    let ended = std::future::poll_fn(|cx| match connection.poll_cut(cx) {
        Poll::Ready(()) => Poll::Ready(Ok(None)),
        Poll::Pending => served.as_mut().poll(cx),
    });
    match ended.await {
        Ok(Some(http1::Upgraded { upgrade, io, read })) => {
            Box::pin(websocket::serve(*upgrade, io, read, &connection)).await;
        }
        Ok(None) => {}
        Err(error) => tracing::debug!(%error, "client connection ended"),
    }
}
