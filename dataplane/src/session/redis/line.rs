//! The line to Redis: one connection (RESP3) for everything, kept open, with Redis telling on it which keys changed. A change
//! is told on the connection it would be read from, in order; a line that is silent or broken vouches for nothing.
//!
//! Verdicts come in time whatever Redis does: each command has a deadline, a line that does not answer pings is not asked
//! at all, and commands beyond a number are refused rather than queued.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::{AsyncConnectionConfig, Cmd, ErrorKind, Pipeline, PushInfo, PushKind};
use redis::{RedisError, RedisResult, Value, cmd};
use sluice_snapshot::model;
use tokio::sync::{Notify, Semaphore};
use tokio::time::timeout;

use super::id_of;
use super::place::Place;
use crate::limit;
use crate::session::SessionId;
use crate::session::memory::Memory;
use crate::session::store::{Doubted, Down, Look};
use crate::session::tie::Tie;

/// Changes are counted in so many heaps, by id: a look at a record is spoilt by a change of the same heap.
const HEAPS: usize = 1024;

pub(super) struct Line {
    place: Place,
    heard: Arc<Heard>,
    connection: ArcSwapOption<MultiplexedConnection>,
    places: Semaphore,
    start: Instant,
    /// Milliseconds since the start when the last ping was sent that was answered; 0: none was.
    answered: AtomicU64,
    /// The same of the connection before this one.
    answered_before: AtomicU64,
    /// Why the line is not there.
    broken: Mutex<Option<String>>,
    /// Why Redis does not take what is written.
    refusing: Mutex<Option<String>>,
    /// Another connection may lead to a Redis that takes writes.
    renew: Notify,
    /// There is a connection.
    connected: Notify,
}

/// What Redis tells of changes.
struct Heard {
    prefix: String,
    near: Arc<Memory>,
    doubted: Arc<Doubted>,
    heaps: Box<[AtomicU32]>,
    /// Rises with each connection: what was changed between two was not told.
    generation: AtomicU64,
}

impl Heard {
    fn heap(&self, id: &SessionId) -> &AtomicU32 {
        // ids are random
        &self.heaps[usize::from(u16::from_be_bytes([id.0[0], id.0[1]])) % HEAPS]
    }

    /// Redis tells something. Called where the connection is read, before what comes after it is.
    fn hear(&self, info: &PushInfo) {
        if info.kind != PushKind::Invalidate {
            return;
        }
        match info.data.first() {
            Some(Value::Array(names)) => names.iter().for_each(|name| {
                if let Value::BulkString(name) = name
                    && let Some(id) = id_of(&self.prefix, name)
                {
                    self.changed(&id);
                }
            }),
            // all of them: somebody emptied the database
            _ => {
                self.begin();
                self.doubt_all();
            }
        }
    }

    fn changed(&self, id: &SessionId) {
        self.heap(id).fetch_add(1, Ordering::SeqCst);
        if let Some(session) = self.near.get(id) {
            session.tie.doubt();
            if session.is_in_use() {
                self.doubted.add([*id]);
            }
        }
    }

    /// No copy is known to be good any more.
    fn begin(&self) {
        self.generation.fetch_add(1, Ordering::SeqCst);
    }

    /// All are to be looked at.
    fn doubt_all(&self) {
        self.doubted.add(self.near.kept());
    }
}

impl Line {
    pub(super) fn new(settings: &model::Redis, near: Arc<Memory>, doubted: Arc<Doubted>) -> Result<Self, String> {
        let place = Place::of(settings.url.expose())?;
        let heard = Heard {
            prefix: settings.prefix.clone(),
            near,
            doubted,
            heaps: (0..HEAPS).map(|_| AtomicU32::new(0)).collect(),
            // above what a copy has that nobody found to be good
            generation: AtomicU64::new(2),
        };
        Ok(Self {
            place,
            heard: Arc::new(heard),
            connection: ArcSwapOption::empty(),
            places: Semaphore::new(limit::STORE_COMMANDS),
            start: Instant::now(),
            answered: AtomicU64::new(0),
            answered_before: AtomicU64::new(0),
            broken: Mutex::new(Some("not connected yet".to_owned())),
            refusing: Mutex::default(),
            renew: Notify::new(),
            connected: Notify::new(),
        })
    }

    pub(super) fn generation(&self) -> u64 {
        self.heard.generation.load(Ordering::SeqCst)
    }

    pub(super) fn look(&self, id: &SessionId) -> Look {
        Look { generation: self.generation(), changes: self.heard.heap(id).load(Ordering::SeqCst) }
    }

    pub(super) fn is_heard(&self, now: Instant, within: Duration) -> bool {
        self.is_within(&self.answered, now, within)
    }

    /// Whether a copy that was good in this generation may be used although Redis does not answer. One of the generation before
    /// could not be compared yet.
    pub(super) fn holds_over(&self, tie: &Tie, within: Duration) -> bool {
        let (now, generation) = (Instant::now(), self.generation());
        (tie.is_confirmed(generation) && self.is_heard(now, within))
            || (tie.is_confirmed(generation - 1) && self.is_within(&self.answered_before, now, within))
    }

    fn is_within(&self, answered: &AtomicU64, now: Instant, within: Duration) -> bool {
        let answered = answered.load(Ordering::Acquire);
        answered != 0 && self.since_start(now).saturating_sub(answered) <= within.as_millis() as u64
    }

    pub(super) fn is_up(&self) -> bool {
        self.is_heard(Instant::now(), limit::STORE_SILENT) && self.connection.load().is_some()
    }

    /// Waits until there is a connection.
    pub(super) async fn reached(&self) {
        loop {
            let mut connected = std::pin::pin!(self.connected.notified());
            // listening before looking: a connection in between is not missed
            connected.as_mut().enable();
            if self.is_up() {
                return;
            }
            connected.await;
        }
    }

    pub(super) fn trouble(&self) -> Option<String> {
        let told = |why: &Mutex<Option<String>>| why.lock().unwrap_or_else(PoisonError::into_inner).clone();
        told(&self.broken).or_else(|| told(&self.refusing))
    }

    fn since_start(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.start).as_millis() as u64
    }

    /// A command that reads, and its answer.
    pub(super) async fn read(&self, command: &Cmd) -> Result<Value, Down> {
        self.ask(command).await?.map_err(|_| Down)
    }

    /// A command that writes, and its answer.
    pub(super) async fn write(&self, command: &Cmd) -> Result<Value, Down> {
        let answer = self.ask(command).await?;
        self.note(answer.as_ref().err());
        answer.map_err(|_| Down)
    }

    async fn ask(&self, command: &Cmd) -> Result<RedisResult<Value>, Down> {
        let mut connection = self.connection()?;
        let _place = self.places.try_acquire().map_err(|_| Down)?;
        let answer = timeout(limit::STORE_DEADLINE, connection.req_packed_command(command)).await.map_err(|_| Down)?;
        Ok(answer.and_then(without_error))
    }

    /// Many commands in one round trip. Each has its answer.
    pub(super) async fn ask_all(&self, commands: &Pipeline, count: usize) -> Result<Vec<Value>, Down> {
        if count == 0 {
            return Ok(Vec::new());
        }
        let mut connection = self.connection()?;
        let _place = self.places.try_acquire().map_err(|_| Down)?;
        let answers = timeout(limit::STORE_DEADLINE, connection.req_packed_commands(commands, 0, count)).await;
        let answers = answers.map_err(|_| Down)?.and_then(|all| all.into_iter().map(without_error).collect());
        answers.map_err(|_| Down)
    }

    fn connection(&self) -> Result<MultiplexedConnection, Down> {
        if !self.is_heard(Instant::now(), limit::STORE_SILENT) {
            return Err(Down);
        }
        self.connection.load().as_deref().cloned().ok_or(Down)
    }

    /// Notes whether Redis takes what is written: it may be out of memory, or a replica by now.
    fn note(&self, error: Option<&RedisError>) {
        let Some(error) = error else { return self.set(&self.refusing, None) };
        if let ErrorKind::Server(_) | ErrorKind::Extension = error.kind() {
            self.set(
                &self.refusing,
                Some(format!("Redis refuses to write: {}", error.code().unwrap_or("no reason given"))),
            );
            if matches!(error.code(), Some("READONLY" | "MASTERDOWN")) {
                self.renew.notify_one();
            }
        }
    }

    /// Keeps the line until the process ends.
    pub(super) async fn keep(self: Arc<Self>) {
        let mut pause = limit::STORE_RETRY_FIRST;
        loop {
            match timeout(limit::STORE_CONNECT, self.connect()).await {
                Ok(Ok(connection)) => {
                    pause = limit::STORE_RETRY_FIRST;
                    let cause = self.serve(connection).await;
                    self.connection.store(None);
                    self.set(&self.broken, Some(cause));
                }
                Ok(Err(error)) => self.set(&self.broken, Some(said(&error))),
                Err(_) => self.set(&self.broken, Some("Redis does not answer".to_owned())),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(limit::STORE_RETRY_LAST);
        }
    }

    async fn connect(&self) -> RedisResult<MultiplexedConnection> {
        let heard = Arc::clone(&self.heard);
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(limit::STORE_CONNECT))
            .set_response_timeout(Some(limit::STORE_DEADLINE))
            .set_pipeline_buffer_size(limit::STORE_COMMANDS)
            .set_push_sender(move |info: PushInfo| {
                heard.hear(&info);
                Ok::<(), ()>(())
            });
        let client = self.place.find().await?;
        let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
        if self.place.has_sentinels() {
            // they may say where it was before they noticed
            let role: Vec<Value> = cmd("ROLE").query_async(&mut connection).await?;
            if role.first() != Some(&Value::BulkString(b"master".to_vec())) {
                return Err((ErrorKind::Client, "the Redis that the sentinels name takes no writes yet").into());
            }
        }
        let mut track = cmd("CLIENT");
        track.arg("TRACKING").arg("ON").arg("BCAST").arg("PREFIX").arg(&self.heard.prefix).arg("NOLOOP");
        track.exec_async(&mut connection).await?;
        Ok(connection)
    }

    /// Uses a connection until it is broken, or silent; says why it ended.
    async fn serve(&self, mut connection: MultiplexedConnection) -> String {
        let mut is_first = true;
        loop {
            let sent = Instant::now();
            let ping = cmd("PING");
            match timeout(limit::STORE_DEADLINE, connection.req_packed_command(&ping)).await {
                Ok(Ok(_)) => {
                    if is_first {
                        // what was changed before this connection nobody told
                        self.answered_before.store(self.answered.load(Ordering::Acquire), Ordering::Release);
                        self.heard.begin();
                        self.connection.store(Some(Arc::new(connection.clone())));
                    }
                    self.answered.store(self.since_start(sent).max(1), Ordering::Release);
                    if std::mem::take(&mut is_first) {
                        self.connected.notify_waiters();
                        self.heard.doubt_all();
                    }
                    self.set(&self.broken, None);
                }
                Ok(Err(error)) if error.is_unrecoverable_error() || error.is_connection_dropped() => {
                    return said(&error);
                }
                // late: the next one may be answered
                _ if is_first || !self.is_heard(Instant::now(), limit::COPY_GOOD) => {
                    return "Redis does not answer".to_owned();
                }
                _ => {}
            }
            tokio::select! {
                () = tokio::time::sleep(limit::STORE_PING) => {}
                () = self.renew.notified() => {
                    tokio::time::sleep(limit::STORE_RETRY_LAST).await;
                    return "another connection may lead to a Redis that takes writes".to_owned();
                }
            }
        }
    }

    /// Notes how it is; a change is logged, once.
    fn set(&self, trouble: &Mutex<Option<String>>, now: Option<String>) {
        let mut trouble = trouble.lock().unwrap_or_else(PoisonError::into_inner);
        match (&*trouble, &now) {
            (None, Some(cause)) => {
                tracing::warn!(redis = self.place.shown(), %cause, "sessions cannot be looked up or kept")
            }
            (Some(_), None) => tracing::info!(redis = self.place.shown(), "sessions are kept in Redis"),
            _ => {}
        }
        *trouble = now;
    }
}

/// Why there is no connection, without anything of the address.
fn said(error: &RedisError) -> String {
    match error.kind() {
        ErrorKind::AuthenticationFailed => "Redis does not take the user and password".to_owned(),
        ErrorKind::RESP3NotSupported => "this Redis is too old: version 7 or later is needed".to_owned(),
        ErrorKind::Io if error.is_connection_refusal() => "the connection is refused".to_owned(),
        ErrorKind::Io => "the connection broke".to_owned(),
        _ => error.code().map_or_else(|| "the connection failed".to_owned(), |code| format!("Redis refuses: {code}")),
    }
}

fn without_error(answer: Value) -> RedisResult<Value> {
    match answer {
        Value::ServerError(error) => Err(error.into()),
        answer => Ok(answer),
    }
}
