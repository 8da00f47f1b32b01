//! Sessions in a file of the node: they outlive the process, on one machine. The file is this process' alone, but for the moments in
//! which another one takes its place: then both look at the file before they use what they have of a session.
//!
//! One thread reads and writes; callers wait for its answer, for a while. What is acknowledged is in the file's log: a
//! process that is killed loses nothing, a machine that loses its power may lose the last second. A file that is damaged is put
//! aside: its sessions are over, and clients initialise again, which they could not if nobody served.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OptionalExtension as _, TransactionBehavior, params};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::SessionId;
use super::record::{REVISION, Sealed};
use super::store::{Down, Replaced};
use crate::clock::epoch_ms;
use crate::limit;

/// The number of the form, which a file has as its `user_version`.
const FORM: i64 = 1;

const TABLES: &str = "
    CREATE TABLE session (id BLOB PRIMARY KEY, record BLOB NOT NULL, over INTEGER NOT NULL) WITHOUT ROWID, STRICT;
    CREATE INDEX session_over ON session (over);
    PRAGMA user_version = 1;";

/// Events of streams; a file may be without, which an earlier version wrote.
const SPILLED: &str = "
    CREATE TABLE IF NOT EXISTS spilled (id BLOB, stream BLOB, events BLOB NOT NULL, over INTEGER NOT NULL,
        PRIMARY KEY (id, stream)) WITHOUT ROWID, STRICT;";

/// Reads or writes; whether the file turned out to be damaged.
type Job = Box<dyn FnOnce(&mut Connection) -> bool + Send>;
type Broken = Box<dyn std::error::Error>;

/// A file of sessions.
pub(crate) struct Sqlite {
    jobs: SyncSender<Job>,
    trouble: Mutex<Option<String>>,
    shared: Arc<AtomicBool>,
}

impl Sqlite {
    /// Opens the file, or makes it (mode 0600). `beside`: another process has it, and will leave.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub(crate) fn open(path: &Path, beside: bool) -> Result<Self, String> {
        let broken = |error: Broken| format!("{}: {error}", path.display());
        let shared = Arc::new(AtomicBool::new(beside));
        let mut owned =
            Owned { path: path.to_owned(), lock: lock_file(path).map_err(broken)?, shared: Arc::clone(&shared) };
        if !owned.take().map_err(broken)? && !beside {
            return Err(broken("another process has it".into()));
        }
        let connection = match connect(path) {
            Err(error) if owned.is_alone() && is_damage(error.downcast_ref()) => owned.anew(&error),
            connection => connection,
        };
        let connection = connection.map_err(broken)?;
        let (jobs, todo) = sync_channel(limit::STORE_COMMANDS);
        let thread = std::thread::Builder::new().name("sessions".to_owned());
        thread.spawn(move || owned.work(connection, &todo)).map_err(|error| error.to_string())?;
        Ok(Self { jobs, trouble: Mutex::default(), shared })
    }

    /// Whether another process may change what is here.
    pub(super) fn is_shared(&self) -> bool {
        self.shared.load(Ordering::Acquire)
    }

    /// Another process is about to take the place of this one, or does not after all.
    pub(super) fn share(&self, shared: bool) {
        self.shared.store(shared, Ordering::Release);
    }

    pub(super) async fn create(&self, id: SessionId, record: Vec<u8>, life: Duration) -> Result<bool, Down> {
        self.run(move |file| {
            let mut insert =
                file.prepare_cached("INSERT OR IGNORE INTO session (id, record, over) VALUES (?, ?, ?)")?;
            Ok(insert.execute(params![id.0, record, end(life)])? == 1)
        })
        .await
    }

    pub(super) async fn read(&self, id: SessionId) -> Result<Option<Vec<u8>>, Down> {
        self.run(move |file| {
            let mut select = file.prepare_cached("SELECT record FROM session WHERE id = ? AND over > ?")?;
            select.query_row(params![id.0, now()], |row| row.get(0)).optional()
        })
        .await
    }

    /// What is kept of each.
    pub(super) async fn read_all(&self, ids: Vec<SessionId>) -> Result<Vec<Option<Vec<u8>>>, Down> {
        self.run(move |file| {
            let mut select = file.prepare_cached("SELECT record FROM session WHERE id = ? AND over > ?")?;
            ids.iter().map(|id| select.query_row(params![id.0, now()], |row| row.get(0)).optional()).collect()
        })
        .await
    }

    /// The next ids in their order, and whether there are no others after them.
    pub(super) async fn ids(&self, after: Option<SessionId>, most: usize) -> Result<(Vec<SessionId>, bool), Down> {
        self.run(move |file| {
            let mut select =
                file.prepare_cached("SELECT id FROM session WHERE id > ? AND over > ? ORDER BY id LIMIT ?")?;
            let after = after.map_or(Vec::new(), |after| after.0.to_vec());
            let most_and_one = i64::try_from(most).unwrap_or(i64::MAX).saturating_add(1);
            let ids = select.query_map(params![after, now(), most_and_one], |row| row.get(0).map(SessionId))?;
            let mut ids = ids.collect::<rusqlite::Result<Vec<_>>>()?;
            let are_all = ids.len() <= most;
            ids.truncate(most);
            Ok((ids, are_all))
        })
        .await
    }

    pub(super) async fn replace(&self, id: SessionId, from: u64, record: Vec<u8>) -> Result<Replaced, Down> {
        self.run(move |file| {
            let change = file.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let was: Option<Vec<u8>> = change
                .prepare_cached("SELECT record FROM session WHERE id = ?")?
                .query_row([id.0], |row| row.get(0))
                .optional()?;
            let Some(was) = was else { return Ok(Replaced::Gone) };
            if was.get(..REVISION) != Some(&from.to_be_bytes()) {
                return Ok(Sealed::of(was).map_or(Replaced::Gone, Replaced::Other));
            }
            change.prepare_cached("UPDATE session SET record = ? WHERE id = ?")?.execute(params![record, id.0])?;
            change.commit()?;
            Ok(Replaced::Done)
        })
        .await
    }

    pub(super) async fn remove(&self, id: SessionId) -> Result<Option<Vec<u8>>, Down> {
        self.run(move |file| {
            // a row comes before what made it is in the file
            let change = file.transaction()?;
            let removed = change
                .prepare_cached("DELETE FROM session WHERE id = ? RETURNING record")?
                .query_row([id.0], |row| row.get(0))
                .optional()?;
            change.commit()?;
            Ok(removed)
        })
        .await
    }

    pub(super) async fn spill(&self, id: SessionId, stream: u64, events: Vec<u8>, life: Duration) -> Result<(), Down> {
        self.run(move |file| {
            file.prepare_cached("DELETE FROM spilled WHERE over <= ?")?.execute([now()])?;
            let insert = "INSERT OR REPLACE INTO spilled (id, stream, events, over) VALUES (?, ?, ?, ?)";
            file.prepare_cached(insert)?.execute(params![id.0, stream.to_be_bytes(), events, end(life)])?;
            Ok(())
        })
        .await
    }

    pub(super) async fn spilled(&self, id: SessionId, stream: u64) -> Result<Option<Vec<u8>>, Down> {
        self.run(move |file| {
            let select = "SELECT events FROM spilled WHERE id = ? AND stream = ? AND over > ?";
            let mut select = file.prepare_cached(select)?;
            select.query_row(params![id.0, stream.to_be_bytes(), now()], |row| row.get(0)).optional()
        })
        .await
    }

    pub(super) async fn touch(&self, lives: Vec<(SessionId, Duration)>) -> Result<(), Down> {
        self.run(move |file| {
            let change = file.transaction()?;
            {
                let mut update = change.prepare_cached("UPDATE session SET over = max(over, ?) WHERE id = ?")?;
                for (id, life) in lives {
                    update.execute(params![end(life), id.0])?;
                }
            }
            change.commit()
        })
        .await
    }

    pub(super) async fn revisions(&self, ids: Vec<SessionId>) -> Result<Vec<Option<u64>>, Down> {
        self.run(move |file| {
            let mut select = file.prepare_cached("SELECT substr(record, 1, 8) FROM session WHERE id = ?")?;
            let revision =
                |id: &SessionId| select.query_row([id.0], |row| row.get(0).map(u64::from_be_bytes)).optional();
            ids.iter().map(revision).collect()
        })
        .await
    }

    pub(super) async fn left(&self, ids: Vec<SessionId>) -> Result<Vec<Option<Duration>>, Down> {
        self.run(move |file| {
            let mut select = file.prepare_cached("SELECT over FROM session WHERE id = ?")?;
            let left = |over: i64| Duration::from_millis(u64::try_from(over - now()).unwrap_or_default());
            ids.iter().map(|id| Ok(select.query_row([id.0], |row| row.get(0)).optional()?.map(left))).collect()
        })
        .await
    }

    /// Sessions whose time is over, some at a time.
    pub(super) async fn over(&self) -> Result<Vec<SessionId>, Down> {
        self.run(move |file| {
            let mut select = file.prepare_cached("SELECT id FROM session WHERE over <= ? LIMIT ?")?;
            let ids = select.query_map(params![now(), limit::STORE_BATCH as i64], |row| row.get(0).map(SessionId))?;
            ids.collect()
        })
        .await
    }

    pub(super) fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Down> {
        let (done, answer) = oneshot::channel();
        let job: Job = Box::new(move |file| {
            let answer = job(file);
            let damaged = is_damage(answer.as_ref().err());
            drop(done.send(answer));
            damaged
        });
        self.jobs.try_send(job).map_err(|_| Down)?;
        // late, or the thread is gone
        let answer = timeout(limit::STORE_DEADLINE, answer).await.ok().and_then(Result::ok).ok_or(Down)?;
        self.note(answer.as_ref().err().map(ToString::to_string));
        answer.map_err(|_| Down)
    }

    /// Notes how it is; a change is logged, once.
    fn note(&self, now: Option<String>) {
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        match (&*trouble, &now) {
            (None, Some(cause)) => tracing::error!(%cause, "sessions cannot be looked up or kept"),
            (Some(_), None) => tracing::info!("sessions are kept again"),
            _ => {}
        }
        *trouble = now;
    }
}

/// The file, as its thread has it.
struct Owned {
    path: PathBuf,
    /// Who has locked this has the file; SQLite's own locks are for each change.
    lock: File,
    shared: Arc<AtomicBool>,
}

impl Owned {
    /// Whether the file is this process' own now.
    fn take(&mut self) -> Result<bool, Broken> {
        match self.lock.try_lock() {
            Ok(()) => self.shared.store(false, Ordering::Release),
            Err(TryLockError::WouldBlock) => return Ok(false),
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        Ok(true)
    }

    fn is_alone(&self) -> bool {
        !self.shared.load(Ordering::Acquire)
    }

    fn work(mut self, mut connection: Connection, todo: &Receiver<Job>) {
        // until the process before this one has left
        let mut waits = !self.is_alone();
        loop {
            let job = match todo.recv_timeout(limit::SWEEP) {
                Ok(job) => job,
                Err(RecvTimeoutError::Timeout) => {
                    waits = waits && !self.take().unwrap_or(false);
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => return,
            };
            if job(&mut connection) && self.is_alone() {
                match self.anew(&"damaged") {
                    Ok(another) => connection = another,
                    Err(error) => tracing::error!(%error, "the damaged file of sessions cannot be replaced"),
                }
            }
        }
    }

    /// Puts the damaged file aside, for whoever wants to know, and makes another one.
    fn anew(&self, cause: &dyn std::fmt::Display) -> Result<Connection, Broken> {
        let of = |name: &str, suffix: &str| self.path.with_file_name(format!("{name}{suffix}"));
        for suffix in ["", "-wal", "-shm"] {
            let renamed = std::fs::rename(of("sessions.db", suffix), of("sessions.db.damaged", suffix));
            match renamed {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
        }
        let aside = of("sessions.db.damaged", "");
        tracing::error!(%cause, aside = %aside.display(), "the file of sessions is damaged: its sessions are over");
        connect(&self.path)
    }
}

/// The file whose lock says who has the sessions.
fn lock_file(path: &Path) -> Result<File, Broken> {
    let path = path.with_extension("lock");
    Ok(OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?)
}

fn connect(path: &Path) -> Result<Connection, Broken> {
    // made before SQLite opens it: what it makes itself, everybody may read
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
    let connection = Connection::open(path)?;
    connection.busy_timeout(limit::STORE_DEADLINE)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    let form: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    match form {
        0 => connection.execute_batch(&format!("BEGIN EXCLUSIVE; {TABLES} COMMIT;"))?,
        FORM => connection.execute_batch("BEGIN IMMEDIATE; COMMIT;")?,
        _ => return Err("it was written by a later version".into()),
    }
    connection.execute_batch(SPILLED)?;
    Ok(connection)
}

fn is_damage(error: Option<&rusqlite::Error>) -> bool {
    let code = error.and_then(rusqlite::Error::sqlite_error_code);
    matches!(code, Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

fn now() -> i64 {
    i64::try_from(epoch_ms()).unwrap_or(i64::MAX)
}

/// The end of a life that begins now.
fn end(life: Duration) -> i64 {
    now().saturating_add(i64::try_from(life.as_millis()).unwrap_or(i64::MAX))
}
