//! Named secrets as they are kept: sealed, one row per version.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{StoreError, column};

/// A secret in the version that counts.
pub struct StoredSecret {
    /// Its name.
    pub name: String,
    /// Rises with each value.
    pub version: u64,
    /// When it was set.
    pub at: Timestamp,
    /// Who set it.
    pub author: String,
    /// What its value is called on its way to nodes.
    pub chunk: [u8; 32],
    /// The value, as [`crate::secrets::Sealed::encode`] makes it.
    pub sealed: Vec<u8>,
}

const COLUMNS: &str = "name, version, at_ms, author, chunk, sealed";

/// Every secret that counts, by name.
///
/// # Errors
///
/// The database fails.
pub fn all(connection: &Connection) -> Result<Vec<StoredSecret>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM secrets WHERE sealed IS NOT NULL ORDER BY name");
    Ok(connection.prepare_cached(&sql)?.query_map((), read)?.collect::<Result<_, _>>()?)
}

/// The newest version a secret ever had; 0: none.
///
/// # Errors
///
/// The database fails.
pub fn last_version(connection: &Connection, name: &str) -> Result<u64, StoreError> {
    let sql = "SELECT coalesce(max(version), 0) FROM secrets WHERE name = ?";
    Ok(connection.query_row(sql, [name], |row| column::number(row, 0))?)
}

/// Takes the value of a secret away; `false`: it had none.
///
/// # Errors
///
/// The database fails.
pub fn clear(connection: &Connection, name: &str) -> Result<bool, StoreError> {
    Ok(connection.execute("UPDATE secrets SET sealed = NULL WHERE name = ? AND sealed IS NOT NULL", [name])? > 0)
}

/// Adds a version, which counts from then on in place of the one before.
///
/// # Errors
///
/// The database fails.
pub fn add(connection: &Connection, secret: &StoredSecret) -> Result<(), StoreError> {
    clear(connection, &secret.name)?;
    let StoredSecret { name, version, at, author, chunk, sealed } = secret;
    let sql = format!("INSERT INTO secrets ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)");
    connection.execute(&sql, params![name, column::int(*version), at.as_millisecond(), author, chunk, sealed])?;
    Ok(())
}

/// Puts another seal on the same value.
///
/// # Errors
///
/// The database fails.
pub fn reseal(connection: &Connection, name: &str, version: u64, sealed: &[u8]) -> Result<(), StoreError> {
    let sql = "UPDATE secrets SET sealed = ? WHERE name = ? AND version = ?";
    connection.execute(sql, params![sealed, name, column::int(version)])?;
    Ok(())
}

/// What shows whether a key ring is that of this database.
///
/// # Errors
///
/// The database fails.
pub fn ring(connection: &Connection) -> Result<Option<Vec<u8>>, StoreError> {
    Ok(connection.query_row("SELECT sealed FROM ring", (), |row| row.get(0)).optional()?)
}

/// Keeps what shows that.
///
/// # Errors
///
/// The database fails.
pub fn keep_ring(connection: &Connection, sealed: &[u8]) -> Result<(), StoreError> {
    connection
        .execute("INSERT INTO ring VALUES (1, ?) ON CONFLICT (one) DO UPDATE SET sealed = excluded.sealed", [sealed])?;
    Ok(())
}

fn read(row: &Row<'_>) -> rusqlite::Result<StoredSecret> {
    Ok(StoredSecret {
        name: row.get(0)?,
        version: column::number(row, 1)?,
        at: column::time(row, 2)?,
        author: row.get(3)?,
        chunk: row.get(4)?,
        sealed: row.get(5)?,
    })
}
