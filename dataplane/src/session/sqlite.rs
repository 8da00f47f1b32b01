//! Sessions in a file of the node: they outlive the process, on one machine. The file is this process' alone.
//!
//! One thread reads and writes; callers wait for its answer, for a while. What is acknowledged is in the file's log: a
//! process that is killed loses nothing, a machine that loses its power may lose the last second.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};
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

type Job = Box<dyn FnOnce(&mut Connection) + Send>;

/// A file of sessions.
pub(crate) struct Sqlite {
    jobs: SyncSender<Job>,
    trouble: Mutex<Option<String>>,
}

impl Sqlite {
    /// Opens the file, or makes it (mode 0600).
    ///
    /// # Errors
    /// Why it cannot be used.
    pub(crate) fn open(path: &Path) -> Result<Self, String> {
        let connection = connect(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let (jobs, todo) = sync_channel(limit::STORE_COMMANDS);
        let thread = std::thread::Builder::new().name("sessions".to_owned());
        thread.spawn(move || work(connection, &todo)).map_err(|error| error.to_string())?;
        Ok(Self { jobs, trouble: Mutex::default() })
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
            let mut delete = file.prepare_cached("DELETE FROM session WHERE id = ? RETURNING record")?;
            delete.query_row([id.0], |row| row.get(0)).optional()
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
        let job: Job = Box::new(move |file| drop(done.send(job(file))));
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

fn connect(path: &Path) -> Result<Connection, Box<dyn std::error::Error>> {
    // made before SQLite opens it: what it makes itself, everybody may read
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
    let connection = Connection::open(path)?;
    // two processes with copies of the same sessions would not hear of each other
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    let form: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    match form {
        0 => connection.execute_batch(&format!("BEGIN EXCLUSIVE; {TABLES} COMMIT;"))?,
        FORM => connection.execute_batch("BEGIN EXCLUSIVE; COMMIT;")?,
        _ => return Err("it was written by a later version".into()),
    }
    Ok(connection)
}

fn work(mut connection: Connection, todo: &Receiver<Job>) {
    while let Ok(job) = todo.recv() {
        job(&mut connection);
    }
}

fn now() -> i64 {
    i64::try_from(epoch_ms()).unwrap_or(i64::MAX)
}

/// The end of a life that begins now.
fn end(life: Duration) -> i64 {
    now().saturating_add(i64::try_from(life.as_millis()).unwrap_or(i64::MAX))
}
