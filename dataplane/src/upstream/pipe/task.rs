//! The task that owns a child's wire: opens it, writes what callers send, hands what the server says to whom it concerns.
//! Which caller a message concerns is decided in [`super::routes`].

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use sluice_mcp::Message;
use sluice_snapshot::model::Server;
use tokio::sync::{Notify, mpsc, watch};

use super::Caller;
use super::backoff::Backoff;
use super::guard::Guard;
use super::outbox::Outbox;
use super::routes::Routes;
use super::wire::{Cause, UNWRITTEN_BYTES, Wire};
use crate::limit;
use crate::observe::metrics::Metrics;
use crate::reason::Reason;
use crate::upstream::credential::Credentials;
use crate::upstream::quirks::Quirks;
use crate::upstream::tasks::Owners;
use crate::upstream::{transport, trouble};

/// What a child is made of.
pub(super) struct Parts {
    pub server: Arc<Server>,
    pub credentials: Arc<Credentials>,
    /// One session's own: the server may ask it questions.
    pub exclusive: bool,
    pub depth: u16,
    pub guard: Arc<Guard>,
    pub metrics: Arc<Metrics>,
    pub backoff: Arc<Backoff>,
    pub tasks: Arc<Owners>,
    pub transport: Arc<transport::Memory>,
    pub quirks: Arc<Quirks>,
    pub trouble: Arc<trouble::Memory>,
}

/// How far it has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Opening,
    Open,
    Ended,
}

/// What callers and the task share.
pub(super) struct Life {
    pub stop: Notify,
    pub stopping: AtomicBool,
    /// It ends when no call is pending: another one takes its place.
    pub retired: AtomicBool,
    /// Once it is retired: calls that are pending.
    pub unfinished: AtomicUsize,
    pub phase: watch::Sender<Phase>,
    /// Why it could not be had at all, or why it ended.
    pub failure: OnceLock<Reason>,
    began: Instant,
    /// Milliseconds after `began` of the last use.
    last_used: AtomicU64,
    /// Requests that wait and streams that are open.
    pending: AtomicUsize,
    /// Messages not taken from the queue yet.
    pub queued: AtomicUsize,
}

impl Life {
    fn new() -> Self {
        Self {
            stop: Notify::new(),
            stopping: AtomicBool::new(false),
            retired: AtomicBool::new(false),
            // until they are counted
            unfinished: AtomicUsize::new(usize::MAX),
            phase: watch::Sender::new(Phase::Opening),
            failure: OnceLock::new(),
            began: Instant::now(),
            last_used: AtomicU64::new(0),
            pending: AtomicUsize::new(0),
            queued: AtomicUsize::new(0),
        }
    }

    /// How long no request was pending.
    pub(super) fn idle(&self) -> Duration {
        if self.pending.load(Ordering::Relaxed) > 0 {
            return Duration::ZERO;
        }
        let last = Duration::from_millis(self.last_used.load(Ordering::Relaxed));
        self.began.elapsed().saturating_sub(last)
    }

    /// Notes how many requests are pending after something happened; `told`: a caller was at it.
    fn note(&self, pending: usize, told: bool) {
        let before = self.pending.swap(pending, Ordering::Relaxed);
        if told || before > 0 {
            self.last_used.store(self.began.elapsed().as_millis() as u64, Ordering::Relaxed);
        }
    }
}

/// What a child is told.
pub(super) enum ToChild {
    Request {
        ticket: u64,
        caller: Caller,
        message: Bytes,
        scanned: Box<Message>,
        outbox: Outbox,
    },
    Tell {
        caller: Caller,
        message: Bytes,
        scanned: Box<Message>,
    },
    /// The caller no longer waits for this request.
    Abandon {
        ticket: u64,
    },
    /// The session's standalone stream.
    Listen {
        session: [u8; 16],
        outbox: Outbox,
    },
    Attach {
        caller: Caller,
    },
    Detach {
        session: [u8; 16],
    },
}

/// How a child came to its end.
enum End {
    /// Its wire carries nothing more: its own doing.
    Broken(Cause),
    /// It was told to stop.
    Stopped,
    /// Nobody holds it any more.
    Unused,
}

struct Task {
    parts: Parts,
    queue: mpsc::UnboundedReceiver<ToChild>,
    routes: Routes,
    life: Arc<Life>,
}

/// Starts the task of a child; the way to it, and what it shares.
pub(super) fn start(parts: Parts) -> (mpsc::UnboundedSender<ToChild>, Arc<Life>) {
    let (commands, queue) = mpsc::unbounded_channel();
    let life = Arc::new(Life::new());
    let task = Task { routes: Routes::new(&parts), parts, queue, life: Arc::clone(&life) };
    tokio::task::spawn_local(task.run());
    (commands, life)
}

impl Task {
    async fn run(mut self) {
        let life = Arc::clone(&self.life);
        let opened = tokio::select! {
            biased;
            () = life.stop.notified() => None,
            opened = Wire::open(&self.parts) => Some(opened),
        };
        match opened {
            Some(Ok(wire)) => self.live(wire).await,
            Some(Err(unopened)) => {
                tracing::warn!(server = %self.parts.server.name, cause = unopened.detail, outcome = unopened.reason.row().outcome, "cannot start or reach the server");
                if unopened.is_another_transport() {
                    self.parts.transport.forget();
                }
                self.parts.trouble.is(unopened.phrase());
                let _ = life.failure.set(unopened.reason);
                self.parts.backoff.failed();
                self.leave();
            }
            None => self.leave(),
        }
        life.phase.send_replace(Phase::Ended);
    }

    /// From the opened wire to its end.
    async fn live(&mut self, mut wire: Wire) {
        self.life.phase.send_replace(Phase::Open);
        let opened = Instant::now();
        let end = self.serve(&mut wire).await;
        let lived = opened.elapsed();
        let mut said = None;
        if matches!(end, End::Broken(_)) && !self.life.stopping.load(Ordering::Relaxed) {
            self.parts.backoff.ended(lived);
            // how, is known later: another one may have taken its place by then
            said = Some(self.parts.trouble.is("ended"));
        }
        if let End::Broken(Cause { reason: Some(reason), .. }) = &end {
            let _ = self.life.failure.set(reason.clone());
        }
        self.leave();
        let cause = match &end {
            End::Broken(cause) => &*cause.text,
            End::Stopped => "stopped",
            End::Unused => "no longer used",
        };
        let status = wire.end().await;
        if let Some(said) = said {
            let is_well = lived >= limit::CHILD_HEALTHY && status.is_none_or(|status| status.success());
            let phrase = status.map_or_else(|| cause.to_owned(), trouble::of_exit);
            self.parts.trouble.is_rather(&said, (!is_well).then_some(phrase));
        }
        let status = status.map(|status| status.to_string());
        tracing::info!(server = %self.parts.server.name, cause, status, lived_ms = lived.as_millis() as u64, "the server's process or connection ended");
    }

    /// Nothing more is taken, and every caller's queue ends.
    fn leave(&mut self) {
        self.life.stopping.store(true, Ordering::Relaxed);
        self.queue.close();
        self.routes.end();
    }

    /// Carries messages until the wire breaks or the child is to stop.
    async fn serve(&mut self, wire: &mut Wire) -> End {
        let mut output = BytesMut::with_capacity(16 << 10);
        let mut said = Vec::new();
        let mut tick = tokio::time::interval(limit::SWEEP);
        // at the last look it was retired and had nothing to do
        let mut done = false;
        loop {
            let mut told = false;
            // by turns: a server that never stops talking must not keep callers from being heard
            tokio::select! {
                () = self.life.stop.notified() => return End::Stopped,
                turned = wire.turn(&mut output, &mut said) => {
                    for message in said.drain(..) {
                        self.routes.said(message, &mut output);
                    }
                    if let Err(cause) = turned {
                        return End::Broken(cause);
                    }
                }
                command = self.queue.recv(), if output.len() < UNWRITTEN_BYTES => {
                    let Some(command) = command else { return End::Unused };
                    told = true;
                    self.tell(command, &mut output);
                    while output.len() < UNWRITTEN_BYTES {
                        let Ok(command) = self.queue.try_recv() else { break };
                        self.tell(command, &mut output);
                    }
                }
                _ = tick.tick() => {
                    let is_done = self.life.unfinished.load(Ordering::Relaxed) == 0;
                    if std::mem::replace(&mut done, is_done) && is_done {
                        return End::Stopped;
                    }
                    self.routes.expire(&mut output);
                    if let Err(cause) = wire.tick(&mut output) {
                        return End::Broken(cause);
                    }
                }
            }
            if self.life.retired.load(Ordering::Relaxed) {
                self.life.unfinished.store(self.routes.calls(), Ordering::Relaxed);
            }
            self.life.note(self.routes.in_use(), told);
        }
    }

    fn tell(&mut self, command: ToChild, output: &mut BytesMut) {
        if matches!(command, ToChild::Request { .. } | ToChild::Tell { .. } | ToChild::Listen { .. }) {
            self.life.queued.fetch_sub(1, Ordering::Relaxed);
        }
        self.routes.told(command, output);
    }
}
