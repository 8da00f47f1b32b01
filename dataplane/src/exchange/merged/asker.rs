//! On whose behalf the merged door asks servers, and how it asks them: inside the client's own session, or with what the client's
//! request said of it.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use sluice_mcp::{Era, Kind, Method, ScanLimits, scan};
use sluice_snapshot::model::Protocol;

use super::{Stated, merged_of};
use crate::catalog::{About, Audience, Holder};
use crate::exchange::ask::{answer_to, send, unusual, what_failed};
use crate::exchange::call::{Arrival, Posted};
use crate::exchange::pipe_server;
use crate::exchange::sessions::{self, Lost};
use crate::limit;
use crate::node::Worker;
use crate::plane::Plane;
use crate::reason::Reason;
use crate::session::Session;
use crate::upstream::http::{Failure, Request};
use crate::upstream::pipe::{Caller, NoChild};
use crate::upstream::{Carrier, Upstream};

/// On whose behalf servers are asked.
#[derive(Clone)]
pub(super) enum Asker {
    /// A session of the merged door.
    Legacy(Arc<Session>),
    /// A modern client, by what its request said of it.
    Modern(Stated),
}

impl Asker {
    /// The audience of the door's lists. Whom the configuration separates is a matter of the current plane, not of that in
    /// which the session began.
    pub(super) fn audience(&self, plane: &Plane) -> Audience {
        match self {
            Self::Legacy(whole) => {
                Audience { holder: plane.holder(whole.principal, whole.id.0), ..merged_of(whole).audience }
            }
            Self::Modern(stated) => stated.audience,
        }
    }

    /// The audience of one server's lists.
    pub(super) fn audience_of(&self, upstream: &Upstream) -> Audience {
        match self {
            Self::Legacy(whole) => upstream.audience(&merged_of(whole).audience, whole.principal, whole.id.0),
            Self::Modern(stated) => stated.audience_of(upstream),
        }
    }

    /// What a server said of itself, as far as it may be told this client.
    pub(super) fn about(&self, upstream: &Upstream) -> Option<Arc<About>> {
        let audience = self.audience_of(upstream);
        let alone = if let Self::Modern(stated) = self { stated.alone() } else { audience };
        upstream.catalogue.about_to(&alone, &audience)
    }

    /// The audience of the door's lists, where some of them are for this client only.
    pub(super) fn alone(&self, plane: &Plane) -> Audience {
        match self {
            Self::Legacy(_) => self.audience(plane),
            Self::Modern(stated) => stated.alone(),
        }
    }

    /// Whether the client ended its session.
    pub(super) fn is_gone(&self) -> bool {
        matches!(self, Self::Legacy(whole) if whole.is_over())
    }

    /// Whether this client's era is one the server may speak.
    pub(super) fn reaches(&self, upstream: &Upstream) -> bool {
        match self {
            Self::Legacy(_) => upstream.era.configured() != Protocol::Modern,
            Self::Modern(_) => !upstream.era.is_legacy(),
        }
    }
}

/// Asks a server on a client's behalf and waits for the response message.
pub(super) async fn ask(
    worker: &Rc<Worker>,
    upstream: &Arc<Upstream>,
    asker: &Asker,
    method: Method,
    cursor: Option<&[u8]>,
) -> Result<Bytes, Reason> {
    let mut params = Vec::new();
    if let Some(cursor) = cursor {
        params.extend_from_slice(br#""cursor":"#);
        params.extend_from_slice(cursor);
    }
    if let Asker::Modern(stated) = asker {
        if !params.is_empty() {
            params.push(b',');
        }
        params.extend_from_slice(br#""_meta":{"#);
        params.extend_from_slice(&stated.meta());
        params.push(b'}');
    }
    let mut body =
        format!(r#"{{"jsonrpc":"2.0","id":"sluice-{0}","method":"{0}","params":{{"#, method.as_str()).into_bytes();
    body.extend_from_slice(&params);
    body.extend_from_slice(b"}}");
    let asking = async {
        match asker {
            Asker::Legacy(whole) => {
                let part = sessions::part(worker, upstream, whole).await?;
                ask_part(worker, upstream, &part, body.into(), None).await
            }
            Asker::Modern(_) => ask_modern(worker, upstream, method, body.into()).await,
        }
    };
    // the longest any server may be silent; a process that starts has its own limit inside
    let wait = upstream.config.timeout.max(limit::CHILD_START);
    tokio::time::timeout(wait, asking).await.unwrap_or(Err(Reason::ServerTimeout))
}

/// Asks inside a legacy session. `caller`: as whom, towards a process; nobody for what concerns all.
pub(super) async fn ask_part(
    worker: &Rc<Worker>,
    upstream: &Arc<Upstream>,
    part: &Arc<Session>,
    body: Bytes,
    caller: Option<Caller>,
) -> Result<Bytes, Reason> {
    if upstream.carrier() == Carrier::Pipe {
        let child = sessions::attached(upstream, part).await?;
        let message = scan(&body, ScanLimits { depth: u16::MAX }).map_err(|_| Reason::ServerGarbage("own request"))?;
        // a question of the server must not come here: it belongs to the session, not to this request
        let caller = caller.unwrap_or(Caller { principal: part.principal, session: None });
        let (mut inbox, ticket) = child.request(caller, body, message)?;
        let given_up = GivenUp { child: &child, ticket };
        while let Some(line) = inbox.next().await {
            if scan(&line, ScanLimits { depth: u16::MAX }).is_ok_and(|m| m.kind == Kind::Response) {
                std::mem::forget(given_up);
                return Ok(line);
            }
        }
        return Err(child.gone());
    }
    let id = id_of(&body);
    let mut renewed = false;
    loop {
        let state = part.state();
        let request = sessions::own_request(&state, &body);
        let response = match send(worker, upstream, &request, Instant::now()).await {
            Ok(response) => response,
            Err(Failure::Moved) if !renewed => {
                Box::pin(sessions::renew(worker, upstream, part, state.epoch, Lost::Moved)).await?;
                renewed = true;
                continue;
            }
            Err(failure) => return Err(what_failed(upstream, failure).0),
        };
        let status = response.status;
        if !renewed && state.upstream.is_some() && sessions::is_lost(worker, upstream, &state, status).await {
            drop(response);
            Box::pin(sessions::renew(worker, upstream, part, state.epoch, Lost::Forgotten)).await?;
            renewed = true;
            continue;
        }
        if !status.is_success() {
            return Err(unusual(status));
        }
        return answer_to(id.as_deref(), response, limit::LIST_BYTES).await.ok_or(Reason::ServerClosed);
    }
}

/// The raw id of a request of our own.
fn id_of(body: &Bytes) -> Option<Bytes> {
    let message = scan(body, ScanLimits { depth: u16::MAX }).ok()?;
    message.id.map(|span| body.slice(span.range()))
}

/// Tells a process that nobody waits any more, should this be dropped before the answer came.
struct GivenUp<'a> {
    child: &'a crate::upstream::pipe::Child,
    ticket: u64,
}

impl Drop for GivenUp<'_> {
    fn drop(&mut self) {
        self.child.abandon(self.ticket);
    }
}

/// Asks a modern server.
pub(super) async fn ask_modern(
    worker: &Rc<Worker>,
    upstream: &Arc<Upstream>,
    method: Method,
    body: Bytes,
) -> Result<Bytes, Reason> {
    if upstream.carrier() == Carrier::Pipe {
        let child = upstream.children.modern(&upstream.era).await;
        pipe_server::note(upstream, child.as_ref().err());
        let child = match child {
            Ok(child) => child,
            Err(NoChild::Reason(reason)) => return Err(reason),
            Err(NoChild::Refused(_)) => return Err(Reason::ChildStart),
        };
        return child.ask(body).await.ok_or(Reason::ServerTimeout);
    }
    let id = id_of(&body);
    let request = Request::post(&body).modern(method.as_str());
    let response =
        send(worker, upstream, &request, Instant::now()).await.map_err(|failure| what_failed(upstream, failure).0)?;
    let status = response.status;
    let body = answer_to(id.as_deref(), response, limit::LIST_BYTES).await;
    match body {
        Some(body) if status.is_success() || scan(&body, ScanLimits::default()).is_ok_and(|m| m.error.is_some()) => {
            Ok(body)
        }
        _ if status.is_success() => Err(Reason::ServerClosed),
        _ => Err(unusual(status)),
    }
}

impl Stated {
    /// What a modern request says of its client.
    pub(super) fn of(arrival: &Arrival, posted: &Posted) -> Self {
        let p = &posted.message.p;
        let said = [
            ("io.modelcontextprotocol/protocolVersion", p.meta_protocol_version),
            ("io.modelcontextprotocol/clientInfo", p.meta_client_info),
            ("io.modelcontextprotocol/clientCapabilities", p.meta_client_capabilities),
        ];
        let capabilities = p.meta_client_capabilities.map_or(&b"{}"[..], |span| span.of(&posted.body));
        let alone = Holder::sessionless(&arrival.principal);
        let audience = Audience {
            era: Era::Modern,
            declared: super::opening::declared_digest(capabilities),
            holder: if arrival.plane.is_shared() { Holder::Everybody } else { alone },
        };
        Self { body: posted.body.clone(), said, audience, alone }
    }

    /// The audience of one server's lists.
    pub(super) fn audience_of(&self, upstream: &Upstream) -> Audience {
        if upstream.catalogue.is_private() { self.alone() } else { self.audience }
    }

    /// The client's own audience.
    pub(super) fn alone(&self) -> Audience {
        Audience { holder: self.alone, ..self.audience }
    }

    /// What requests on the client's behalf say of it: members of their `_meta`.
    pub(super) fn meta(&self) -> Vec<u8> {
        let mut meta = Vec::with_capacity(256);
        for (name, span) in &self.said {
            let Some(span) = span else { continue };
            if !meta.is_empty() {
                meta.push(b',');
            }
            meta.push(b'"');
            meta.extend_from_slice(name.as_bytes());
            meta.extend_from_slice(b"\":");
            meta.extend_from_slice(span.of(&self.body));
        }
        meta
    }
}
