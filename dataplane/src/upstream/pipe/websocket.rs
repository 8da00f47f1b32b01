//! A WebSocket: subprotocol `mcp`, one message a text frame, otherwise as over a process's pipes (architecture.md,
//! *WebSocket*). A server that selects no subprotocol is taken at its word; a binary frame is read like a text frame, for
//! what is not a JSON-RPC message goes nowhere anyway.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use futures_util::{Sink as _, SinkExt as _, Stream as _};
use http::StatusCode;
use http::header::{
    CONNECTION, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use hyper::client::conn::http1;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
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
use crate::limit;
use crate::observe::metrics::{Gauge, Inside};
use crate::reason::Reason;
use crate::upstream::connection;
use crate::upstream::http::Target;
use crate::upstream::quirks::{Quirk, Quirks};

const SUBPROTOCOL: &str = "mcp";

/// An open WebSocket.
pub(super) struct WebSocket {
    server: Arc<str>,
    quirks: Arc<Quirks>,
    stream: WebSocketStream<TokioIo<Upgraded>>,
    /// Everything given to the stream has left.
    flushed: bool,
    /// A ping is due.
    ping: bool,
    pulse: Pulse,
    /// Counts the connection.
    _open: Inside,
}

impl WebSocket {
    /// Connects and shakes hands, in at most [`limit::STREAM_OPEN`] after the connection is there.
    pub(super) async fn open(
        server: &Server,
        target: &Target,
        quirks: &Arc<Quirks>,
        connections: &Arc<Gauge>,
    ) -> Result<Self, Unopened> {
        let unreachable = |error: &dyn std::fmt::Display| Unopened::new(Reason::ServerUnreachable, error.to_string());
        let io = connection::open(target.endpoint()).await.map_err(|e| unreachable(&e))?;
        let (upgraded, named) = tokio::time::timeout(limit::STREAM_OPEN, upgrade(target, io))
            .await
            .map_err(|_| unreachable(&"no answer to the handshake in time"))??;
        if !named {
            quirks.saw(&server.name, Quirk::NoSubprotocol);
        }
        let config = WebSocketConfig::default()
            .read_buffer_size(16 << 10)
            .max_message_size(Some(limit::LINE_BYTES))
            .max_frame_size(Some(limit::LINE_BYTES));
        let stream = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Client, Some(config)).await;
        let pulse = Pulse::new(server.timeout);
        let (server, quirks) = (Arc::clone(&server.name), Arc::clone(quirks));
        Ok(Self { server, quirks, stream, flushed: true, ping: false, pulse, _open: connections.enter() })
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

/// The opening handshake (RFC 6455 section 4.1); and whether the server selected our subprotocol.
async fn upgrade(target: &Target, io: connection::Connection) -> Result<(Upgraded, bool), Unopened> {
    let broken = |error: hyper::Error| Unopened::new(Reason::ServerUnreachable, error.to_string());
    let handshake = http1::Builder::new().max_headers(limit::HEADERS).handshake(TokioIo::new(io));
    let (mut sender, connection) = handshake.await.map_err(broken)?;
    tokio::task::spawn_local(connection.with_upgrades());
    let key = generate_key();
    let mut request = target.bare();
    let fixed = [
        (CONNECTION, "Upgrade"),
        (UPGRADE, "websocket"),
        (SEC_WEBSOCKET_VERSION, "13"),
        (SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL),
    ];
    for (name, value) in fixed {
        request.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    if let Ok(key) = HeaderValue::from_str(&key) {
        request.headers_mut().insert(SEC_WEBSOCKET_KEY, key);
    }
    let response = sender.send_request(request).await.map_err(broken)?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Err(match response.status() {
            status if status.is_success() => Unopened::new(Reason::NoWebSocket, format!("the answer was {status}")),
            status => Unopened::of_status(status),
        });
    }
    let given = |name: HeaderName| response.headers().get(name).map(HeaderValue::as_bytes);
    let fault = if given(SEC_WEBSOCKET_ACCEPT) != Some(derive_accept_key(key.as_bytes()).as_bytes()) {
        Some("the handshake's key was not answered")
    } else if given(SEC_WEBSOCKET_PROTOCOL).is_some_and(|protocol| protocol != SUBPROTOCOL.as_bytes()) {
        Some("the server selected a subprotocol that was not offered")
    } else if given(SEC_WEBSOCKET_EXTENSIONS).is_some() {
        Some("the server selected an extension that was not offered")
    } else {
        None
    };
    let named = given(SEC_WEBSOCKET_PROTOCOL).is_some();
    match fault {
        Some(fault) => Err(Unopened::new(Reason::NoWebSocket, fault)),
        None => Ok((hyper::upgrade::on(response).await.map_err(broken)?, named)),
    }
}

fn broken(error: Error) -> Cause {
    match error {
        Error::ConnectionClosed | Error::AlreadyClosed => Cause::of("closed"),
        Error::Capacity(_) => Cause::of("a message larger than the limit"),
        error => Cause(error.to_string().into()),
    }
}

fn closed(frame: Option<CloseFrame>) -> Cause {
    match frame {
        Some(frame) => Cause(format!("closed by the server: {} {}", frame.code, frame.reason).into()),
        None => Cause::of("closed by the server"),
    }
}
