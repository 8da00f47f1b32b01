//! Which caller a child's message concerns. Many callers share one pipe, so ids and progress tokens are made unique on the
//! way in and mapped back on the way out; what concerns nobody, or could be somebody else's, is counted and not delivered.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use sluice_mcp::{Edit, Kind, Message, Method, Span, code, decode_string, error_body, join, splice, without_newlines};

use super::outbox::Outbox;
use super::task::{Parts, ToChild};
use super::{Caller, scanned};
use crate::auth::PrincipalId;
use crate::limit;
use crate::observe::metrics::Metrics;
use crate::upstream::tasks::Owners;

/// The routing state of one child.
pub(super) struct Routes {
    server: Arc<str>,
    exclusive: bool,
    depth: u16,
    timeout: Duration,
    metrics: Arc<Metrics>,
    tasks: Arc<Owners>,
    pending: HashMap<u64, Pending>,
    /// Requests of legacy sessions by their own id, for cancellation.
    by_session: HashMap<([u8; 16], Bytes), u64>,
    sessions: HashMap<[u8; 16], Session>,
    /// Progress tokens of answered requests that became tasks: good for the task's lifetime (2025-11-25 *Progress*).
    of_tasks: VecDeque<(u64, [u8; 16], Bytes)>,
    /// The most verbose level any session asked for.
    level: Option<u8>,
    /// The principal served last, and whether there was another one: what names nobody could then be anybody's.
    served: Option<PrincipalId>,
    mixed: bool,
}

struct Pending {
    caller: Caller,
    /// The caller's own id, raw.
    id: Bytes,
    progress: Option<Bytes>,
    outbox: Outbox,
    listen: bool,
    /// Modern: the request asked for log messages.
    logs: bool,
    since: Instant,
}

struct Session {
    principal: PrincipalId,
    listen: Option<Outbox>,
    backlog: VecDeque<Bytes>,
    backlog_bytes: usize,
    subscriptions: HashSet<String>,
    /// Ids of the server's requests that wait for the client's answer, oldest first.
    asked: VecDeque<Bytes>,
    level: Option<u8>,
}

impl Session {
    fn new(principal: PrincipalId) -> Self {
        Self {
            principal,
            listen: None,
            backlog: VecDeque::new(),
            backlog_bytes: 0,
            subscriptions: HashSet::new(),
            asked: VecDeque::new(),
            level: None,
        }
    }

    /// Whether the client is interested in a resource: it subscribed to it, or to what it is part of (2025-11-25
    /// *Resource Updated*: the URI may be a sub-resource).
    fn is_subscribed(&self, uri: &str) -> bool {
        self.subscriptions.contains(uri)
            || self
                .subscriptions
                .iter()
                .any(|s| uri.strip_prefix(s.trim_end_matches('/')).is_some_and(|r| r.starts_with('/')))
    }

    /// Forgets a question; `true` if it was open.
    fn answered(&mut self, id: &[u8]) -> bool {
        let at = self.asked.iter().position(|asked| asked == id);
        at.and_then(|at| self.asked.remove(at)).is_some()
    }
}

/// Which of a session's streams a message goes to first.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Relation {
    /// It may belong to a running call.
    Call,
    /// It belongs to no call.
    Unrelated,
}

impl Routes {
    pub(super) fn new(parts: &Parts) -> Self {
        Self {
            server: Arc::clone(&parts.server.name),
            exclusive: parts.exclusive,
            depth: parts.depth,
            timeout: parts.server.timeout,
            metrics: Arc::clone(&parts.metrics),
            tasks: Arc::clone(&parts.tasks),
            pending: HashMap::new(),
            by_session: HashMap::new(),
            sessions: HashMap::new(),
            of_tasks: VecDeque::new(),
            level: None,
            served: None,
            mixed: false,
        }
    }

    /// Requests that wait for an answer, and open streams.
    pub(super) fn in_use(&self) -> usize {
        let listening = |session: &&Session| session.listen.as_ref().is_some_and(Outbox::is_open);
        self.pending.len() + self.sessions.values().filter(listening).count()
    }

    /// Gives up calls whose callers are gone and that took longer than the server's timeout: nobody else minds them.
    pub(super) fn expire(&mut self, out: &mut BytesMut) {
        let over = |pending: &Pending| !pending.outbox.is_open() && pending.since.elapsed() >= self.timeout;
        let over: Vec<u64> = self.pending.iter().filter(|(_, p)| over(p)).map(|(ticket, _)| *ticket).collect();
        for ticket in over {
            self.cancel(ticket, out);
        }
    }

    /// The child is gone: every caller's queue ends.
    pub(super) fn end(&mut self) {
        self.pending.clear();
        self.sessions.clear();
    }

    /// Takes what a caller tells the child; bytes for the child go to `out`.
    pub(super) fn told(&mut self, command: ToChild, out: &mut BytesMut) {
        match command {
            ToChild::Request { ticket, caller, message, scanned, outbox } => {
                self.request(ticket, caller, &message, &scanned, outbox, out);
            }
            ToChild::Tell { caller, message, scanned } => self.tell(caller, &message, &scanned, out),
            ToChild::Abandon { ticket } => self.cancel(ticket, out),
            ToChild::Attach { caller } => {
                if let Some(session) = caller.session {
                    self.mixed |= self.served.is_some_and(|before| before != caller.principal);
                    self.served = Some(caller.principal);
                    self.sessions.entry(session).or_insert_with(|| Session::new(caller.principal));
                }
            }
            ToChild::Detach { session } => self.detach(session, out),
            ToChild::Listen { session, outbox } => {
                let Some(session) = self.sessions.get_mut(&session) else { return };
                session.backlog_bytes = 0;
                for message in session.backlog.drain(..) {
                    outbox.put(message);
                }
                session.listen = Some(outbox);
            }
        }
    }

    fn request(
        &mut self,
        ticket: u64,
        caller: Caller,
        message: &Bytes,
        scanned: &Message,
        outbox: Outbox,
        out: &mut BytesMut,
    ) {
        let Some(id_span) = scanned.id else { return };
        let id = message.slice(id_span.range());
        if !self.exclusive && self.answered_here(caller, message, scanned, &id, &outbox) {
            return;
        }
        if let Some(session) = caller.session {
            self.by_session.insert((session, id.clone()), ticket);
        }
        let mut edits = vec![Edit { span: id_span, with: ticket.to_string().into() }];
        if let Some(token) = scanned.p.meta_progress_token {
            edits.push(Edit { span: token, with: ticket.to_string().into() });
        }
        write(message, &mut edits, out);
        let pending = Pending {
            caller,
            id,
            progress: scanned.p.meta_progress_token.map(|s| message.slice(s.range())),
            outbox,
            listen: scanned.method == Method::SubscriptionsListen,
            logs: scanned.p.meta_log_level.is_some(),
            since: Instant::now(),
        };
        self.pending.insert(ticket, pending);
    }

    /// What sessions that share a child must not decide for each other: log level and subscriptions are merged here.
    /// `true` when the request was answered without the server.
    fn answered_here(
        &mut self,
        caller: Caller,
        message: &Bytes,
        scanned: &Message,
        id: &Bytes,
        outbox: &Outbox,
    ) -> bool {
        let Some(session) = caller.session.and_then(|key| self.sessions.get_mut(&key)) else { return false };
        let text = |span: Option<Span>| span.map(|s| decode_string(s.of(message)).into_owned());
        let needless = match scanned.method {
            Method::LoggingSetLevel => {
                let Some(level) = scanned.p.level.and_then(|s| severity(s.of(message))) else { return false };
                session.level = Some(level);
                let enough = self.level.is_some_and(|now| now <= level);
                self.level = Some(self.level.map_or(level, |now| now.min(level)));
                enough
            }
            Method::ResourcesSubscribe => {
                let Some(uri) = text(scanned.p.uri) else { return false };
                let subscriptions = &mut session.subscriptions;
                if subscriptions.len() < limit::SUBSCRIPTIONS && uri.len() <= limit::REMEMBERED_BYTES {
                    subscriptions.insert(uri);
                }
                false
            }
            Method::ResourcesUnsubscribe => {
                let Some(uri) = text(scanned.p.uri) else { return false };
                session.subscriptions.remove(&uri);
                self.sessions.values().any(|s| s.subscriptions.contains(&uri))
            }
            _ => false,
        };
        if needless {
            let mut answer = br#"{"jsonrpc":"2.0","id":"#.to_vec();
            answer.extend_from_slice(id);
            answer.extend_from_slice(br#","result":{}}"#);
            outbox.put(answer.into());
        }
        needless
    }

    fn tell(&mut self, caller: Caller, message: &Bytes, scanned: &Message, out: &mut BytesMut) {
        match (scanned.kind, scanned.method) {
            (Kind::Response, _) => {
                let (Some(session), Some(id)) = (caller.session, scanned.id) else { return };
                let asked = self.sessions.get_mut(&session).is_some_and(|s| s.answered(id.of(message)));
                if asked {
                    write(message, &mut [], out);
                }
            }
            // ours went out with the handshake
            (_, Method::NotificationInitialized) if caller.session.is_some() => {}
            (_, Method::NotificationCancelled) => {
                let (Some(session), Some(id)) = (caller.session, scanned.p.request_id) else { return };
                let Some(ticket) = self.by_session.remove(&(session, message.slice(id.range()))) else { return };
                write(message, &mut [Edit { span: id, with: ticket.to_string().into() }], out);
                if let Some(pending) = self.pending.remove(&ticket) {
                    // an empty message ends the caller's stream without an error
                    pending.outbox.put(Bytes::new());
                }
            }
            _ if self.exclusive || caller.session.is_none() || scanned.method == Method::Other => {
                write(message, &mut [], out);
            }
            _ => {}
        }
    }

    fn cancel(&mut self, ticket: u64, out: &mut BytesMut) {
        let Some(pending) = self.pending.remove(&ticket) else { return };
        if let Some(session) = pending.caller.session {
            self.by_session.remove(&(session, pending.id));
        }
        let note = format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{ticket},"reason":"the client went away or the request took too long"}}}}"#
        );
        out.extend_from_slice(note.as_bytes());
        out.extend_from_slice(b"\n");
    }

    fn detach(&mut self, session: [u8; 16], out: &mut BytesMut) {
        self.sessions.remove(&session);
        self.of_tasks.retain(|(_, of, _)| *of != session);
        let left: Vec<u64> =
            self.pending.iter().filter(|(_, p)| p.caller.session == Some(session)).map(|(t, _)| *t).collect();
        for ticket in left {
            self.cancel(ticket, out);
        }
    }

    /// Takes one line the child wrote; answers to it go to `out`.
    pub(super) fn said(&mut self, line: Bytes, out: &mut BytesMut) {
        let line = trimmed(line);
        if line.is_empty() {
            return;
        }
        let message = match scanned(&line, self.depth) {
            Ok(message) => message,
            Err(error) => {
                tracing::warn!(server = %self.server, %error, bytes = line.len(), "the server sent a message that is not MCP");
                self.undeliverable();
                return;
            }
        };
        match message.kind {
            Kind::Response => self.response(&line, &message),
            Kind::Request => self.question(line, &message, out),
            Kind::Notification => self.notification(line, &message, out),
        }
    }

    fn response(&mut self, line: &Bytes, message: &Message) {
        let Some(ticket) = message.id.and_then(|id| number(id.of(line))) else { return self.undeliverable() };
        // an unknown number is a late answer to a cancelled request
        let Some(pending) = self.pending.remove(&ticket) else { return };
        if let Some(session) = pending.caller.session {
            self.by_session.remove(&(session, pending.id.clone()));
        }
        if let (Some(session), Some(token), Some(_)) =
            (pending.caller.session, &pending.progress, message.r.task_task_id)
        {
            if self.of_tasks.len() >= limit::TASK_TOKENS {
                self.of_tasks.pop_front();
            }
            self.of_tasks.push_back((ticket, session, token.clone()));
        }
        let mut edits = Vec::with_capacity(2);
        edits.extend(message.id.map(|span| Edit { span, with: pending.id.clone() }));
        edits.extend(self.mine(line, message.r.meta_subscription_id, ticket, &pending.id));
        pending.outbox.put(join(&splice(line, &mut edits)));
    }

    /// An edit that gives a caller its own id back where the server repeats ours.
    fn mine(&self, line: &[u8], span: Option<Span>, ticket: u64, id: &Bytes) -> Option<Edit> {
        let span = span.filter(|s| number(s.of(line)) == Some(ticket))?;
        Some(Edit { span, with: id.clone() })
    }

    fn question(&mut self, line: Bytes, message: &Message, out: &mut BytesMut) {
        let Some(id) = message.id.map(|s| line.slice(s.range())) else { return };
        if message.method == Method::Ping {
            out.extend_from_slice(br#"{"jsonrpc":"2.0","id":"#);
            out.extend_from_slice(&id);
            out.extend_from_slice(b",\"result\":{}}\n");
            return;
        }
        let only = self.sessions.keys().next().copied().filter(|_| self.exclusive);
        match only {
            Some(key) => {
                if let Some(session) = self.sessions.get_mut(&key) {
                    // a server that withdraws or forgets its questions does not use up the session's
                    if session.asked.len() >= limit::ASKED {
                        session.asked.pop_front();
                    }
                    session.asked.push_back(id);
                }
                self.deliver(key, &line, Relation::Call);
            }
            None => {
                let text = "no client on this connection declared that it answers this request";
                out.extend_from_slice(&error_body(Some(&id), code::METHOD_NOT_FOUND, text, None));
                out.extend_from_slice(b"\n");
            }
        }
    }

    fn notification(&mut self, line: Bytes, message: &Message, out: &mut BytesMut) {
        let ticket = match message.method {
            Method::NotificationProgress => message.p.progress_token,
            _ => message.p.meta_subscription_id,
        };
        if let Some(ticket) = ticket.and_then(|s| number(s.of(&line))).filter(|t| self.pending.contains_key(t)) {
            return self.belongs(ticket, &line, message, out);
        }
        match message.method {
            Method::NotificationProgress => self.task_progress(&line, message),
            Method::NotificationToolsListChanged
            | Method::NotificationPromptsListChanged
            | Method::NotificationResourcesListChanged => {
                for session in self.sessions.keys().copied().collect::<Vec<_>>() {
                    self.deliver(session, &line, Relation::Unrelated);
                }
            }
            Method::NotificationResourcesUpdated => {
                let uri = message.p.uri.map(|s| decode_string(s.of(&line)).into_owned()).unwrap_or_default();
                let everyone = self.exclusive;
                let concerned: Vec<_> = self
                    .sessions
                    .iter()
                    .filter(|(_, s)| everyone || s.is_subscribed(&uri))
                    .map(|(key, _)| *key)
                    .collect();
                for session in concerned {
                    self.deliver(session, &line, Relation::Unrelated);
                }
            }
            Method::NotificationMessage => self.log_message(&line, message),
            Method::NotificationCancelled if self.is_listen_end(&line, message) => self.listen_end(&line, message, out),
            Method::NotificationTasksStatus if !self.exclusive => self.task_status(&line, message),
            method => match self.only_session() {
                Some(key) => {
                    if let (Method::NotificationCancelled, Some(id)) = (method, message.p.request_id)
                        && let Some(session) = self.sessions.get_mut(&key)
                    {
                        session.answered(id.of(&line));
                    }
                    self.deliver(key, &line, Relation::Call);
                }
                None => self.undeliverable(),
            },
        }
    }

    /// A task's status concerns the sessions of whoever started it.
    fn task_status(&mut self, line: &Bytes, message: &Message) {
        let task = message.p.task_id.map(|s| decode_string(s.of(line)).into_owned());
        let Some(owner) = task.and_then(|task| self.tasks.of(&task)) else { return self.undeliverable() };
        let concerned: Vec<_> =
            self.sessions.iter().filter(|(_, s)| s.principal == owner).map(|(key, _)| *key).collect();
        for session in concerned {
            self.deliver(session, line, Relation::Unrelated);
        }
    }

    /// A notification that names the request it belongs to.
    fn belongs(&mut self, ticket: u64, line: &Bytes, message: &Message, out: &mut BytesMut) {
        let Some(pending) = self.pending.get(&ticket) else { return };
        let mut edits = Vec::with_capacity(2);
        if let (Some(span), Some(token)) = (message.p.progress_token, &pending.progress) {
            edits.push(Edit { span, with: token.clone() });
        }
        edits.extend(self.mine(line, message.p.meta_subscription_id, ticket, &pending.id));
        edits.extend(self.mine(line, message.p.request_id, ticket, &pending.id));
        if !pending.outbox.put(join(&splice(line, &mut edits))) {
            self.cancel(ticket, out);
        }
    }

    /// Progress of a request that was answered with a task.
    fn task_progress(&mut self, line: &Bytes, message: &Message) {
        let Some(span) = message.p.progress_token else { return self.undeliverable() };
        let ticket = number(span.of(line));
        // anything else is late progress of an answered or cancelled request
        if let Some((_, session, token)) = self.of_tasks.iter().find(|(of, ..)| Some(*of) == ticket) {
            let (session, token) = (*session, token.clone());
            let line = join(&splice(line, &mut [Edit { span, with: token }]));
            self.deliver(session, &line, Relation::Unrelated);
        }
    }

    fn is_listen_end(&self, line: &[u8], message: &Message) -> bool {
        let ticket = message.p.request_id.and_then(|s| number(s.of(line)));
        ticket.and_then(|t| self.pending.get(&t)).is_some_and(|p| p.listen)
    }

    /// The server ends a `subscriptions/listen` of its own accord.
    fn listen_end(&mut self, line: &Bytes, message: &Message, out: &mut BytesMut) {
        let Some(ticket) = message.p.request_id.and_then(|s| number(s.of(line))) else { return };
        self.belongs(ticket, line, message, out);
        self.pending.remove(&ticket);
    }

    /// A log message names no request. It goes to whom it can only concern, and to nobody where that is not sure: it may
    /// hold another client's data.
    fn log_message(&mut self, line: &Bytes, message: &Message) {
        let level = message.p.level.and_then(|s| severity(s.of(line))).unwrap_or(u8::MAX);
        if self.mixed {
            return self.undeliverable();
        }
        let mut in_flight = self.pending.values().filter(|p| !p.listen);
        let only = match (in_flight.next(), in_flight.next()) {
            (Some(one), None) => Some(one),
            _ => None,
        };
        if self.sessions.is_empty() {
            // modern: the request asks for messages, and says so itself
            match only.filter(|one| one.logs) {
                Some(one) => drop(one.outbox.put(line.clone())),
                None => self.undeliverable(),
            }
            return;
        }
        let cause = only.and_then(|one| one.caller.session);
        let wants = |session: &Session| self.exclusive || level >= session.level.unwrap_or(0);
        let concerned: Vec<_> = self
            .sessions
            .iter()
            .filter(|(key, session)| cause.is_none_or(|cause| cause == **key) && wants(session))
            .map(|(key, _)| *key)
            .collect();
        for session in concerned {
            self.deliver(session, line, Relation::Call);
        }
    }

    /// The one session that a message which names nobody can concern.
    fn only_session(&self) -> Option<[u8; 16]> {
        (!self.mixed && self.sessions.len() == 1).then(|| self.sessions.keys().next().copied()).flatten()
    }

    fn deliver(&mut self, key: [u8; 16], line: &Bytes, relation: Relation) {
        if relation == Relation::Call {
            let newest = self.pending.iter().filter(|(_, p)| p.caller.session == Some(key)).max_by_key(|(t, _)| **t);
            if newest.is_some_and(|(_, pending)| pending.outbox.put(line.clone())) {
                return;
            }
        }
        let Some(session) = self.sessions.get_mut(&key) else { return self.undeliverable() };
        if session.listen.as_ref().is_some_and(|listen| listen.put(line.clone())) {
            return;
        }
        session.listen = None;
        session.backlog.push_back(line.clone());
        session.backlog_bytes += line.len();
        while session.backlog.len() > limit::BACKLOG_MESSAGES || session.backlog_bytes > limit::BACKLOG_BYTES {
            let Some(lost) = session.backlog.pop_front() else { break };
            session.backlog_bytes -= lost.len();
            self.metrics.undeliverable.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn undeliverable(&self) {
        self.metrics.undeliverable.fetch_add(1, Ordering::Relaxed);
    }
}

/// Writes a message as one line.
fn write(message: &Bytes, edits: &mut [Edit], out: &mut BytesMut) {
    for chunk in splice(&without_newlines(message.clone()), edits) {
        out.extend_from_slice(&chunk);
    }
    out.extend_from_slice(b"\n");
}

fn trimmed(line: Bytes) -> Bytes {
    let start = line.len() - line.trim_ascii_start().len();
    let end = line.trim_ascii_end().len();
    if start >= end { Bytes::new() } else { line.slice(start..end) }
}

/// Our own numbers come back as plain integers.
fn number(raw: &[u8]) -> Option<u64> {
    std::str::from_utf8(raw).ok()?.parse().ok()
}

/// The rank of a logging level token (RFC 5424), `debug` lowest.
fn severity(raw: &[u8]) -> Option<u8> {
    const LEVELS: [&str; 8] = ["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"];
    let level = decode_string(raw);
    LEVELS.iter().position(|l| *l == level).map(|rank| rank as u8)
}
