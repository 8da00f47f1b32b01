//! A WebSocket: subprotocol `mcp`, one message a text frame, otherwise as over a process's pipes (architecture.md,
//! *WebSocket*). A server that selects no subprotocol is taken at its word; a binary frame is read like a text frame, for
//! what is not a JSON-RPC message goes nowhere anyway.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use futures_util::{Sink as _, SinkExt as _, Stream as _};
use http::StatusCode;
use sluice_mcp::without_newlines;
use sluice_snapshot::model::Server;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};

use super::pulse::{Beat, Pulse};
use super::wire::{Cause, Unopened, take_line};
use crate::connection::{self, Socket};
use crate::limit;
use crate::observe::metrics::{Gauge, Inside};
use crate::reason::Reason;
use crate::upstream::http::connection::Connection;
use crate::upstream::http::{Request, Target};
use crate::upstream::quirks::{Quirk, Quirks};

const SUBPROTOCOL: &str = "mcp";

/// An open WebSocket.
pub(super) struct WebSocket {
    server: Arc<str>,
    quirks: Arc<Quirks>,
    stream: WebSocketStream<Socket>,
    /// Everything given to the stream has left.
    flushed: bool,
    /// A ping is due.
    ping: bool,
    pulse: Pulse,
    /// Counts the connection.
    _open: Inside,
}

impl WebSocket {
    /// Connects and shakes hands, in at most [`limit::STREAM_OPEN`] after the connection is there, and no longer than the
    /// server may take for any answer.
    pub(super) async fn open(
        server: &Server,
        target: &Target,
        quirks: &Arc<Quirks>,
        connections: &Arc<Gauge>,
    ) -> Result<Self, Unopened> {
        let unreachable = |error: &dyn std::fmt::Display| Unopened::new(Reason::ServerUnreachable, error.to_string());
        let socket = connection::open(target.endpoint()).await.map_err(|e| unreachable(&e))?;
        let upgraded =
            upgrade(target, Connection::new(socket, connections.enter()), limit::STREAM_OPEN.min(server.timeout))
                .await?;
        if !upgraded.named {
            quirks.saw(&server.name, Quirk::NoSubprotocol);
        }
        let config = WebSocketConfig::default()
            .read_buffer_size(16 << 10)
            .max_message_size(Some(limit::LINE_BYTES))
            .max_frame_size(Some(limit::LINE_BYTES));
        let Upgraded { connection, came, .. } = upgraded;
        let (socket, open) = connection.into_parts();
        let stream = WebSocketStream::from_partially_read(socket, came.into(), Role::Client, Some(config)).await;
        let pulse = Pulse::new(server.timeout);
        let (server, quirks) = (Arc::clone(&server.name), Arc::clone(quirks));
        Ok(Self { server, quirks, stream, flushed: true, ping: false, pulse, _open: open })
    }

    /// See [`super::wire::Wire::turn`].
    pub(super) async fn turn(&mut self, output: &mut BytesMut, said: &mut Vec<Bytes>) -> Result<(), Cause> {
        std::future::poll_fn(|cx| {
            // both directions, whatever the other one does
            let written = self.write(output, cx).map_err(broken)?;
            let read = self.read(said, cx)?;
            if written || read { Poll::Ready(Ok(())) } else { Poll::Pending }
        })
        .await
    }

    /// Writes what the server takes; `true` if it took anything.
    fn write(&mut self, output: &mut BytesMut, cx: &mut Context<'_>) -> Result<bool, Error> {
        let mut any = false;
        loop {
            if !self.flushed {
                match Pin::new(&mut self.stream).poll_flush(cx) {
                    Poll::Ready(flushed) => flushed?,
                    Poll::Pending => return Ok(any),
                }
                self.flushed = true;
            }
            let message = match take_line(output) {
                Some(line) => match Utf8Bytes::try_from(line) {
                    Ok(text) => Message::Text(text),
                    // every message that comes here was scanned
                    Err(_) => continue,
                },
                None if self.ping => {
                    self.ping = false;
                    Message::Ping(Bytes::new())
                }
                None => return Ok(any),
            };
            Pin::new(&mut self.stream).start_send(message)?;
            self.flushed = false;
            any = true;
        }
    }

    /// Takes the frames that are there; `true` if there were any.
    fn read(&mut self, said: &mut Vec<Bytes>, cx: &mut Context<'_>) -> Result<bool, Cause> {
        let message = match Pin::new(&mut self.stream).poll_next(cx) {
            Poll::Pending => return Ok(false),
            Poll::Ready(None) => return Err(Cause::of("closed")),
            Poll::Ready(Some(Err(error))) => return Err(broken(error)),
            Poll::Ready(Some(Ok(message))) => message,
        };
        self.pulse.heard();
        match message {
            Message::Text(text) => said.push(without_newlines(text.into())),
            Message::Binary(bytes) => {
                self.quirks.saw(&self.server, Quirk::BinaryFrames);
                said.push(without_newlines(bytes));
            }
            Message::Close(frame) => return Err(closed(frame)),
            // a pong was queued with the ping
            Message::Ping(_) => self.flushed = false,
            Message::Pong(_) | Message::Frame(_) => {}
        }
        Ok(true)
    }

    /// See [`super::wire::Wire::tick`].
    pub(super) fn tick(&mut self) -> Result<(), Cause> {
        match self.pulse.beat() {
            Beat::Nothing => {}
            Beat::Ask => self.ping = true,
            Beat::Dead => return Err(Cause::of("no sign of life")),
        }
        Ok(())
    }

    /// Says goodbye, and waits for the answer a little.
    pub(super) async fn end(mut self) {
        let goodbye = CloseFrame { code: CloseCode::Normal, reason: Utf8Bytes::default() };
        let closing = async {
            if self.stream.send(Message::Close(Some(goodbye))).await.is_ok() {
                while let Some(Ok(_)) = std::future::poll_fn(|cx| Pin::new(&mut self.stream).poll_next(cx)).await {}
            }
        };
        let _ = tokio::time::timeout(limit::CHILD_GRACE, closing).await;
    }
}

/// A connection that speaks WebSocket from now on.
struct Upgraded {
    connection: Connection,
    /// What the server said behind its answer.
    came: Bytes,
    /// The server selected our subprotocol.
    named: bool,
}

/// The opening handshake (RFC 6455 section 4.1).
async fn upgrade(target: &Target, mut connection: Connection, wait: Duration) -> Result<Upgraded, Unopened> {
    let key = generate_key();
    let mut request = Request::bare();
    let fixed = [
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-protocol", SUBPROTOCOL),
        ("sec-websocket-key", &key),
    ];
    for (name, value) in fixed {
        // tokens and base64 are field values
        let _ = request.headers.push(name.as_bytes(), value.as_bytes());
    }
    let deadline = Instant::now() + wait;
    target.ready(deadline).await?;
    let (answer, came) = connection.say(target, request, deadline).await?;
    if answer.status == StatusCode::UNAUTHORIZED {
        target.refused();
    }
    if answer.status != StatusCode::SWITCHING_PROTOCOLS {
        return Err(match answer.status {
            status if status.is_success() => Unopened::new(Reason::NoWebSocket, format!("the answer was {status}")),
            status => Unopened::of_status(status),
        });
    }
    let given = |name| answer.fields.get(name);
    let protocol = given("sec-websocket-protocol");
    let fault = if given("sec-websocket-accept") != Some(derive_accept_key(key.as_bytes()).as_bytes()) {
        Some("the handshake's key was not answered")
    } else if protocol.is_some_and(|protocol| protocol != SUBPROTOCOL.as_bytes()) {
        Some("the server selected a subprotocol that was not offered")
    } else if given("sec-websocket-extensions").is_some() {
        Some("the server selected an extension that was not offered")
    } else {
        None
    };
    match fault {
        Some(fault) => Err(Unopened::new(Reason::NoWebSocket, fault)),
        None => Ok(Upgraded { connection, came, named: protocol.is_some() }),
    }
}

fn broken(error: Error) -> Cause {
    match error {
        Error::ConnectionClosed | Error::AlreadyClosed => Cause::of("closed"),
        Error::Capacity(_) => Cause::too_long("a message larger than the limit"),
        error => Cause { text: error.to_string().into(), reason: None },
    }
}

fn closed(frame: Option<CloseFrame>) -> Cause {
    match frame {
        Some(frame) => {
            let text = format!("closed by the server: {} {}", frame.code, frame.reason);
            Cause { text: text.into(), reason: None }
        }
        None => Cause::of("closed by the server"),
    }
}
