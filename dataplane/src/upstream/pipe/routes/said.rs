//! What the server says: to the one request, session or principal it concerns, under the names they know.

use std::sync::atomic::Ordering;

use bytes::{Bytes, BytesMut};
use sluice_mcp::{Edit, Kind, Message, Method, Span, code, decode_string, error_body, join, splice};

use super::{Routes, Session, number, scanned, severity};
use crate::limit;

/// Which of a session's streams a message goes to first.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Relation {
    /// It may belong to a running call.
    Call,
    /// It belongs to no call.
    Unrelated,
}

impl Routes {
    /// Takes one line the child wrote; answers to it go to `out`.
    pub(in crate::upstream::pipe) fn said(&mut self, line: Bytes, out: &mut BytesMut) {
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
                    session.ask(id);
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
        let lost = session.deliver(line);
        self.metrics.undeliverable.fetch_add(lost, Ordering::Relaxed);
    }

    fn undeliverable(&self) {
        self.metrics.undeliverable.fetch_add(1, Ordering::Relaxed);
    }
}

/// Without the white space around it.
fn trimmed(line: Bytes) -> Bytes {
    let start = line.len() - line.trim_ascii_start().len();
    let end = line.trim_ascii_end().len();
    if start >= end { Bytes::new() } else { line.slice(start..end) }
}
