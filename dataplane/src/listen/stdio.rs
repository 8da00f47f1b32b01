//! The stdio door: MCP on the process's own stdin and stdout, one message per line, logs elsewhere. One client, one
//! session; the end of input ends the process and its children (2026-07-28 *stdio*).

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::poll_fn;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};
use sluice_mcp::{
    Era, Kind, Message, Method, Mirrored, ScanLimits, decode_string, era_of, error_body, header, join, scan,
    without_newlines,
};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};

use crate::auth::Principal;
use crate::drain::Phase;
use crate::exchange::call::{Arrival, Call, Content, Refusal, Reply, Scope};
use crate::exchange::json_stream::JsonStream;
use crate::exchange::record::Record;
use crate::exchange::relay::Relay;
use crate::exchange::{get, post};
use crate::limit;
use crate::node::Worker;
use crate::reason::Reason;
use crate::session::{InUse, SessionId};

/// Lines waiting for stdout; beyond it servers wait.
const LINES: usize = 64;
/// After the end of input, calls in flight have this long to answer: a script that pipes its requests in gets its answers.
const LAST_ANSWERS: Duration = Duration::from_secs(5);
/// Pause before a broken stream is opened again, where the server names none.
const RECONNECT: Duration = Duration::from_secs(1);

/// Serves until stdin ends, then lets the node go.
pub(crate) async fn serve(worker: Rc<Worker>) {
    let (lines, queue) = mpsc::channel(LINES);
    let writer = tokio::task::spawn_local(write(queue));
    let door =
        Rc::new(Door { worker: Rc::clone(&worker), principal: Principal::local(), lines, state: RefCell::default() });
    let mut calls = JoinSet::new();
    let mut input = BufReader::new(tokio::io::stdin());
    loop {
        let limit = worker.plane().snapshot.limits.body_bytes;
        let mut line = Vec::new();
        let drain = worker.node.drain.clone();
        let mut limited = (&mut input).take(limit as u64 + 1);
        let read = tokio::select! {
            () = drain.reached(Phase::Closing) => break,
            read = limited.read_until(b'\n', &mut line) => read,
        };
        if read.is_err() || line.is_empty() {
            break;
        }
        if line.len() > limit {
            door.refuse(&Reason::BodyTooLarge { limit }.into()).await;
            if skip_line(&mut input, &line).await.is_err() {
                break;
            }
            continue;
        }
        door.take(Bytes::from(line), &mut calls).await;
        while calls.try_join_next().is_some() {}
    }
    let answers = async { while calls.join_next().await.is_some() {} };
    let told = worker.node.drain.phase() >= Phase::Closing;
    let _ = tokio::time::timeout(if told { limit::DRAIN } else { LAST_ANSWERS }, answers).await;
    door.close();
    drop(door);
    calls.shutdown().await;
    let _ = tokio::time::timeout(LAST_ANSWERS, writer).await;
    worker.node.drain.enter(Phase::Closing);
}

/// Reads over the rest of a line that is too long.
async fn skip_line<R: tokio::io::AsyncBufRead + Unpin>(input: &mut R, start: &[u8]) -> std::io::Result<()> {
    let mut piece = start.to_vec();
    while piece.last() != Some(&b'\n') {
        piece.clear();
        if (&mut *input).take(64 << 10).read_until(b'\n', &mut piece).await? == 0 {
            break;
        }
    }
    Ok(())
}

async fn write(mut queue: mpsc::Receiver<Bytes>) {
    let mut stdout = tokio::io::stdout();
    let mut buffer = Vec::new();
    while let Some(line) = queue.recv().await {
        let mut next = Some(line);
        while let Some(line) = next {
            buffer.extend_from_slice(&without_newlines(line));
            buffer.push(b'\n');
            next = if buffer.len() < 64 << 10 { queue.try_recv().ok() } else { None };
        }
        if stdout.write_all(&buffer).await.is_err() || stdout.flush().await.is_err() {
            return;
        }
        buffer.clear();
    }
}

/// The door's one client.
struct Door {
    worker: Rc<Worker>,
    principal: Principal,
    lines: mpsc::Sender<Bytes>,
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    /// The legacy session's sealed id, and what keeps it from expiring.
    session: Option<(HeaderValue, InUse)>,
    version: Option<HeaderValue>,
    /// Modern requests by their raw id, for `notifications/cancelled`.
    in_flight: HashMap<Bytes, AbortHandle>,
    standing: Option<AbortHandle>,
}

impl Door {
    /// Takes one line of the client.
    async fn take(self: &Rc<Self>, line: Bytes, calls: &mut JoinSet<()>) {
        let line = line.slice_ref(line.trim_ascii());
        if line.is_empty() {
            return;
        }
        let depth = self.worker.plane().snapshot.limits.json_depth;
        let message = match scan(&line, ScanLimits { depth }) {
            Ok(message) => message,
            Err(error) => {
                let id = error.id.map(|s| line.slice(s.range()));
                let reason = Reason::Message { code: error.code(), text: error.to_string() };
                return self.refuse(&Refusal { reason, id }).await;
            }
        };
        let modern = is_modern(&line, &message);
        match (message.kind, message.method) {
            (Kind::Notification, Method::NotificationCancelled) if self.cancels(&line, &message) => {}
            // what a server must see in order is sent in order
            (Kind::Request, Method::Initialize) if !modern => Rc::clone(self).call(line, message, modern).await,
            (Kind::Notification | Kind::Response, method) => {
                Rc::clone(self).call(line, message, modern).await;
                if method == Method::NotificationInitialized {
                    self.stand();
                }
            }
            (Kind::Request, _) => {
                let id = message.id.filter(|_| modern).map(|s| line.slice(s.range()));
                let handle = calls.spawn_local(Rc::clone(self).call(line, message, modern));
                if let Some(id) = id {
                    self.state.borrow_mut().in_flight.insert(id, handle);
                }
                // its first turn comes before the next line: a notification does not overtake the request it follows
                tokio::task::yield_now().await;
            }
        }
    }

    /// A modern request the client no longer wants: its stream is dropped, which cancels it upstream.
    fn cancels(&self, line: &Bytes, message: &Message) -> bool {
        let id = message.p.request_id.map(|s| line.slice(s.range()));
        let handle = id.and_then(|id| self.state.borrow_mut().in_flight.remove(&id));
        handle.as_ref().inspect(|h| h.abort()).is_some()
    }

    /// One message down the path, and its answers out.
    async fn call(self: Rc<Self>, line: Bytes, message: Message, modern: bool) {
        // a node that is told to stop waits for this
        let _open = self.worker.node.drain.open();
        let id = message.id.map(|s| line.slice(s.range()));
        let is_request = message.kind == Kind::Request;
        let headers = self.headers(&line, &message, modern);
        match self.posted(line, headers).await {
            Ok(reply) => {
                if message.method == Method::Initialize && !modern {
                    self.begin_session(&reply).await;
                }
                self.out(reply, id.clone()).await;
            }
            Err(refusal) if is_request => self.refuse(&refusal).await,
            Err(refusal) => tracing::warn!(reason = %refusal.reason.text(), "a notification was refused"),
        }
        if let Some(id) = id.filter(|_| modern) {
            self.state.borrow_mut().in_flight.remove(&id);
        }
    }

    async fn posted(&self, body: Bytes, headers: HeaderMap) -> Result<Reply, Refusal> {
        let held = self.worker.node.hold(body.len())?;
        let call = self.admitted(headers)?;
        post(&self.worker, call, body, held).await
    }

    fn admitted(&self, headers: HeaderMap) -> Result<Arrival, Reason> {
        let plane = self.worker.plane();
        let mut record = Record::begin(&self.worker, plane.snapshot.monitoring.access_log);
        record.principal = Some(self.principal.name.clone());
        let account = self.worker.node.quotas.account(self.principal.id);
        let scope = Scope::Merged;
        match self.worker.node.quotas.admit(&account, &plane.snapshot.limits, Instant::now()) {
            Ok(ticket) => Ok(Call {
                naming: scope.naming(&plane),
                upstream: scope,
                principal: self.principal.clone(),
                account,
                headers,
                synthesized: true,
                record,
                ticket,
                plane,
            }),
            Err(reason) => {
                record.fail(&reason);
                Err(reason)
            }
        }
    }

    /// The header fields a streamable HTTP client would send with this message.
    fn headers(&self, line: &[u8], message: &Message, modern: bool) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let mut put = |name: &'static str, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        };
        if !modern {
            let state = self.state.borrow();
            if let Some((id, _)) = state.session.as_ref().filter(|_| message.method != Method::Initialize) {
                headers.insert(header::SESSION_ID, id.clone());
            }
            headers.extend(state.version.clone().map(|v| (HeaderName::from_static(header::PROTOCOL_VERSION), v)));
            return headers;
        }
        let text = |span: Option<sluice_mcp::Span>| span.map(|s| decode_string(s.of(line)));
        if let Some(version) = text(message.p.meta_protocol_version) {
            put(header::PROTOCOL_VERSION, &version);
        }
        if let Some(method) = text(message.method_span) {
            put(header::METHOD, &method);
        }
        let mirrored = message.method.mirrored().and_then(|mirrored| match mirrored {
            Mirrored::Name => text(message.p.name),
            Mirrored::Uri => text(message.p.uri),
            Mirrored::TaskId => text(message.p.task_id),
        });
        if let Some(name) = mirrored {
            put(header::NAME, &header::encode_value(&name));
        }
        headers
    }

    /// Keeps the session that `initialize` began.
    async fn begin_session(&self, reply: &Reply) {
        let Some(sealed) = &reply.session else { return };
        let Some(id) = SessionId::open(&self.worker.node.seal, self.principal.id, sealed.as_bytes()) else { return };
        let Some(session) = self.worker.node.sessions.get(&id).await else { return };
        let version = match &reply.content {
            Content::Json(body) => scan(body, ScanLimits::default()).ok().and_then(|m| {
                let version = decode_string(m.r.protocol_version?.of(body)).into_owned();
                // revisions before 2025-06-18 know no such header; sending it does no harm
                HeaderValue::from_str(&version).ok()
            }),
            _ => None,
        };
        let mut state = self.state.borrow_mut();
        state.session = HeaderValue::from_str(sealed).ok().map(|id| (id, session.hold(self.worker.node.clock)));
        state.version = version;
    }

    /// Opens the session's standalone stream, and again whenever it ends.
    fn stand(self: &Rc<Self>) {
        let door = Rc::clone(self);
        let task = tokio::task::spawn_local(async move {
            let mut last = None;
            loop {
                match door.resume(last.take()).await {
                    Ok(Reply { content: Content::Messages(relay), .. }) => last = door.pass(*relay).await.last,
                    Ok(_) => {}
                    Err(refusal) if matches!(refusal.reason, Reason::MethodNotAllowed(_) | Reason::SessionUnknown) => {
                        return;
                    }
                    Err(refusal) => tracing::debug!(reason = %refusal.reason.text(), "no standalone stream"),
                }
                tokio::time::sleep(RECONNECT).await;
            }
        });
        if let Some(before) = self.state.borrow_mut().standing.replace(task.abort_handle()) {
            before.abort();
        }
    }

    async fn resume(&self, last: Option<String>) -> Result<Reply, Refusal> {
        let mut headers = HeaderMap::new();
        {
            let state = self.state.borrow();
            headers.extend(
                state.session.as_ref().map(|(id, _)| (HeaderName::from_static(header::SESSION_ID), id.clone())),
            );
            headers.extend(state.version.clone().map(|v| (HeaderName::from_static(header::PROTOCOL_VERSION), v)));
        }
        if let Some(last) = last.and_then(|l| HeaderValue::from_str(&l).ok()) {
            headers.insert(header::LAST_EVENT_ID, last);
        }
        get(&self.worker, self.admitted(headers)?).await
    }

    /// Writes an answer. Whatever becomes of its stream, a request gets one: stdio has no other way to end it.
    async fn out(&self, reply: Reply, id: Option<Bytes>) {
        let answered = match reply.content {
            Content::Empty => true,
            Content::Json(body) => {
                self.line(body).await;
                true
            }
            Content::Pieces(pieces) => {
                self.line(join(&pieces)).await;
                true
            }
            Content::JsonStream(stream) => match whole(*stream).await {
                Some(body) => {
                    self.line(body).await;
                    true
                }
                None => false,
            },
            Content::Messages(relay) => self.stream(*relay).await,
        };
        if let Some(id) = id.filter(|_| !answered) {
            self.refuse(&Refusal { reason: Reason::ServerClosed, id: Some(id) }).await;
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
    async fn pass(&self, mut relay: Relay) -> End {
        let mut end = End { answered: false, progressed: false, last: None, pause: RECONNECT };
        while let Some(item) = poll_fn(|cx| relay.poll_item(cx)).await {
            end.progressed = true;
            end.last = item.id.or(end.last);
            end.pause = item.retry.map_or(end.pause, Duration::from_millis);
            let Some(data) = item.data.filter(|d| !d.is_empty()) else { continue };
            end.answered = scan(&data, ScanLimits { depth: u16::MAX }).is_ok_and(|m| m.kind == Kind::Response);
            self.line(data).await;
            if end.answered {
                break;
            }
        }
        // a relay that ended in order (its client cancelled it) owes no answer
        end.answered |= relay.is_answered();
        end
    }

    async fn line(&self, message: Bytes) {
        let _ = self.lines.send(message).await;
    }

    async fn refuse(&self, refusal: &Refusal) {
        let row = refusal.reason.row();
        let data = refusal.reason.data();
        let body = error_body(refusal.id.as_deref(), row.code, &refusal.reason.text(), data.as_deref());
        self.line(body.into()).await;
    }

    fn close(&self) {
        let mut state = self.state.borrow_mut();
        if let Some(standing) = state.standing.take() {
            standing.abort();
        }
        state.session = None;
    }
}

/// How a stream ended.
struct End {
    answered: bool,
    /// It brought anything at all.
    progressed: bool,
    /// Where to resume it, and how soon.
    last: Option<String>,
    pause: Duration,
}

/// A message says itself that it is modern.
fn is_modern(line: &[u8], message: &Message) -> bool {
    let version = message.p.meta_protocol_version.map(|s| decode_string(s.of(line)));
    version.is_some_and(|v| era_of(v.as_bytes()) != Some(Era::Legacy))
}

async fn whole(mut stream: JsonStream) -> Option<Bytes> {
    let mut body = Vec::new();
    while let Some(piece) = poll_fn(|cx| stream.poll_piece(cx)).await {
        body.extend_from_slice(&piece.ok()?);
    }
    Some(body.into())
}
