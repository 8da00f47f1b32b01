//! The legacy session of a client on a pipe: begun by its `initialize`, kept from expiring as long as the connection
//! lives, with a standalone stream that is always open, and ended with the connection.

use std::rc::Rc;
use std::sync::Arc;

use sluice_http1::Fields;
use sluice_mcp::{ScanLimits, decode_string, header, scan};
use tokio::sync::Notify;

use super::Pipe;
use super::reply::RECONNECT;
use crate::drain::Phase;
use crate::exchange::call::{Content, Refusal, Reply};
use crate::exchange::{delete, get};
use crate::reason::Reason;
use crate::session::{InUse, Session, SessionId};

/// What a pipe keeps of its session.
#[derive(Default)]
pub(super) struct Kept {
    /// The sealed id, and what keeps the session from expiring.
    open: Option<(String, InUse)>,
    version: Option<String>,
    /// Told when a session begins.
    began: Rc<Notify>,
}

impl Kept {
    pub(super) fn id(&self) -> Option<&str> {
        self.open.as_ref().map(|(id, _)| &**id)
    }

    pub(super) fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }
}

impl Pipe {
    /// Keeps the session that `initialize` began; the one before, if any, is over.
    pub(super) async fn begin_session(self: &Rc<Self>, reply: &Reply) {
        let Some(sealed) = &reply.session else { return };
        let Some(id) = SessionId::open(&self.worker.node.seal, self.principal.borrow().id, sealed.as_bytes()) else {
            return;
        };
        let Some(session) = self.worker.node.sessions.held(&id) else { return };
        let version = match &reply.content {
            Content::Json(body) => scan(body, ScanLimits::default()).ok().and_then(|m| {
                // revisions before 2025-06-18 know no such header; sending it does no harm
                Some(decode_string(m.r.protocol_version?.of(body)).into_owned())
            }),
            _ => None,
        };
        self.end_session();
        self.keep_session(sealed.clone(), session.hold(self.worker.node.clock), version);
    }

    fn keep_session(&self, sealed: String, in_use: InUse, version: Option<String>) {
        if let Some(anchor) = &self.anchor {
            anchor.name(in_use.session.id);
        }
        let kept = &mut self.state.borrow_mut().session;
        kept.open = Some((sealed, in_use));
        kept.version = version;
        kept.began.notify_waiters();
    }

    /// Goes on with a session that another pipe began, and whose client came here: what that pipe had of it is not known.
    pub(crate) fn go_on(self: &Rc<Self>, sealed: String, in_use: InUse) {
        let asked = scan(&in_use.session.initialize, ScanLimits { depth: u16::MAX }).ok();
        let version = asked.and_then(|m| {
            // what was agreed on is what was asked for, with nearly all servers
            Some(decode_string(m.p.protocol_version?.of(&in_use.session.initialize)).into_owned())
        });
        self.keep_session(sealed, in_use, version);
        self.stand();
    }

    /// Lets go of the session, which goes on elsewhere.
    pub(super) fn leave_session(&self) {
        self.state.borrow_mut().session.open = None;
    }

    /// The session, where there is one.
    pub(super) fn session(&self) -> Option<Arc<Session>> {
        self.state.borrow().session.open.as_ref().map(|(_, in_use)| Arc::clone(&in_use.session))
    }

    /// Told when a session begins.
    pub(super) fn session_began(&self) -> Rc<Notify> {
        Rc::clone(&self.state.borrow().session.began)
    }

    /// The session, once there is one.
    pub(super) async fn session_there(&self) -> Arc<Session> {
        let began = self.session_began();
        loop {
            let mut told = std::pin::pin!(began.notified());
            // listening before looking: a session that begins in between is not missed
            told.as_mut().enable();
            match self.session() {
                Some(session) => return session,
                None => told.await,
            }
        }
    }

    /// Waits for the end of the client's session by others; for ever where there is none.
    pub(super) async fn session_over(&self) {
        loop {
            let session = self.session_there().await;
            session.over().await;
            if self.session().is_some_and(|current| current.id == session.id) {
                return;
            }
        }
    }

    /// Ends the session, towards its server too, as a DELETE would.
    pub(super) fn end_session(self: &Rc<Self>) {
        let Some((id, in_use)) = self.state.borrow_mut().session.open.take() else { return };
        drop(in_use);
        let pipe = Rc::clone(self);
        tokio::task::spawn_local(async move {
            // a node that is told to stop waits for this
            let _open = pipe.worker.node.drain.open();
            let mut headers = Fields::default();
            // sealed by us: a field value
            let _ = headers.push(header::SESSION_ID.as_bytes(), id.as_bytes());
            let Ok(ticket) = pipe.own_ticket() else { return };
            let plane = pipe.worker.plane();
            // a server that is no longer configured is told all the same
            let scope = pipe.scope_in(&plane).unwrap_or_else(|_| pipe.desk.scope.clone());
            let (principal, record) = (pipe.principal.borrow().clone(), pipe.record(&plane));
            let arrival = pipe.arrival_at(scope, plane, principal, headers, ticket, record);
            if let Err(refusal) = delete(&pipe.worker, arrival).await {
                tracing::debug!(reason = %refusal.reason.text(), "a session was over before its connection");
            }
        });
    }

    /// Opens the session's standalone stream, and again whenever it ends.
    pub(super) fn stand(self: &Rc<Self>) {
        use Reason::{MethodNotAllowed, SessionUnknown, UnknownServer};
        let pipe = Rc::clone(self);
        let task = tokio::task::spawn_local(async move {
            let mut last = None;
            while pipe.worker.node.drain.phase() < Phase::Closing {
                match pipe.resume(last.take()).await {
                    Ok(Reply { content: Content::Messages(relay), .. }) => last = pipe.pass(*relay).await.last,
                    Ok(_) => {}
                    Err(Refusal { reason: MethodNotAllowed(_) | SessionUnknown | UnknownServer, .. }) => return,
                    Err(refusal) => tracing::debug!(reason = %refusal.reason.text(), "no standalone stream"),
                }
                tokio::time::sleep(RECONNECT).await;
            }
        });
        if let Some(before) = self.state.borrow_mut().standing.replace(task) {
            before.abort();
        }
    }

    /// The standalone stream, or the one that broke off after the event `last`.
    pub(super) async fn resume(&self, last: Option<String>) -> Result<Reply, Refusal> {
        let mut headers = self.session_headers(true);
        if let Some(last) = last {
            // sealed by us: a field value
            let _ = headers.push(header::LAST_EVENT_ID.as_bytes(), last.as_bytes());
        }
        get(&self.worker, self.arrival(headers, self.own_ticket()?)?).await
    }
}
