//! Calls to HTTP servers: the request as the client sent it, our session towards the server, and what its answers mean.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use http::{Method as Verb, StatusCode};
use sluice_mcp::{Chunks, Edit, Method, ScanLimits, code, header, is_modern_refusal, scan, splice};
use sluice_snapshot::model::Protocol;

use super::answered::{Asked, answers, pass_on};
use super::ask::{Kinds, content_type, credential, events, failed, send, turned_away, unusual};
use super::balanced::repeated;
use super::call::{Call, Posted, Reply};
use super::conflict::Conflict;
use super::handles::Handles;
use super::holding::Holding;
use super::relay::{self, Numbering, Parts, Relay};
use super::sessions::Lost;
use super::{
    Outcome, detection, forward, handles_of, parameters, refuse, sessions, stream, stream_ticket, taken_notes,
};
use crate::catalog::exposure::Naming;
use crate::limit;
use crate::node::Worker;
use crate::reason::Reason;
use crate::session::{InUse, State};
use crate::upstream::era::Known;
use crate::upstream::http::{Failure, Request, Response};
use crate::upstream::quirks::Quirk;

/// A modern request to an HTTP server. The request itself is the probe (2026-07-28 *Streamable HTTP: Backward
/// Compatibility*): a server that answers it as no modern server would is legacy.
pub(super) async fn modern(worker: &Rc<Worker>, mut call: Call, posted: Posted) -> Outcome {
    let handles = handles_of(worker, &call, Some(posted.original()));
    let mut opened = match handles.opening(&posted) {
        Ok(opened) => opened,
        Err(reason) => return Err(refuse(&mut call, reason, posted.id())),
    };
    opened.edits.extend(posted.edits.iter().cloned());
    let spliced = spliced(&posted, &mut opened.edits);
    let body = spliced.as_deref().unwrap_or(std::slice::from_ref(&posted.body));
    let mut request = request(&call, Request::new(Verb::POST, body), None);
    // the header mirrors the body also where the body changed
    let mirrored = opened.task.as_ref().or(posted.name.as_ref());
    if let Some(name) = mirrored.filter(|_| request.headers.has(header::NAME)) {
        // encoded: a field value
        let _ = request.headers.set(header::NAME, header::encode_value(name).as_bytes());
    }
    parameters::mirror(worker, &call, &posted, &mut request.headers).await;
    request.lasts = posted.message.method == Method::SubscriptionsListen;
    let mut sent = send(worker, &call.upstream, &request, Instant::now()).await;
    if sent.as_ref().is_ok_and(|response| response.status.is_server_error()) || matches!(sent, Err(Failure::Broken(_)))
    {
        sent = Box::pin(repeated(worker, &call, &posted, &request, sent)).await;
    }
    let mut response = match sent {
        Ok(response) => response,
        Err(failure) => return Err(failed(&mut call, failure, posted.id())),
    };
    if response.status.is_client_error() {
        return Box::pin(modern_refused(worker, call, posted, response)).await;
    }
    let mut asked = Asked { call, posted, session: None, handles };
    if let Some(outcome) = asked.at_once(worker, &mut response) {
        return outcome;
    }
    // boxed: each future around it would otherwise be larger by as much
    Box::pin(pass_on(worker, Box::new(asked), response)).await
}

/// A server refused a modern request: is it a modern refusal, or does the server not know this era?
async fn modern_refused(worker: &Rc<Worker>, mut call: Call, posted: Posted, response: Response) -> Outcome {
    let status = response.status;
    if let Some(reason) = credential(status) {
        return Err(refuse(&mut call, reason, posted.id()));
    }
    let away = turned_away(&response);
    let body = match response.body.collect(limit::SMALL_REPLY_BYTES, call.upstream.config.timeout).await {
        Ok(body) => body,
        Err(failure) => return Err(failed(&mut call, failure, posted.id())),
    };
    let message = scan(&body, ScanLimits::default()).ok().filter(|m| m.error.is_some());
    let ours = message.as_ref().is_some_and(|m| answers(&body, m, &posted));
    let recognised = message.as_ref().is_some_and(|m| is_modern_refusal(&body, m));
    let auto = call.upstream.era.configured() == Protocol::Auto;
    let refused = message.as_ref().and_then(|m| m.error_code) == Some(code::UNSUPPORTED_VERSION);
    if refused && !recognised && auto && call.upstream.era.modern().is_none() {
        // it knows the question, and names legacy versions only
        call.upstream.era.learn(Known::Legacy);
        return Err(refuse(&mut call, Reason::ServerIsLegacy, posted.id()));
    }
    if !ours && !recognised && away.is_none() && call.upstream.era.configured() == Protocol::Auto {
        match detection::is_modern(worker, &call.upstream, call.record.started()).await {
            Ok(true) => {}
            Ok(false) => return Err(refuse(&mut call, Reason::ServerIsLegacy, posted.id())),
            Err(reason) => return Err(refuse(&mut call, reason, posted.id())),
        }
    }
    if call.synthesized && message.and_then(|m| m.error_code) == Some(sluice_mcp::code::HEADER_MISMATCH) {
        // the tool's annotations changed: the next call lists them anew
        call.upstream.parameters.forget();
    }
    match message {
        Some(_) => {
            call.record.outcome = "error";
            call.record.status = status;
            Ok(Reply::json(status, body).again_after(away.and_then(|away| away.row().retry_after)))
        }
        None => {
            let reason = away.unwrap_or_else(|| Reason::ServerStatus(status.as_u16()));
            Err(refuse(&mut call, reason, posted.id()))
        }
    }
}

/// A legacy message to an HTTP server, inside a session. A server that no longer knows its session is initialised again;
/// the message is repeated because the refusal proves that it did not run.
pub(super) async fn legacy(worker: &Rc<Worker>, mut call: Call, posted: Posted, in_use: InUse) -> Outcome {
    let session = Arc::clone(&in_use.session);
    let handles = handles_of(worker, &call, Some(posted.original()));
    let mut opened = match handles.opening(&posted) {
        Ok(opened) => opened,
        Err(reason) => return Err(refuse(&mut call, reason, posted.id())),
    };
    opened.edits.extend(posted.edits.iter().cloned());
    let spliced = spliced(&posted, &mut opened.edits);
    let body = spliced.as_deref().unwrap_or(std::slice::from_ref(&posted.body));
    if sessions::is_remembered(&posted)
        && let Err(reason) = Box::pin(sessions::remember(worker, &session, &posted)).await
    {
        return Err(refuse(&mut call, reason, posted.id()));
    }
    let id = posted.message.id.map(|id| id.of(&posted.body));
    let mut renewed = false;
    loop {
        let state = session.state();
        let request = request(&call, Request::new(Verb::POST, body), Some(&state));
        // on a server's own door nothing was waited for since the request came
        let at_once = !renewed && call.naming == Naming::Own;
        let now = if at_once { call.record.started() } else { Instant::now() };
        let sent = tokio::select! {
            biased;
            sent = send(worker, &call.upstream, &request, now) => sent,
            () = session.cancelled(id.unwrap_or_default()), if id.is_some() => {
                call.record.outcome = "cancelled";
                return Ok(Reply::empty(StatusCode::ACCEPTED));
            }
        };
        let mut response = match sent {
            Ok(response) => response,
            // nothing was sent: the session begins anew at another endpoint
            Err(Failure::Moved) if !renewed => {
                if let Err(reason) =
                    Box::pin(sessions::renew(worker, &call.upstream, &session, state.epoch, Lost::Moved)).await
                {
                    return Err(refuse(&mut call, reason, posted.id()));
                }
                renewed = true;
                continue;
            }
            Err(failure) => {
                if let (Failure::Timeout, Some(id)) = (&failure, posted.id()) {
                    sessions::cancel_later(worker, &call.upstream, &session, &id);
                }
                return Err(failed(&mut call, failure, posted.id()));
            }
        };
        let status = response.status;
        // a session that was opened over HTTP+SSE has no id to lose
        let may_lose = state.upstream.is_some() || call.upstream.may_change_transport();
        if !renewed && may_lose && sessions::is_lost(worker, &call.upstream, &state, status).await {
            drop(response);
            if let Err(reason) =
                Box::pin(sessions::renew(worker, &call.upstream, &session, state.epoch, Lost::Forgotten)).await
            {
                return Err(refuse(&mut call, reason, posted.id()));
            }
            renewed = true;
            continue;
        }
        if posted.message.method == Method::NotificationCancelled
            && let Some(cancelled) = posted.sent(posted.message.p.request_id)
        {
            session.cancel(&cancelled);
        }
        let session = Some((in_use, state.epoch));
        let mut asked = Asked { call, posted, session, handles };
        if let Some(outcome) = asked.at_once(worker, &mut response) {
            return outcome;
        }
        // boxed: each future around it would otherwise be larger by as much
        return Box::pin(pass_on(worker, Box::new(asked), response)).await;
    }
}

/// The standalone stream of a session, or a resumption: the server itself is asked to go on from its event id. The client `comes_back`
/// for a stream it had, or opens one.
pub(super) async fn get(worker: &Rc<Worker>, mut call: Call, in_use: InUse, comes_back: bool) -> Outcome {
    let session = Arc::clone(&in_use.session);
    let handles = handles_of(worker, &call, None);
    let mut renewed = false;
    let mut holding = None;
    let mut conflict = Conflict::default();
    loop {
        let state = session.state();
        let standing = Numbering { session: session.id, epoch: state.epoch, stands: true };
        let (numbering, last) = match call.headers.get(header::LAST_EVENT_ID) {
            None => (standing, None),
            Some(sealed) => match last_event(&handles, standing, sealed) {
                Some((numbering, last)) => (numbering, Some(last)),
                None if state.epoch == 0 => return Err(refuse(&mut call, Reason::EventIdUnknown, None)),
                // an id of the server session before a renewal: that stream is gone, a new one begins
                None => (standing, None),
            },
        };
        // a part's stream is held with that of the whole session
        if numbering.stands && holding.is_none() && session.whole().is_none() {
            match Holding::take(worker, &session, comes_back).await {
                Ok(taken) => holding = Some(taken),
                Err(reason) => return Err(refuse(&mut call, reason, None)),
            }
        }
        let mut request = request(&call, Request::empty(Verb::GET), Some(&state));
        if let Some(last) = last {
            // an id that is no field value cannot be asked for: the stream begins anew
            let _ = request.headers.set(header::LAST_EVENT_ID, &last);
        }
        let response = match send(worker, &call.upstream, &request, Instant::now()).await {
            Ok(response) => response,
            Err(Failure::Moved) if !renewed => {
                if let Err(reason) =
                    Box::pin(sessions::renew(worker, &call.upstream, &session, state.epoch, Lost::Moved)).await
                {
                    return Err(refuse(&mut call, reason, None));
                }
                renewed = true;
                continue;
            }
            Err(failure) => return Err(failed(&mut call, failure, None)),
        };
        let status = response.status;
        if !renewed && state.upstream.is_some() && sessions::is_gone(worker, &call.upstream, &state, status).await {
            drop(response);
            if let Err(reason) =
                Box::pin(sessions::renew(worker, &call.upstream, &session, state.epoch, Lost::Forgotten)).await
            {
                return Err(refuse(&mut call, reason, None));
            }
            renewed = true;
            continue;
        }
        if status == StatusCode::CONFLICT {
            drop(response);
            match conflict.wait(holding.as_ref()).await {
                Ok(()) => continue,
                Err(reason) => return Err(refuse(&mut call, reason, None)),
            }
        }
        let reason = match status {
            StatusCode::OK if content_type(&response.headers) == Kinds::Events => None,
            // some servers have no route for GET; the session is alive, as its ping showed
            StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_FOUND => {
                call.upstream.quirks.saw(call.upstream.name(), Quirk::NoStream);
                Some(Reason::MethodNotAllowed("POST, DELETE"))
            }
            StatusCode::OK => Some(Reason::ServerGarbage("no event stream")),
            status => Some(turned_away(&response).unwrap_or_else(|| unusual(status))),
        };
        if let Some(reason) = reason {
            return Err(refuse(&mut call, reason, None));
        }
        let Call { upstream, base } = call;
        let mut base = *base;
        let ticket = stream_ticket(base.ticket, &mut base.record, None)?;
        let depth = base.plane.snapshot.limits.json_depth;
        let before = taken_notes(worker, &session).await;
        let relay = Relay::new(Parts {
            worker: Rc::clone(worker),
            source: events(response.body),
            handles: Some(handles),
            numbering: Some(numbering),
            expected: None,
            depth,
            before,
            on_timeout: None,
            upstream: Some(upstream),
            principal: base.principal,
            record: base.record,
            ticket,
            in_use: Some(in_use),
        });
        return Ok(stream(match holding {
            Some(holding) => relay.held(holding),
            None => relay,
        }));
    }
}

/// The server's own id that a client brings back, and of which of the session's streams it is.
fn last_event(handles: &Handles, standing: Numbering, sealed: &[u8]) -> Option<(Numbering, Vec<u8>)> {
    let of_call = Numbering { stands: false, ..standing };
    [standing, of_call]
        .into_iter()
        .find_map(|numbering| Some((numbering, relay::open_event(handles, numbering, sealed)?)))
}

/// A message with its edits, if there are any.
fn spliced(posted: &Posted, edits: &mut [Edit]) -> Option<Chunks> {
    (!edits.is_empty()).then(|| splice(&posted.body, edits))
}

/// A request of the client, as the server sees it.
fn request<'b>(call: &Call, mut request: Request<'b>, state: Option<&State>) -> Request<'b> {
    forward(&call.headers, &mut request.headers);
    if let Some(state) = state {
        if state.version.is_some() {
            request.headers.remove(header::PROTOCOL_VERSION);
        }
        sessions::in_session(&mut request, state);
    }
    request
}
