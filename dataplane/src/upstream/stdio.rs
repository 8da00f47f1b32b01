//! stdio servers: which child serves whom, when one is started, and how it is held back when it keeps ending.
//!
//! A legacy connection on which a server may ask questions serves one client session, because a question carries no link
//! to the call that caused it; connections of clients that declare nothing to be asked are shared (architecture.md,
//! *Connections to servers*). Modern servers are stateless: one child serves everybody.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use aws_lc_rs::digest;
use bytes::Bytes;
use sluice_mcp::path::member;
use sluice_mcp::{Message, ScanLimits, Version, canonical_digest_input, decode_string, scan};
use sluice_snapshot::model::{Command, Isolation, Limits, Protocol, Server, Transport};
use tokio::sync::mpsc;

mod backoff;
pub(crate) mod child;
pub(crate) mod guard;
mod routes;
mod slots;

use backoff::Backoff;
pub(crate) use child::{Child, Outbox};
use slots::Slots;

use crate::auth::PrincipalId;
use crate::budget::Budget;
use crate::limit;
use crate::observe::metrics::Metrics;
use crate::reason::Reason;
use crate::upstream::era::{Known, Memory};
use crate::upstream::tasks::Owners;

/// Whom a child serves.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    /// Every modern client.
    Modern,
    /// Every legacy client, because the configuration says so.
    Everybody,
    /// Legacy clients of the same kind.
    Shared(Kind),
    /// The same, of one principal.
    Principal(PrincipalId, Kind),
    /// One session.
    Session([u8; 16]),
}

/// What decides which legacy clients may share a child; see [`kind_of`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Kind {
    version: Option<Version>,
    extensions: Option<[u8; 16]>,
}

impl Key {
    /// Whom a place counts for. Places that a client can multiply by what it says count for that client.
    fn owner(&self, opener: PrincipalId) -> Option<PrincipalId> {
        match self {
            Self::Modern | Self::Everybody | Self::Shared(Kind { extensions: None, .. }) => None,
            Self::Shared(_) | Self::Principal(..) | Self::Session(_) => Some(opener),
        }
    }
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
    slots: Slots,
    backoff: Arc<Backoff>,
    tasks: Arc<Owners>,
}

impl Children {
    pub(crate) fn new(server: Arc<Server>, limits: Limits, guard: Arc<guard::Guard>, metrics: Arc<Metrics>) -> Self {
        Self { server, limits, guard, metrics, slots: Slots::default(), backoff: Arc::default(), tasks: Arc::default() }
    }

    /// Whose the server's tasks are.
    pub(super) fn tasks(&self) -> &Arc<Owners> {
        &self.tasks
    }

    /// The key under which a legacy client finds its child.
    pub(crate) fn legacy_key(&self, caller: Caller, initialize: &[u8], message: &Message, asks: bool) -> Key {
        let kind = || kind_of(initialize, message);
        let session = || Key::Session(caller.session.unwrap_or(caller.principal.0));
        match self.server.isolation {
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

    /// The child at a place: the one that runs there, or a new one, greeted as `greet` does. One start at a time; a start
    /// whose caller goes away is given up.
    async fn child(
        &self,
        key: &Key,
        owner: Option<PrincipalId>,
        exclusive: bool,
        greet: impl AsyncFnOnce(&Child) -> Result<(), NoChild>,
    ) -> Result<Arc<Child>, NoChild> {
        let place = self.slots.place(key, owner, &self.limits)?;
        let _one = place.slot.starting.lock().await;
        if let Some(child) = place.slot.running() {
            return Ok(child);
        }
        self.backoff.may_start()?;
        let start = place.slot.start(self.spawn(exclusive)?);
        match greet(&start.child).await {
            Ok(()) => Ok(start.done()),
            Err(error) => {
                let hung = matches!(error, NoChild::Reason(Reason::ChildStart));
                if hung && start.child.is_running() {
                    self.backoff.failed();
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

    /// Ends children without a request for `limits.child_idle`, and forgets ended ones.
    pub(crate) fn sweep(&self) {
        self.slots.sweep(|child| {
            if child.is_running() && child.idle() >= self.limits.child_idle {
                tracing::info!(server = %self.server.name, "ending an idle child process");
                child.stop();
            }
        });
    }

    /// Ends all children; the processes are gone when the returned future is.
    pub(crate) async fn stop(&self) {
        for child in self.slots.close() {
            child.stopped().await;
        }
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
            tasks: Arc::clone(&self.tasks),
            timeout: self.server.timeout,
        };
        Child::spawn(command, parts).map_err(|error| {
            tracing::error!(server = %self.server.name, program = command.program, %error, "cannot start the server's process");
            self.backoff.failed();
            Reason::ChildStart
        })
    }
}

/// Clients with the same revision and extensions may share a child: both decide what a server shows. What else a client
/// says of itself does not.
fn kind_of(initialize: &[u8], message: &Message) -> Kind {
    let version = message.p.protocol_version.map(|s| decode_string(s.of(initialize)));
    let version = version.and_then(|v| Version::parse(v.as_bytes()));
    let capabilities = message.p.capabilities.map_or(&b"{}"[..], |s| s.of(initialize));
    let extensions = member(capabilities, "extensions").ok().flatten().map(|s| s.of(capabilities));
    let extensions = extensions.filter(|e| *e != b"{}" && *e != b"null").map(|extensions| {
        let hash = digest::digest(&digest::SHA256, &canonical_digest_input(extensions));
        let mut short = [0; 16];
        short.copy_from_slice(&hash.as_ref()[..16]);
        short
    });
    Kind { version, extensions }
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
pub(crate) fn outbox(held: &Budget) -> (Outbox, Inbox) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let queued = Arc::new(Queued { own: AtomicUsize::new(0), node: held.clone() });
    (Outbox { sender, queued: Arc::clone(&queued) }, Inbox { receiver, queued })
}

/// Bytes in one caller's queue; they count in the node's budget too.
pub(crate) struct Queued {
    own: AtomicUsize,
    node: Budget,
}

impl Queued {
    /// Counts a message in; `false`, and nothing counted, when the caller's or the node's limit is reached.
    fn add(&self, bytes: usize) -> bool {
        // the first message always fits: a caller that reads may be given anything
        if self.own.fetch_add(bytes, Ordering::Relaxed) <= limit::OUTBOX_BYTES && self.node.add(bytes) {
            return true;
        }
        self.own.fetch_sub(bytes, Ordering::Relaxed);
        false
    }

    fn take(&self, bytes: usize) {
        self.own.fetch_sub(bytes, Ordering::Relaxed);
        self.node.take(bytes);
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        self.node.take(*self.own.get_mut());
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
