//! The revisions: what changed when, by whom, and why.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{StoreError, column};

/// A change of what nodes get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revision {
    /// Its number: one more than that of the one before. 0 is the empty state at the beginning, which has no row.
    pub revision: u64,
    /// When.
    pub at: Timestamp,
    /// Who: the name of a token.
    pub author: String,
    /// Why.
    pub message: String,
    /// The revision it was based on.
    pub base: u64,
    /// What it changed: JSON, secrets masked.
    pub changes: String,
}

/// The newest revision.
///
/// # Errors
///
/// The database fails.
pub fn head(connection: &Connection) -> Result<u64, StoreError> {
    let head = connection
        .prepare_cached("SELECT coalesce(max(revision), 0) FROM revisions")?
        .query_row((), |row| column::number(row, 0))?;
    Ok(head)
}

/// Adds a revision: the head plus one.
///
/// # Errors
///
/// The database fails.
pub fn add(
    connection: &Connection,
    at: Timestamp,
    author: &str,
    message: &str,
    base: u64,
    changes: &str,
) -> Result<u64, StoreError> {
    let revision = head(connection)? + 1;
    connection.prepare_cached("INSERT INTO revisions VALUES (?, ?, ?, ?, ?, ?)")?.execute(params![
        column::int(revision),
        at.as_millisecond(),
        author,
        message,
        column::int(base),
        changes
    ])?;
    Ok(revision)
}

/// One revision.
///
/// # Errors
///
/// The database fails.
pub fn get(connection: &Connection, revision: u64) -> Result<Option<Revision>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT * FROM revisions WHERE revision = ?")?;
    Ok(statement.query_row([column::int(revision)], read).optional()?)
}

/// Revisions before one, newest first.
///
/// # Errors
///
/// The database fails.
pub fn before(connection: &Connection, before: u64, limit: u32) -> Result<Vec<Revision>, StoreError> {
    let mut statement =
        connection.prepare_cached("SELECT * FROM revisions WHERE revision < ? ORDER BY revision DESC LIMIT ?")?;
    Ok(statement.query_map(params![column::int(before), limit], read)?.collect::<Result<_, _>>()?)
}

/// Revisions after one, oldest first.
///
/// # Errors
///
/// The database fails.
pub fn after(connection: &Connection, after: u64, limit: u32) -> Result<Vec<Revision>, StoreError> {
    let mut statement =
        connection.prepare_cached("SELECT * FROM revisions WHERE revision > ? ORDER BY revision LIMIT ?")?;
    Ok(statement.query_map(params![column::int(after), limit], read)?.collect::<Result<_, _>>()?)
}

fn read(row: &Row<'_>) -> rusqlite::Result<Revision> {
    Ok(Revision {
        revision: column::number(row, 0)?,
        at: column::time(row, 1)?,
        author: row.get(2)?,
        message: row.get(3)?,
        base: column::number(row, 4)?,
        changes: row.get(5)?,
    })
}
