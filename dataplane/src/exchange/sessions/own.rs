//! A session of our own with an HTTP server, in which nothing is asked on anybody's behalf. It calls itself `sluice`, and
//! declares nothing.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::{Method as Verb, StatusCode};
use sluice_mcp::{ScanLimits, decode_string, scan};

use crate::exchange::ask::{Kinds, answer_to, content_type, send, what_failed};
use crate::limit;
use crate::node::Worker;
use crate::reason::Reason;
use crate::session::State;
use crate::upstream::Upstream;
use crate::upstream::http::{Answer, Request};

use super::greeting::session_of;
use super::{error_text, in_session, own, own_request};

const INITIALIZE: &str = concat!(
    r#"{"jsonrpc":"2.0","id":"sluice","method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"#,
    r#""clientInfo":{"name":"sluice","version":""#,
    env!("CARGO_PKG_VERSION"),
    r#""}}}"#
);

/// The session.
pub(in crate::exchange) struct OwnSession {
    state: State,
}

/// Why there is none.
pub(in crate::exchange) enum Unopened {
    /// `initialize` was refused with this status.
    Refused(StatusCode),
    Failed(Reason),
}

impl OwnSession {
    /// Opens one.
    pub(in crate::exchange) async fn open(worker: &Rc<Worker>, upstream: &Arc<Upstream>) -> Result<Self, Unopened> {
        let initialize = Bytes::from_static(INITIALIZE.as_bytes());
        let sent = send(worker, upstream, &own_request(&State::default(), &initialize), Instant::now()).await;
        let response = sent.map_err(|failure| Unopened::Failed(what_failed(upstream, failure).0))?;
        if !response.status.is_success() {
            return Err(Unopened::Refused(response.status));
        }
        let (id, place) = session_of(upstream, &response);
        let garbage = || Unopened::Failed(Reason::ServerGarbage("no answer to `initialize`"));
        let body = answer_to(Some(br#""sluice""#), response, limit::SMALL_REPLY_BYTES).await.ok_or_else(garbage)?;
        let message = scan(&body, ScanLimits::default()).map_err(|_| garbage())?;
        if message.result.is_none() {
            return Err(Unopened::Failed(Reason::ServerRefused(error_text(&body))));
        }
        let version = message.r.protocol_version.map(|span| decode_string(span.of(&body)).into_owned());
        let version = version.filter(|version| version.bytes().all(|b| b.is_ascii_graphic())).map(Bytes::from);
        let session = Self { state: State { upstream: id, place, version, ..State::default() } };
        let initialized = Bytes::from_static(br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
        if let Some(response) = own(worker, upstream, &session.state, initialized).await {
            let _ = answer_to(None, response, limit::SMALL_REPLY_BYTES).await;
        }
        Ok(session)
    }

    /// The stream on which the server says what nobody asked; `None` where it has none.
    pub(in crate::exchange) async fn listen(&self, worker: &Rc<Worker>, upstream: &Arc<Upstream>) -> Option<Answer> {
        let mut request = Request::empty(Verb::GET);
        in_session(&mut request, &self.state);
        let response = send(worker, upstream, &request, Instant::now()).await.ok()?;
        let is_stream = response.status == StatusCode::OK && content_type(&response.headers) == Kinds::Events;
        is_stream.then_some(response.body)
    }

    /// Answers a question of the server: a ping, or that nothing was declared that it could ask.
    pub(in crate::exchange) async fn reply(
        &self,
        worker: &Rc<Worker>,
        upstream: &Arc<Upstream>,
        id: &[u8],
        is_ping: bool,
    ) {
        let outcome = match is_ping {
            true => r#""result":{}"#,
            false => r#""error":{"code":-32601,"message":"Method not found"}"#,
        };
        let mut body = br#"{"jsonrpc":"2.0","id":"#.to_vec();
        body.extend_from_slice(id);
        body.push(b',');
        body.extend_from_slice(outcome.as_bytes());
        body.push(b'}');
        drop(own(worker, upstream, &self.state, body.into()).await);
    }

    /// Tells the server that it is over.
    pub(in crate::exchange) async fn end(self, worker: &Rc<Worker>, upstream: &Arc<Upstream>) {
        if self.state.upstream.is_none() {
            return;
        }
        let mut request = Request::empty(Verb::DELETE);
        in_session(&mut request, &self.state);
        drop(send(worker, upstream, &request, Instant::now()).await);
    }
}
