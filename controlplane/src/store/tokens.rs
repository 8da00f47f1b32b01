//! Tokens as they are kept: by digest, so that whoever reads the database can come in nowhere.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{StoreError, column};

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// The API key of a client of the data plane.
    Client,
    /// A person's, or that of a person's tool, for the control plane.
    Person,
    /// Admits one node, once.
    Join,
}

impl TokenKind {
    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Person => "person",
            Self::Join => "join",
        }
    }

    fn named(name: &str) -> Option<Self> {
        [Self::Client, Self::Person, Self::Join].into_iter().find(|kind| kind.as_str() == name)
    }
}

/// A token as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredToken {
    /// Names it for revocation.
    pub id: String,
    /// What it is for.
    pub kind: TokenKind,
    /// Whose it is.
    pub name: String,
    /// Of a person: `viewer`, `editor` or `admin`.
    pub role: Option<String>,
    /// The SHA-256 digest of the token.
    pub sha256: [u8; 32],
    /// When it was made.
    pub created: Timestamp,
    /// When it ends.
    pub expires: Option<Timestamp>,
    /// Who made it.
    pub author: String,
    /// Of a join token: the labels its node gets; none: those it says.
    pub labels: BTreeMap<String, String>,
    /// Of a join token: when it was used.
    pub used: Option<Timestamp>,
}

impl StoredToken {
    /// `true` when it counts.
    #[must_use]
    pub fn is_valid(&self, now: Timestamp) -> bool {
        self.expires.is_none_or(|expires| now < expires) && self.used.is_none()
    }
}

const COLUMNS: &str = "id, kind, name, role, sha256, created_ms, expires_ms, author, labels, used_ms";

/// Every token, in the order they were made.
///
/// # Errors
///
/// The database fails.
pub fn all(connection: &Connection) -> Result<Vec<StoredToken>, StoreError> {
    let mut statement =
        connection.prepare_cached(&format!("SELECT {COLUMNS} FROM tokens ORDER BY created_ms, rowid"))?;
    Ok(statement.query_map((), read)?.collect::<Result<_, _>>()?)
}

/// The token with a digest.
///
/// # Errors
///
/// The database fails.
pub fn by_digest(connection: &Connection, sha256: &[u8; 32]) -> Result<Option<StoredToken>, StoreError> {
    let mut statement = connection.prepare_cached(&format!("SELECT {COLUMNS} FROM tokens WHERE sha256 = ?"))?;
    Ok(statement.query_row([sha256], read).optional()?)
}

/// Adds a token.
///
/// # Errors
///
/// The database fails.
pub fn add(connection: &Connection, token: &StoredToken) -> Result<(), StoreError> {
    let labels = serde_json::to_string(&token.labels).map_err(|error| StoreError::Broken(error.to_string()))?;
    connection
        .prepare_cached(&format!("INSERT INTO tokens ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"))?
        .execute(params![
            token.id,
            token.kind.as_str(),
            token.name,
            token.role,
            token.sha256,
            token.created.as_millisecond(),
            token.expires.map(Timestamp::as_millisecond),
            token.author,
            labels,
            token.used.map(Timestamp::as_millisecond)
        ])?;
    Ok(())
}

/// Removes a token.
///
/// # Errors
///
/// The database fails.
pub fn remove(connection: &Connection, id: &str) -> Result<(), StoreError> {
    connection.prepare_cached("DELETE FROM tokens WHERE id = ?")?.execute([id])?;
    Ok(())
}

/// Uses up a join token: the token, if it counted until now.
///
/// # Errors
///
/// The database fails.
pub fn join(
    connection: &Connection,
    sha256: &[u8; 32],
    node: &str,
    now: Timestamp,
) -> Result<Option<StoredToken>, StoreError> {
    let token = by_digest(connection, sha256)?;
    let Some(token) = token.filter(|token| token.kind == TokenKind::Join && token.is_valid(now)) else {
        return Ok(None);
    };
    connection.prepare_cached("UPDATE tokens SET used_ms = ?, used_by = ? WHERE id = ?")?.execute(params![
        now.as_millisecond(),
        node,
        token.id
    ])?;
    Ok(Some(token))
}

fn read(row: &Row<'_>) -> rusqlite::Result<StoredToken> {
    let kind: String = row.get(1)?;
    let labels: String = row.get(8)?;
    Ok(StoredToken {
        id: row.get(0)?,
        kind: TokenKind::named(&kind)
            .ok_or_else(|| rusqlite::Error::InvalidColumnType(1, "kind".to_owned(), Type::Text))?,
        name: row.get(2)?,
        role: row.get(3)?,
        sha256: row.get(4)?,
        created: column::time(row, 5)?,
        expires: column::some_time(row, 6)?,
        author: row.get(7)?,
        labels: serde_json::from_str(&labels).map_err(|error| column::conversion(8, Type::Text, error))?,
        used: column::some_time(row, 9)?,
    })
}
