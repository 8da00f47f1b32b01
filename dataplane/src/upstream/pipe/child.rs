//! A child as callers hold it: a server's process or connection, for as long as it runs. What it does is in
//! [`super::task`].

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use sluice_mcp::{Kind, Message, is_modern_refusal, protocol_versions};
use tokio::sync::mpsc;

use super::outbox::{Inbox, outbox};
use super::task::{self, Life, Parts, Phase, ToChild};
use super::{Caller, NoChild, scanned};
use crate::limit;
use crate::observe::metrics::Metrics;
use crate::reason::Reason;

/// A running (or ended) child.
pub(crate) struct Child {
    /// Unbounded in form: messages are counted against [`limit::CHILD_QUEUE`], bookkeeping must never be lost.
    commands: mpsc::UnboundedSender<ToChild>,
    server: Arc<str>,
    /// Of the credentials it was opened with, or of older ones.
    pub(super) generation: u64,
    metrics: Arc<Metrics>,
    /// The next request's number, its id towards the server.
    tickets: AtomicU64,
    /// The server's answer to `initialize`: its raw `result`.
    initialized: OnceLock<Bytes>,
    life: Arc<Life>,
}

impl Child {
    /// Begins to start one; whether it could be started, the first request says.
    pub(super) fn start(parts: Parts) -> Arc<Self> {
        let (server, metrics) = (Arc::clone(&parts.server.name), Arc::clone(&parts.metrics));
        let generation = parts.credentials.generation();
        let (commands, life) = task::start(parts);
        Arc::new(Self {
            commands,
            server,
            generation,
            metrics,
            tickets: AtomicU64::new(1),
            initialized: OnceLock::new(),
            life,
        })
    }

    /// Waits until the process runs or the connection is open.
    ///
    /// # Errors
    /// Why it could not be had.
    pub(super) async fn opened(&self) -> Result<(), Reason> {
        let mut phase = self.life.phase.subscribe();
        match phase.wait_for(|phase| *phase != Phase::Opening).await.as_deref() {
            Ok(Phase::Open) => Ok(()),
            _ => Err(self.gone()),
        }
    }

    /// Whether requests can be sent.
    pub(crate) fn is_running(&self) -> bool {
        !self.life.stopping.load(Ordering::Relaxed) && *self.life.phase.borrow() != Phase::Ended
    }

    /// Whether it is the one for whoever looks for a child now.
    pub(crate) fn is_current(&self) -> bool {
        self.is_running() && !self.life.retired.load(Ordering::Relaxed)
    }

    /// Whether it was retired and has calls to finish.
    pub(crate) fn is_finishing(&self) -> bool {
        self.is_running() && self.life.unfinished.load(Ordering::Relaxed) > 0
    }

    /// Lets it finish what it is asked by those who have it already; then it ends.
    pub(super) fn retire(&self) {
        self.life.retired.store(true, Ordering::Relaxed);
    }

    /// How long no request was pending.
    pub(super) fn idle(&self) -> Duration {
        self.life.idle()
    }

    /// The server's raw `result` of `initialize`.
    pub(crate) fn initialize_result(&self) -> Option<&Bytes> {
        self.initialized.get()
    }

    /// Sends a request; its answers come to the returned end. The number is what [`Child::abandon`] takes.
    ///
    /// # Errors
    /// [`Reason::ChildEnded`] or why it could not be had, [`Reason::ChildQueueFull`]: in all cases nothing was sent.
    pub(crate) fn request(&self, caller: Caller, message: Bytes, scanned: Message) -> Result<(Inbox, u64), Reason> {
        let (outbox, inbox) = outbox(&self.metrics.held);
        let ticket = self.tickets.fetch_add(1, Ordering::Relaxed);
        self.send(ToChild::Request { ticket, caller, message, scanned: Box::new(scanned), outbox })?;
        Ok((inbox, ticket))
    }

    /// Sends a notification or a response.
    pub(crate) fn tell(&self, caller: Caller, message: Bytes, scanned: Message) -> Result<(), Reason> {
        self.send(ToChild::Tell { caller, message, scanned: Box::new(scanned) })
    }

    /// Cancels a request whose caller went away.
    pub(crate) fn abandon(&self, ticket: u64) {
        let _ = self.commands.send(ToChild::Abandon { ticket });
    }

    /// Opens a session's standalone stream.
    pub(crate) fn listen(&self, session: [u8; 16]) -> Result<Inbox, Reason> {
        let (outbox, inbox) = outbox(&self.metrics.held);
        self.send(ToChild::Listen { session, outbox })?;
        Ok(inbox)
    }

    /// A session begins to use this child.
    pub(crate) fn attach(&self, caller: Caller) {
        let _ = self.commands.send(ToChild::Attach { caller });
    }

    /// A session no longer uses it.
    pub(super) fn detach(&self, session: [u8; 16]) {
        let _ = self.commands.send(ToChild::Detach { session });
    }

    /// Queues a message, if there is room.
    fn send(&self, command: ToChild) -> Result<(), Reason> {
        if !self.is_running() {
            return Err(self.gone());
        }
        if self.life.queued.fetch_add(1, Ordering::Relaxed) >= limit::CHILD_QUEUE {
            self.life.queued.fetch_sub(1, Ordering::Relaxed);
            return Err(Reason::ChildQueueFull);
        }
        self.commands.send(command).map_err(|_| self.gone())
    }

    /// Why it takes nothing more, and answers nothing more.
    pub(crate) fn gone(&self) -> Reason {
        self.life.failure.get().cloned().unwrap_or(Reason::ChildEnded)
    }

    /// Asks the child to end: a process has its input closed, then gets SIGTERM, then SIGKILL, as a group; a connection is
    /// closed.
    pub(crate) fn stop(&self) {
        self.life.stopping.store(true, Ordering::Relaxed);
        self.life.stop.notify_one();
    }

    /// Waits until its process or connection is gone.
    pub(crate) async fn stopped(&self) {
        let _ = self.life.phase.subscribe().wait_for(|phase| *phase == Phase::Ended).await;
    }

    /// The legacy handshake with the client's own message, `notifications/initialized` included.
    pub(super) async fn initialize(&self, initialize: &Bytes) -> Result<(), NoChild> {
        let answer = self.own_request(initialize.clone(), limit::CHILD_START).await?;
        let Some(answer) = answer else {
            tracing::warn!(server = %self.server, "the server did not answer `initialize` in time");
            return Err(Reason::ChildStart.into());
        };
        let message = scanned(&answer, u16::MAX).map_err(|_| Reason::ServerGarbage("initialize"))?;
        let Some(result) = message.result else { return Err(NoChild::Refused(answer)) };
        let _ = self.initialized.set(answer.slice(result.range()));
        let note = Bytes::from_static(br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
        let scanned = scanned(&note, u16::MAX).map_err(|_| Reason::ChildStart)?;
        self.tell(OWN, note, scanned)?;
        Ok(())
    }

    /// Probes the era: the versions of a modern server, `None` for a legacy one.
    pub(super) async fn discover(&self) -> Result<Option<Vec<String>>, Reason> {
        let probe = Bytes::from_static(DISCOVER.as_bytes());
        let Some(answer) = self.own_request(probe, limit::CHILD_PROBE).await? else { return Ok(None) };
        let Ok(message) = scanned(&answer, u16::MAX) else { return Ok(None) };
        if let Some(versions) = message.r.supported_versions {
            return Ok(Some(protocol_versions(versions.of(&answer))));
        }
        Ok(is_modern_refusal(&answer, &message).then(|| vec!["2026-07-28".to_owned()]))
    }

    /// Asks the server on the gateway's own behalf; `None` when it does not answer in time.
    pub(crate) async fn ask(&self, message: Bytes) -> Option<Bytes> {
        self.own_request(message, limit::PROBE).await.ok().flatten()
    }

    /// Sends a request of our own and waits for its answer; `None` when none came in time.
    async fn own_request(&self, message: Bytes, wait: Duration) -> Result<Option<Bytes>, Reason> {
        let scanned_message = scanned(&message, u16::MAX).map_err(|_| Reason::ChildStart)?;
        let (mut inbox, ticket) = self.request(OWN, message, scanned_message)?;
        let answer = async {
            while let Some(line) = inbox.next().await {
                if scanned(&line, u16::MAX).is_ok_and(|m| m.kind == Kind::Response) {
                    return Ok(Some(line));
                }
            }
            Err(self.gone())
        };
        match tokio::time::timeout(wait, answer).await {
            Ok(answer) => answer,
            Err(_) => {
                self.abandon(ticket);
                Ok(None)
            }
        }
    }
}

/// The gateway itself, where it speaks to a child on nobody's behalf.
const OWN: Caller = Caller { principal: crate::auth::PrincipalId([0; 16]), session: None };

/// Our own probe: it calls itself `sluice` and declares nothing.
pub(crate) const DISCOVER: &str = concat!(
    r#"{"jsonrpc":"2.0","id":"sluice-discover","method":"server/discover","params":{"_meta":{"#,
    r#""io.modelcontextprotocol/protocolVersion":"2026-07-28","#,
    r#""io.modelcontextprotocol/clientInfo":{"name":"sluice","version":""#,
    env!("CARGO_PKG_VERSION"),
    r#""},"io.modelcontextprotocol/clientCapabilities":{}}}}"#
);
