//! Handles on their way through: what servers hand out is sealed, what clients bring back is opened (law 4).

use std::sync::Arc;

use aws_lc_rs::digest;
use bytes::Bytes;
use sluice_mcp::{
    Edit, HandleKind, Message, Method, Span, canonical_digest_input, decode_string, encode_string, handles,
};
use smallvec::SmallVec;

use super::call::Posted;
use crate::auth::PrincipalId;
use crate::clock::epoch_seconds;
use crate::limit;
use crate::node::Node;
use crate::reason::Reason;
use crate::seal::{Binding, Kind};

/// Seals and opens the handles of one call.
#[derive(Clone)]
pub(crate) struct Handles {
    pub node: Arc<Node>,
    pub principal: PrincipalId,
    pub server: Arc<str>,
    /// The request a `requestState` is bound to; `None` on streams that belong to no request.
    pub request: Option<(Bytes, Message)>,
}

impl Handles {
    fn binding<'a>(&'a self, kind: Kind, context: &'a [u8]) -> Binding<'a> {
        Binding { kind, principal: self.principal, server: &self.server, context }
    }

    /// Seals one value.
    pub(crate) fn seal(&self, kind: HandleKind, value: &str) -> String {
        let sealed = |kind, context: &[u8], expires| {
            self.node.seal.seal(&self.binding(kind, context), expires, value.as_bytes())
        };
        match kind {
            HandleKind::Cursor => sealed(Kind::Cursor, &[], 0),
            HandleKind::Task => sealed(Kind::Task, &[], 0),
            HandleKind::RequestState => {
                let digest = self.request.as_ref().map_or([0; 32], |(body, message)| digest_of(body, message));
                sealed(Kind::RequestState, &digest, epoch_seconds() + limit::REQUEST_STATE.as_secs())
            }
        }
    }

    /// The edits that seal every handle in a whole message of the server.
    pub(crate) fn sealing(&self, body: &[u8]) -> SmallVec<[Edit; 4]> {
        let mut found = SmallVec::new();
        handles(body, &mut found);
        found
            .into_iter()
            .map(|(kind, span): (HandleKind, Span)| {
                let sealed = self.seal(kind, &decode_string(span.of(body)));
                Edit { span, with: encode_string(&sealed).into() }
            })
            .collect()
    }

    /// The edits that open the handles a client brings back.
    ///
    /// # Errors
    /// [`Reason::HandleUnknown`] for a handle that is not this principal's, of this server, for this request.
    pub(crate) fn opening(&self, posted: &Posted) -> Result<SmallVec<[Edit; 4]>, Reason> {
        let mut edits = SmallVec::new();
        let message = &posted.message;
        let mut open = |span: Option<Span>, kind, context: &[u8], what| -> Result<(), Reason> {
            let Some(span) = span.filter(|s| s.of(&posted.body).first() == Some(&b'"')) else { return Ok(()) };
            let handle = decode_string(span.of(&posted.body));
            let value = self
                .node
                .seal
                .open(&self.binding(kind, context), epoch_seconds(), handle.as_bytes())
                .and_then(|value| String::from_utf8(value).ok())
                .ok_or(Reason::HandleUnknown(what))?;
            edits.push(Edit { span, with: encode_string(&value).into() });
            Ok(())
        };
        if message.method.is_list() {
            open(message.p.cursor, Kind::Cursor, &[], "cursor")?;
        }
        if is_task(message.method) {
            open(message.p.task_id, Kind::Task, &[], "task")?;
        }
        if message.p.request_state.is_some() {
            open(message.p.request_state, Kind::RequestState, &digest_of(&posted.body, message), "requestState")?;
        }
        // a related task may be the client's own: what is not ours goes on as it is
        for related in [message.p.meta_related_task, message.r.meta_related_task] {
            let _ = open(related, Kind::Task, &[], "task");
        }
        Ok(edits)
    }
}

fn is_task(method: Method) -> bool {
    matches!(method, Method::TasksGet | Method::TasksResult | Method::TasksCancel | Method::TasksUpdate)
}

/// What a `requestState` is bound to: SHA-256 of the method, the name or URI, and the canonical arguments.
fn digest_of(body: &[u8], message: &Message) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(message.method.as_str().as_bytes());
    for span in [message.method_span.filter(|_| message.method == Method::Other), message.p.name, message.p.uri] {
        context.update(b"\0");
        context.update(span.map(|s| decode_string(s.of(body))).unwrap_or_default().as_bytes());
    }
    context.update(b"\0");
    context.update(&message.p.arguments.map(|s| canonical_digest_input(s.of(body))).unwrap_or_default());
    let mut short = [0; 32];
    short.copy_from_slice(context.finish().as_ref());
    short
}
