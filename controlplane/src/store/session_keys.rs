//! The keys of sessions as they are kept: sealed.

use jiff::Timestamp;
use rusqlite::{Connection, Row, params};

use super::{StoreError, column};

/// A key.
pub(crate) struct StoredKey {
    /// By which what it sealed names it.
    pub number: u8,
    /// When it was made.
    pub made: Timestamp,
    /// From when it seals.
    pub seals: Timestamp,
    /// As [`crate::secrets::Sealed::encode`] makes it.
    pub sealed: Vec<u8>,
}

/// All, in order of their making.
///
/// # Errors
///
/// The database fails.
pub(crate) fn all(connection: &Connection) -> Result<Vec<StoredKey>, StoreError> {
    let sql = "SELECT number, made_ms, seals_ms, sealed FROM session_keys ORDER BY made_ms, number";
    Ok(connection.prepare_cached(sql)?.query_map((), read)?.collect::<Result<_, _>>()?)
}

/// Adds one.
///
/// # Errors
///
/// The database fails.
pub(crate) fn add(connection: &Connection, key: &StoredKey) -> Result<(), StoreError> {
    let StoredKey { number, made, seals, sealed } = key;
    let values = params![number, made.as_millisecond(), seals.as_millisecond(), sealed];
    connection.execute("INSERT INTO session_keys VALUES (?, ?, ?, ?)", values)?;
    Ok(())
}

/// Forgets one: what it sealed is as if it had never been.
///
/// # Errors
///
/// The database fails.
pub(crate) fn forget(connection: &Connection, number: u8) -> Result<(), StoreError> {
    connection.execute("DELETE FROM session_keys WHERE number = ?", [number])?;
    Ok(())
}

/// Puts another seal on the same key.
///
/// # Errors
///
/// The database fails.
pub(crate) fn reseal(connection: &Connection, number: u8, sealed: &[u8]) -> Result<(), StoreError> {
    connection.execute("UPDATE session_keys SET sealed = ? WHERE number = ?", params![sealed, number])?;
    Ok(())
}

fn read(row: &Row<'_>) -> rusqlite::Result<StoredKey> {
    Ok(StoredKey {
        number: row.get(0)?,
        made: column::time(row, 1)?,
        seals: column::time(row, 2)?,
        sealed: row.get(3)?,
    })
}
