//! The line to Redis: one connection (RESP3) for everything, kept open, with Redis telling on it which keys changed. A change
//! is told on the connection it would be read from, in order; a line that is silent or broken vouches for nothing.
//!
//! Verdicts come in time whatever Redis does: each command has a deadline, a line that does not answer pings is not asked
//! at all, and commands beyond a number are refused rather than queued. A line to a Redis that takes no writes is read on, while
//! one that does is looked for beside it; and sentinels are asked all the time whether it is another one by now.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::{AsyncConnectionConfig, Cmd, ErrorKind, Pipeline, PushInfo, RedisError, RedisResult, Value, cmd};
use tokio::sync::{Notify, Semaphore};
use tokio::time::timeout;

use super::copies::{Copies, Hearing};
use super::place::Place;
use super::sentinels::Named;
use super::trouble::{Trouble, said};
use crate::limit;
use crate::session::SessionId;
use crate::session::store::{Down, Look};
use crate::session::tie::Tie;

/// Why a connection is used no more.
enum Over {
    /// It is broken, or silent.
    Broken(String),
    /// There is one to a Redis that takes writes, which this one did not lead to, or to the one that its sentinels name now.
    Better(Way),
}

/// A connection to the Redis.
struct Way {
    connection: MultiplexedConnection,
    /// How its sentinels named it.
    named: Option<Named>,
}

pub(super) struct Line {
    place: Place,
    hearing: Arc<Hearing>,
    connection: ArcSwapOption<MultiplexedConnection>,
    places: Semaphore,
    start: Instant,
    /// Milliseconds since the start when the last ping was sent that was answered; 0: none was.
    answered: AtomicU64,
    /// Why the line is not there.
    broken: Trouble,
    /// Why Redis does not take what is written.
    refusing: Trouble,
    /// Another connection may lead to a Redis that takes writes.
    look_elsewhere: Notify,
    /// There is a connection, and it answers.
    connected: Notify,
}

impl Line {
    pub(super) fn new(place: Place, copies: Arc<Copies>) -> Self {
        Self {
            broken: Trouble::new(place.shown(), Some("not connected yet")),
            refusing: Trouble::new(place.shown(), None),
            place,
            hearing: Arc::new(Hearing::new(copies)),
            connection: ArcSwapOption::empty(),
            places: Semaphore::new(limit::STORE_COMMANDS),
            start: Instant::now(),
            answered: AtomicU64::new(0),
            look_elsewhere: Notify::new(),
            connected: Notify::new(),
        }
    }

    pub(super) fn generation(&self) -> u64 {
        self.hearing.generation()
    }

    pub(super) fn look(&self, id: &SessionId) -> Look {
        self.hearing.copies.look(id, self.generation())
    }

    /// Whether a copy is good at `now`: it was when it came by this line, and Redis would have said otherwise since.
    pub(super) fn vouches_for(&self, tie: &Tie, now: Instant) -> bool {
        self.is_heard(now, limit::COPY_GOOD) && tie.is_confirmed(self.generation())
    }

    /// Whether a copy that came by this line may be used although Redis does not answer.
    pub(super) fn holds_over(&self, tie: &Tie, now: Instant) -> bool {
        self.is_heard(now, limit::COPY_HELD_OVER) && tie.was_confirmed(self.generation())
    }

    /// Copies that came by this line may be changed from now on without a word on it.
    pub(super) fn begin_again(&self) {
        self.hearing.begin(self.last_heard());
    }

    /// Whether Redis answered within this time before `now`: had a record changed until then, this node would know.
    fn is_heard(&self, now: Instant, within: Duration) -> bool {
        let answered = self.answered.load(Ordering::Acquire);
        answered != 0 && self.since_start(now).saturating_sub(answered) <= within.as_millis() as u64
    }

    /// When the last question was sent that was answered.
    fn last_heard(&self) -> Option<Instant> {
        let answered = self.answered.load(Ordering::Acquire);
        (answered != 0).then(|| self.start + Duration::from_millis(answered))
    }

    pub(super) fn is_up(&self) -> bool {
        self.is_heard(Instant::now(), limit::STORE_SILENT) && self.connection.load().is_some()
    }

    /// Waits until there is a connection that answers.
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
        self.broken.told().or_else(|| self.refusing.told())
    }

    fn since_start(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.start).as_millis() as u64
    }

    /// A command, and its answer.
    pub(super) async fn ask(&self, command: &Cmd) -> Result<RedisResult<Value>, Down> {
        let mut connection = self.connection()?;
        let _place = self.places.try_acquire().map_err(|_| Down)?;
        let answer = timeout(limit::STORE_DEADLINE, connection.req_packed_command(command)).await.map_err(|_| Down)?;
        Ok(answer.and_then(without_error))
    }

    /// Many commands in one round trip. Each has its answer.
    pub(super) async fn ask_all(&self, commands: &Pipeline, count: usize) -> Result<Vec<RedisResult<Value>>, Down> {
        if count == 0 {
            return Ok(Vec::new());
        }
        let mut connection = self.connection()?;
        let _place = self.places.try_acquire().map_err(|_| Down)?;
        let answers = timeout(limit::STORE_DEADLINE, connection.req_packed_commands(commands, 0, count)).await;
        let answers = answers.map_err(|_| Down)?.map_err(|_| Down)?;
        Ok(answers.into_iter().map(without_error).collect())
    }

    fn connection(&self) -> Result<MultiplexedConnection, Down> {
        if !self.is_heard(Instant::now(), limit::STORE_SILENT) {
            return Err(Down);
        }
        self.connection.load().as_deref().cloned().ok_or(Down)
    }

    /// Notes whether Redis takes what is written: it may be out of memory, or a replica by now.
    pub(super) fn note(&self, error: Option<&RedisError>) {
        let Some(error) = error else { return self.refusing.set(None) };
        if let ErrorKind::Server(_) | ErrorKind::Extension = error.kind() {
            let code = error.code().unwrap_or("no reason given");
            self.refusing.set(Some(format!("Redis refuses to write: {code}")));
            if matches!(error.code(), Some("READONLY" | "MASTERDOWN")) {
                self.look_elsewhere.notify_one();
            }
        }
    }

    /// Keeps the line until the process ends.
    pub(super) async fn keep(self: Arc<Self>) {
        let mut pause = limit::STORE_RETRY_FIRST;
        loop {
            match timeout(limit::STORE_CONNECT, self.connect()).await {
                Ok(Ok(mut way)) => {
                    pause = limit::STORE_RETRY_FIRST;
                    let cause = loop {
                        match self.serve(way).await {
                            Over::Broken(cause) => break cause,
                            Over::Better(other) => way = other,
                        }
                    };
                    self.connection.store(None);
                    self.broken.set(Some(cause));
                }
                Ok(Err(error)) => self.broken.set(Some(said(&error))),
                Err(_) => self.broken.set(Some("Redis does not answer".to_owned())),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(limit::STORE_RETRY_LAST);
        }
    }

    async fn connect(&self) -> RedisResult<Way> {
        let hearing = Arc::clone(&self.hearing);
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(limit::STORE_CONNECT))
            .set_response_timeout(Some(limit::STORE_DEADLINE))
            .set_pipeline_buffer_size(limit::STORE_COMMANDS)
            .set_push_sender(move |info: PushInfo| {
                hearing.hear(&info);
                Ok::<(), ()>(())
            });
        let (client, named) = self.place.find().await?;
        let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
        if named.is_some() {
            // they may say where it was before they noticed
            let role: Vec<Value> = cmd("ROLE").query_async(&mut connection).await?;
            if role.first() != Some(&Value::BulkString(b"master".to_vec())) {
                return Err((ErrorKind::Client, "the Redis that the sentinels name takes no writes yet").into());
            }
        }
        let mut track = cmd("CLIENT");
        track.arg("TRACKING").arg("ON").arg("BCAST").arg("PREFIX").arg(&self.hearing.copies.prefix).arg("NOLOOP");
        track.exec_async(&mut connection).await?;
        Ok(Way { connection, named })
    }

    /// Once Redis refused to write because it follows another: looks for a connection to one that takes writes, until there is one,
    /// or the one there is does.
    async fn better(&self) -> Way {
        loop {
            self.look_elsewhere.notified().await;
            let mut pause = limit::STORE_RETRY_LAST;
            while self.refusing.told().is_some() {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(limit::STORE_LOOK_LAST);
                if let Ok(Ok(way)) = timeout(limit::STORE_CONNECT, self.connect_to_writable()).await {
                    return way;
                }
            }
        }
    }

    /// Once its sentinels name another Redis: what is written to this one is lost, so it is used no more, whether the other one can be
    /// reached or not.
    async fn moved(&self, named: Option<&Named>) -> Over {
        let Some(named) = named else { return std::future::pending().await };
        loop {
            tokio::time::sleep(limit::SENTINEL_LOOK).await;
            if self.place.has_moved(named).await {
                break;
            }
        }
        tracing::info!(redis = self.place.shown(), "the sentinels name another Redis by now");
        self.connection.store(None);
        match timeout(limit::STORE_CONNECT, self.connect()).await {
            Ok(Ok(way)) => Over::Better(way),
            Ok(Err(error)) => Over::Broken(said(&error)),
            Err(_) => Over::Broken("Redis does not answer".to_owned()),
        }
    }

    async fn connect_to_writable(&self) -> RedisResult<Way> {
        let mut way = self.connect().await?;
        // no session has that name. That it follows another would be said by ROLE as well, for which users need a right of its own
        let nothing = format!("{}{{}}", self.hearing.copies.prefix);
        cmd("DEL").arg(nothing).exec_async(&mut way.connection).await?;
        Ok(way)
    }

    /// Uses a connection until it is broken, or silent, or there is a better one.
    async fn serve(&self, Way { mut connection, named }: Way) -> Over {
        let (question, mut is_first) = (self.place.question(), true);
        let mut better = std::pin::pin!(self.better());
        let mut moved = std::pin::pin!(self.moved(named.as_ref()));
        loop {
            let sent = Instant::now();
            match timeout(limit::STORE_DEADLINE, connection.req_packed_command(&question)).await {
                Ok(Ok(answer)) if self.place.is_well(&answer) => {
                    if is_first {
                        // what was changed before this connection nobody told
                        self.hearing.begin(self.last_heard());
                        self.connection.store(Some(Arc::new(connection.clone())));
                    }
                    let was_silent = !self.is_heard(Instant::now(), limit::STORE_SILENT);
                    self.answered.store(self.since_start(sent).max(1), Ordering::Release);
                    if is_first || was_silent {
                        self.connected.notify_waiters();
                    }
                    if std::mem::take(&mut is_first) {
                        self.hearing.copies.doubt_all();
                    }
                    self.broken.set(None);
                }
                // what is changed meanwhile, another one may be told
                Ok(Ok(_)) => is_first = true,
                Ok(Err(error)) if error.is_unrecoverable_error() || error.is_connection_dropped() => {
                    return Over::Broken(said(&error));
                }
                // late: the next one may be answered
                _ if is_first || !self.is_heard(Instant::now(), limit::COPY_GOOD) => {
                    return Over::Broken("Redis does not answer".to_owned());
                }
                _ => {}
            }
            tokio::select! {
                () = tokio::time::sleep(limit::STORE_PING) => {}
                way = &mut better => {
                    self.refusing.set(None);
                    return Over::Better(way);
                }
                over = &mut moved => {
                    self.refusing.set(None);
                    return over;
                }
            }
        }
    }
}

fn without_error(answer: Value) -> RedisResult<Value> {
    match answer {
        Value::ServerError(error) => Err(error.into()),
        answer => Ok(answer),
    }
}
