//! Up to which number the denials of each node are in the audit log; see [`crate::publish::Nodes`].

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use super::{StoreError, column};

/// Processes of a node whose numbers are remembered: the one that runs, one whose place it takes, and some for good measure.
const LIVES: u32 = 4;

/// The number up to which the denials of a node's process are known; 0: none is.
///
/// # Errors
///
/// The database fails.
pub(crate) fn up_to(connection: &Connection, node: &str, life: u64) -> Result<u64, StoreError> {
    let mut statement = connection.prepare_cached("SELECT number FROM heard_denials WHERE node = ? AND life = ?")?;
    let known = statement.query_row(params![node, bits(life)], |row| column::number(row, 0)).optional()?;
    Ok(known.unwrap_or_default())
}

/// Notes that they are known up to a number.
///
/// # Errors
///
/// The database fails.
pub(crate) fn keep(
    connection: &Connection,
    now: Timestamp,
    node: &str,
    life: u64,
    number: u64,
) -> Result<(), StoreError> {
    connection.prepare_cached("INSERT OR REPLACE INTO heard_denials VALUES (?, ?, ?, ?)")?.execute(params![
        node,
        bits(life),
        column::int(number),
        now.as_millisecond()
    ])?;
    connection
        .prepare_cached(
            "DELETE FROM heard_denials WHERE node = ?1 AND life NOT IN
             (SELECT life FROM heard_denials WHERE node = ?1 ORDER BY at_ms DESC, rowid DESC LIMIT ?2)",
        )?
        .execute(params![node, LIVES])?;
    Ok(())
}

/// Forgets a node.
///
/// # Errors
///
/// The database fails.
pub(crate) fn forget(connection: &Connection, node: &str) -> Result<(), StoreError> {
    connection.prepare_cached("DELETE FROM heard_denials WHERE node = ?")?.execute([node])?;
    Ok(())
}

/// All of a random number, as the database has integers.
fn bits(life: u64) -> i64 {
    life.cast_signed()
}
