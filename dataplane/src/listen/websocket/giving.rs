//! From the pipe to the client, and pings when it is silent. A ping says how many messages went before it; the pong, which brings that
//! back, how many came.

use bytes::Bytes;
use futures_util::SinkExt as _;
use futures_util::stream::SplitSink;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use super::Why;
use super::life::Life;
use super::metered::Metered;
use crate::limit;
use crate::listen::berth::Sent;
use crate::listen::outbox::{Piece, Waiting};

/// What goes to the client.
pub(super) struct Given<'e> {
    pub waiting: &'e mut Waiting,
    pub sent: &'e mut Sent,
    /// Before everything else, where it came back.
    pub first: Option<Bytes>,
}

/// Gives messages until there are no more, or nobody takes them.
pub(super) async fn give<I>(
    sink: &mut SplitSink<WebSocketStream<Metered<I>>, Message>,
    given: &mut Given<'_>,
    life: &Life,
) -> Why
where
    I: AsyncRead + AsyncWrite + Unpin,
{
    let Given { waiting, sent, first } = given;
    let again: Vec<Bytes> = first.take().into_iter().chain(sent.unconfirmed().cloned()).collect();
    for message in again {
        if let Err(why) = feed(sink, message).await {
            return why;
        }
    }
    // what was asked on the connection before is not answered on this one
    let is_asked = sent.is_behind();
    if is_asked && sink.feed(ping(sent)).await.is_err() || sink.flush().await.is_err() {
        return Why::Broken;
    }
    let mut pinged = false;
    let mut timer = std::pin::pin!(tokio::time::sleep(limit::WEBSOCKET_PING));
    loop {
        tokio::select! {
            piece = waiting.next(), if sent.has_room() => {
                let mut next = piece;
                while let Some(piece) = next {
                    let message = match piece {
                        Piece::Message(message) => message,
                        Piece::End(end) => {
                            let _ = sink.flush().await;
                            return end.into();
                        }
                    };
                    sent.add(&message);
                    if let Err(why) = feed(sink, message).await {
                        return why;
                    }
                    if sent.is_to_be_asked() && sink.feed(ping(sent)).await.is_err() {
                        return Why::Broken;
                    }
                    next = if sent.has_room() { waiting.try_next() } else { None };
                }
                if sink.flush().await.is_err() {
                    return Why::Broken;
                }
            }
            count = life.count() => {
                sent.confirm(count);
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
                    if sink.send(ping(sent)).await.is_err() {
                        return Why::Broken;
                    }
                }
            }
        }
    }
}

async fn feed<I>(sink: &mut SplitSink<WebSocketStream<Metered<I>>, Message>, message: Bytes) -> Result<(), Why>
where
    I: AsyncRead + AsyncWrite + Unpin,
{
    let Ok(text) = Utf8Bytes::try_from(message) else {
        return Err(Why::Close(CloseCode::Error, "the server's message is not UTF-8"));
    };
    sink.feed(Message::Text(text)).await.map_err(|_| Why::Broken)
}

/// Asks the client how far it is.
fn ping(sent: &mut Sent) -> Message {
    sent.asked();
    Message::Ping(Bytes::copy_from_slice(&sent.count().to_be_bytes()))
}
