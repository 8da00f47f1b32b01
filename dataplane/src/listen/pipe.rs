//! A client on a pipe: one connection that carries messages both ways and nothing beside them. stdio, WebSocket and
//! HTTP+SSE are its carriers; here is what they share: the headers a streamable HTTP client would send are made from each
//! message, the legacy session and its standalone stream are kept, broken streams resumed, modern requests cancelled.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use sluice_http1::Fields;
use sluice_mcp::{Kind, Method};
use sluice_snapshot::model::Limits;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::{AbortHandle, JoinHandle, JoinSet};

mod anchor;
mod desk;
mod headers;
mod reply;
mod session;

use super::mailbox::Mail;
use super::outbox::Outbox;
use crate::auth::Principal;
use crate::auth::quota::Ticket;
use crate::auth::shares::Via;
use crate::drain::Phase;
use crate::exchange::call::{Arrival, Base, Call, Refusal, Reply, Scope};
use crate::exchange::record::Record;
use crate::exchange::{batch, post};
use crate::limit;
use crate::node::Worker;
use crate::plane::Plane;
use crate::reason::Reason;
pub(crate) use anchor::Anchor;
pub(crate) use desk::Desk;

/// One client and its connection.
pub(crate) struct Pipe {
    worker: Rc<Worker>,
    desk: Desk,
    /// Where its client's end stays while no connection has it; none where the client does not come back.
    anchor: Option<Anchor>,
    /// With its newest credential.
    principal: RefCell<Principal>,
    /// The configuration that it was last looked for in.
    serial: Cell<u64>,
    /// It came with another.
    renewed: Notify,
    state: RefCell<State>,
    /// Requests that wait for their answers.
    calls: RefCell<JoinSet<()>>,
    /// Messages on their way, and who waits for there to be none.
    under_way: Cell<usize>,
    /// Of these, the requests that are answered when their client goes (`subscriptions/listen`).
    listening: Cell<usize>,
    idle: Notify,
    /// The node is stopping: what is under way finishes, nothing new begins.
    leaving: Cell<bool>,
}

#[derive(Default)]
struct State {
    session: session::Kept,
    /// Modern requests by their raw id, for `notifications/cancelled`.
    in_flight: HashMap<Bytes, AbortHandle>,
    standing: Option<JoinHandle<()>>,
}

/// Why a pipe ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The client went away.
    Gone,
    /// The node is stopping.
    Leaving,
    /// The client's session was ended.
    SessionOver,
    /// The credential was revoked, or the server is no longer configured as it was.
    NotAllowed,
    /// The credential has expired.
    Expired,
    /// The client came back at another node.
    Overtaken,
}

impl End {
    /// The word for logs and metrics.
    pub(crate) fn outcome(self) -> &'static str {
        match self {
            Self::Gone | Self::SessionOver => "ok",
            Self::Leaving => "drained",
            Self::NotAllowed => "no_longer_allowed",
            Self::Expired => "credential_expired",
            Self::Overtaken => "overtaken",
        }
    }
}

impl Pipe {
    pub(crate) fn new(worker: &Rc<Worker>, scope: Scope, principal: Principal, outbox: Outbox) -> Rc<Self> {
        Self::with(worker, scope, principal, outbox, None)
    }

    /// That of a client that may come back when its connection broke.
    pub(crate) fn anchored(
        worker: &Rc<Worker>,
        scope: Scope,
        principal: Principal,
        outbox: Outbox,
        anchor: Anchor,
    ) -> Rc<Self> {
        Self::with(worker, scope, principal, outbox, Some(anchor))
    }

    fn with(
        worker: &Rc<Worker>,
        scope: Scope,
        principal: Principal,
        outbox: Outbox,
        anchor: Option<Anchor>,
    ) -> Rc<Self> {
        let account = worker.node.quotas.account(principal.id);
        let desk = Desk { scope, name: Arc::clone(&principal.name), account, outbox };
        Rc::new(Self {
            desk,
            anchor,
            worker: Rc::clone(worker),
            principal: RefCell::new(principal),
            serial: Cell::new(worker.plane().known.serial),
            renewed: Notify::new(),
            state: RefCell::default(),
            calls: RefCell::default(),
            under_way: Cell::new(0),
            listening: Cell::new(0),
            idle: Notify::new(),
            leaving: Cell::new(false),
        })
    }

    /// Takes messages until the connection ends, or must end; then lets go of everything the client had.
    pub(crate) async fn run(self: Rc<Self>, mut mails: mpsc::Receiver<Mail>) -> End {
        let end = {
            let serve = async {
                while let Some(mail) = mails.recv().await {
                    self.take(mail).await;
                }
            };
            let mut serve = std::pin::pin!(serve);
            let end = tokio::select! {
                end = self.ending() => end,
                () = self.desk.outbox.closed() => End::Gone,
                end = self.adrift() => end,
                () = &mut serve => End::Gone,
            };
            let patience = match end {
                End::Leaving => Some(limit::DRAIN),
                // the server is another one now, for calls that come; what began with the old one ends with it
                End::NotAllowed if self.is_known() => Some(limit::CALL_ABSOLUTE),
                _ => None,
            };
            if let Some(patience) = patience {
                self.leaving.set(end == End::Leaving);
                // answers to a server's questions still come in
                tokio::select! {
                    () = self.finished() => {}
                    () = self.desk.outbox.closed() => {}
                    () = &mut serve => {}
                    () = tokio::time::sleep(patience) => {}
                    () = self.cut() => {}
                }
            }
            end
        };
        self.close().await;
        self.desk.outbox.end(end);
        match self.goes_on_elsewhere(end) {
            true => self.leave_session(),
            false => self.end_session(),
        }
        if let Some(anchor) = &self.anchor {
            anchor.weigh();
        }
        end
    }

    /// Judges what came as one message, or as several where the client's revision has batches: admitted, each is mail; else the client
    /// is told why.
    pub(crate) async fn accept(&self, body: Bytes) -> Vec<Mail> {
        let batches = || self.session().and_then(|session| session.asked_for()).is_some_and(batch::has);
        let messages = match batch::is_one(&body) && batches() {
            true => batch::messages(&body, self.worker.plane().snapshot.limits.json_depth),
            false => return self.desk.accept(&self.worker, body).await.into_iter().collect(),
        };
        let mut mails = Vec::new();
        match messages {
            Ok(messages) => {
                for message in messages {
                    mails.extend(self.desk.accept(&self.worker, message.body).await);
                }
            }
            Err(reason) => self.refuse(&reason.into()).await,
        }
        mails
    }

    /// Takes one message.
    pub(crate) async fn take(self: &Rc<Self>, mail: Mail) {
        if let Some(principal) = &mail.principal {
            self.renew(principal);
        }
        let message = mail.message;
        let modern = headers::is_modern(&mail.body, &message);
        match (message.kind, message.method) {
            (Kind::Notification, Method::NotificationCancelled) if self.cancels(&mail) => {}
            (Kind::Request, _) if self.leaving.get() => {
                let id = message.id.map(|s| mail.body.slice(s.range()));
                self.refuse(&Refusal { reason: Reason::Draining, id }).await;
            }
            // what a server must see in order is sent in order
            (Kind::Request, Method::Initialize) if !modern => self.call(mail, modern).await,
            (Kind::Notification | Kind::Response, method) => {
                self.call(mail, modern).await;
                if method == Method::NotificationInitialized {
                    self.stand();
                }
            }
            (Kind::Request, _) => {
                let id = message.id.filter(|_| modern).map(|s| mail.body.slice(s.range()));
                let call = self.call(mail, modern);
                let handle = {
                    let mut calls = self.calls.borrow_mut();
                    while calls.try_join_next().is_some() {}
                    calls.spawn_local(call)
                };
                if let Some(id) = id {
                    self.state.borrow_mut().in_flight.insert(id, handle);
                }
                // its first turn comes before the next message: a notification does not overtake the request it follows
                tokio::task::yield_now().await;
            }
        }
    }

    /// Tells the client that something it sent is refused.
    pub(crate) async fn refuse(&self, refusal: &Refusal) {
        self.desk.refuse(refusal).await;
    }

    /// Waits until nothing is under way.
    pub(crate) async fn finished(&self) {
        self.until(|| self.under_way.get() == 0).await;
    }

    /// Waits until nothing is under way but what only ends with its client or the node.
    pub(crate) async fn answered(&self) {
        self.until(|| self.under_way.get() == self.listening.get()).await;
    }

    async fn until(&self, is_so: impl Fn() -> bool) {
        loop {
            let mut told = std::pin::pin!(self.idle.notified());
            told.as_mut().enable();
            if is_so() {
                return;
            }
            told.await;
        }
    }

    /// Drops what is under way and the standalone stream. What that means for servers is said by each call's era.
    pub(crate) async fn close(&self) {
        let standing = self.state.borrow_mut().standing.take();
        if let Some(standing) = standing {
            standing.abort();
            let _ = standing.await;
        }
        let mut calls = self.calls.take();
        calls.shutdown().await;
    }

    /// Waits until the connection must end though the client does not end it: it is judged again after every swap of the
    /// configuration.
    async fn ending(&self) -> End {
        let node = &self.worker.node;
        let mut planes = node.planes.clone();
        let mut over = std::pin::pin!(self.session_over());
        loop {
            tokio::select! {
                () = node.drain.reached(Phase::Closing) => return End::Leaving,
                () = self.expired() => return End::Expired,
                // a server that is gone takes its sessions with it: that is the reason, then
                () = &mut over => {
                    let allowed = self.is_allowed(&node.planes.borrow());
                    return if allowed { End::SessionOver } else { End::NotAllowed };
                }
                changed = planes.changed() => {
                    if changed.is_err() {
                        return End::Leaving;
                    }
                    if !self.is_allowed(&planes.borrow_and_update()) {
                        return End::NotAllowed;
                    }
                }
            }
        }
    }

    /// Waits until the client may not even wait for answers any more.
    async fn cut(&self) {
        let node = &self.worker.node;
        let mut planes = node.planes.clone();
        let stranger = async { while planes.changed().await.is_ok() && self.is_known() {} };
        tokio::select! {
            () = stranger => {}
            () = self.expired() => {}
            () = node.drain.reached(Phase::Emptying) => {}
        }
    }

    /// Whether the client would still come in.
    fn is_known(&self) -> bool {
        let plane = Arc::clone(&self.worker.node.planes.borrow());
        plane.known.again(&self.principal.borrow()).is_some()
    }

    /// Whether the client would still come in, and find what it came for. What it is known as may have changed.
    fn is_allowed(&self, plane: &Arc<Plane>) -> bool {
        let known = plane.known.again(&self.principal.borrow());
        known.is_some_and(|principal| {
            self.renew(&principal);
            self.scope_in(&plane.seen_by(&principal)).is_ok()
        })
    }

    /// The client as a plane knows it. Its roles may be others by now, before the pipe was told of the new plane.
    fn principal_in(&self, plane: &Plane) -> Result<Principal, Reason> {
        if self.serial.replace(plane.known.serial) != plane.known.serial {
            let known = plane.known.again(&self.principal.borrow()).ok_or(Reason::Unauthenticated)?;
            self.renew(&known);
        }
        Ok(self.principal.borrow().clone())
    }

    /// Where its messages are taken.
    pub(crate) fn desk(&self) -> &Desk {
        &self.desk
    }

    /// Goes on with the credentials that the client comes back with.
    pub(crate) async fn follow(self: Rc<Self>, mut newest: watch::Receiver<Principal>) {
        while newest.changed().await.is_ok() {
            let principal = newest.borrow_and_update().clone();
            self.renew(&principal);
            // as this worker's configuration knows it
            self.serial.set(u64::MAX);
        }
    }

    /// Goes on with another credential of the same client.
    fn renew(&self, principal: &Principal) {
        let mut current = self.principal.borrow_mut();
        if !current.is_same_as(principal) {
            *current = principal.clone();
            self.renewed.notify_one();
        }
    }

    /// Waits until the newest credential has expired.
    async fn expired(&self) {
        loop {
            let principal = self.principal.borrow().clone();
            tokio::select! {
                () = principal.expired() => return,
                () = self.renewed.notified() => {}
            }
        }
    }

    /// Where this pipe leads in a plane: nowhere, if the server is not configured as it was.
    fn scope_in(&self, plane: &Plane) -> Result<Scope, Reason> {
        match &self.desk.scope {
            Scope::Merged => Ok(Scope::Merged),
            Scope::Server(upstream) => {
                let now = plane.server(upstream.name()).filter(|now| now.is(upstream));
                now.map(|now| Scope::Server(Arc::clone(now))).ok_or(Reason::UnknownServer)
            }
        }
    }

    /// A modern request the client no longer wants: its stream is dropped, which cancels it upstream.
    fn cancels(&self, mail: &Mail) -> bool {
        let id = mail.message.p.request_id.map(|s| mail.body.slice(s.range()));
        let handle = id.and_then(|id| self.state.borrow_mut().in_flight.remove(&id));
        handle.as_ref().inspect(|h| h.abort()).is_some()
    }

    /// One message down the path, and its answers out.
    fn call(self: &Rc<Self>, mail: Mail, modern: bool) -> impl Future<Output = ()> + use<> {
        let under_way = UnderWay::begin(self, mail.message.method == Method::SubscriptionsListen);
        async move {
            let pipe = &under_way.pipe;
            // a node that is told to stop waits for this
            let _open = pipe.worker.node.drain.open();
            let message = mail.message;
            let id = message.id.map(|s| mail.body.slice(s.range()));
            match pipe.posted(mail, modern).await {
                Ok(reply) => {
                    let reply = match message.method == Method::Initialize && !modern {
                        true => {
                            pipe.begin_session(&reply).await;
                            pipe.naming_session(reply)
                        }
                        false => reply,
                    };
                    pipe.out(reply, id.clone()).await;
                }
                // what is refused before it is read is answered as well
                Err(Refusal { reason, id: known }) => {
                    pipe.desk.turn_down(&message, Refusal { reason, id: known.or_else(|| id.clone()) }).await;
                }
            }
            if let Some(id) = id.filter(|_| modern) {
                pipe.state.borrow_mut().in_flight.remove(&id);
            }
        }
    }

    async fn posted(&self, mail: Mail, modern: bool) -> Result<Reply, Refusal> {
        let headers = self.headers(&mail.body, &mail.message, modern);
        let arrival = self.arrival(headers, mail.ticket)?;
        post(&self.worker, arrival, mail.body, mail.held).await
    }

    fn arrival(&self, headers: Fields, ticket: Ticket) -> Result<Arrival, Reason> {
        let plane = self.worker.plane();
        let principal = self.principal_in(&plane)?;
        let plane = plane.seen_by(&principal);
        let mut record = self.record(&plane);
        match self.scope_in(&plane) {
            Ok(scope) => Ok(self.arrival_at(scope, plane, principal, headers, ticket, record)),
            Err(reason) => {
                record.fail(&reason);
                Err(reason)
            }
        }
    }

    fn arrival_at(
        &self,
        scope: Scope,
        plane: Arc<Plane>,
        principal: Principal,
        headers: Fields,
        ticket: Ticket,
        record: Record,
    ) -> Arrival {
        let base = Base {
            naming: scope.naming(&plane),
            plane,
            principal,
            account: Arc::clone(&self.desk.account),
            headers,
            synthesized: true,
            record,
            ticket,
        };
        Call { upstream: scope, base: Box::new(base) }
    }

    fn record(&self, plane: &Plane) -> Record {
        self.desk.record(&self.worker, plane)
    }

    /// A place for what the gateway itself asks on the client's behalf: it is no request of the client's, and not refused.
    fn own_ticket(&self) -> Result<Ticket, Reason> {
        let limits = Limits { requests_per_minute: None, concurrent_requests: u32::MAX, ..Limits::default() };
        self.worker.node.quotas.admit(&self.desk.account, &limits, Via::Door, Instant::now())
    }
}

/// A message on its way.
struct UnderWay {
    pipe: Rc<Pipe>,
    listens: bool,
}

impl UnderWay {
    fn begin(pipe: &Rc<Pipe>, listens: bool) -> Self {
        pipe.under_way.set(pipe.under_way.get() + 1);
        pipe.listening.set(pipe.listening.get() + usize::from(listens));
        Self { pipe: Rc::clone(pipe), listens }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let left = self.pipe.under_way.get() - 1;
        let listening = self.pipe.listening.get() - usize::from(self.listens);
        self.pipe.under_way.set(left);
        self.pipe.listening.set(listening);
        if left == listening {
            self.pipe.idle.notify_waiters();
        }
    }
}
