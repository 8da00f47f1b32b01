//! Answers towards a client on a pipe: whatever becomes of its stream, a request gets one, for a pipe has no other way to
//! end it.

use std::future::poll_fn;
use std::time::Duration;

use bytes::Bytes;
use sluice_mcp::{Kind, ScanLimits, join, scan};

use super::Pipe;
use crate::exchange::call::{Content, Refusal, Reply};
use crate::exchange::relay::Relay;
use crate::reason::Reason;

/// Pause before a broken stream is opened again, where the server names none.
pub(super) const RECONNECT: Duration = Duration::from_secs(1);

/// How a stream ended.
pub(super) struct End {
    pub answered: bool,
    /// It brought anything at all.
    progressed: bool,
    /// Where to resume it, and how soon.
    pub last: Option<String>,
    pause: Duration,
}

impl Pipe {
    /// Sends an answer.
    pub(super) async fn out(&self, reply: Reply, id: Option<Bytes>) {
        let failed = match reply.content {
            Content::Empty => None,
            Content::Json(body) => {
                self.desk.outbox.send(body).await;
                None
            }
            Content::Pieces(pieces) => {
                self.desk.outbox.send(join(&pieces.chunks)).await;
                None
            }
            Content::JsonStream(stream) => match stream.whole(&self.worker.node, id.as_ref()).await {
                Ok((body, _held)) => {
                    self.desk.outbox.send(body).await;
                    None
                }
                Err(reason) => Some(reason),
            },
            // a pipe holds its session itself, and takes one message at a time
            Content::Handed(_) | Content::Batch(_) => Some(Reason::SessionUnknown),
            Content::Messages(relay) => (!self.stream(*relay).await).then_some(Reason::ServerClosed),
        };
        if let (Some(reason), Some(id)) = (failed, id) {
            self.refuse(&Refusal { reason, id: Some(id) }).await;
        }
    }

    /// Passes a call's stream on, resumed where it breaks off: the client cannot do it. `true` when its answer came.
    async fn stream(&self, relay: Relay) -> bool {
        let mut end = self.pass(relay).await;
        while !end.answered {
            let Some(id) = end.last.take() else { return false };
            tokio::time::sleep(end.pause).await;
            let Ok(Reply { content: Content::Messages(relay), .. }) = self.resume(Some(id.clone())).await else {
                return false;
            };
            end = self.pass(*relay).await;
            end.last = end.last.or(Some(id)).filter(|_| end.progressed);
        }
        true
    }

    /// Passes a stream's messages on, to its end or to an answer.
    pub(super) async fn pass(&self, mut relay: Relay) -> End {
        let mut end = End { answered: false, progressed: false, last: None, pause: RECONNECT };
        while let Some(item) = poll_fn(|cx| relay.poll_item(cx)).await {
            end.progressed = true;
            end.last = item.id.or(end.last);
            end.pause = item.retry.map_or(end.pause, Duration::from_millis);
            let Some(data) = item.data.filter(|d| !d.is_empty()) else { continue };
            end.answered = scan(&data, ScanLimits { depth: u16::MAX }).is_ok_and(|m| m.kind == Kind::Response);
            self.desk.outbox.send(data).await;
            if end.answered {
                break;
            }
        }
        // a relay that ended in order (its client cancelled it) owes no answer
        end.answered |= relay.is_answered();
        end
    }
}
