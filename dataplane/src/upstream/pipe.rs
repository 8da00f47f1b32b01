//! Pipes: servers reached over one connection for both directions, on which answers are told apart by their ids only. A
//! *child* is one such connection with what serves at its end: a process of ours, a WebSocket, an event stream of HTTP+SSE.
//! Here is decided which child serves whom, when one is started, and how a server is held back whose children keep ending.
//!
//! A legacy connection on which a server may ask questions serves one client session, because a question carries no link
//! to the call that caused it; connections of clients that declare nothing to be asked are shared (architecture.md,
//! *Connections to servers*). Modern servers are stateless: one child serves everybody.

use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;
use sluice_mcp::{Message, ScanLimits, scan};
use sluice_snapshot::model::{Isolation, Limits, Protocol, Server, Transport};

mod backoff;
pub(crate) mod child;
pub(crate) mod guard;
mod key;
mod outbox;
mod process;
mod pulse;
mod routes;
mod slots;
mod sse;
mod task;
mod websocket;
mod wire;

use backoff::Backoff;
pub(crate) use child::Child;
pub(crate) use key::Key;
use key::Kind;
pub(crate) use outbox::Inbox;
use slots::{Room, Slots};

use crate::auth::PrincipalId;
use crate::limit;
use crate::observe::metrics::{Gauge, Metrics};
use crate::reason::Reason;
use crate::upstream::credential::Credentials;
use crate::upstream::era::{Known, Memory};
use crate::upstream::quirks::Quirks;
use crate::upstream::tasks::Owners;
use crate::upstream::{http, transport, trouble};

/// Who sends a message to a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Caller {
    pub principal: PrincipalId,
    /// The legacy session; `None` in the modern era.
    pub session: Option<[u8; 16]>,
}

/// A session's hold on a child.
#[derive(Clone)]
pub(crate) struct Attachment {
    pub child: Arc<Child>,
    pub key: Key,
}

/// Why no child serves a request.
#[derive(Debug)]
pub(crate) enum NoChild {
    Reason(Reason),
    /// The server answered `initialize` with this error message.
    Refused(Bytes),
}

impl NoChild {
    /// Whether the server cannot be had at present, whoever asks. Otherwise it is there, and there is no room for the caller
    /// or the server does not agree with it.
    pub(crate) fn is_outage(&self) -> bool {
        use Reason::*;
        match self {
            Self::Reason(
                ChildStart | ChildBackoff { .. } | ChildEnded | ChildTooLong | ServerUnreachable | ServerStatus(_),
            ) => true,
            Self::Reason(
                ServerCredential | NoToken(_) | ServerRedirect | NoEndpoint | ForeignEndpoint | NoWebSocket,
            ) => true,
            Self::Reason(_) | Self::Refused(_) => false,
        }
    }
}

impl From<Reason> for NoChild {
    fn from(reason: Reason) -> Self {
        Self::Reason(reason)
    }
}

/// The children of one server.
pub(crate) struct Children {
    /// As the current plane has it: a server that stays the same keeps its children when this changes, and those to come go by it.
    server: ArcSwap<Server>,
    credentials: Arc<Credentials>,
    /// Those of the current plane.
    limits: ArcSwap<Limits>,
    guard: Arc<guard::Guard>,
    metrics: Arc<Metrics>,
    slots: Slots,
    backoff: Arc<Backoff>,
    tasks: Arc<Owners>,
    transport: Arc<transport::Memory>,
    quirks: Arc<Quirks>,
    trouble: Arc<trouble::Memory>,
}

impl Children {
    pub(crate) fn new(
        server: Arc<Server>,
        credentials: Arc<Credentials>,
        limits: Limits,
        guard: Arc<guard::Guard>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let backoff = match &server.transport {
            Transport::Stdio(_) => Backoff::new(limit::CHILD_BACKOFF_MAX),
            _ => Backoff::new(limit::CONNECTION_BACKOFF_MAX),
        };
        let (backoff, transport) = (Arc::new(backoff), Arc::new(transport::Memory::new(&server.transport)));
        let (slots, tasks, quirks, trouble) = Default::default();
        let (server, limits) = (ArcSwap::new(server), ArcSwap::from_pointee(limits));
        Self { server, credentials, limits, guard, metrics, slots, backoff, tasks, transport, quirks, trouble }
    }

    /// Goes by a new plane; what runs already stays.
    pub(crate) fn follow(&self, server: &Arc<Server>, limits: &Limits) {
        if !Arc::ptr_eq(&self.server.load(), server) {
            self.server.store(Arc::clone(server));
        }
        if **self.limits.load() != *limits {
            self.limits.store(Arc::new(limits.clone()));
        }
    }

    fn room(&self) -> Room {
        match &self.server.load().transport {
            Transport::Stdio(_) => Room::of_processes(&self.limits.load()),
            _ => Room::of_connections(),
        }
    }

    /// The server whose children they are.
    pub(super) fn server(&self) -> Arc<Server> {
        self.server.load_full()
    }

    /// What the server is shown to let us in.
    pub(super) fn credentials(&self) -> &Arc<Credentials> {
        &self.credentials
    }

    /// What the server does in ways of its own.
    pub(super) fn quirks(&self) -> &Arc<Quirks> {
        &self.quirks
    }

    /// What is wrong with the server.
    pub(super) fn trouble(&self) -> &Arc<trouble::Memory> {
        &self.trouble
    }

    /// What was learnt of the server's transport.
    pub(super) fn transport(&self) -> &transport::Memory {
        &self.transport
    }

    /// Whether an event stream of HTTP+SSE opens where the configuration says streamable HTTP.
    pub(super) async fn is_sse(&self) -> bool {
        let server = self.server();
        let Transport::Http(endpoint) = &server.transport else { return false };
        let (target, connections) =
            (http::Target::new(endpoint, &self.credentials), &self.metrics.upstream_connections);
        let opening = sse::Sse::open(&server, &target, &self.quirks, connections);
        tokio::time::timeout(limit::PROBE, opening).await.is_ok_and(|opened| opened.is_ok())
    }

    /// Counts connections to servers.
    pub(super) fn upstream_connections(&self) -> &Arc<Gauge> {
        &self.metrics.upstream_connections
    }

    /// Whose the server's tasks are.
    pub(super) fn tasks(&self) -> &Arc<Owners> {
        &self.tasks
    }

    /// The key under which a legacy client finds its child.
    pub(crate) fn legacy_key(&self, caller: Caller, initialize: &[u8], message: &Message, asks: bool) -> Key {
        let kind = || Kind::of(initialize, message);
        let session = || Key::Session(caller.session.unwrap_or(caller.principal.0));
        match self.server.load().isolation {
            Isolation::PerSession => session(),
            Isolation::PerPrincipal => Key::Principal(caller.principal, kind()),
            Isolation::Shared => Key::Everybody,
            Isolation::Auto if asks => session(),
            Isolation::Auto => Key::Shared(kind()),
        }
    }

    /// The legacy child of that key, started and initialised with the client's own message if there is none.
    pub(crate) async fn legacy(&self, key: &Key, caller: Caller, initialize: &Bytes) -> Result<Arc<Child>, NoChild> {
        let exclusive = matches!(key, Key::Session(_));
        self.child(key, key.owner(caller.principal), exclusive, async |child| child.initialize(initialize).await).await
    }

    /// The one modern child, started if there is none. With `protocol: auto` a server that was not asked before is asked
    /// by `server/discover` (2026-07-28 *stdio: Backward Compatibility*).
    pub(crate) async fn modern(&self, era: &Memory) -> Result<Arc<Child>, NoChild> {
        let discover = async |child: &Child| {
            if era.modern().is_some() {
                return Ok(());
            }
            match child.discover().await? {
                Some(versions) => era.learn(Known::Modern(versions.into())),
                None if era.configured() == Protocol::Modern => {}
                None => {
                    era.learn(Known::Legacy);
                    return Err(Reason::ServerIsLegacy.into());
                }
            }
            Ok(())
        };
        self.child(&Key::Modern, None, false, discover).await
    }

    /// The child at a place: the one that runs there, or a new one, opened and greeted as `greet` does. One start at a time; a start
    /// whose caller goes away is given up.
    async fn child(
        &self,
        key: &Key,
        owner: Option<PrincipalId>,
        exclusive: bool,
        greet: impl AsyncFnOnce(&Child) -> Result<(), NoChild>,
    ) -> Result<Arc<Child>, NoChild> {
        let place = self.slots.place(key, owner, &self.room())?;
        let _one = place.slot.starting.lock().await;
        if let Some(child) = place.slot.running() {
            return Ok(child);
        }
        self.backoff.may_start()?;
        let start = place.slot.start(self.start(exclusive));
        start.child.opened().await?;
        match greet(&start.child).await {
            Ok(()) => {
                self.trouble.is_over();
                Ok(start.done())
            }
            Err(error) => {
                match &error {
                    // it is well, and of another era
                    NoChild::Reason(Reason::ServerIsLegacy) | NoChild::Refused(_) => self.trouble.is_over(),
                    // one that ended says why itself
                    NoChild::Reason(reason) if start.child.is_running() => {
                        self.trouble.is(reason.phrase());
                        if *reason == Reason::ChildStart {
                            self.backoff.failed();
                        }
                    }
                    NoChild::Reason(_) => {}
                }
                Err(error)
            }
        }
    }

    /// A session that had a child of its own is gone: so is the child.
    pub(crate) fn release(&self, attachment: &Attachment, session: [u8; 16]) {
        attachment.child.detach(session);
        if matches!(attachment.key, Key::Session(_)) {
            attachment.child.stop();
            self.slots.vacate(&attachment.key, &attachment.child);
        }
    }

    /// Ends children without a request for `limits.child_idle`, lets those go that were opened with credentials of the past,
    /// and forgets ended ones.
    pub(crate) fn sweep(&self) {
        let server = self.server.load();
        let most = self.limits.load().child_idle;
        let generation = self.credentials.generation();
        self.slots.sweep(|child| {
            if child.is_running() && child.idle() >= most {
                tracing::info!(server = %server.name, "ending an idle process or connection");
                child.stop();
            } else if child.is_running() && child.generation != generation {
                tracing::info!(server = %server.name, "the next process or connection is opened with new credentials");
                child.retire();
            }
        });
    }

    /// Ends all children; their processes and connections are gone when the returned future is.
    pub(crate) async fn stop(&self) {
        for child in self.slots.close() {
            child.stopped().await;
        }
    }

    /// Begins to start one. It runs on the worker of whoever asked for it.
    fn start(&self, exclusive: bool) -> Arc<Child> {
        Child::start(task::Parts {
            server: self.server(),
            credentials: Arc::clone(&self.credentials),
            exclusive,
            depth: self.limits.load().json_depth,
            guard: Arc::clone(&self.guard),
            metrics: Arc::clone(&self.metrics),
            backoff: Arc::clone(&self.backoff),
            tasks: Arc::clone(&self.tasks),
            transport: Arc::clone(&self.transport),
            quirks: Arc::clone(&self.quirks),
            trouble: Arc::clone(&self.trouble),
        })
    }
}

/// Scans a message that is written to or read from a child.
fn scanned(line: &[u8], depth: u16) -> Result<Message, sluice_mcp::ScanError> {
    scan(line, ScanLimits { depth })
}
