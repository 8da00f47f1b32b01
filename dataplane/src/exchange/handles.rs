//! Handles on their way through: what servers hand out is sealed, what clients bring back is opened (law 4).

use std::rc::Rc;
use std::sync::Arc;

use aws_lc_rs::digest;
use bytes::Bytes;
use sluice_mcp::handles::handles_and_links;
use sluice_mcp::path::member;
use sluice_mcp::uri::expose_uri;
use sluice_mcp::{
    Edit, HandleKind, Kind as MessageKind, Message, Method, Span, canonical_digest_input, decode_string, encode_string,
    handles, handles_read,
};
use sluice_snapshot::policy::{Decision, Object};
use smallvec::SmallVec;

use super::call::{Original, Posted};
use super::curation;
use crate::auth::PrincipalId;
use crate::auth::permits::Permits;
use crate::catalog::Exposure;
use crate::catalog::exposure::Naming;
use crate::clock::epoch_seconds;
use crate::limit;
use crate::node::Node;
use crate::reason::Reason;
use crate::seal::{Binding, Kind};
use crate::upstream::Upstream;
use crate::upstream::tasks::Owners;

/// Seals and opens the handles of one call.
#[derive(Clone)]
pub(crate) struct Handles {
    pub node: Arc<Node>,
    pub principal: PrincipalId,
    pub upstream: Arc<Upstream>,
    /// The server sees one client where there are many: a task of unknown origin may be anybody's.
    pub shared: bool,
    /// How the door names what the server offers.
    pub naming: Naming,
    /// What the principal may do, where there are policies.
    pub permits: Option<Arc<Permits>>,
    /// The request a `requestState` is bound to; `None` on streams that belong to no request.
    pub request: Option<Rc<Original>>,
}

impl Handles {
    pub(crate) fn server(&self) -> &Arc<str> {
        self.upstream.name()
    }

    fn exposure(&self) -> &Arc<Exposure> {
        &self.upstream.exposure
    }

    fn tasks(&self) -> &Owners {
        &self.upstream.tasks
    }

    fn binding<'a>(&'a self, kind: Kind, context: &'a [u8]) -> Binding<'a> {
        Binding { kind, principal: self.principal, server: self.server(), context }
    }

    /// Seals one value.
    pub(crate) fn seal(&self, kind: HandleKind, value: &str) -> String {
        let sealed = |kind, context: &[u8], expires| {
            self.of_server(self.node.seal.seal(&self.binding(kind, context), expires, value.as_bytes()))
        };
        match kind {
            HandleKind::Cursor => sealed(Kind::Cursor, &[], 0),
            HandleKind::Task => sealed(Kind::Task, &[], 0),
            HandleKind::RequestState => {
                let digest =
                    self.request.as_ref().map_or([0; 32], |request| digest_of(&request.body, &request.message));
                sealed(Kind::RequestState, &digest, epoch_seconds() + limit::REQUEST_STATE.as_secs())
            }
            HandleKind::Uri => expose_uri(&self.exposure().token, value),
        }
    }

    /// A handle as the door gives it out: on the merged door it says whose it is.
    pub(crate) fn of_server(&self, sealed: String) -> String {
        match self.naming {
            Naming::Own => sealed,
            Naming::Prefixed | Naming::Plain => format!("{}.{sealed}", self.server()),
        }
    }

    /// A handle as it was sealed.
    pub(crate) fn sealed<'h>(&self, handle: &'h str) -> &'h str {
        let ours = |rest: &'h str| rest.strip_prefix(&**self.server())?.strip_prefix('.');
        match self.naming {
            Naming::Own => handle,
            Naming::Prefixed | Naming::Plain => ours(handle).unwrap_or(handle),
        }
    }

    /// Whether links to resources change on their way to the client.
    pub(crate) fn rewrites_links(&self) -> bool {
        self.naming == Naming::Prefixed
    }

    /// The edits that seal every handle in a whole message of the server, and rewrite its links.
    pub(crate) fn sealing(&self, body: &[u8]) -> Vec<Edit> {
        let mut found = SmallVec::new();
        if self.rewrites_links() {
            handles_and_links(body, &mut found);
        } else {
            handles(body, &mut found);
        }
        self.sealed_at(body, found)
    }

    /// The same for a message that was scanned.
    pub(crate) fn sealing_read(&self, body: &[u8], message: &Message) -> Vec<Edit> {
        match handles_read(body, message).filter(|_| !self.rewrites_links()) {
            Some(found) => self.sealed_at(body, found),
            None => self.sealing(body),
        }
    }

    fn sealed_at(&self, body: &[u8], found: SmallVec<[(HandleKind, Span); 4]>) -> Vec<Edit> {
        found
            .into_iter()
            .map(|(kind, span): (HandleKind, Span)| {
                let value = decode_string(span.of(body));
                if kind == HandleKind::Task {
                    self.tasks().note(&value, self.principal);
                }
                let sealed = self.seal(kind, &value);
                Edit { span, with: encode_string(&sealed).into() }
            })
            .collect()
    }

    /// On the merged door, what says of a server's question whose it is, so that the answer finds the way back: its id, its
    /// progress token, and the id where the server withdraws it.
    pub(crate) fn marking(&self, body: &[u8], message: &Message) -> SmallVec<[Edit; 2]> {
        let marked = match (self.naming, message.kind, message.method) {
            (Naming::Own, ..) => [None, None],
            (_, MessageKind::Request, _) => [message.id, message.p.meta_progress_token],
            (_, MessageKind::Notification, Method::NotificationCancelled) => [message.p.request_id, None],
            _ => [None, None],
        };
        let mark = |span: Span| {
            let marked = format!("{}/{}", self.server(), String::from_utf8_lossy(span.of(body)));
            Edit { span, with: encode_string(&marked).into() }
        };
        marked.into_iter().flatten().map(mark).collect()
    }

    /// An answer without what is not for this client: the tasks of others, what the configuration hides. `None` when nothing
    /// is to be left out.
    ///
    /// # Errors
    /// [`Reason::ServerGarbage`] when that cannot be told.
    pub(crate) fn filtered(&self, body: &Bytes) -> Result<Option<Bytes>, Reason> {
        match &self.request {
            Some(request) if self.curates() => {
                curation::page(self.exposure(), self.permits.as_deref(), &request.message, body)
            }
            _ => Ok(self.own_tasks(body)),
        }
    }

    /// Whether the answer is a list the configuration or a policy may change, so that all of it must be looked at.
    pub(crate) fn curates(&self) -> bool {
        let list = self.request.as_ref().is_some_and(|request| request.message.method.is_list());
        let changes = self.permits.is_some() || !self.exposure().curation().is_empty();
        list && self.naming == Naming::Own && changes
    }

    /// Whether policies let the client be told of this change of a resource. It may have subscribed to it in better days.
    pub(crate) fn may_tell(&self, body: &[u8], message: &Message) -> bool {
        let Some(permits) = &self.permits else { return true };
        let uri = message.p.uri.map(|span| decode_string(span.of(body)));
        uri.is_some_and(|uri| {
            let verdict = permits.verdict(self.server(), Object::Resource(&uri));
            verdict.is_some_and(|verdict| matches!(verdict.call(None), Decision::Allowed { .. }))
        })
    }

    /// An answer to `tasks/list` without the tasks of others; `None` when nothing is to be left out.
    pub(crate) fn own_tasks(&self, body: &[u8]) -> Option<Bytes> {
        if self.request.as_ref()?.message.method != Method::TasksList {
            return None;
        }
        let mut message: serde_json::Value = serde_json::from_slice(body).ok()?;
        let tasks = message.get_mut("result")?.get_mut("tasks")?.as_array_mut()?;
        let before = tasks.len();
        tasks.retain(|task| {
            let owner = task["taskId"].as_str().and_then(|id| self.tasks().of(id));
            owner.map_or(!self.shared, |owner| owner == self.principal)
        });
        (tasks.len() < before).then(|| message.to_string().into())
    }

    /// Opens the handles a client brings back.
    ///
    /// # Errors
    /// [`Reason::HandleUnknown`] for a cursor or request state that is not this principal's, of this server, for this
    /// request. A task id that is not goes on as one that no server can know, so that the server says what it says of
    /// unknown tasks, after whatever it checks before that.
    pub(crate) fn opening(&self, posted: &Posted) -> Result<Opened, Reason> {
        let message = &posted.message;
        let mut opened = Opened::default();
        // answers are sealed whatever their method, so what comes back is opened whatever its method; but only where the
        // specification says what the field is can anything else in it be refused
        let strict = message.method.is_list() || message.method == Method::TasksList;
        match handle(posted, message.p.cursor, "cursor") {
            Err(reason) if strict => return Err(reason),
            Ok(Some((span, handle))) => match self.open(Kind::Cursor, &[], &handle) {
                Some(value) => opened.replace(span, &value),
                None if strict => return Err(Reason::HandleUnknown("cursor")),
                None => {}
            },
            _ => {}
        }
        let strict = is_task(posted);
        match handle(posted, message.p.task_id, "taskId") {
            Err(reason) if strict => return Err(reason),
            Ok(Some((span, handle))) => {
                let own = self.open(Kind::Task, &[], &handle);
                if let Some(value) = own.or_else(|| strict.then(|| nobodys(&handle))) {
                    opened.replace(span, &value);
                    opened.task = Some(value);
                }
            }
            _ => {}
        }
        if let Some((span, handle)) = handle(posted, message.p.request_state, "requestState")? {
            let digest = digest_of(&posted.body, message);
            let value = self.open(Kind::RequestState, &digest, &handle).ok_or(Reason::HandleUnknown("requestState"))?;
            opened.replace(span, &value);
        }
        if let Some((span, tasks)) = listened_tasks(posted) {
            let own = |task: &String| self.open(Kind::Task, &[], task).unwrap_or_else(|| nobodys(task));
            let tasks: Vec<String> = tasks.iter().map(own).collect();
            opened.edits.push(Edit { span, with: serde_json::json!(tasks).to_string().into() });
        }
        // a related task may be the client's own: what is not ours goes on as it is
        for related in [message.p.meta_related_task, message.r.meta_related_task] {
            if let Ok(Some((span, handle))) = handle(posted, related, "related task")
                && let Some(value) = self.open(Kind::Task, &[], &handle)
            {
                opened.replace(span, &value);
            }
        }
        Ok(opened)
    }

    fn open(&self, kind: Kind, context: &[u8], handle: &str) -> Option<String> {
        let sealed = self.sealed(handle).as_bytes();
        let value = self.node.seal.open(&self.binding(kind, context), epoch_seconds(), sealed)?;
        String::from_utf8(value).ok()
    }
}

/// What a client says of a server's question on the merged door: whose it is, and the server's own token for it.
pub(crate) fn unmarked(token: &[u8]) -> Option<(String, Bytes)> {
    let marked = decode_string(token.starts_with(b"\"").then_some(token)?);
    let (server, own) = marked.split_once('/')?;
    Some((server.to_owned(), Bytes::copy_from_slice(own.as_bytes())))
}

/// What opening the handles of a request changes.
#[derive(Default)]
pub(crate) struct Opened {
    pub edits: Vec<Edit>,
    /// The server's own id of the task the request names: mirrored in `Mcp-Name`.
    pub task: Option<String>,
}

impl Opened {
    fn replace(&mut self, span: Span, value: &str) {
        self.edits.push(Edit { span, with: encode_string(value).into() });
    }
}

/// The tasks a `subscriptions/listen` names (tasks extension: `notifications.taskIds`).
fn listened_tasks(posted: &Posted) -> Option<(Span, Vec<String>)> {
    let filter = posted.message.p.notifications.filter(|_| posted.message.method == Method::SubscriptionsListen)?;
    let inner = member(filter.of(&posted.body), "taskIds").ok()??;
    let span = Span { start: filter.start + inner.start, end: filter.start + inner.end };
    Some((span, serde_json::from_slice(span.of(&posted.body)).ok()?))
}

/// Whether a request is about a task, be it by a method that is not known yet.
fn is_task(posted: &Posted) -> bool {
    let method = posted.message.method_span.map(|s| decode_string(s.of(&posted.body)));
    method.is_some_and(|method| method.starts_with("tasks/"))
}

/// A handle as the client sent it; what is no string was never handed out.
fn handle(posted: &Posted, span: Option<Span>, what: &'static str) -> Result<Option<(Span, String)>, Reason> {
    let Some(span) = span else { return Ok(None) };
    match span.of(&posted.body) {
        [b'"', ..] => Ok(Some((span, decode_string(span.of(&posted.body)).into_owned()))),
        // an optional field written as null is a field left out
        b"null" => Ok(None),
        _ => Err(Reason::HandleUnknown(what)),
    }
}

/// A task id that no server has given out: a raw id must not reach the server, it could be somebody else's.
fn nobodys(handle: &str) -> String {
    let hash = digest::digest(&digest::SHA256, handle.as_bytes());
    let hex: String = hash.as_ref()[..12].iter().map(|b| format!("{b:02x}")).collect();
    format!("sluice-unknown-{hex}")
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
