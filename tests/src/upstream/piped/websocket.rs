//! WebSocket as a scripted server carries it.
#![allow(clippy::result_large_err, reason = "the shape of the handshake's callback")]

use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::{SinkExt, StreamExt};
use http::HeaderValue;
use serde_json::Value;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};

use super::link::Out;
use super::{Duplex, Link, State, brain};
use crate::upstream::Received;

pub(super) async fn serve(stream: Box<dyn Duplex>, state: Arc<State>) {
    let manner = state.manner();
    tokio::time::sleep(manner.slow).await;
    let shake = |request: &Request, mut response: Response| {
        let received = Received {
            verb: request.method().to_string(),
            path: request.uri().to_string(),
            headers: request.headers().clone(),
            body: bytes::Bytes::new(),
        };
        state.requests.lock().unwrap().push(received);
        if let Some(status) = manner.status {
            let mut refusal = ErrorResponse::new(None);
            *refusal.status_mut() = status.try_into().unwrap();
            return Err(refusal);
        }
        if let Some(subprotocol) = manner.subprotocol {
            response.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static(subprotocol));
        }
        Ok(response)
    };
    let config = WebSocketConfig::default().max_message_size(None).max_frame_size(None);
    let Ok(socket) = tokio_tungstenite::accept_hdr_async_with_config(stream, shake, Some(config)).await else { return };
    let (link, mut said) = state.link();
    let (mut sink, mut frames) = socket.split();
    loop {
        tokio::select! {
            frame = frames.next(), if !link.deaf || link.received().is_empty() => match frame {
                Some(Ok(Message::Text(text))) => take(&link, manner.era, &text),
                Some(Ok(Message::Close(_)) | Err(_)) | None => break,
                Some(Ok(Message::Pong(said))) if &said[..] == b"still there?" => {
                    link.pongs.fetch_add(1, Ordering::SeqCst);
                }
                Some(Ok(_)) => {}
            },
            out = said.recv() => {
                let Some(out) = out else { break };
                let frame = match out {
                    Out::Message(message) if manner.binary => Message::binary(message),
                    Out::Message(message) => Message::text(message),
                    Out::Close(code, reason) => Message::Close(Some(CloseFrame { code: code.into(), reason: reason.into() })),
                    Out::Ping => Message::Ping(bytes::Bytes::from_static(b"still there?")),
                    Out::Raw(bytes) => Message::text(String::from_utf8_lossy(&bytes).into_owned()),
                };
                if sink.send(frame).await.is_err() {
                    break;
                }
            }
            () = link.ended() => break,
        }
    }
    link.close();
}

fn take(link: &Arc<Link>, era: &str, text: &str) {
    let message: Value = serde_json::from_str(text).unwrap_or_default();
    link.take(message.clone());
    for answer in brain::answers(link, era, &message) {
        link.say(&answer);
    }
}
