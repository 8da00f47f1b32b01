//! Nodes as they are kept; see [`crate::publish::Nodes`].

use std::collections::BTreeMap;

use prost::Message;
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use sluice_contract::v1;

use super::{StoreError, column, heard, owed};
use crate::publish::{Kept, Labels, Rejected};

/// Every node, by name.
///
/// # Errors
///
/// The database fails.
pub(crate) fn all(connection: &Connection) -> Result<Vec<(String, Kept)>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT name, labels, granted, version, generation, revision, since_ms, seen_ms, rejected, link FROM nodes ORDER BY name",
    )?;
    Ok(statement.query_map((), read)?.collect::<Result<_, _>>()?)
}

/// Keeps a node as it is now.
///
/// # Errors
///
/// The database fails.
pub(crate) fn keep(connection: &Connection, name: &str, kept: &Kept) -> Result<(), StoreError> {
    let (labels, granted) = (json(&kept.labels)?, json(&kept.granted)?);
    let rejected = kept.rejected.as_ref().map(|rejected| {
        let status = v1::NodeStatus {
            rejected_revision: rejected.revision,
            rejected_ms: rejected.at_ms,
            rejected: rejected.faults.clone(),
            ..v1::NodeStatus::default()
        };
        status.encode_to_vec()
    });
    connection.prepare_cached("INSERT OR REPLACE INTO nodes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")?.execute(
        params![
            name,
            labels,
            granted,
            kept.version,
            column::int(kept.generation),
            column::int(kept.revision),
            column::int(kept.since_ms),
            column::int(kept.seen_ms),
            rejected,
            kept.link
        ],
    )?;
    Ok(())
}

/// Until when the certificates of each revoked node are refused.
///
/// # Errors
///
/// The database fails.
pub(crate) fn revoked(connection: &Connection) -> Result<BTreeMap<String, u64>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT name, at_ms FROM revoked_nodes")?;
    Ok(statement.query_map((), |row| Ok((row.get(0)?, column::number(row, 1)?)))?.collect::<Result<_, _>>()?)
}

/// Forgets a node, and refuses the certificates it has until now. `false`: no such node was kept.
///
/// # Errors
///
/// The database fails.
pub(crate) fn revoke(connection: &Connection, name: &str, at_ms: u64) -> Result<bool, StoreError> {
    let granted = granted(connection, name)?;
    let kept = connection.prepare_cached("DELETE FROM nodes WHERE name = ?")?.execute([name])?;
    heard::forget(connection, name)?;
    owed::forget(connection, name)?;
    connection
        .prepare_cached("INSERT OR REPLACE INTO revoked_nodes (name, at_ms, granted) VALUES (?, ?, ?)")?
        .execute(params![name, column::int(at_ms), json(&granted)?])?;
    Ok(kept > 0)
}

/// The labels that a node was given by its join token, also if it was sent away since; none: those it says.
///
/// # Errors
///
/// The database fails.
pub(crate) fn granted(connection: &Connection, name: &str) -> Result<Labels, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT granted FROM nodes WHERE name = ?1 UNION ALL SELECT granted FROM revoked_nodes WHERE name = ?1 LIMIT 1",
    )?;
    let text: Option<String> = statement.query_row([name], |row| row.get(0)).optional()?;
    let read = |text: String| serde_json::from_str(&text).map_err(|error| StoreError::Broken(error.to_string()));
    text.map_or_else(|| Ok(Labels::new()), read)
}

fn json(labels: &Labels) -> Result<String, StoreError> {
    serde_json::to_string(labels).map_err(|error| StoreError::Broken(error.to_string()))
}

fn read(row: &Row<'_>) -> rusqlite::Result<(String, Kept)> {
    let labels = |column| {
        let text: String = row.get(column)?;
        serde_json::from_str(&text).map_err(|error| column::conversion(column, Type::Text, error))
    };
    let rejected: Option<Vec<u8>> = row.get(8)?;
    let rejected = rejected.map(|bytes| v1::NodeStatus::decode(&*bytes)).transpose();
    let rejected = rejected.map_err(|error| column::conversion(8, Type::Blob, error))?;
    let kept = Kept {
        labels: labels(1)?,
        granted: labels(2)?,
        version: row.get(3)?,
        generation: column::number(row, 4)?,
        revision: column::number(row, 5)?,
        since_ms: column::number(row, 6)?,
        seen_ms: column::number(row, 7)?,
        rejected: rejected.map(|status| Rejected {
            revision: status.rejected_revision,
            at_ms: status.rejected_ms,
            faults: status.rejected,
        }),
        link: row.get(9)?,
    };
    Ok((row.get(0)?, kept))
}
