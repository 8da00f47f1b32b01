//! What callers tell the server: ids and tokens made unique, and what sharers of a pipe must not decide for each other
//! merged.

use std::time::Instant;

use bytes::{Bytes, BytesMut};
use sluice_mcp::{Edit, Kind, Message, Method, Span, decode_string, splice, without_newlines};

use super::{Pending, Routes, Session, severity};
use crate::limit;
use crate::upstream::pipe::Caller;
use crate::upstream::pipe::outbox::Outbox;
use crate::upstream::pipe::task::ToChild;

impl Routes {
    /// Takes what a caller tells the child; bytes for the child go to `out`.
    pub(in crate::upstream::pipe) fn told(&mut self, command: ToChild, out: &mut BytesMut) {
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
                session.listen(outbox);
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

    pub(super) fn cancel(&mut self, ticket: u64, out: &mut BytesMut) {
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
}

/// Writes a message as one line.
fn write(message: &Bytes, edits: &mut [Edit], out: &mut BytesMut) {
    for chunk in splice(&without_newlines(message.clone()), edits) {
        out.extend_from_slice(&chunk);
    }
    out.extend_from_slice(b"\n");
}
