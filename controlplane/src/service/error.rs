//! Why an operation was not done. A configuration that is wrong is none of these: the answer has its faults.

use std::time::Duration;

use super::Role;
use crate::language::{Kind, suggestion};
use crate::secrets::OpenError;
use crate::store::StoreError;

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

impl From<rusqlite::Error> for ServiceError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}
