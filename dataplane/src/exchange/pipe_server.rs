//! Calls to servers behind a pipe (a process, a WebSocket, HTTP+SSE): which child, and its messages as an answer.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use sluice_mcp::{Kind, Method, ScanLimits, header, scan};

use super::call::{Call, Posted, Reply};
use super::handles::Handles;
use super::holding::Holding;
use super::relay::{Expected, Item, Parts, Relay, Source};
use super::{
    Outcome, caller, edited, first_or_stream, handles_of, parameters, refuse, sessions, stream, stream_ticket,
    taken_notes,
};
use crate::node::Worker;
use crate::reason::Reason;
use crate::session::InUse;
use crate::upstream::Upstream;
use crate::upstream::pipe::{Child, NoChild};

/// A modern message: one child serves everybody.
pub(super) async fn modern(worker: &Rc<Worker>, mut call: Call, posted: Posted) -> Outcome {
    let child = call.upstream.children.modern(&call.upstream.era).await;
    note(&call.upstream, child.as_ref().err());
    match child {
        Ok(child) => match parameters::check(&call, &posted, &child).await {
            Ok(()) => ask(worker, call, posted, None, child).await,
            Err(reason) => Err(refuse(&mut call, reason, posted.id())),
        },
        Err(NoChild::Reason(reason)) => Err(refuse(&mut call, reason, posted.id())),
        Err(NoChild::Refused(_)) => Err(refuse(&mut call, Reason::ChildStart, posted.id())),
    }
}

/// A legacy message inside a session: the session's child, started again if it ended.
pub(super) async fn legacy(worker: &Rc<Worker>, mut call: Call, posted: Posted, in_use: InUse) -> Outcome {
    if sessions::is_remembered(&posted)
        && let Err(reason) = Box::pin(sessions::remember(worker, &in_use.session, &posted)).await
    {
        return Err(refuse(&mut call, reason, posted.id()));
    }
    match sessions::attached(&call.upstream, &in_use.session).await {
        Ok(child) => ask(worker, call, posted, Some(in_use), child).await,
        Err(reason) => Err(refuse(&mut call, reason, posted.id())),
    }
}

/// The standalone stream of a session. The client `comes_back` for one it had, or opens one.
pub(super) async fn get(worker: &Rc<Worker>, mut call: Call, in_use: InUse, comes_back: bool) -> Outcome {
    if call.headers.has(header::LAST_EVENT_ID) {
        // no event of a stdio server has an id: this one is not ours
        return Err(refuse(&mut call, Reason::EventIdUnknown, None));
    }
    let child = match sessions::attached(&call.upstream, &in_use.session).await {
        Ok(child) => child,
        Err(reason) => return Err(refuse(&mut call, reason, None)),
    };
    // a part's stream is held with that of the whole session
    let holding = match in_use.session.whole() {
        None => match Holding::take(worker, &in_use.session, comes_back).await {
            Ok(holding) => Some(holding),
            Err(reason) => return Err(refuse(&mut call, reason, None)),
        },
        Some(_) => None,
    };
    let inbox = match child.listen(in_use.session.id.0) {
        Ok(inbox) => inbox,
        Err(reason) => return Err(refuse(&mut call, reason, None)),
    };
    let handles = handles_of(worker, &call, None);
    let Call { upstream, base } = call;
    let mut base = *base;
    let ticket = stream_ticket(base.ticket, &mut base.record, None)?;
    let before = taken_notes(worker, &in_use.session).await;
    let relay = Relay::new(Parts {
        worker: Rc::clone(worker),
        source: Source::Child { inbox, child, ticket: None },
        handles: Some(handles),
        numbering: None,
        expected: None,
        depth: base.plane.snapshot.limits.json_depth,
        before,
        on_timeout: None,
        upstream: Some(upstream),
        principal: base.principal,
        record: base.record,
        ticket,
        in_use: Some(in_use),
    });
    Ok(stream(match holding {
        Some(holding) => relay.held(holding),
        None => relay,
    }))
}

/// Hands a message to a child and makes its answers a reply.
async fn ask(worker: &Rc<Worker>, mut call: Call, posted: Posted, in_use: Option<InUse>, child: Arc<Child>) -> Outcome {
    let id = posted.id();
    let handles = handles_of(worker, &call, Some(posted.original()));
    let (body, message) = match opened(&handles, &posted) {
        Ok(opened) => opened,
        Err(reason) => return Err(refuse(&mut call, reason, id)),
    };
    let caller = caller(&call, in_use.as_ref().map(|s| &s.session.id));
    let Some(id) = id.filter(|_| posted.message.kind == Kind::Request) else {
        return match child.tell(caller, body, message) {
            Ok(()) => {
                call.record.outcome = "ok";
                call.record.status = StatusCode::ACCEPTED;
                Ok(Reply::empty(StatusCode::ACCEPTED))
            }
            Err(reason) => Err(refuse(&mut call, reason, None)),
        };
    };
    let (inbox, ticket) = match child.request(caller, body, message) {
        Ok(sent) => sent,
        Err(reason) => return Err(refuse(&mut call, reason, Some(id))),
    };
    let method = posted.message.method;
    let Call { upstream, base } = call;
    let mut base = *base;
    let place = if method == Method::SubscriptionsListen {
        stream_ticket(base.ticket, &mut base.record, Some(&id)).inspect_err(|_| child.abandon(ticket))?
    } else {
        base.ticket
    };
    let relay = Relay::new(Parts {
        worker: Rc::clone(worker),
        source: Source::Child { inbox, child, ticket: Some(ticket) },
        handles: Some(handles),
        numbering: None,
        expected: Some(Expected { id, method, modern: in_use.is_none(), timeout: upstream.config.timeout }),
        depth: base.plane.snapshot.limits.json_depth,
        before: VecDeque::<Item>::new(),
        on_timeout: None,
        upstream: Some(upstream),
        principal: base.principal,
        record: base.record,
        ticket: place,
        in_use,
    });
    Ok(first_or_stream(relay).await)
}

/// The message with its handles opened, scanned anew where that moved its parts.
fn opened(handles: &Handles, posted: &Posted) -> Result<(Bytes, sluice_mcp::Message), Reason> {
    let mut edits = handles.opening(posted)?.edits;
    edits.extend(posted.edits.iter().cloned());
    if edits.is_empty() {
        return Ok((posted.body.clone(), posted.message));
    }
    let body = edited(&posted.body, &mut edits);
    let message = scan(&body, ScanLimits { depth: u16::MAX })
        .map_err(|error| Reason::Message { code: error.code(), text: error.to_string() })?;
    Ok((body, message))
}

/// Notes whether a server's process or connection could be had.
pub(super) fn note(upstream: &Upstream, failure: Option<&NoChild>) {
    match failure {
        None => upstream.note(true),
        Some(failure) if failure.is_outage() => upstream.note(false),
        Some(_) => {}
    }
}
