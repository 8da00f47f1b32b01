//! Our types in the columns of the database, whose integers are signed.

use jiff::Timestamp;
use rusqlite::Row;
use rusqlite::types::Type;

/// An integer for the database. Numbers are counted from 0 or 1 by us: none comes near the bound.
pub(crate) fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A number from the database.
pub(crate) fn number(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let number: i64 = row.get(column)?;
    u64::try_from(number).map_err(|error| conversion(column, Type::Integer, error))
}

/// A time, kept in milliseconds since 1970.
pub(crate) fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    Timestamp::from_millisecond(row.get(column)?).map_err(|error| conversion(column, Type::Integer, error))
}

/// A time that may be missing.
pub(crate) fn some_time(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Timestamp>> {
    let time: Option<i64> = row.get(column)?;
    time.map(Timestamp::from_millisecond).transpose().map_err(|error| conversion(column, Type::Integer, error))
}

/// Says that a column holds something else than was written.
pub(crate) fn conversion(
    column: usize,
    kind: Type,
    error: impl std::error::Error + Send + Sync + 'static,
) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, kind, Box::new(error))
}
