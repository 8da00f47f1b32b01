//! stdio servers: which child serves whom, when one is started, and how it is held back when it keeps ending.
//!
//! A legacy connection on which a server may ask questions serves one client session, because a question carries no link
//! to the call that caused it; connections of clients that declare nothing to be asked are shared (architecture.md,
//! *Connections to servers*). Modern servers are stateless: one child serves everybody.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use aws_lc_rs::digest;
use bytes::Bytes;
use sluice_mcp::{Message, ScanLimits, canonical_digest_input, scan};
use sluice_snapshot::model::{Command, Isolation, Limits, Server, Transport};
use tokio::sync::mpsc;

mod backoff;
pub(crate) mod child;
pub(crate) mod guard;
mod routes;

use backoff::Backoff;
pub(crate) use child::{Child, Outbox};

use crate::auth::PrincipalId;
use crate::limit;
use crate::observe::metrics::Metrics;
use crate::reason::Reason;
use crate::upstream::era::{Known, Memory};

/// Whom a child serves.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    /// Every modern client.
    Modern,
    /// Legacy clients that asked for the same version with the same capabilities: SHA-256 of both.
    Shared([u8; 32]),
    /// The same, of one principal.
    Principal(PrincipalId, [u8; 32]),
    /// One session.
    Session([u8; 16]),
}

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

impl From<Reason> for NoChild {
    fn from(reason: Reason) -> Self {
        Self::Reason(reason)
    }
}

/// The children of one server.
pub(crate) struct Children {
    server: Arc<Server>,
    limits: Limits,
    guard: Arc<guard::Guard>,
    metrics: Arc<Metrics>,
    slots: Mutex<HashMap<Key, Slot>>,
    backoff: Arc<Backoff>,
}

#[derive(Clone)]
struct Slot {
    owner: Option<PrincipalId>,
    /// Locked while the child starts: everybody else waits for the one start.
    child: Arc<tokio::sync::Mutex<Option<Arc<Child>>>>,
}

impl Children {
    pub(crate) fn new(server: Arc<Server>, limits: Limits, guard: Arc<guard::Guard>, metrics: Arc<Metrics>) -> Self {
        Self { server, limits, guard, metrics, slots: Mutex::default(), backoff: Arc::default() }
    }

    /// The key under which a legacy client finds its child.
    pub(crate) fn legacy_key(&self, caller: Caller, initialize: &[u8], message: &Message, asks: bool) -> Key {
        let kind = || kind_of(initialize, message);
        let session = || Key::Session(caller.session.unwrap_or(caller.principal.0));
        match self.server.isolation {
            Isolation::PerSession => session(),
            Isolation::PerPrincipal => Key::Principal(caller.principal, kind()),
            Isolation::Shared => Key::Shared(kind()),
            Isolation::Auto if asks => session(),
            Isolation::Auto => Key::Shared(kind()),
        }
    }

    /// The legacy child of that key, started and initialised with the client's own message if there is none.
    pub(crate) async fn legacy(&self, key: &Key, caller: Caller, initialize: &Bytes) -> Result<Arc<Child>, NoChild> {
        let owner = match key {
            Key::Session(_) | Key::Principal(..) => Some(caller.principal),
            Key::Shared(_) | Key::Modern => None,
        };
        let slot = self.slot(key, owner)?;
        let mut running = slot.child.lock().await;
        if let Some(child) = running.as_ref().filter(|c| c.is_running()) {
            return Ok(Arc::clone(child));
        }
        self.backoff.may_start()?;
        let child = self.spawn(matches!(key, Key::Session(_)))?;
        match child.initialize(initialize).await {
            Ok(()) => {
                *running = Some(Arc::clone(&child));
                Ok(child)
            }
            Err(error) => {
                if matches!(error, NoChild::Reason(_)) && child.is_running() {
                    self.backoff.failed();
                }
                child.stop();
                self.vacate(key);
                Err(error)
            }
        }
    }

    /// The one modern child, started if there is none. With `protocol: auto` a server that was not asked before is asked
    /// by `server/discover` (2026-07-28 *stdio: Backward Compatibility*).
    pub(crate) async fn modern(&self, era: &Memory) -> Result<Arc<Child>, NoChild> {
        let slot = self.slot(&Key::Modern, None)?;
        let mut running = slot.child.lock().await;
        if let Some(child) = running.as_ref().filter(|c| c.is_running()) {
            return Ok(Arc::clone(child));
        }
        self.backoff.may_start()?;
        let child = self.spawn(false)?;
        if era.modern().is_none() {
            match child.discover().await {
                Ok(Some(versions)) => era.learn(Known::Modern(versions.into())),
                Ok(None) if era.configured() == sluice_snapshot::model::Protocol::Modern => {}
                Ok(None) => {
                    child.stop();
                    era.learn(Known::Legacy);
                    self.vacate(&Key::Modern);
                    return Err(Reason::ServerIsLegacy.into());
                }
                Err(reason) => {
                    if child.is_running() {
                        self.backoff.failed();
                    }
                    child.stop();
                    self.vacate(&Key::Modern);
                    return Err(reason.into());
                }
            }
        }
        *running = Some(Arc::clone(&child));
        Ok(child)
    }

    /// A session that had a child of its own is gone: so is the child.
    pub(crate) fn release(&self, attachment: &Attachment, session: [u8; 16]) {
        attachment.child.detach(session);
        if matches!(attachment.key, Key::Session(_)) {
            attachment.child.stop();
            self.vacate(&attachment.key);
        }
    }

    /// Ends children without a request for `limits.child_idle`, and forgets ended ones.
    pub(crate) fn sweep(&self) {
        let mut slots = self.lock_slots();
        slots.retain(|_, slot| {
            let Ok(running) = slot.child.try_lock() else { return true };
            // empty and held by nobody else: a start was given up half way
            let Some(child) = running.as_ref() else { return Arc::strong_count(&slot.child) > 1 };
            if child.is_running() && child.idle() >= self.limits.child_idle {
                tracing::info!(server = %self.server.name, "ending an idle child process");
                child.stop();
            }
            child.is_running()
        });
    }

    /// Ends all children; the processes are gone when the returned future is.
    pub(crate) async fn stop(&self) {
        let slots: Vec<Slot> = self.lock_slots().drain().map(|(_, slot)| slot).collect();
        for slot in &slots {
            if let Some(child) = slot.child.lock().await.as_ref() {
                child.stop();
            }
        }
        for slot in slots {
            if let Some(child) = slot.child.lock().await.take() {
                child.stopped().await;
            }
        }
    }

    fn slot(&self, key: &Key, owner: Option<PrincipalId>) -> Result<Slot, Reason> {
        let mut slots = self.lock_slots();
        if let Some(slot) = slots.get(key) {
            return Ok(slot.clone());
        }
        let of_owner = slots.values().filter(|s| owner.is_some() && s.owner == owner).count();
        if slots.len() >= self.limits.children_per_server as usize
            || of_owner >= self.limits.children_per_principal as usize
        {
            return Err(Reason::ChildLimit);
        }
        let slot = Slot { owner, child: Arc::default() };
        slots.insert(key.clone(), slot.clone());
        Ok(slot)
    }

    fn vacate(&self, key: &Key) {
        self.lock_slots().remove(key);
    }

    fn lock_slots(&self) -> std::sync::MutexGuard<'_, HashMap<Key, Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn spawn(&self, exclusive: bool) -> Result<Arc<Child>, Reason> {
        let Transport::Stdio(command) = &self.server.transport else { return Err(Reason::ChildStart) };
        let parts = child::Parts {
            server: Arc::clone(&self.server.name),
            exclusive,
            depth: self.limits.json_depth,
            guard: Arc::clone(&self.guard),
            metrics: Arc::clone(&self.metrics),
            backoff: Arc::clone(&self.backoff),
        };
        Child::spawn(command, parts).map_err(|error| {
            tracing::error!(server = %self.server.name, program = command.program, %error, "cannot start the server's process");
            self.backoff.failed();
            Reason::ChildStart
        })
    }
}

/// Clients with the same version and capabilities may share a child: both decide what a server shows.
fn kind_of(initialize: &[u8], message: &Message) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    for span in [message.p.protocol_version, message.p.capabilities] {
        context.update(&canonical_digest_input(span.map_or(b"null", |s| s.of(initialize))));
        context.update(b"\n");
    }
    let mut kind = [0; 32];
    kind.copy_from_slice(context.finish().as_ref());
    kind
}

/// The environment every program needs; beyond it a child sees only what is configured.
pub(crate) const BASE_ENVIRONMENT: [&str; 14] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TERM",
    "TMPDIR",
    "TZ",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
];

fn process(command: &Command) -> tokio::process::Command {
    let mut process = tokio::process::Command::new(&command.program);
    process.args(&command.args).env_clear();
    process.envs(BASE_ENVIRONMENT.iter().filter_map(|name| std::env::var_os(name).map(|value| (name, value))));
    process.envs(command.env.iter().map(|(name, value)| (name, value.expose())));
    if let Some(directory) = &command.cwd {
        process.current_dir(directory);
    }
    process
}

/// Scans a message that is written to or read from a child.
fn scanned(line: &[u8], depth: u16) -> Result<Message, sluice_mcp::ScanError> {
    scan(line, ScanLimits { depth })
}

/// The two ends of a caller's queue: what the child says to it, in order. `held` is the node's byte budget.
pub(crate) fn outbox(held: &Arc<AtomicUsize>) -> (Outbox, Inbox) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let queued = Arc::new(Queued { own: AtomicUsize::new(0), node: Arc::clone(held) });
    (Outbox { sender, queued: Arc::clone(&queued) }, Inbox { receiver, queued })
}

/// Bytes in one caller's queue; they count in the node's budget too.
pub(crate) struct Queued {
    own: AtomicUsize,
    node: Arc<AtomicUsize>,
}

impl Queued {
    /// Counts a message in; `false` when the caller's or the node's limit is reached.
    fn add(&self, bytes: usize) -> bool {
        let own = self.own.fetch_add(bytes, Ordering::Relaxed);
        let node = self.node.fetch_add(bytes, Ordering::Relaxed);
        own <= limit::OUTBOX_BYTES && node <= limit::NODE_BYTES
    }

    fn take(&self, bytes: usize) {
        self.own.fetch_sub(bytes, Ordering::Relaxed);
        self.node.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        self.node.fetch_sub(*self.own.get_mut(), Ordering::Relaxed);
    }
}

/// The receiving end; see [`outbox`].
pub(crate) struct Inbox {
    receiver: mpsc::UnboundedReceiver<Bytes>,
    queued: Arc<Queued>,
}

impl Inbox {
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let polled = self.receiver.poll_recv(cx);
        if let Poll::Ready(Some(message)) = &polled {
            self.queued.take(message.len());
        }
        polled
    }

    pub(crate) async fn next(&mut self) -> Option<Bytes> {
        std::future::poll_fn(|cx| self.poll(cx)).await
    }
}
