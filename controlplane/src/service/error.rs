//! Why an operation was not done. A configuration that is wrong is none of these: the answer has its faults.

use std::time::Duration;

use rusqlite::ErrorCode;

use super::Role;
use crate::language::{Kind, suggestion};
use crate::secrets::OpenError;
use crate::store::{DATABASE, Failure, Obstacle, StoreError};

/// Why an operation was not done.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// Nobody is known by that token, or there is none.
    #[error("{0}")]
    Unauthenticated(String),
    /// Too many failed attempts from one place.
    #[error("too many failed attempts; try again in {} s", .0.as_secs().max(1))]
    Throttled(Duration),
    /// The role is too low.
    #[error("{operation} takes the role `{needs}`, and this token has `{has}`")]
    Denied {
        /// What was asked for.
        operation: &'static str,
        /// The role it takes.
        needs: Role,
        /// The role of the token.
        has: Role,
    },
    /// There is no such thing.
    #[error("{0}")]
    NotFound(String),
    /// Something else changed first.
    #[error(
        "the configuration moved on: revision {base} was given, and the head is {head}; since then: {changed}. \
         Look at what changed, and apply again"
    )]
    Conflict {
        /// What the caller had seen.
        base: u64,
        /// The newest revision.
        head: u64,
        /// What changed since, for people.
        changed: String,
    },
    /// What was asked for is not understood.
    #[error("{0}")]
    Invalid(String),
    /// It cannot be done as things are.
    #[error("{0}")]
    Impossible(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A secret does not open.
    #[error(transparent)]
    Sealed(#[from] OpenError),
}

impl ServiceError {
    /// There is no such object; perhaps one of `names` was meant.
    pub(super) fn no_object(kind: Kind, name: &str, names: &[String]) -> Self {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let advice = if names.is_empty() { "there are none" } else { &suggestion(name, &names, kind.as_str()) };
        Self::NotFound(format!("there is no {kind} `{}`; {advice}", name.escape_debug()))
    }
}

/// What kept the control plane itself from doing what it was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inside {
    /// There is no room left on its disk.
    Full,
    /// It may be able to later.
    Unavailable,
    /// Not before somebody has seen to it.
    Failed,
}

impl ServiceError {
    /// The same, where something was done that could not be written down.
    pub(super) fn after(self, done: &'static str) -> Self {
        match self {
            Self::Store(error) => Self::Store(error.after(done)),
            other => other,
        }
    }

    /// What kept the control plane itself from it, and what somebody who is known is told: what is wrong, and what leads out. What is stored
    /// is not told, but logged. `None`: the caller can do something about it.
    #[must_use]
    pub fn inside(&self) -> Option<(Inside, String)> {
        let (inside, told) = match self {
            Self::Store(StoreError::Stopping) => return Some((Inside::Unavailable, self.to_string())),
            // logged once, by the store
            Self::Store(StoreError::Unwritable { obstacle: Obstacle::Full | Obstacle::Scarce, .. }) => {
                return Some((Inside::Full, self.to_string()));
            }
            Self::Store(StoreError::Unwritable { .. }) => return Some((Inside::Unavailable, self.to_string())),
            Self::Store(StoreError::Database(error)) => of_database(error),
            Self::Store(StoreError::Broken(_)) => (
                Inside::Failed,
                format!(
                    "the database of the control plane holds something that cannot be read: the control plane's log says what. Put back a \
                     backup of `{DATABASE}` from before"
                ),
            ),
            Self::Sealed(OpenError::Key { key, .. }) => (
                Inside::Failed,
                format!(
                    "something is sealed with the key `{key}`, which is not in the key ring: put its line back, and \
                     `sluice secret rotate-key` reads the ring again"
                ),
            ),
            Self::Sealed(OpenError::Damaged { .. }) => (
                Inside::Failed,
                format!(
                    "something that was sealed does not open: the control plane's log says what. Put back a backup of `{DATABASE}`, with \
                     the key ring it was sealed with"
                ),
            ),
            Self::Store(StoreError::Io(..)) => {
                (Inside::Failed, format!("nothing was changed: {self}; see to the state folder, and try again"))
            }
            Self::Store(_) => (Inside::Failed, "the control plane failed; its log says why".to_owned()),
            _ => return None,
        };
        tracing::error!(error = self.to_string(), "an operation failed");
        Some((inside, told))
    }
}

fn of_database(error: &rusqlite::Error) -> (Inside, String) {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => (
            Inside::Unavailable,
            "nothing was changed: another program keeps the database of the control plane locked; when it is done (a backup?), try again"
                .to_owned(),
        ),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => (
            Inside::Failed,
            format!(
                "the database of the control plane is damaged: stop the control plane, and put back a backup of `{DATABASE}`; its next start \
                 says what else there is. Nodes go on with what they run"
            ),
        ),
        Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen) => (
            Inside::Unavailable,
            "the database of the control plane cannot be read: look at the errors of its disk in the log of the system. Nodes go on with \
             what they run"
                .to_owned(),
        ),
        _ => (Inside::Failed, "the control plane failed at its database; its log says why".to_owned()),
    }
}

impl Failure for ServiceError {
    fn of_store(&self) -> Option<&StoreError> {
        match self {
            Self::Store(error) => Some(error),
            _ => None,
        }
    }
}

impl From<rusqlite::Error> for ServiceError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}
