//! The objects, as rows that count for a range of revisions. What they say is the business of [`crate::language`].

use rusqlite::{Connection, Row, params};

use super::{StoreError, column};

/// An object in one of its states.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredObject {
    /// `server`, `client`, …
    pub kind: String,
    /// Its name.
    pub name: String,
    /// The first revision it counts in.
    pub since: u64,
    /// Order among those of its kind; with gaps, so that others fit in between.
    pub position: i64,
    /// Canonical JSON in which secrets are masked.
    pub spec: String,
    /// Its secrets, sealed.
    pub sealed: Option<Vec<u8>>,
    /// JSON: keyed digests of its secrets by their place.
    pub digests: String,
}

/// Every object at a revision, by kind and position.
///
/// # Errors
///
/// The database fails.
pub fn at(connection: &Connection, revision: u64) -> Result<Vec<StoredObject>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT kind, name, since, position, spec, sealed, digests FROM objects \
         WHERE since <= ?1 AND (until IS NULL OR until > ?1) ORDER BY kind, position, name",
    )?;
    Ok(statement.query_map([column::int(revision)], read)?.collect::<Result<_, _>>()?)
}

/// The newest revision that changed an object.
///
/// # Errors
///
/// The database fails.
pub fn changed(connection: &Connection) -> Result<u64, StoreError> {
    let changed = connection
        .prepare_cached(
            "SELECT max(coalesce((SELECT max(since) FROM objects), 0), coalesce((SELECT max(until) FROM objects), 0))",
        )?
        .query_row((), |row| column::number(row, 0))?;
    Ok(changed)
}

/// Puts an object from a revision on; what it was until then ends there.
///
/// # Errors
///
/// The database fails.
pub fn put(connection: &Connection, object: &StoredObject) -> Result<(), StoreError> {
    end(connection, object.since, &object.kind, &object.name)?;
    connection
        .prepare_cached(
            "INSERT INTO objects (kind, name, since, position, spec, sealed, digests) VALUES (?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            object.kind,
            object.name,
            column::int(object.since),
            object.position,
            object.spec,
            object.sealed,
            object.digests
        ])?;
    Ok(())
}

/// Ends an object: from this revision on there is none.
///
/// # Errors
///
/// The database fails.
pub fn end(connection: &Connection, revision: u64, kind: &str, name: &str) -> Result<(), StoreError> {
    connection
        .prepare_cached("UPDATE objects SET until = ? WHERE kind = ? AND name = ? AND until IS NULL")?
        .execute(params![column::int(revision), kind, name])?;
    Ok(())
}

/// The secrets of an object in one of its states, sealed.
pub struct SealedObject {
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// The revision the state counts from.
    pub since: u64,
    /// The secrets.
    pub sealed: Vec<u8>,
}

/// Every state of every object that has secrets.
///
/// # Errors
///
/// The database fails.
pub fn sealed(connection: &Connection) -> Result<Vec<SealedObject>, StoreError> {
    let mut statement =
        connection.prepare_cached("SELECT kind, name, since, sealed FROM objects WHERE sealed IS NOT NULL")?;
    let object = |row: &Row<'_>| {
        Ok(SealedObject { kind: row.get(0)?, name: row.get(1)?, since: column::number(row, 2)?, sealed: row.get(3)? })
    };
    Ok(statement.query_map((), object)?.collect::<Result<_, _>>()?)
}

/// Puts another seal on the same secrets.
///
/// # Errors
///
/// The database fails.
pub fn reseal(connection: &Connection, object: &SealedObject, sealed: &[u8]) -> Result<(), StoreError> {
    let sql = "UPDATE objects SET sealed = ? WHERE kind = ? AND name = ? AND since = ?";
    connection.execute(sql, params![sealed, object.kind, object.name, column::int(object.since)])?;
    Ok(())
}

fn read(row: &Row<'_>) -> rusqlite::Result<StoredObject> {
    Ok(StoredObject {
        kind: row.get(0)?,
        name: row.get(1)?,
        since: column::number(row, 2)?,
        position: row.get(3)?,
        spec: row.get(4)?,
        sealed: row.get(5)?,
        digests: row.get(6)?,
    })
}
