//! Calls to HTTP servers: the request as the client sent it, our session towards the server, and what its answers mean.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Method as Verb, Request, Response, StatusCode};
use http_body::Body as _;
use sluice_mcp::{
    Kind, Message, Method, ScanLimits, SseDecoder, code, header, is_modern_refusal, protocol_versions, scan, splice,
};
use sluice_snapshot::model::Protocol;

use super::call::{Call, Content, Posted, Refusal, Reply};
use super::json_stream::JsonStream;
use super::relay::{self, Expected, Numbering, Parts, Relay, Source, same_id};
use super::{Outcome, edited, forwarded, handles_of, parameters, refuse, sessions, stream, stream_ticket, taken_notes};
use crate::budget::Held;
use crate::limit;
use crate::node::{Node, Worker};
use crate::reason::Reason;
use crate::session::{InUse, State};
use crate::upstream::Upstream;
use crate::upstream::breaker::Ended;
use crate::upstream::era::Known;
use crate::upstream::http::{Answer, Failure, Outgoing};
use crate::upstream::quirks::Quirk;

/// A modern request to an HTTP server. The request itself is the probe (2026-07-28 *Streamable HTTP: Backward
/// Compatibility*): a server that answers it as no modern server would is legacy.
pub(super) async fn modern(worker: &Rc<Worker>, mut call: Call, posted: Posted) -> Outcome {
    let id = posted.id();
    let handles = handles_of(worker, &call, Some((posted.body.clone(), posted.message)));
    let mut opened = match handles.opening(&posted) {
        Ok(opened) => opened,
        Err(reason) => return Err(refuse(&mut call, reason, id)),
    };
    opened.edits.extend(posted.edits.iter().cloned());
    let chunks = splice(&posted.body, &mut opened.edits);
    let mut request = request(&call, Verb::POST, None, Outgoing::new(chunks));
    // the header mirrors the body also where the body changed
    let mirrored = opened.task.as_ref().or(posted.name.as_ref());
    if let Some(task) = mirrored.and_then(|value| HeaderValue::from_str(&header::encode_value(value)).ok())
        && request.headers().contains_key(header::NAME)
    {
        request.headers_mut().insert(header::NAME, task);
    }
    parameters::mirror(worker, &call, &posted, request.headers_mut()).await;
    let response = match send(worker, &call.upstream, request).await {
        Ok(response) => response,
        Err(failure) => return Err(failed(&mut call, failure, id)),
    };
    if response.status().is_client_error() {
        return Box::pin(modern_refused(worker, call, posted, response)).await;
    }
    relay_answer(worker, call, posted, response, None, handles).await
}

/// A server refused a modern request: is it a modern refusal, or does the server not know this era?
async fn modern_refused(worker: &Rc<Worker>, mut call: Call, posted: Posted, response: Response<Answer>) -> Outcome {
    let id = posted.id();
    let status = response.status();
    if let Some(reason) = credential(status) {
        return Err(refuse(&mut call, reason, id));
    }
    let body = match response.into_body().collect(limit::SMALL_REPLY_BYTES, call.upstream.config.timeout).await {
        Ok(body) => body,
        Err(failure) => return Err(failed(&mut call, failure, id)),
    };
    let message = scan(&body, ScanLimits::default()).ok().filter(|m| m.error.is_some());
    let ours = message.as_ref().is_some_and(|m| answers(&body, m, &posted));
    let recognised = message.as_ref().is_some_and(|m| is_modern_refusal(&body, m));
    let auto = call.upstream.era.configured() == Protocol::Auto;
    let refused = message.as_ref().and_then(|m| m.error_code) == Some(code::UNSUPPORTED_VERSION);
    if refused && !recognised && auto && call.upstream.era.modern().is_none() {
        // it knows the question, and names legacy versions only
        call.upstream.era.learn(Known::Legacy);
        return Err(refuse(&mut call, Reason::ServerIsLegacy, id));
    }
    if !ours && !recognised && call.upstream.era.configured() == Protocol::Auto {
        match probe(worker, &call.upstream).await {
            Ok(true) => {}
            Ok(false) => return Err(refuse(&mut call, Reason::ServerIsLegacy, id)),
            Err(reason) => return Err(refuse(&mut call, reason, id)),
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
            Ok(Reply::json(status, body))
        }
        None => Err(refuse(&mut call, Reason::ServerStatus(status.as_u16()), id)),
    }
}

/// A legacy message to an HTTP server, inside a session. A server that no longer knows its session is initialised again;
/// the message is repeated because the refusal proves that it did not run.
pub(super) async fn legacy(worker: &Rc<Worker>, mut call: Call, posted: Posted, in_use: InUse) -> Outcome {
    let id = posted.id();
    let session = Arc::clone(&in_use.session);
    let handles = handles_of(worker, &call, Some((posted.body.clone(), posted.message)));
    let mut opened = match handles.opening(&posted) {
        Ok(opened) => opened,
        Err(reason) => return Err(refuse(&mut call, reason, id)),
    };
    opened.edits.extend(posted.edits.iter().cloned());
    let chunks = splice(&posted.body, &mut opened.edits);
    sessions::remember(&session, &posted);
    let mut renewed = false;
    loop {
        let state = session.state();
        let request = request(&call, Verb::POST, Some(&state), Outgoing::new(chunks.clone()));
        let sent = tokio::select! {
            biased;
            sent = send(worker, &call.upstream, request) => sent,
            () = session.cancelled(id.as_deref().unwrap_or_default()), if id.is_some() => {
                call.record.outcome = "cancelled";
                return Ok(Reply::empty(StatusCode::ACCEPTED));
            }
        };
        let response = match sent {
            Ok(response) => response,
            Err(failure) => {
                if let (Failure::Timeout, Some(id)) = (&failure, &id) {
                    sessions::cancel_later(worker, &call.upstream, &session, id);
                }
                return Err(failed(&mut call, failure, id));
            }
        };
        let status = response.status();
        // a session that was opened over HTTP+SSE has no id to lose
        let may_lose = state.upstream.is_some() || call.upstream.may_change_transport();
        if !renewed && may_lose && sessions::is_lost(worker, &call.upstream, &state, status).await {
            drop(response);
            if let Err(reason) = Box::pin(sessions::renew(worker, &call.upstream, &session, state.epoch)).await {
                return Err(refuse(&mut call, reason, id));
            }
            renewed = true;
            continue;
        }
        if posted.message.method == Method::NotificationCancelled
            && let Some(cancelled) = posted.sent(posted.message.p.request_id)
        {
            session.cancel(&cancelled);
        }
        return relay_answer(worker, call, posted, response, Some((in_use, state.epoch)), handles).await;
    }
}

/// The standalone stream of a session, or a resumption: the server itself is asked to go on from its event id.
pub(super) async fn get(worker: &Rc<Worker>, mut call: Call, in_use: InUse) -> Outcome {
    let session = Arc::clone(&in_use.session);
    let handles = handles_of(worker, &call, None);
    let mut renewed = false;
    let mut conflicts = 0;
    loop {
        let state = session.state();
        let numbering = Numbering { session: session.id, epoch: state.epoch };
        let last = match call.headers.get(header::LAST_EVENT_ID) {
            // an id of the server session before a renewal: that stream is gone, a new one begins
            Some(sealed) => match relay::open_event(&handles, numbering, sealed.as_bytes()) {
                None if state.epoch == 0 => return Err(refuse(&mut call, Reason::EventIdUnknown, None)),
                last => last,
            },
            None => None,
        };
        let mut request = request(&call, Verb::GET, Some(&state), Outgoing::empty());
        if let Some(last) = last.and_then(|last| HeaderValue::from_bytes(&last).ok()) {
            request.headers_mut().insert(header::LAST_EVENT_ID, last);
        }
        let response = match send(worker, &call.upstream, request).await {
            Ok(response) => response,
            Err(failure) => return Err(failed(&mut call, failure, None)),
        };
        let status = response.status();
        if !renewed && state.upstream.is_some() && sessions::is_gone(worker, &call.upstream, &state, status).await {
            drop(response);
            if let Err(reason) = Box::pin(sessions::renew(worker, &call.upstream, &session, state.epoch)).await {
                return Err(refuse(&mut call, reason, None));
            }
            renewed = true;
            continue;
        }
        if status == StatusCode::CONFLICT && conflicts < limit::STREAM_CONFLICTS {
            // the server has not noticed yet that this client's last stream is gone
            conflicts += 1;
            drop(response);
            tokio::time::sleep(limit::STREAM_CONFLICT_PAUSE).await;
            continue;
        }
        let reason = match status {
            StatusCode::OK if content_type(response.headers()) == Kinds::Events => None,
            // some servers have no route for GET; the session is alive, as its ping showed
            StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_FOUND => {
                call.upstream.quirks.saw(call.upstream.name(), Quirk::NoStream);
                Some(Reason::MethodNotAllowed("POST, DELETE"))
            }
            StatusCode::OK => Some(Reason::ServerGarbage("no event stream")),
            status => Some(unusual(status)),
        };
        if let Some(reason) = reason {
            return Err(refuse(&mut call, reason, None));
        }
        let ticket = stream_ticket(call.ticket, &mut call.record, None)?;
        let depth = call.plane.snapshot.limits.json_depth;
        return Ok(stream(Relay::new(Parts {
            worker: Rc::clone(worker),
            source: events(response.into_body()),
            handles: Some(handles),
            numbering: Some(numbering),
            expected: None,
            depth,
            before: taken_notes(&session),
            on_timeout: None,
            upstream: Some(call.upstream),
            principal: call.principal,
            record: call.record,
            ticket,
            in_use: Some(in_use),
            held: None,
        })));
    }
}

/// Passes an answer on: its status where it is the protocol's, its body checked when small, streaming when not.
async fn relay_answer(
    worker: &Rc<Worker>,
    mut call: Call,
    posted: Posted,
    response: Response<Answer>,
    session: Option<(InUse, u64)>,
    handles: super::handles::Handles,
) -> Outcome {
    let id = posted.id();
    let status = response.status();
    call.record.status = status;
    let is_request = posted.message.kind == Kind::Request;
    if status.is_success() && !is_request {
        call.record.outcome = "ok";
        return Ok(Reply::empty(StatusCode::ACCEPTED));
    }
    if !status.is_success() {
        return Box::pin(refused(call, posted, response)).await;
    }
    match content_type(response.headers()) {
        Kinds::Json => json_answer(worker, call, posted, response, session, handles).await,
        Kinds::Events => event_answer(worker, call, posted, events(response.into_body()), session, handles),
        Kinds::Other => {
            let what =
                if status == StatusCode::ACCEPTED { "202 to a request" } else { "neither JSON nor an event stream" };
            Err(refuse(&mut call, Reason::ServerGarbage(what), id))
        }
    }
}

/// An answer in events.
fn event_answer(
    worker: &Rc<Worker>,
    mut call: Call,
    posted: Posted,
    source: Source,
    session: Option<(InUse, u64)>,
    handles: super::handles::Handles,
) -> Outcome {
    let Some(id) = posted.id() else { return Ok(Reply::empty(StatusCode::ACCEPTED)) };
    let numbering = session.as_ref().map(|(s, epoch)| Numbering { session: s.session.id, epoch: *epoch });
    let modern = session.is_none();
    let listen = posted.message.method == Method::SubscriptionsListen;
    let ticket = if listen { stream_ticket(call.ticket, &mut call.record, Some(&id))? } else { call.ticket };
    let on_timeout = session.as_ref().map(|(in_use, _)| {
        let (worker, upstream) = (Rc::clone(worker), Arc::clone(&call.upstream));
        let (session, id) = (Arc::clone(&in_use.session), id.clone());
        Box::new(move || sessions::cancel_later(&worker, &upstream, &session, &id)) as Box<dyn FnOnce()>
    });
    let timeout = call.upstream.config.timeout;
    let depth = call.plane.snapshot.limits.json_depth;
    Ok(stream(Relay::new(Parts {
        worker: Rc::clone(worker),
        source,
        handles: Some(handles),
        numbering,
        expected: Some(Expected { id, method: posted.message.method, modern, timeout }),
        depth,
        before: Default::default(),
        on_timeout,
        upstream: Some(call.upstream),
        principal: call.principal,
        record: call.record,
        ticket,
        in_use: session.map(|(in_use, _)| in_use),
        held: Some(posted.held),
    })))
}

/// Whether what was typed as JSON is an event stream: it begins with a field of one.
fn is_events(read: &[Bytes]) -> bool {
    let begin = read.first().map(|chunk| chunk.trim_ascii_start()).unwrap_or_default();
    [&b"event:"[..], b"data:", b"id:", b"retry:", b":"].iter().any(|field| begin.starts_with(field))
}

/// A JSON answer. Up to [`limit::REPLY_HOLD`] it is checked to be the answer to this request; beyond, it streams.
async fn json_answer(
    worker: &Rc<Worker>,
    mut call: Call,
    posted: Posted,
    response: Response<Answer>,
    session: Option<(InUse, u64)>,
    handles: super::handles::Handles,
) -> Outcome {
    let id = posted.id();
    let status = response.status();
    let hold = match (handles.curates(), handles.rewrites_links()) {
        (true, _) => limit::LIST_BYTES,
        (false, true) => limit::LINKS_HOLD,
        (false, false) => limit::REPLY_HOLD,
    };
    let reading = read_some(&worker.node, response.into_body(), hold);
    let (Read { chunks: mut read, held }, rest) =
        match tokio::time::timeout(call.upstream.config.timeout, reading).await {
            Ok(Ok(read)) => read,
            Ok(Err(failure)) => return Err(failed(&mut call, failure, id)),
            Err(_) => return Err(failed(&mut call, Failure::Timeout, id)),
        };
    if rest.is_none() && is_events(&read) {
        call.upstream.quirks.saw(call.upstream.name(), Quirk::EventsAsJson);
        let mut decoder = SseDecoder::new(limit::EVENT_BYTES);
        read.into_iter().for_each(|chunk| decoder.push(chunk));
        return event_answer(worker, call, posted, Source::Read { decoder }, session, handles);
    }
    if let Some(rest) = rest {
        if handles.curates() {
            return Err(refuse(&mut call, Reason::ServerGarbage("a list longer than the limit"), id));
        }
        if read.first().and_then(|c| c.trim_ascii_start().first()) != Some(&b'{') {
            return Err(refuse(&mut call, Reason::ServerGarbage("not a JSON object"), id));
        }
        let in_use = session.map(|(in_use, _)| in_use);
        let stream =
            JsonStream::new(rest, read, handles, call.upstream.config.timeout, call.record, call.ticket, in_use)
                .map_err(|reason| Refusal { reason, id })?;
        return Ok(Reply { status, session: None, content: Content::JsonStream(Box::new(stream)) });
    }
    let body = if read.len() == 1 { read.remove(0) } else { Bytes::from(read.concat()) };
    let message = match scan(&body, ScanLimits { depth: call.plane.snapshot.limits.json_depth }) {
        Ok(message) if message.kind == Kind::Response => message,
        Ok(_) => return Err(refuse(&mut call, Reason::ServerGarbage("not a response"), id)),
        Err(error) => {
            call.record.cause = Some(error.to_string());
            return Err(refuse(&mut call, Reason::ServerGarbage("not JSON-RPC"), id));
        }
    };
    if message.id.is_some() && !answers(&body, &message, &posted) {
        return Err(refuse(&mut call, Reason::ServerGarbage("the answer to another request"), id));
    }
    if posted.message.method == Method::ServerDiscover
        && let Some(reason) = learn_from_discover(&call.upstream, &body, &message)
    {
        return Err(refuse(&mut call, reason, id));
    }
    if session.is_none()
        && message.result.is_some()
        && let Some(reason) = judge_modern_result(worker, &call.upstream, &posted, &message).await
    {
        return Err(refuse(&mut call, reason, id));
    }
    call.record.outcome = if message.error.is_some() { "error" } else { "ok" };
    let body = match handles.filtered(&body) {
        Ok(filtered) => filtered.unwrap_or(body),
        Err(reason) => return Err(refuse(&mut call, reason, id)),
    };
    let mut edits = handles.sealing(&body);
    if held.is_empty() {
        return Ok(Reply::json(status, edited(&body, &mut edits)));
    }
    // large: what did not change is not copied once more
    Ok(Reply { status, session: None, content: Content::Pieces { pieces: splice(&body, &mut edits), held } })
}

/// What a result tells of the server's era. A modern one carries `resultType`; a result without it may come from a legacy
/// server that answers whatever it is asked, so that is asked. What may have had an effect passes all the same.
async fn judge_modern_result(
    worker: &Rc<Worker>,
    upstream: &Arc<Upstream>,
    posted: &Posted,
    message: &Message,
) -> Option<Reason> {
    if message.r.result_type.is_some() {
        upstream.era.served_modern();
        return None;
    }
    let unknown = upstream.era.configured() == Protocol::Auto && upstream.era.modern().is_none();
    if !unknown || message.r.supported_versions.is_some() || probe(worker, upstream).await != Ok(false) {
        return None;
    }
    (posted.message.method != Method::ToolsCall).then_some(Reason::ServerIsLegacy)
}

/// What an answer to a client's own `server/discover` tells of the server's era. Only a server that does not know the method,
/// and was never seen to be modern, is legacy: other errors a client could provoke for everybody.
fn learn_from_discover(upstream: &Upstream, body: &[u8], message: &Message) -> Option<Reason> {
    match (message.r.supported_versions, message.error_code) {
        (Some(versions), _) => upstream.era.learn(Known::Modern(protocol_versions(versions.of(body)).into())),
        (None, Some(code::METHOD_NOT_FOUND))
            if upstream.era.configured() == Protocol::Auto && upstream.era.modern().is_none() =>
        {
            upstream.era.learn(Known::Legacy);
            return Some(Reason::ServerIsLegacy);
        }
        _ => {}
    }
    None
}

/// What of an answer was read before passing anything on.
#[derive(Default)]
struct Read {
    chunks: Vec<Bytes>,
    /// Room in the node's budget for what goes beyond [`limit::REPLY_HOLD`].
    held: Vec<Held>,
}

/// The first `hold` bytes (fewer when the node has no room for them), and the rest if there is more.
async fn read_some(node: &Node, mut answer: Answer, hold: usize) -> Result<(Read, Option<Answer>), Failure> {
    let mut read = Read::default();
    let mut total = 0;
    loop {
        let frame = std::future::poll_fn(|cx| std::pin::Pin::new(&mut answer).poll_frame(cx)).await;
        match frame {
            None => return Ok((read, None)),
            Some(Err(error)) => return Err(Failure::Broken(error.to_string())),
            Some(Ok(frame)) => {
                let Ok(data) = frame.into_data() else { continue };
                total += data.len();
                let room = match total > limit::REPLY_HOLD {
                    true => node.hold(data.len()).map(|held| read.held.push(held)).is_ok(),
                    false => true,
                };
                read.chunks.push(data);
                if (total > hold || !room) && !answer.is_end_stream() {
                    return Ok((read, Some(answer)));
                }
            }
        }
    }
}

/// An answer with an error status: a JSON-RPC error is the server's word and passes, anything else is not shown.
async fn refused(mut call: Call, posted: Posted, response: Response<Answer>) -> Outcome {
    let id = posted.id();
    let status = response.status();
    if let Some(reason) = credential(status) {
        return Err(refuse(&mut call, reason, id));
    }
    let body = response.into_body().collect(limit::SMALL_REPLY_BYTES, call.upstream.config.timeout).await;
    let passes = |body: &Bytes| {
        let message = scan(body, ScanLimits::default()).ok().filter(|m| m.error.is_some())?;
        (message.id.is_none() || answers(body, &message, &posted)).then_some(())
    };
    match body {
        Ok(body) if passes(&body).is_some() => {
            call.record.outcome = "error";
            Ok(Reply::json(status, body))
        }
        _ => Err(refuse(&mut call, unusual(status), id)),
    }
}

/// Asks the server for its era with a `server/discover` of our own; `true`: modern.
pub(super) async fn probe(worker: &Rc<Worker>, upstream: &Arc<Upstream>) -> Result<bool, Reason> {
    let Some(target) = &upstream.target else { return Ok(false) };
    let body = Bytes::from_static(crate::upstream::pipe::child::DISCOVER.as_bytes());
    let mut request = target.request(Verb::POST, Outgoing::whole(body));
    let headers = request.headers_mut();
    headers.insert(header::PROTOCOL_VERSION, HeaderValue::from_static("2026-07-28"));
    headers.insert(header::METHOD, HeaderValue::from_static("server/discover"));
    let sent = worker.pools.send(upstream.id, target, request, limit::PROBE).await;
    let response = sent.map_err(|failure| match failure {
        Failure::Unreachable(_) => Reason::ServerUnreachable,
        Failure::Broken(_) => Reason::ServerClosed,
        Failure::Timeout => Reason::ServerTimeout,
    })?;
    let status = response.status();
    if status.is_server_error() || status.is_redirection() || credential(status).is_some() {
        return Err(unusual(status));
    }
    let body = answer_to(Some(br#""sluice-discover""#), response, limit::SMALL_REPLY_BYTES).await;
    let message = body.as_ref().and_then(|b| scan(b, ScanLimits::default()).ok().map(|m| (b, m)));
    if message.is_none() && status.is_success() {
        // a web page, perhaps: no server of either era
        return Err(Reason::ServerGarbage("no answer to `server/discover`"));
    }
    let versions = message.as_ref().and_then(|(body, m)| {
        let listed = m.r.supported_versions.map(|v| protocol_versions(v.of(body)));
        let refused = is_modern_refusal(body, m).then(|| vec!["2026-07-28".to_owned()]);
        listed.or(refused)
    });
    let modern = versions.is_some();
    upstream.era.learn(versions.map_or(Known::Legacy, |v| Known::Modern(v.into())));
    Ok(modern)
}

/// The response message of an answer, be it JSON or an event stream, whatever it is typed as: the one to the request of this
/// raw id, the first one where there is none. `limit` bounds it in bytes.
pub(super) async fn answer_to(id: Option<&[u8]>, response: Response<Answer>, limit: usize) -> Option<Bytes> {
    let answers = |body: &[u8]| {
        let message = scan(body, ScanLimits { depth: u16::MAX }).ok().filter(|m| m.kind == Kind::Response);
        // an error need not say which request it is about
        message.is_some_and(|m| m.id.zip(id).is_none_or(|(theirs, ours)| same_id(theirs.of(body), ours)))
    };
    let in_events = content_type(response.headers()) == Kinds::Events;
    let mut answer = response.into_body();
    let mut decoder = SseDecoder::new(limit);
    let next = |decoder: &mut SseDecoder| {
        while let Some(event) = decoder.next().ok()? {
            if let Some(data) = event.data.filter(|data| answers(data)) {
                return Some(data);
            }
        }
        None
    };
    if !in_events {
        let body = answer.collect(limit, limit::PROBE).await.ok()?;
        if !is_events(std::slice::from_ref(&body)) {
            return Some(body).filter(|body| answers(body));
        }
        decoder.push(body);
        return next(&mut decoder);
    }
    let reading = async {
        let mut json: Option<BytesMut> = None;
        let mut begun = false;
        loop {
            if let Some(data) = next(&mut decoder) {
                return Some(data);
            }
            let frame = std::future::poll_fn(|cx| std::pin::Pin::new(&mut answer).poll_frame(cx)).await;
            let Some(frame) = frame else { return json.map(BytesMut::freeze).filter(|body| answers(body)) };
            let Ok(data) = frame.ok()?.into_data() else { continue };
            // no field of an event begins with a brace
            if !begun && data.trim_ascii_start().starts_with(b"{") {
                json = Some(BytesMut::new());
            }
            begun |= !data.is_empty();
            match &mut json {
                Some(json) if json.len() + data.len() > limit => return None,
                Some(json) => json.extend_from_slice(&data),
                None => decoder.push(data),
            }
        }
    };
    tokio::time::timeout(limit::CHILD_START, reading).await.ok().flatten()
}

/// Sends a request within the server's own time limit.
pub(super) async fn send(
    worker: &Rc<Worker>,
    upstream: &Upstream,
    request: Request<Outgoing>,
) -> Result<Response<Answer>, Failure> {
    let Some(target) = &upstream.target else {
        return Err(Failure::Unreachable("not an HTTP server".to_owned()));
    };
    if let Err(left) = upstream.breaker.may_try() {
        let cause = format!("it left requests unanswered; tried again in {} s", left.as_secs() + 1);
        return Err(Failure::Unreachable(cause));
    }
    let (answers, begun) = (upstream.breaker.answers(), Instant::now());
    let sent = worker.pools.send(upstream.id, target, request, upstream.config.timeout).await;
    let ended = match &sent {
        Ok(_) => Ended::Answered,
        Err(Failure::Unreachable(_)) if begun.elapsed() < limit::SWALLOWED => Ended::Refused,
        Err(Failure::Broken(_)) => Ended::Answered,
        Err(Failure::Unreachable(_) | Failure::Timeout) => Ended::Swallowed,
    };
    upstream.breaker.note(&ended, answers);
    upstream.note(!matches!(sent, Err(Failure::Unreachable(_))));
    sent
}

/// A request of the client, as the server sees it.
fn request(call: &Call, verb: Verb, state: Option<&State>, body: Outgoing) -> Request<Outgoing> {
    let Some(target) = &call.upstream.target else { return Request::new(body) };
    let mut request = target.request(verb, body);
    let headers = request.headers_mut();
    for (name, value) in forwarded(&call.headers) {
        headers.append(name, value.clone());
    }
    if let Some(session) = state.and_then(|state| state.upstream.as_ref()) {
        headers.insert(header::SESSION_ID, session.clone());
    }
    if let Some(version) = state.and_then(|state| state.version.as_ref()) {
        headers.insert(header::PROTOCOL_VERSION, version.clone());
    }
    request
}

/// Whether an answer carries the id of the request.
fn answers(body: &[u8], message: &Message, posted: &Posted) -> bool {
    message.id.zip(posted.message.id).is_some_and(|(theirs, ours)| same_id(theirs.of(body), ours.of(&posted.body)))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kinds {
    Json,
    Events,
    Other,
}

pub(super) fn content_type(headers: &HeaderMap) -> Kinds {
    let Some(value) = headers.get(CONTENT_TYPE) else { return Kinds::Other };
    let kind = value.as_bytes().split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
    if kind.eq_ignore_ascii_case(b"application/json") {
        Kinds::Json
    } else if kind.eq_ignore_ascii_case(b"text/event-stream") {
        Kinds::Events
    } else {
        Kinds::Other
    }
}

pub(super) fn events(answer: Answer) -> Source {
    Source::Http { answer: Box::new(answer), decoder: SseDecoder::new(limit::EVENT_BYTES) }
}

/// A server's 401 or 403 concerns the gateway's credential; passed on, it would send the client to the wrong place.
fn credential(status: StatusCode) -> Option<Reason> {
    matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN).then_some(Reason::ServerCredential)
}

pub(super) fn unusual(status: StatusCode) -> Reason {
    match credential(status) {
        Some(reason) => reason,
        None if status.is_redirection() => Reason::ServerRedirect,
        None => Reason::ServerStatus(status.as_u16()),
    }
}

fn failed(call: &mut Call, failure: Failure, id: Option<Bytes>) -> Refusal {
    let (reason, cause) = what_failed(&call.upstream, failure);
    call.record.cause = Some(cause);
    refuse(call, reason, id)
}

/// What a failure is called, and its cause, which is told inside only.
pub(super) fn what_failed(upstream: &Upstream, failure: Failure) -> (Reason, String) {
    let (reason, cause) = match failure {
        Failure::Unreachable(cause) => (Reason::ServerUnreachable, cause),
        Failure::Broken(cause) => (Reason::ServerClosed, cause),
        Failure::Timeout => (Reason::ServerTimeout, String::new()),
    };
    tracing::warn!(server = %upstream.name(), cause, outcome = reason.row().outcome, "the server gave no answer");
    (reason, cause)
}
