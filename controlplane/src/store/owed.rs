//! Ends of sessions that nodes have not been told yet; see [`crate::publish::Nodes`].

use prost::Message as _;
use rusqlite::{Connection, params};
use sluice_contract::v1;

use super::{StoreError, column};

/// Kept for one node at a time; whoever asks for more is told that it is not kept.
const MOST: u32 = 256;

/// Keeps one for a node, and forgets those that are older than `since_ms`. `false`: too many are kept.
///
/// # Errors
///
/// The database fails.
pub(crate) fn keep(
    connection: &Connection,
    node: &str,
    at_ms: u64,
    since_ms: u64,
    request: &v1::EndSessionsRequest,
) -> Result<bool, StoreError> {
    connection.prepare_cached("DELETE FROM owed_ends WHERE at_ms < ?")?.execute([column::int(since_ms)])?;
    let mut count = connection.prepare_cached("SELECT count(*) FROM owed_ends WHERE node = ?")?;
    let count: u32 = count.query_row([node], |row| row.get(0))?;
    if count >= MOST {
        return Ok(false);
    }
    connection.prepare_cached("INSERT INTO owed_ends (node, at_ms, request) VALUES (?, ?, ?)")?.execute(params![
        node,
        column::int(at_ms),
        request.encode_to_vec()
    ])?;
    Ok(true)
}

/// Those of a node that are not older than `since_ms`, in order, by their numbers.
///
/// # Errors
///
/// The database fails.
pub(crate) fn of(
    connection: &Connection,
    node: &str,
    since_ms: u64,
) -> Result<Vec<(i64, v1::EndSessionsRequest)>, StoreError> {
    let mut statement = connection
        .prepare_cached("SELECT number, request FROM owed_ends WHERE node = ? AND at_ms >= ? ORDER BY number")?;
    let rows = statement.query_map(params![node, column::int(since_ms)], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?))
    })?;
    let read = |row: rusqlite::Result<(i64, Vec<u8>)>| {
        let (number, bytes) = row?;
        let request = v1::EndSessionsRequest::decode(&*bytes).map_err(|error| StoreError::Broken(error.to_string()))?;
        Ok((number, request))
    };
    rows.map(read).collect()
}

/// The node was told.
///
/// # Errors
///
/// The database fails.
pub(crate) fn settle(connection: &Connection, number: i64) -> Result<(), StoreError> {
    connection.prepare_cached("DELETE FROM owed_ends WHERE number = ?")?.execute([number])?;
    Ok(())
}

/// Forgets a node.
///
/// # Errors
///
/// The database fails.
pub(crate) fn forget(connection: &Connection, node: &str) -> Result<(), StoreError> {
    connection.prepare_cached("DELETE FROM owed_ends WHERE node = ?")?.execute([node])?;
    Ok(())
}
