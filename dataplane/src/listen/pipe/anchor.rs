//! What a pipe has so that its client can come back to it: a berth for the client's end, and the name of the session by which it is found.

use std::cell::Cell;
use std::sync::Arc;

use bytes::Bytes;
use sluice_mcp::path::member;
use sluice_mcp::{Edit, ScanLimits, Span, scan};

use super::{End, Pipe};
use crate::exchange::call::{Content, Reply};
use crate::exchange::relay::edited;
use crate::limit;
use crate::listen::berth::{Berth, Berths};
use crate::session::SessionId;

/// The member of `_meta` by which clients are told how to come back.
const META: &str = "sluice/session";

/// The berth of a pipe, and under which name it is found.
pub(crate) struct Anchor {
    berths: Arc<Berths>,
    berth: Arc<Berth>,
    named: Cell<Option<SessionId>>,
}

impl Anchor {
    pub(crate) fn new(berths: &Arc<Berths>, berth: &Arc<Berth>) -> Self {
        Self { berths: Arc::clone(berths), berth: Arc::clone(berth), named: Cell::new(None) }
    }

    /// The pipe has another session now.
    pub(super) fn name(&self, session: SessionId) {
        if let Some(before) = self.named.replace(Some(session)).filter(|before| *before != session) {
            self.berths.forget(&before);
        }
        self.berths.name(session, &self.berth);
    }

    /// The pipe is over: nobody comes back to it.
    pub(super) fn weigh(&self) {
        if let Some(session) = self.named.take() {
            self.berths.forget(&session);
        }
        self.berth.close();
    }
}

impl Pipe {
    /// Waits until nobody comes back: to this node, or to any.
    pub(super) async fn adrift(&self) -> End {
        let Some(anchor) = &self.anchor else { return std::future::pending().await };
        tokio::select! {
            () = anchor.berth.abandoned(limit::WEBSOCKET_RESUMED) => End::Gone,
            () = self.moved() => End::Overtaken,
        }
    }

    /// Waits until another process has the session's stream.
    async fn moved(&self) {
        let process = self.worker.node.sessions.process;
        let began = self.session_began();
        loop {
            let session = self.session_there().await;
            tokio::select! {
                () = session.stream_moved(process) => return,
                // another one in its place
                () = began.notified() => {}
            }
        }
    }

    /// Whether the session is not over with this pipe: its client comes back, or did, where the session is kept.
    pub(super) fn goes_on_elsewhere(&self, end: End) -> bool {
        let is_kept = || self.session().is_some_and(|session| session.tie.is_kept());
        self.anchor.is_some() && matches!(end, End::Leaving | End::Overtaken) && is_kept()
    }

    /// The answer to `initialize`, with what the client needs to come back.
    pub(super) fn naming_session(&self, reply: Reply) -> Reply {
        let Content::Json(body) = &reply.content else { return reply };
        let Some(sealed) = reply.session.as_ref().filter(|_| self.anchor.is_some()) else { return reply };
        let Some(named) = naming(body, sealed) else { return reply };
        Reply { content: Content::Json(named), ..reply }
    }
}

/// Puts the name of a session into the result of `initialize`; `None` for what is no result.
fn naming(body: &Bytes, sealed: &str) -> Option<Bytes> {
    let result = scan(body, ScanLimits { depth: u16::MAX }).ok()?.result?;
    let value = result.of(body);
    let told = format!(r#""{META}":{{"id":"{sealed}","resumable_s":{}}}"#, limit::WEBSOCKET_RESUMED.as_secs());
    let meta = member(value, "_meta").ok()?.filter(|meta| meta.of(value).starts_with(b"{"));
    // behind the brace that opens the object
    let (at, members, told) = match meta {
        Some(meta) => (result.start + meta.start, meta.of(value), told),
        None => (result.start, value, format!(r#""_meta":{{{told}}}"#)),
    };
    let is_empty = members.get(1..)?.trim_ascii_start().starts_with(b"}");
    let text = if is_empty { told } else { told + "," };
    let at = Span { start: at + 1, end: at + 1 };
    Some(edited(body, &mut [Edit { span: at, with: Bytes::from(text) }]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_names_the_session_and_stays_as_it_was() {
        for (result, expected) in [
            (r#"{}"#, r#"{"_meta":{M}}"#),
            (r#"{"a":1}"#, r#"{"_meta":{M},"a":1}"#),
            (r#"{"a":1,"_meta":{}}"#, r#"{"a":1,"_meta":{M}}"#),
            (r#"{"_meta": { "b":[2] },"a":1}"#, r#"{"_meta": {M, "b":[2] },"a":1}"#),
        ] {
            let body = Bytes::from(format!(r#"{{"jsonrpc":"2.0","id":1,"result":{result}}}"#));
            let named = naming(&body, "X").unwrap();
            let told = r#""sluice/session":{"id":"X","resumable_s":60}"#;
            let expected = expected.replace('M', told);
            assert_eq!(named, format!(r#"{{"jsonrpc":"2.0","id":1,"result":{expected}}}"#));
        }
        let error = Bytes::from_static(br#"{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"m"}}"#);
        assert_eq!(naming(&error, "X"), None);
    }
}
