//! The database of a control plane: one file, one writer, many readers.
//!
//! What was acknowledged is on the disk: the write-ahead log is synced with every commit. One process has the folder at a
//! time. Within it, changes queue for the one writing connection and readers see the last commit, without waiting.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::watch;

use super::{Folder, Obstacle, migration, revisions};

/// The file of the database.
pub(crate) const DATABASE: &str = "controlplane.db";
/// The file whose lock says that a control plane runs.
const LOCK: &str = "controlplane.lock";
/// How long to wait for a lock inside the database: backups by other programs hold one for a moment.
const BUSY: Duration = Duration::from_secs(5);
/// Reading connections that are kept open; more are opened and closed as needed.
const IDLE_READERS: usize = 4;

/// What keeps the store from doing what it is asked for.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Somebody else has the folder.
    #[error("{0} is in use by another control plane; stop that one, or choose another folder with `--state-dir`")]
    InUse(PathBuf),
    /// The database was made by a later version.
    #[error("the database was changed by a newer version of Sluice (`{0}`); run that version, or restore a backup")]
    Newer(String),
    /// It is another program's.
    #[error("the database is not one of a control plane: another program made it")]
    Foreign,
    /// The folder or a file in it.
    #[error("state folder {0}: {1}")]
    Io(PathBuf, io::Error),
    /// The database.
    #[error("database: {0}")]
    Database(#[from] rusqlite::Error),
    /// What is stored is not what was written.
    #[error("the database holds something that cannot be read: {0}")]
    Broken(String),
    /// It can be read, and not be written.
    #[error("{done}: {}, and try again. Nodes go on with what they run", .obstacle.told(.folder))]
    Unwritable {
        /// What became of what was asked for.
        done: &'static str,
        /// Where it is.
        folder: PathBuf,
        /// What is in the way.
        obstacle: Obstacle,
    },
    /// The process is ending.
    #[error("the control plane is stopping")]
    Stopping,
}

impl StoreError {
    /// The same, where something was done that could not be written down.
    #[must_use]
    pub(crate) fn after(self, done: &'static str) -> Self {
        match self {
            Self::Unwritable { folder, obstacle, .. } => Self::Unwritable { done, folder, obstacle },
            other => other,
        }
    }
}

/// An error of work on the store. What is in the way of writing is told in the same words, whichever statement met it.
pub trait Failure: From<StoreError> {
    /// The store's own error, if it is one.
    fn of_store(&self) -> Option<&StoreError>;
}

impl Failure for StoreError {
    fn of_store(&self) -> Option<&StoreError> {
        Some(self)
    }
}

/// The store of a control plane. Clones are the same store.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    folder: Folder,
    writer: Mutex<Connection>,
    readers: Mutex<Vec<Connection>>,
    head: watch::Sender<u64>,
    /// What keeps it from being written, as long as that holds.
    obstacle: watch::Sender<Option<Obstacle>>,
    /// Held as long as the store.
    _lock: File,
}

impl Store {
    /// Opens the store in a folder, making both where they do not exist.
    ///
    /// # Errors
    ///
    /// Another process has it, a newer version made it, or the disk fails.
    pub fn open(folder: Folder, now: Timestamp) -> Result<Self, StoreError> {
        let io = |error| StoreError::Io(folder.path().to_owned(), error);
        let lock = lock(&folder)?;
        // SQLite gives the files beside it the mode of this one.
        private(&folder, DATABASE).map_err(io)?;
        // before anything is changed in it
        migration::recognise(&Connection::open(folder.file(DATABASE))?)?;
        let mut writer = connect(&folder)?;
        migration::migrate(&mut writer, now)?;
        let head = watch::Sender::new(revisions::head(&writer)?);
        let (writer, readers, obstacle) = (Mutex::new(writer), Mutex::default(), watch::Sender::default());
        let store = Self(Arc::new(Inner { folder, writer, readers, head, obstacle, _lock: lock }));
        store.look();
        Ok(store)
    }

    /// The folder it is in.
    #[must_use]
    pub fn folder(&self) -> &Folder {
        &self.0.folder
    }

    /// The newest revision, and every one after it.
    #[must_use]
    pub fn head(&self) -> watch::Receiver<u64> {
        self.0.head.subscribe()
    }

    /// What keeps the database from being written, now and whenever that changes.
    #[must_use]
    pub fn obstacle(&self) -> watch::Receiver<Option<Obstacle>> {
        self.0.obstacle.subscribe()
    }

    /// Looks whether the disk has room, and, where something was in the way of writing, whether it still is.
    pub(crate) fn look(&self) {
        let before = *self.0.obstacle.borrow();
        let scarce = || Obstacle::is_scarce(self.folder().path()).then_some(Obstacle::Scarce);
        let now = match before {
            None | Some(Obstacle::Scarce) => scarce(),
            // what is small may fit for a moment
            Some(Obstacle::Full) if scarce().is_some() => before,
            Some(_) => match self.prove() {
                Ok(()) => scarce(),
                Err(error) => error.obstacle().or(before),
            },
        };
        // a change that failed meanwhile knows better
        let is_as_before = |known: &Option<Obstacle>| *known == before;
        self.0.obstacle.send_if_modified(|known| is_as_before(known) && std::mem::replace(known, now) != now);
        match (before, now) {
            (None, Some(obstacle)) => tracing::warn!("{}", obstacle.told(self.folder().path())),
            (Some(_), None) => tracing::info!("nothing is in the way of writing the database any more"),
            _ => {}
        }
    }

    /// Writes a page of the database as it is.
    fn prove(&self) -> Result<(), StoreError> {
        let mut writer = hold(&self.0.writer);
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        // which nothing reads, and which is written also where it does not change
        transaction.pragma_update(None, "user_version", 0)?;
        Ok(transaction.commit()?)
    }

    /// Notes what was in the way of writing, and completes the error by where that is.
    pub(crate) fn told<E: Failure>(&self, error: E) -> E {
        let Some(obstacle) = error.of_store().and_then(StoreError::obstacle) else { return error };
        let before = self.0.obstacle.send_replace(Some(obstacle));
        // once, however many changes fail
        if matches!(before, None | Some(Obstacle::Scarce)) {
            let told = obstacle.told(self.folder().path());
            tracing::error!("{told}; until then nothing can be changed, and nodes go on with what they run");
        }
        let folder = self.folder().path().to_owned();
        StoreError::Unwritable { done: "nothing was changed", folder, obstacle }.into()
    }

    /// Reads one state of the database, whatever is written meanwhile.
    ///
    /// # Errors
    ///
    /// Those of `read`, and of the database.
    pub async fn read<T, E>(&self, read: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let store = self.clone();
        blocking(move || store.read_now(read)).await
    }

    /// Changes the database: all of it when `change` succeeds, else nothing. When this returns, it is on the disk.
    ///
    /// # Errors
    ///
    /// Those of `change`, and of the database.
    pub async fn write<T, E>(
        &self,
        change: impl FnOnce(&Transaction<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: Failure + Send + 'static,
    {
        let store = self.clone();
        blocking(move || store.write_now(change)).await
    }

    /// The same; what became of it is told to `then` before anybody hears of the new head, and only once it is on the disk.
    ///
    /// # Errors
    ///
    /// Those of `change`, and of the database.
    pub async fn write_then<T, E>(
        &self,
        change: impl FnOnce(&Transaction<'_>) -> Result<T, E> + Send + 'static,
        then: impl FnOnce(&T) + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: Failure + Send + 'static,
    {
        let store = self.clone();
        blocking(move || store.change(change, then)).await
    }

    /// As [`read`](Self::read), on this thread.
    ///
    /// # Errors
    ///
    /// Those of `read`, and of the database.
    pub fn read_now<T, E: From<StoreError>>(&self, read: impl FnOnce(&Connection) -> Result<T, E>) -> Result<T, E> {
        let idle = hold(&self.0.readers).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => connect(&self.0.folder)?,
        };
        // One snapshot for all statements; dropped, it ends.
        let transaction = connection.unchecked_transaction().map_err(StoreError::from)?;
        let result = read(&transaction);
        drop(transaction);
        let mut readers = hold(&self.0.readers);
        if readers.len() < IDLE_READERS {
            readers.push(connection);
        }
        result
    }

    /// As [`write`](Self::write), on this thread.
    ///
    /// # Errors
    ///
    /// Those of `change`, and of the database.
    pub fn write_now<T, E: Failure>(&self, change: impl FnOnce(&Transaction<'_>) -> Result<T, E>) -> Result<T, E> {
        self.change(change, |_| ())
    }

    fn change<T, E: Failure>(
        &self,
        change: impl FnOnce(&Transaction<'_>) -> Result<T, E>,
        then: impl FnOnce(&T),
    ) -> Result<T, E> {
        self.try_change(change, then).map_err(|error| self.told(error))
    }

    fn try_change<T, E: From<StoreError>>(
        &self,
        change: impl FnOnce(&Transaction<'_>) -> Result<T, E>,
        then: impl FnOnce(&T),
    ) -> Result<T, E> {
        let mut writer = hold(&self.0.writer);
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate).map_err(StoreError::from)?;
        let result = change(&transaction)?;
        let head = revisions::head(&transaction)?;
        transaction.commit().map_err(StoreError::from)?;
        // Still under the lock, so that heads are told in order.
        then(&result);
        self.0.head.send_if_modified(|told| std::mem::replace(told, head) != head);
        Ok(result)
    }
}

/// Keeps other control planes out of a folder, which is made where it does not exist; until the result is dropped.
///
/// # Errors
///
/// Another process has it, or the disk fails.
pub(crate) fn lock(folder: &Folder) -> Result<File, StoreError> {
    let io = |error| StoreError::Io(folder.path().to_owned(), error);
    folder.create().map_err(io)?;
    let lock = private(folder, LOCK).map_err(io)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse(folder.path().to_owned())),
        Err(TryLockError::Error(error)) => Err(io(error)),
    }
}

/// A file that only its owner may read, made where it does not exist.
fn private(folder: &Folder, name: &str) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600).open(folder.file(name))
}

/// A panic under the lock has rolled its transaction back: the connection is as good as before.
fn hold<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn blocking<T, E>(work: impl FnOnce() -> Result<T, E> + Send + 'static) -> Result<T, E>
where
    T: Send + 'static,
    E: From<StoreError> + Send + 'static,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(failed) => match failed.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(StoreError::Stopping.into()),
        },
    }
}

fn connect(folder: &Folder) -> Result<Connection, StoreError> {
    let connection = Connection::open(folder.file(DATABASE))?;
    connection.busy_timeout(BUSY)?;
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| {
        let mode: String = row.get(0)?;
        // Some network file systems cannot share memory between connections; there it stays what it was.
        if mode == "wal" { Ok(()) } else { Err(rusqlite::Error::InvalidQuery) }
    })?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    Ok(connection)
}
