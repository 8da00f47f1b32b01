//! HTTP+SSE (2024-11-05 *Transports: HTTP with SSE*): a GET whose event stream carries what the server says, and a POST for
//! each message to the address that the stream names first. The connection is the session: when the stream ends, all of
//! it ends.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use http::{Method, StatusCode};
use sluice_mcp::{SseDecoder, error_body, without_newlines};
use sluice_snapshot::model::Server;

mod answer;
mod endpoint;
mod posts;

use endpoint::Refused;
use posts::{Outcome, Posts};

use super::pulse::{Beat, Pulse};
use super::wire::{Cause, Unopened};
use crate::limit;
use crate::observe::metrics::Gauge;
use crate::reason::Reason;
use crate::upstream::endpoint::Key;
use crate::upstream::http::{Answer, Pools, Request, Target};
use crate::upstream::quirks::{Quirk, Quirks};

/// Our sign of life: answered like any request, and its number is no caller's.
const PING: &[u8] = b"{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"ping\"}\n";

/// An open event stream and the way back.
pub(super) struct Sse {
    server: Arc<str>,
    quirks: Arc<Quirks>,
    stream: Answer,
    decoder: SseDecoder,
    posts: Posts,
    pools: Rc<Pools>,
    pulse: Pulse,
}

impl Sse {
    /// Opens the stream and waits for its `endpoint` event, no longer than for any answer of the server.
    pub(super) async fn open(
        server: &Server,
        target: &Target,
        quirks: &Arc<Quirks>,
        connections: &Arc<Gauge>,
    ) -> Result<Self, Unopened> {
        let pools = Rc::new(Pools::new(Arc::clone(connections)));
        let wait = limit::STREAM_OPEN.min(server.timeout);
        let late = Instant::now() + wait;
        let response = pools.send(Key::default(), target, &Request::empty(Method::GET), Instant::now(), wait).await?;
        if response.status != StatusCode::OK {
            return Err(Unopened::of_status(response.status));
        }
        let (mut stream, mut decoder) = (response.body, SseDecoder::new(limit::EVENT_BYTES));
        let first = tokio::time::timeout_at(late.into(), first_event(&mut stream, &mut decoder)).await;
        let no_endpoint = |detail: &'static str| Unopened::new(Reason::NoEndpoint, detail);
        let data = first.map_err(|_| no_endpoint("no `endpoint` event in time"))?;
        let data = data.ok_or_else(|| no_endpoint("the stream does not begin with an `endpoint` event"))?;
        let messages = endpoint::resolve(target.endpoint(), &data).map_err(|refused| match refused {
            Refused::Foreign => Unopened::new(Reason::ForeignEndpoint, "the `endpoint` event names another origin"),
            Refused::Malformed => no_endpoint("the `endpoint` event holds no URI"),
        })?;
        let posts = Posts::new(Rc::clone(&pools), target.at(&messages), server.timeout);
        let (server, pulse) = (Arc::clone(&server.name), Pulse::new(server.timeout));
        Ok(Self { server, quirks: Arc::clone(quirks), stream, decoder, posts, pools, pulse })
    }

    /// See [`super::wire::Wire::turn`].
    pub(super) async fn turn(&mut self, output: &mut BytesMut, said: &mut Vec<Bytes>) -> Result<(), Cause> {
        if self.posts.start(output) {
            return Ok(());
        }
        let may_go = self.posts.may_go();
        tokio::select! {
            outcome = self.posts.outcome() => outcome.map_or(Ok(()), |outcome| self.came_of_it(outcome, said)),
            () = at(may_go) => Ok(()),
            chunk = self.stream.data() => {
                let chunk = match chunk {
                    Some(Ok(chunk)) => chunk,
                    Some(Err(_)) => return Err(Cause::of("the event stream broke")),
                    None => return Err(Cause::of("the event stream ended")),
                };
                self.pulse.heard();
                self.decoder.push(chunk);
                self.events(said)
            }
        }
    }

    /// A request whose POST failed is answered here: nothing will come on the stream.
    fn came_of_it(&mut self, outcome: Outcome, said: &mut Vec<Bytes>) -> Result<(), Cause> {
        match outcome {
            // no sign of life: a message is taken whether or not anybody is left to answer it
            Outcome::Taken(_) => {}
            Outcome::Said(message) => {
                self.quirks.saw(&self.server, Quirk::AnswersPosts);
                self.pulse.heard();
                said.push(message);
            }
            Outcome::Failed { id, reason, .. } => {
                let row = reason.row();
                tracing::warn!(server = %self.server, outcome = row.outcome, "the server did not take a message");
                if let Some(id) = id {
                    said.push(error_body(Some(&id), row.code, &reason.text(), None).into());
                }
                if matches!(reason, Reason::ServerStatus(404 | 410)) {
                    return Err(Cause::of("the server no longer knows the connection"));
                }
            }
        }
        Ok(())
    }

    fn events(&mut self, said: &mut Vec<Bytes>) -> Result<(), Cause> {
        while let Some(event) = self.decoder.next().map_err(|_| Cause::too_long("an event larger than the limit"))? {
            // only the first address counts; of other events the transport knows nothing
            if matches!(event.event.as_deref(), None | Some(b"" | b"message")) {
                said.extend(event.data.map(without_newlines));
            }
        }
        Ok(())
    }

    /// See [`super::wire::Wire::tick`].
    pub(super) fn tick(&mut self, output: &mut BytesMut) -> Result<(), Cause> {
        self.pools.sweep(|_| true);
        match self.pulse.beat() {
            Beat::Nothing => {}
            Beat::Ask => output.extend_from_slice(PING),
            Beat::Dead => return Err(Cause::of("no sign of life")),
        }
        Ok(())
    }
}

/// Waits for a time that may never come.
async fn at(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time.into()).await,
        None => std::future::pending().await,
    }
}

/// The data of the first event, if that is an `endpoint` event.
async fn first_event(stream: &mut Answer, decoder: &mut SseDecoder) -> Option<Bytes> {
    loop {
        while let Some(event) = decoder.next().ok()? {
            if event.event.is_some() || event.data.is_some() {
                return event.data.filter(|_| event.event.as_deref() == Some(b"endpoint"));
            }
        }
        decoder.push(stream.data().await?.ok()?);
        if decoder.buffered() > limit::ENDPOINT_BYTES {
            return None;
        }
    }
}
