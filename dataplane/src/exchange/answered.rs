//! What a server's answer over HTTP means: as JSON, in events, or refused; and what it tells of the server.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use sluice_mcp::{
    Kind, Message, Method, ScanLimits, SseDecoder, code, glance_into, protocol_versions, scan, scan_into, splice,
};
use sluice_snapshot::model::Protocol;
use smallvec::SmallVec;

use super::ask::{Kinds, content_type, credential, events, failed, is_events, turned_away, unusual};
use super::call::{Call, Content, Pieces, Posted, Refusal, Reply};
use super::handles::Handles;
use super::json_stream::JsonStream;
use super::relay::{Expected, Numbering, Parts, Relay, Source, same_id};
use super::{Outcome, detection, edited, refuse, sessions, stream, stream_ticket};
use crate::budget::Held;
use crate::limit;
use crate::node::{Node, Worker};
use crate::reason::Reason;
use crate::session::InUse;
use crate::upstream::Upstream;
use crate::upstream::endpoint::Key;
use crate::upstream::era::Known;
use crate::upstream::http::{Answer, Failure, Response};
use crate::upstream::quirks::Quirk;

/// A message that its server has, and what it takes to pass the answer on.
pub(super) struct Asked {
    pub call: Call,
    pub posted: Posted,
    /// The legacy session it belongs to, and the epoch of that; `None`: the message is modern.
    pub session: Option<(InUse, u64)>,
    pub handles: Handles,
}

impl Asked {
    fn refuse(&mut self, reason: Reason) -> Refusal {
        refuse(&mut self.call, reason, self.posted.id())
    }

    /// The answer passed on, where it is a usual one and all of it is there: as nearly always. No future then takes room.
    /// `None`: it is left to [`pass_on`].
    pub(super) fn at_once(&mut self, worker: &Worker, response: &mut Response) -> Option<Outcome> {
        let status = response.status;
        let request = self.posted.message.kind == Kind::Request;
        let usual = request && status.is_success() && content_type(&response.headers) == Kinds::Json;
        let whole = response.body.whole().filter(|_| usual)?;
        let doubtful = self.session.is_none() && self.call.upstream.era.is_unknown();
        if whole.len() > limit::REPLY_HOLD || is_events(whole) || doubtful {
            return None;
        }
        let body = response.body.take_whole();
        self.call.record.status = status;
        let mut message = Message::default();
        let outcome = self.read(&body, &mut message).and_then(|()| self.sealed(status, body, &message, Vec::new()));
        Some(trusting(worker, response.from, outcome))
    }

    /// Reads a whole answer: a response, to this request.
    fn read(&mut self, body: &[u8], message: &mut Message) -> Result<(), Refusal> {
        let limits = ScanLimits { depth: self.call.plane.snapshot.limits.json_depth };
        let thorough = body.len() <= limit::REPLY_CHECKED;
        let read = if thorough { scan_into(body, limits, message) } else { glance_into(body, limits, message) };
        if let Err(error) = read {
            self.call.record.cause = Some(error.to_string());
            return Err(self.refuse(Reason::ServerGarbage("not JSON-RPC")));
        }
        if message.kind != Kind::Response {
            return Err(self.refuse(Reason::ServerGarbage("not a response")));
        }
        if message.id.is_some() && !answers(body, message, &self.posted) {
            return Err(self.refuse(Reason::ServerGarbage("the answer to another request")));
        }
        if self.posted.message.method == Method::ServerDiscover
            && let Some(reason) = learn_from_discover(&self.call.upstream, body, message)
        {
            return Err(self.refuse(reason));
        }
        Ok(())
    }

    /// Whether a modern result is one that a legacy server could have given.
    fn is_doubtful(&self, message: &Message) -> bool {
        self.session.is_none() && message.result.is_some() && !is_modern_result(&self.call.upstream, message)
    }

    /// A whole answer as the client gets it: what is not for it left out, handles sealed. `held`: the room it takes.
    fn sealed(&mut self, status: StatusCode, body: Bytes, message: &Message, held: Vec<Held>) -> Outcome {
        self.call.record.outcome = if message.error.is_some() { "error" } else { "ok" };
        let handles = &self.handles;
        let (body, mut edits) = match handles.filtered(&body) {
            Ok(None) => {
                let edits = handles.sealing_read(&body, message);
                (body, edits)
            }
            Ok(Some(filtered)) => {
                let edits = handles.sealing(&filtered);
                (filtered, edits)
            }
            Err(reason) => return Err(self.refuse(reason)),
        };
        if held.is_empty() {
            return Ok(Reply::json(status, edited(&body, &mut edits)));
        }
        // large: what did not change is not copied once more
        let pieces = Pieces { chunks: splice(&body, &mut edits), file: None, _held: held };
        Ok(Reply::of(status, Content::Pieces(Box::new(pieces))))
    }
}

/// What comes of an answer from there: who answered with what is none is not asked over the same connections again.
fn trusting(worker: &Worker, from: Key, outcome: Outcome) -> Outcome {
    if matches!(outcome, Err(Refusal { reason: Reason::ServerGarbage(_), .. })) {
        // one answer too many, perhaps: then the connection owes one, which nobody else may get
        worker.pools.distrust(from);
    }
    outcome
}

/// Passes an answer on: its status where it is the protocol's, its body checked when small, streaming when not.
pub(super) async fn pass_on(worker: &Rc<Worker>, mut asked: Box<Asked>, response: Response) -> Outcome {
    let status = response.status;
    asked.call.record.status = status;
    let is_request = asked.posted.message.kind == Kind::Request;
    if status.is_success() && !is_request {
        asked.call.record.outcome = "ok";
        return Ok(Reply::empty(StatusCode::ACCEPTED));
    }
    if !status.is_success() {
        return Box::pin(refused(asked, response)).await;
    }
    match content_type(&response.headers) {
        Kinds::Json => {
            let from = response.from;
            trusting(worker, from, json(worker, asked, response).await)
        }
        Kinds::Events => in_events(worker, *asked, events(response.body)),
        Kinds::Other => {
            let what =
                if status == StatusCode::ACCEPTED { "202 to a request" } else { "neither JSON nor an event stream" };
            Err(asked.refuse(Reason::ServerGarbage(what)))
        }
    }
}

/// An answer in events.
fn in_events(worker: &Rc<Worker>, asked: Asked, source: Source) -> Outcome {
    let Asked { call, posted, session, handles } = asked;
    let Some(id) = posted.id() else { return Ok(Reply::empty(StatusCode::ACCEPTED)) };
    let numbering =
        session.as_ref().map(|(s, epoch)| Numbering { session: s.session.id, epoch: *epoch, stands: false });
    let modern = session.is_none();
    let listen = posted.message.method == Method::SubscriptionsListen;
    let Call { upstream, base } = call;
    let mut base = *base;
    let ticket = if listen { stream_ticket(base.ticket, &mut base.record, Some(&id))? } else { base.ticket };
    let on_timeout = session.as_ref().map(|(in_use, _)| {
        let (worker, upstream) = (Rc::clone(worker), Arc::clone(&upstream));
        let (session, id) = (Arc::clone(&in_use.session), id.clone());
        Box::new(move || sessions::cancel_later(&worker, &upstream, &session, &id)) as Box<dyn FnOnce()>
    });
    let timeout = upstream.config.timeout;
    let depth = base.plane.snapshot.limits.json_depth;
    Ok(stream(Relay::new(Parts {
        worker: Rc::clone(worker),
        source,
        handles: Some(handles),
        numbering,
        expected: Some(Expected { id, method: posted.message.method, modern, timeout }),
        depth,
        before: Default::default(),
        on_timeout,
        upstream: Some(upstream),
        principal: base.principal,
        record: base.record,
        ticket,
        in_use: session.map(|(in_use, _)| in_use),
    })))
}

/// A JSON answer. Up to [`limit::REPLY_HOLD`] it is checked to be the answer to this request; beyond, it streams.
async fn json(worker: &Rc<Worker>, mut asked: Box<Asked>, response: Response) -> Outcome {
    let Asked { call, posted, handles, .. } = &mut *asked;
    let status = response.status;
    let hold = match (handles.curates(), handles.rewrites_links()) {
        (true, _) => limit::LIST_BYTES,
        (false, true) => limit::LINKS_HOLD,
        (false, false) => limit::REPLY_HOLD,
    };
    let (Read { chunks: mut read, held }, rest) =
        match read_some(&worker.node, response.body, hold, call.upstream.config.timeout).await {
            Ok(read) => read,
            Err(failure) => return Err(failed(call, failure, posted.id())),
        };
    if rest.is_none() && is_events(read.first().map_or(&[], |chunk| chunk)) {
        call.upstream.quirks.saw(call.upstream.name(), Quirk::EventsAsJson);
        let mut decoder = SseDecoder::new(limit::EVENT_BYTES);
        read.into_iter().for_each(|chunk| decoder.push(chunk));
        return in_events(worker, *asked, Source::Read { decoder });
    }
    if let Some(rest) = rest {
        if handles.curates() {
            return Err(asked.refuse(Reason::ServerGarbage("a list longer than the limit")));
        }
        if read.first().and_then(|c| c.trim_ascii_start().first()) != Some(&b'{') {
            return Err(asked.refuse(Reason::ServerGarbage("not a JSON object")));
        }
        let Asked { call: Call { upstream, base }, posted, session, handles } = *asked;
        let (timeout, in_use) = (upstream.config.timeout, session.map(|(in_use, _)| in_use));
        let stream = JsonStream::new(rest, read.into_vec(), handles, timeout, base.record, base.ticket, in_use)
            .map_err(|reason| Refusal { reason, id: posted.id() })?;
        return Ok(Reply::of(status, Content::JsonStream(Box::new(stream))));
    }
    let body = if read.len() == 1 { read.remove(0) } else { Bytes::from(read.concat()) };
    let mut message = Message::default();
    asked.read(&body, &mut message)?;
    if asked.is_doubtful(&message)
        // boxed: asked once of a server
        && let Some(reason) = Box::pin(doubt(worker, &asked.call, &asked.posted)).await
    {
        return Err(asked.refuse(reason));
    }
    asked.sealed(status, body, &message, held)
}

/// What a result tells of the server's era: a modern one carries `resultType`. Nothing is to be doubted where the era is known,
/// or the result is a discovery.
fn is_modern_result(upstream: &Upstream, message: &Message) -> bool {
    if message.r.result_type.is_some() {
        upstream.era.served_modern();
        return true;
    }
    !upstream.era.is_unknown() || message.r.supported_versions.is_some()
}

/// A result may come from a legacy server that answers whatever it is asked, so that is asked. What may have had an effect
/// passes all the same.
async fn doubt(worker: &Rc<Worker>, call: &Call, posted: &Posted) -> Option<Reason> {
    if detection::is_modern(worker, &call.upstream, call.record.started()).await != Ok(false) {
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
    chunks: SmallVec<[Bytes; 2]>,
    /// Room in the node's budget for what goes beyond [`limit::REPLY_HOLD`].
    held: Vec<Held>,
}

/// The first `hold` bytes, within `wait` (fewer when the node has no room for them), and the rest if there is more.
async fn read_some(
    node: &Node,
    mut answer: Answer,
    hold: usize,
    wait: Duration,
) -> Result<(Read, Option<Answer>), Failure> {
    let mut read = Read::default();
    let mut deadline = None;
    let mut total = 0;
    loop {
        match answer.data_within(&mut deadline, wait).await? {
            None => return Ok((read, None)),
            Some(data) => {
                total += data.len();
                let room = match total > limit::REPLY_HOLD {
                    true => node.hold(data.len()).map(|held| read.held.push(held)).is_ok(),
                    false => true,
                };
                read.chunks.push(data);
                if (total > hold || !room) && !answer.is_end() {
                    return Ok((read, Some(answer)));
                }
            }
        }
    }
}

/// An answer with an error status: a JSON-RPC error is the server's word and passes, anything else is not shown.
async fn refused(mut asked: Box<Asked>, response: Response) -> Outcome {
    let status = response.status;
    if let Some(reason) = credential(status) {
        return Err(asked.refuse(reason));
    }
    let away = turned_away(&response);
    let body = response.body.collect(limit::SMALL_REPLY_BYTES, asked.call.upstream.config.timeout).await;
    let passes = |body: &Bytes| {
        let message = scan(body, ScanLimits::default()).ok().filter(|m| m.error.is_some())?;
        (message.id.is_none() || answers(body, &message, &asked.posted)).then_some(())
    };
    match body {
        Ok(body) if passes(&body).is_some() => {
            asked.call.record.outcome = "error";
            Ok(Reply::json(status, body).again_after(away.and_then(|away| away.row().retry_after)))
        }
        _ => Err(asked.refuse(away.unwrap_or_else(|| unusual(status)))),
    }
}

/// Whether an answer carries the id of the request.
pub(super) fn answers(body: &[u8], message: &Message, posted: &Posted) -> bool {
    message.id.zip(posted.message.id).is_some_and(|(theirs, ours)| same_id(theirs.of(body), ours.of(&posted.body)))
}
