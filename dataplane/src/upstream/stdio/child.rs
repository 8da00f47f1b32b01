//! One child process: a task that owns its pipes, writes what callers send, and hands what it says to whom it concerns.
//! Which caller a message concerns is decided in [`super::routes`]; here is the process and its life.

use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use rustix::process::{Pid, Signal, kill_process_group};
use sluice_mcp::{Kind, Message, is_modern_error, protocol_versions};
use sluice_snapshot::model::Command;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{ChildStderr, ChildStdin, ChildStdout};
use tokio::sync::{Notify, mpsc, watch};

use super::backoff::Backoff;
use super::routes::Routes;
use super::{Caller, Inbox, NoChild, Queued, guard::Guard, outbox, scanned};
use crate::limit;
use crate::observe::metrics::Metrics;
use crate::reason::Reason;
use crate::upstream::tasks::Owners;

/// Bytes waiting for a child that does not read; beyond it no message is taken from the queue.
const UNWRITTEN_BYTES: usize = 1 << 20;

/// A child ends because nobody holds it any more: no fault of its own.
const UNUSED: &str = "no longer used";

/// A running (or ended) child as callers hold it.
pub(crate) struct Child {
    /// Unbounded in form: messages are counted against [`limit::CHILD_QUEUE`], bookkeeping must never be lost.
    commands: mpsc::UnboundedSender<ToChild>,
    metrics: Arc<Metrics>,
    /// The next request's number, its id towards the server.
    tickets: AtomicU64,
    /// The server's answer to `initialize`: its raw `result`.
    initialized: OnceLock<Bytes>,
    life: Arc<Life>,
}

/// What callers and the task share.
struct Life {
    stop: Notify,
    stopping: AtomicBool,
    ended: watch::Sender<bool>,
    started: Instant,
    /// Milliseconds after `started` of the last message.
    last_used: AtomicU64,
    /// Requests that wait and streams that are open.
    pending: AtomicUsize,
    /// Messages not taken from the queue yet.
    queued: AtomicUsize,
}

/// What a child is told.
pub(crate) enum ToChild {
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

/// A caller's queue, sending end.
#[derive(Clone)]
pub(crate) struct Outbox {
    pub(super) sender: mpsc::UnboundedSender<Bytes>,
    pub(super) queued: Arc<Queued>,
}

impl Outbox {
    /// Whether somebody still takes messages.
    pub(super) fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }

    /// Queues a message; `false` when the caller is gone or takes nothing.
    pub(super) fn put(&self, message: Bytes) -> bool {
        let bytes = message.len();
        let taken = !self.sender.is_closed() && self.queued.add(bytes);
        if taken && self.sender.send(message).is_ok() {
            return true;
        }
        if taken {
            self.queued.take(bytes);
        }
        false
    }
}

/// What a child is made of beside its command.
pub(super) struct Parts {
    pub server: Arc<str>,
    /// One session's own: the server may ask it questions.
    pub exclusive: bool,
    pub depth: u16,
    pub guard: Arc<Guard>,
    pub metrics: Arc<Metrics>,
    pub backoff: Arc<Backoff>,
    pub tasks: Arc<Owners>,
    /// How long a call may take whose caller is gone.
    pub timeout: Duration,
}

impl Child {
    pub(super) fn spawn(command: &Command, parts: Parts) -> std::io::Result<Arc<Self>> {
        parts.guard.start();
        let mut process = super::process(command)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let group = process.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        if let Some(group) = group {
            parts.guard.watch(group);
        }
        let missing = || std::io::Error::other("the process has no pipe");
        let stdin = process.stdin.take().ok_or_else(missing)?;
        let stdout = process.stdout.take().ok_or_else(missing)?;
        let stderr = process.stderr.take().ok_or_else(missing)?;
        let (commands, queue) = mpsc::unbounded_channel();
        let life = Arc::new(Life {
            stop: Notify::new(),
            stopping: AtomicBool::new(false),
            ended: watch::Sender::new(false),
            started: Instant::now(),
            last_used: AtomicU64::new(0),
            pending: AtomicUsize::new(0),
            queued: AtomicUsize::new(0),
        });
        parts.metrics.child_starts.fetch_add(1, Ordering::Relaxed);
        tracing::info!(server = %parts.server, pid = group.map(|g| g.as_raw_nonzero().get()), "started the server's process");
        tokio::spawn(log_stderr(Arc::clone(&parts.server), stderr));
        let metrics = Arc::clone(&parts.metrics);
        let routes = Routes::new(&parts);
        let task = Task {
            process,
            group,
            stdin: Some(stdin),
            stdout,
            queue,
            routes,
            life: Arc::clone(&life),
            inside: parts.metrics.children.enter(),
            guard: parts.guard,
            backoff: parts.backoff,
            server: parts.server,
        };
        tokio::spawn(task.run());
        Ok(Arc::new(Self { commands, metrics, tickets: AtomicU64::new(1), initialized: OnceLock::new(), life }))
    }

    /// Whether requests can be sent.
    pub(crate) fn is_running(&self) -> bool {
        !self.life.stopping.load(Ordering::Relaxed) && !*self.life.ended.borrow()
    }

    /// How long no request was pending.
    pub(super) fn idle(&self) -> Duration {
        if self.life.pending.load(Ordering::Relaxed) > 0 {
            return Duration::ZERO;
        }
        let last = Duration::from_millis(self.life.last_used.load(Ordering::Relaxed));
        self.life.started.elapsed().saturating_sub(last)
    }

    /// The server's raw `result` of `initialize`.
    pub(crate) fn initialize_result(&self) -> Option<&Bytes> {
        self.initialized.get()
    }

    /// Sends a request; its answers come to the returned end. The number is what [`Child::abandon`] takes.
    ///
    /// # Errors
    /// [`Reason::ChildEnded`], [`Reason::ChildQueueFull`]: in both cases nothing was sent.
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
            return Err(Reason::ChildEnded);
        }
        if self.life.queued.fetch_add(1, Ordering::Relaxed) >= limit::CHILD_QUEUE {
            self.life.queued.fetch_sub(1, Ordering::Relaxed);
            return Err(Reason::ChildQueueFull);
        }
        self.commands.send(command).map_err(|_| Reason::ChildEnded)
    }

    /// Asks the child to end: input closed, then SIGTERM, then SIGKILL, to its whole process group.
    pub(crate) fn stop(&self) {
        self.life.stopping.store(true, Ordering::Relaxed);
        self.life.stop.notify_one();
    }

    /// Waits until the process is gone.
    pub(crate) async fn stopped(&self) {
        let _ = self.life.ended.subscribe().wait_for(|ended| *ended).await;
    }

    /// The legacy handshake with the client's own message, `notifications/initialized` included.
    pub(super) async fn initialize(&self, initialize: &Bytes) -> Result<(), NoChild> {
        let answer = self.own_request(initialize.clone(), limit::CHILD_START).await?;
        let Some(answer) = answer else {
            tracing::warn!("the server's process did not answer `initialize` in time");
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
        Ok(message.error_code.is_some_and(is_modern_error).then(|| vec!["2026-07-28".to_owned()]))
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
            Err(Reason::ChildEnded)
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

/// The task that owns a process.
struct Task {
    process: tokio::process::Child,
    group: Option<Pid>,
    stdin: Option<ChildStdin>,
    stdout: ChildStdout,
    queue: mpsc::UnboundedReceiver<ToChild>,
    routes: Routes,
    life: Arc<Life>,
    inside: crate::observe::metrics::Inside,
    guard: Arc<Guard>,
    backoff: Arc<Backoff>,
    server: Arc<str>,
}

impl Task {
    async fn run(mut self) {
        let cause = self.serve().await;
        if !self.life.stopping.load(Ordering::Relaxed) && cause != UNUSED {
            self.backoff.ended(self.life.started.elapsed());
        }
        self.life.stopping.store(true, Ordering::Relaxed);
        self.queue.close();
        self.routes.end();
        let status = self.end().await.map(|status| status.to_string());
        tracing::info!(server = %self.server, cause, status, lived_ms = self.life.started.elapsed().as_millis() as u64, "the server's process ended");
        if let Some(group) = self.group {
            self.guard.forget(group);
        }
        drop(self.inside);
        self.life.ended.send_replace(true);
    }

    /// Carries messages until the process ends, misbehaves or is to stop; says which.
    async fn serve(&mut self) -> &'static str {
        let mut input = BytesMut::with_capacity(16 << 10);
        let mut output = BytesMut::with_capacity(16 << 10);
        let mut tick = tokio::time::interval(limit::SWEEP);
        loop {
            let Some(stdin) = self.stdin.as_mut() else { return "input closed" };
            tokio::select! {
                biased;
                () = self.life.stop.notified() => return "stopped",
                written = stdin.write_buf(&mut output), if !output.is_empty() => {
                    if written.is_err() {
                        return "input closed by the process";
                    }
                }
                // answers of ours to a child that does not read must not pile up
                read = self.stdout.read_buf(&mut input), if output.len() < UNWRITTEN_BYTES => match read {
                    Ok(0) | Err(_) => return "output closed",
                    Ok(_) => {
                        while let Some(end) = memchr::memchr(b'\n', &input) {
                            let mut line = input.split_to(end + 1);
                            line.truncate(end);
                            self.routes.said(line.freeze(), &mut output);
                        }
                        if input.len() > limit::LINE_BYTES {
                            return "a line longer than the limit";
                        }
                    }
                },
                command = self.queue.recv(), if output.len() < UNWRITTEN_BYTES => {
                    let Some(command) = command else { return UNUSED };
                    self.tell(command, &mut output);
                    while output.len() < UNWRITTEN_BYTES {
                        let Ok(command) = self.queue.try_recv() else { break };
                        self.tell(command, &mut output);
                    }
                }
                _ = tick.tick() => {
                    self.routes.expire(&mut output);
                    self.life.pending.store(self.routes.in_use(), Ordering::Relaxed);
                    continue;
                }
            }
            self.life.pending.store(self.routes.in_use(), Ordering::Relaxed);
            self.life.last_used.store(self.life.started.elapsed().as_millis() as u64, Ordering::Relaxed);
        }
    }

    fn tell(&mut self, command: ToChild, output: &mut BytesMut) {
        if matches!(command, ToChild::Request { .. } | ToChild::Tell { .. } | ToChild::Listen { .. }) {
            self.life.queued.fetch_sub(1, Ordering::Relaxed);
        }
        self.routes.told(command, output);
    }

    /// Ends the whole process group: input closed, a pause, SIGTERM, a pause, SIGKILL.
    async fn end(&mut self) -> Option<std::process::ExitStatus> {
        self.stdin = None;
        let mut status = tokio::time::timeout(limit::CHILD_GRACE, self.process.wait()).await;
        for signal in [Signal::TERM, Signal::KILL] {
            // also after the process itself ended: its group may hold more
            let alive = self.group.is_some_and(|group| kill_process_group(group, signal).is_ok());
            if status.is_err() || (alive && signal == Signal::TERM) {
                let grace = if status.is_ok() { Duration::from_millis(100) } else { limit::CHILD_GRACE };
                match tokio::time::timeout(grace, self.process.wait()).await {
                    Ok(ended) if status.is_err() => status = Ok(ended),
                    _ => {}
                }
            }
        }
        status.ok().and_then(Result::ok)
    }
}

/// Carries a child's stderr into the log, a line each, under the server's name.
async fn log_stderr(server: Arc<str>, stderr: ChildStderr) {
    let mut reader = BufReader::new(stderr);
    let mut line = Vec::new();
    loop {
        line.clear();
        match (&mut reader).take(8 << 10).read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {
                let text = String::from_utf8_lossy(&line);
                tracing::info!(server = %server, stderr = text.trim_end(), "server output");
            }
        }
    }
}
