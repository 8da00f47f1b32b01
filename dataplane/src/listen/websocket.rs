//! The WebSocket door (RFC 6455): one message per text frame, stdio's rules; the session is the connection.

use std::cell::Cell;
use std::rc::Rc;

use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use http::Method as Verb;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};

pub(super) mod handshake;
mod metered;

use metered::{Meter, Metered};

use super::connection::Connection;
use super::door::{Answer, Guest};
use super::mailbox::Mail;
use super::outbox::{Piece, Waiting, outbox};
use super::pipe::{End, Pipe};
use super::request::Head;
use crate::auth::Principal;
use crate::auth::quota::Ticket;
use crate::drain::Phase;
use crate::exchange::call::{Base, Refusal, Scope};
use crate::exchange::record::Record;
use crate::limit;
use crate::node::Worker;
use crate::reason::Reason;

/// A connection that becomes a WebSocket once its answer is out.
pub(super) struct Upgrade {
    worker: Rc<Worker>,
    scope: Scope,
    principal: Principal,
    ticket: Ticket,
    record: Record,
    /// Bytes of one message.
    limit: usize,
}

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
        }
    }
}

/// A GET: answers the handshake.
pub(super) fn upgrade(worker: &Rc<Worker>, guest: Guest, head: &Head) -> Result<Answer, Refusal> {
    let Guest { scope, base } = guest;
    let Base { plane, principal, ticket, mut record, .. } = *base;
    record.other_method = Some("GET /ws".to_owned());
    let judged = (|| {
        if head.verb != Verb::GET {
            return Err(Reason::MethodNotAllowed("GET"));
        }
        let response = handshake::judge(head)?;
        if worker.node.drain.phase() != Phase::Serving {
            return Err(Reason::Draining);
        }
        Ok((response, ticket.into_stream()?))
    })();
    match judged {
        Ok((response, ticket)) => {
            record.outcome = "ok";
            record.status = response.status;
            let limit = plane.snapshot.limits.body_bytes;
            let upgrade = Upgrade { worker: Rc::clone(worker), scope, principal, ticket, record, limit };
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
    let Upgrade { worker, scope, principal, ticket: _ticket, mut record, limit } = upgrade;
    let _inside = worker.node.metrics.streams.enter();
    let (outbox, mut waiting) = outbox();
    let (mailbox, mails) = mpsc::channel(limit::MAILBOX_MESSAGES);
    let pipe = Pipe::new(&worker, scope, principal, outbox);
    tokio::task::spawn_local(Rc::clone(&pipe).run(mails));

    let config = WebSocketConfig::default()
        .read_buffer_size(limit::WEBSOCKET_BUFFER)
        .max_message_size(Some(limit))
        .max_frame_size(Some(limit));
    let meter = Meter::new(&worker.node);
    let io = Metered { io, connection: Rc::clone(connection), meter: Rc::clone(&meter) };
    let socket = WebSocketStream::from_partially_read(io, read.into(), Role::Server, Some(config)).await;
    let (mut sink, mut stream) = socket.split();
    let life = Life::default();
    let why = tokio::select! {
        why = take(&mut stream, &pipe, mailbox, &life, &meter) => why,
        why = give(&mut sink, &mut waiting, &life) => why,
    };
    // nobody reads any more: the pipe lets go of what the client had
    drop(waiting);
    if let Why::Close(code, reason) = &why {
        record.outcome = match *code {
            CloseCode::Away => End::Leaving.outcome(),
            CloseCode::Policy => End::NotAllowed.outcome(),
            CloseCode::Normal => End::SessionOver.outcome(),
            _ => "closed",
        };
        record.cause = Some(format!("{}: {reason}", u16::from(*code)));
    }
    if let Ok(socket) = sink.reunite(stream) {
        let _ = tokio::time::timeout(limit::WEBSOCKET_CLOSE, close(socket, why)).await;
    }
}

/// From the client to the pipe.
async fn take<I>(
    stream: &mut SplitStream<WebSocketStream<Metered<I>>>,
    pipe: &Pipe,
    mailbox: mpsc::Sender<Mail>,
    life: &Life,
    meter: &Meter,
) -> Why
where
    I: AsyncRead + AsyncWrite + Unpin,
{
    loop {
        // with no place to put a message, none is read: the client waits
        let place = match mailbox.try_reserve() {
            Ok(place) => place,
            Err(_) => {
                life.pause();
                match mailbox.reserve().await {
                    Ok(place) => place,
                    // the pipe says itself why it ended
                    Err(_) => return std::future::pending().await,
                }
            }
        };
        life.heard();
        let message = stream.next().await;
        life.heard();
        match message {
            Some(Ok(Message::Text(text))) => {
                meter.taken();
                life.pause();
                if let Some(mail) = pipe.accept(text.into()).await {
                    place.send(mail);
                }
            }
            Some(Ok(Message::Binary(_))) => {
                return Why::Close(CloseCode::Unsupported, "messages are sent in text frames");
            }
            Some(Ok(Message::Close(_)) | Err(Error::ConnectionClosed)) => return Why::Closed,
            // pings are answered by the library
            Some(Ok(_)) => {}
            Some(Err(Error::Capacity(_))) => {
                return Why::Close(CloseCode::Size, "the message is larger than the limit");
            }
            Some(Err(Error::Utf8(_))) => return Why::Close(CloseCode::Invalid, "a text frame must be UTF-8"),
            Some(Err(Error::Protocol(_))) => {
                return Why::Close(CloseCode::Protocol, "not a WebSocket frame of a client");
            }
            Some(Err(_)) if meter.is_refused() => {
                return Why::Close(CloseCode::Again, "the gateway is at its memory limit; try again shortly");
            }
            Some(Err(_)) | None => return Why::Broken,
        }
    }
}

/// From the pipe to the client, and pings when it is silent.
async fn give<I>(sink: &mut SplitSink<WebSocketStream<Metered<I>>, Message>, waiting: &mut Waiting, life: &Life) -> Why
where
    I: AsyncRead + AsyncWrite + Unpin,
{
    let mut pinged = false;
    let mut timer = std::pin::pin!(tokio::time::sleep(limit::WEBSOCKET_PING));
    loop {
        tokio::select! {
            piece = waiting.next() => {
                let mut next = piece;
                while let Some(piece) = next {
                    let message = match piece {
                        Piece::Message(message) => message,
                        Piece::End(end) => {
                            let _ = sink.flush().await;
                            return end.into();
                        }
                    };
                    let Ok(text) = Utf8Bytes::try_from(message) else {
                        return Why::Close(CloseCode::Error, "the server's message is not UTF-8");
                    };
                    if sink.feed(Message::Text(text)).await.is_err() {
                        return Why::Broken;
                    }
                    next = waiting.try_next();
                }
                if sink.flush().await.is_err() {
                    return Why::Broken;
                }
            }
            () = &mut timer => {
                let silent = life.silent();
                if silent < limit::WEBSOCKET_PING {
                    pinged = false;
                    timer.as_mut().reset(Instant::now() + (limit::WEBSOCKET_PING - silent));
                } else if pinged {
                    return Why::Broken;
                } else {
                    pinged = true;
                    timer.as_mut().reset(Instant::now() + limit::WEBSOCKET_PONG);
                    if sink.send(Message::Ping(Bytes::new())).await.is_err() {
                        return Why::Broken;
                    }
                }
            }
        }
    }
}

/// Closes a WebSocket so that the client learns why: what it still sends is read, for closing at once could reset the
/// connection under the close frame.
async fn close<I>(mut socket: WebSocketStream<Metered<I>>, why: Why)
where
    I: AsyncRead + AsyncWrite + Unpin,
{
    let frame = match why {
        Why::Broken => return,
        Why::Closed => None,
        Why::Close(code, reason) => Some(CloseFrame { code, reason: Utf8Bytes::from_static(reason) }),
    };
    let _ = socket.close(frame).await;
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

/// When the client was last heard of.
struct Life {
    heard: Cell<Instant>,
    /// Nothing is read at the moment: the client cannot be heard.
    paused: Cell<bool>,
}

impl Default for Life {
    fn default() -> Self {
        Self { heard: Cell::new(Instant::now()), paused: Cell::new(false) }
    }
}

impl Life {
    fn heard(&self) {
        self.heard.set(Instant::now());
        self.paused.set(false);
    }

    fn pause(&self) {
        self.paused.set(true);
    }

    fn silent(&self) -> std::time::Duration {
        if self.paused.get() { std::time::Duration::ZERO } else { self.heard.get().elapsed() }
    }
}
