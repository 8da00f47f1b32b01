//! From the client to the pipe.

use std::rc::Rc;

use futures_util::StreamExt as _;
use futures_util::stream::SplitStream;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::Why;
use super::life::Life;
use super::metered::{Meter, Metered};
use crate::listen::mailbox::Mail;
use crate::listen::pipe::Desk;
use crate::node::Worker;

/// Where messages of the client go.
pub(super) struct Taking<'e> {
    pub worker: &'e Rc<Worker>,
    pub desk: &'e Desk,
    pub mailbox: &'e mpsc::Sender<Mail>,
    pub taken: &'e mut u64,
}

/// Takes messages until there are no more.
pub(super) async fn take<I>(
    stream: &mut SplitStream<WebSocketStream<Metered<I>>>,
    taking: Taking<'_>,
    life: &Life,
    meter: &Meter,
) -> Why
where
    I: AsyncRead + AsyncWrite + Unpin,
{
    let Taking { worker, desk, mailbox, taken } = taking;
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
                let mail = desk.accept(worker, text.into()).await;
                *taken += 1;
                if let Some(mail) = mail {
                    place.send(mail);
                }
            }
            Some(Ok(Message::Pong(count))) => life.confirmed(&count),
            Some(Ok(Message::Binary(_))) => {
                return Why::Close(CloseCode::Unsupported, "messages are sent in text frames");
            }
            Some(Ok(Message::Close(_)) | Err(Error::ConnectionClosed)) => return Why::Closed,
            // pings are answered by the library
            Some(Ok(_)) => {}
            Some(Err(Error::Capacity(_))) => {
                return Why::Close(CloseCode::Size, "the message is larger than the limit");
            }
            Some(Err(Error::Utf8(_))) => return Why::Close(CloseCode::Invalid, "text must be UTF-8"),
            Some(Err(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake))) => return Why::Broken,
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
