//! The WebSocket door (RFC 6455): one message per text frame, stdio's rules; the session is the connection, or goes on with the next one
//! of a client that says that it comes back.

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt as _};
use http::Method as Verb;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Utf8Bytes;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};

mod giving;
pub(super) mod handshake;
mod life;
mod metered;
mod resumption;
mod taking;

use giving::{Given, give};
use life::Life;
use metered::{Meter, Metered};
use resumption::{Shore, TakenUp, Wanted};
use taking::{Taking, take};

use super::berth::Ends;
use super::connection::Connection;
use super::door::{Answer, Guest, House};
use super::pipe::End;
use super::request::Head;
use crate::auth::Principal;
use crate::auth::quota::Ticket;
use crate::drain::Phase;
use crate::exchange::call::{Base, Refusal, Scope};
use crate::exchange::record::Record;
use crate::limit;
use crate::reason::Reason;

/// A connection that becomes a WebSocket once its answer is out.
pub(super) struct Upgrade {
    shore: Shore,
    scope: Scope,
    principal: Principal,
    ticket: Ticket,
    record: Record,
    /// Bytes of one message.
    limit: usize,
    taken_up: TakenUp,
}

/// The code by which a connection is closed whose session a newer one has. Beside its number in HTTP, 409, it has no name.
const OVERTAKEN: CloseCode = CloseCode::Library(4409);

/// Why a WebSocket ends.
enum Why {
    /// The client closed it.
    Closed,
    /// The connection broke.
    Broken,
    /// We close it: the code, and the reason people see.
    Close(CloseCode, &'static str),
}

impl From<End> for Why {
    fn from(end: End) -> Self {
        match end {
            End::Gone => Self::Broken,
            End::Leaving => Self::Close(CloseCode::Away, "the gateway is stopping; connect again"),
            End::SessionOver => Self::Close(CloseCode::Normal, "the session is over"),
            End::NotAllowed => Self::Close(CloseCode::Policy, "this connection is no longer allowed"),
            End::Expired => Self::Close(CloseCode::Policy, "the credential has expired; connect again with a new one"),
            End::Overtaken => Self::Close(OVERTAKEN, "a newer connection has this session"),
        }
    }
}

/// A GET: answers the handshake.
pub(super) async fn upgrade(house: &House, guest: Guest, head: &Head) -> Result<Answer, Refusal> {
    let (worker, Guest { scope, mut base }) = (&house.worker, guest);
    base.record.other_method = Some("GET /ws".to_owned());
    let judged = (|| {
        if head.verb != Verb::GET {
            return Err(Reason::MethodNotAllowed("GET"));
        }
        let response = handshake::judge(head)?;
        if worker.node.drain.phase() != Phase::Serving {
            return Err(Reason::Draining);
        }
        Ok((response, Wanted::of(head.target.query().unwrap_or_default())?))
    })();
    let (base, judged) = match judged {
        Ok((response, wanted)) => {
            let (base, taken_up) = wanted.take_up(house, &scope, base).await;
            (base, taken_up.map(|taken_up| (response, taken_up)))
        }
        Err(reason) => (base, Err(reason)),
    };
    let Base { plane, principal, ticket, mut record, .. } = *base;
    match judged.and_then(|(response, taken_up)| Ok((response, taken_up, ticket.into_stream()?))) {
        Ok((response, taken_up, ticket)) => {
            record.outcome = "ok";
            record.status = response.status;
            let limit = plane.snapshot.limits.body_bytes;
            let shore = Shore { worker: Rc::clone(worker), berths: Arc::clone(&house.berths) };
            let upgrade = Upgrade { shore, scope, principal, ticket, record, limit, taken_up };
            Ok(Answer { response, upgrade: Some(Box::new(upgrade)) })
        }
        Err(reason) => {
            record.fail(&reason);
            Err(reason.into())
        }
    }
}

/// Serves a connection that was upgraded; `read` is what came after the handshake already.
pub(super) async fn serve<I>(upgrade: Upgrade, io: I, read: Bytes, connection: &Rc<Connection>)
where
    I: AsyncRead + AsyncWrite + Unpin,
{
    // no request is in flight any more, but the connection does not idle
    let _busy = connection.begin();
    tokio::select! {
        () = connection.cut() => {}
        () = speak(upgrade, io, read, connection) => {}
    }
}

async fn speak<I>(upgrade: Upgrade, io: I, read: Bytes, connection: &Rc<Connection>)
where
    I: AsyncRead + AsyncWrite + Unpin,
{
    let Upgrade { shore, scope, principal, ticket: _ticket, mut record, limit, taken_up } = upgrade;
    let worker = Rc::clone(&shore.worker);
    let _inside = worker.node.metrics.streams.enter();
    // dropped, however this ends: left for the client's next connection
    let (mut held, first) = taken_up.end(&shore, scope, principal);

    let config = WebSocketConfig::default()
        .read_buffer_size(limit::WEBSOCKET_BUFFER)
        .max_message_size(Some(limit))
        .max_frame_size(Some(limit));
    let meter = Meter::new(&worker.node);
    let io = Metered { io, connection: Rc::clone(connection), meter: Rc::clone(&meter) };
    let socket = WebSocketStream::from_partially_read(io, read.into(), Role::Server, Some(config)).await;
    let (mut sink, mut stream) = socket.split();
    let (life, wanted) = (Life::default(), held.wanted());
    let Ends { waiting, sent, mailbox, desk, taken, .. } = held.ends();
    let mut given = Given { waiting, sent, first };
    let taking = Taking { worker: &worker, desk, mailbox, taken };
    let why = tokio::select! {
        why = take(&mut stream, taking, &life, &meter) => why,
        why = give(&mut sink, &mut given, &life) => why,
        () = wanted => Why::Close(OVERTAKEN, "a newer connection has this session"),
    };
    match why {
        // nobody comes back: the pipe lets go of what the client had
        Why::Closed => held.finish(),
        _ => drop(held),
    }
    if let Why::Close(code, reason) = &why {
        record.outcome = match *code {
            CloseCode::Away => End::Leaving.outcome(),
            CloseCode::Policy => End::NotAllowed.outcome(),
            CloseCode::Normal => End::SessionOver.outcome(),
            OVERTAKEN => End::Overtaken.outcome(),
            _ => "closed",
        };
        record.cause = Some(format!("{}: {reason}", u16::from(*code)));
    }
    if let Ok(socket) = sink.reunite(stream) {
        let _ = tokio::time::timeout(limit::WEBSOCKET_CLOSE, close(socket, why)).await;
    }
}

/// Closes a WebSocket so that the client learns why, or that its own close frame was read (RFC 6455 section 5.5.1): what it still sends is read, for closing at once could reset the
/// connection under the close frame.
async fn close<I>(mut socket: WebSocketStream<Metered<I>>, why: Why)
where
    I: AsyncRead + AsyncWrite + Unpin,
{
    let _ = match why {
        Why::Broken => return,
        // the library has the answer to the client's close frame at hand: nothing but that may be sent any more
        Why::Closed => SinkExt::close(&mut socket).await,
        Why::Close(code, reason) => {
            let frame = CloseFrame { code, reason: Utf8Bytes::from_static(reason) };
            socket.close(Some(frame)).await
        }
    };
    let io = &mut socket.get_mut().io;
    let _ = io.shutdown().await;
    let mut left = limit::DISCARD_BYTES;
    let mut buffer = vec![0; limit::WEBSOCKET_BUFFER];
    while let Ok(read @ 1..) = io.read(&mut buffer).await {
        left = left.saturating_sub(read);
        if left == 0 {
            return;
        }
    }
}
