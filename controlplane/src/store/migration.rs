//! The shape of the database, made and changed in numbered steps.
//!
//! A step is never edited once it was released: the next one changes what it made. Numbers come in hundreds, one for each
//! part of the control plane, so that parts can grow side by side; a step counts when it is missing, not when it is the next.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rusqlite::{Connection, TransactionBehavior, params};

use super::StoreError;

/// Number, name, and what to do.
type Step = (i64, &'static str, &'static str);

/// A step from its file.
macro_rules! step {
    ($number:literal, $name:literal) => {
        ($number, $name, include_str!(concat!("../../migrations/", $name, ".sql")))
    };
}

/// Every step, in order.
const STEPS: &[Step] = &[
    step!(1, "0001_revisions"),
    step!(2, "0002_objects"),
    step!(3, "0003_tokens"),
    step!(4, "0004_audit"),
    step!(100, "0100_nodes"),
    step!(101, "0101_links"),
    step!(102, "0102_heard_denials"),
    step!(103, "0103_owed_ends"),
    step!(104, "0104_revoked_labels"),
    step!(200, "0200_secrets"),
    step!(201, "0201_session_keys"),
];

/// Refuses a database that is somebody else's, and leaves it as it is: ours has the first step, or nothing at all.
pub(super) fn recognise(connection: &Connection) -> Result<(), StoreError> {
    let tables: Vec<String> = connection
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")?
        .query_map((), |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let (number, name, _) = STEPS[0];
    let is_first = || {
        let known = connection.query_row("SELECT name FROM migrations WHERE number = ?", [number], |row| row.get(0));
        known.is_ok_and(|known: String| known == name)
    };
    if tables.is_empty() || (tables.iter().any(|table| table == "migrations") && is_first()) {
        return Ok(());
    }
    Err(StoreError::Foreign)
}

/// Brings a database to the shape this version works with: all missing steps, or none.
pub(super) fn migrate(connection: &mut Connection, now: Timestamp) -> Result<(), StoreError> {
    migrate_by(connection, now, STEPS)
}

fn migrate_by(connection: &mut Connection, now: Timestamp, steps: &[Step]) -> Result<(), StoreError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(
        "CREATE TABLE IF NOT EXISTS migrations (number INTEGER PRIMARY KEY, name TEXT NOT NULL, at_ms INTEGER NOT NULL) STRICT",
    )?;
    let done: BTreeMap<i64, String> = transaction
        .prepare("SELECT number, name FROM migrations")?
        .query_map((), |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    // Another version may have moved data to places we do not look at.
    if let Some((_, name)) = done.iter().find(|(number, _)| !steps.iter().any(|(known, ..)| known == *number)) {
        return Err(StoreError::Newer(name.clone()));
    }
    for (number, name, sql) in steps.iter().filter(|(number, ..)| !done.contains_key(number)) {
        transaction.execute_batch(sql)?;
        transaction.execute("INSERT INTO migrations VALUES (?, ?, ?)", params![number, name, now.as_millisecond()])?;
    }
    Ok(transaction.commit()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-11-20T10:00:00Z".parse().unwrap()
    }

    #[test]
    fn steps_are_in_order_and_each_is_done_once() {
        assert!(STEPS.is_sorted_by_key(|(number, ..)| *number));
        for (number, name, _) in STEPS {
            assert!(name.starts_with(&format!("{number:04}_")), "{name}");
        }
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection, now()).unwrap();
        migrate(&mut connection, now()).unwrap();
        let count: u32 = connection.query_row("SELECT count(*) FROM migrations", (), |row| row.get(0)).unwrap();
        assert_eq!(count as usize, STEPS.len());
    }

    #[test]
    fn a_missing_step_is_caught_up_on_and_an_unknown_one_refused() {
        let mut connection = Connection::open_in_memory().unwrap();
        let (a, b): (Step, Step) = ((1, "0001_a", "CREATE TABLE a (x) "), (100, "0100_b", "CREATE TABLE b (x)"));
        migrate_by(&mut connection, now(), &[b]).unwrap();
        migrate_by(&mut connection, now(), &[a, b]).unwrap();
        connection.execute("INSERT INTO a VALUES (1)", ()).unwrap();
        let refused = migrate_by(&mut connection, now(), &[a]).unwrap_err().to_string();
        assert!(refused.contains("0100_b") && refused.contains("newer version"), "{refused}");
    }

    #[test]
    fn a_step_that_fails_leaves_everything_as_it_was() {
        let mut connection = Connection::open_in_memory().unwrap();
        let steps: &[Step] = &[(1, "0001_a", "CREATE TABLE a (x)"), (2, "0002_b", "CREATE TABLE a (x)")];
        migrate_by(&mut connection, now(), steps).unwrap_err();
        let tables: u32 = connection.query_row("SELECT count(*) FROM sqlite_master", (), |row| row.get(0)).unwrap();
        assert_eq!(tables, 0);
    }
}
