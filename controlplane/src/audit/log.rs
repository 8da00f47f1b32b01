//! The log in the database: written at its end, read from its end, checked from its beginning.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{Entry, GENESIS};
use crate::store::{StoreError, column};

/// Longest text of an entry, in bytes: names and reasons are shorter, and what others send must not fill the disk.
const MAX_TEXT: usize = 2_000;

/// The action of an entry about somebody who was refused.
pub const DENIED: &str = "denied";

/// What is to be remembered; the log adds number, time and hash.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Event {
    /// Who.
    pub actor: String,
    /// `apply`, `delete`, `token.create`, `denied`, …
    pub action: &'static str,
    /// What it was about.
    pub object: String,
    /// Digest of what was, in hexadecimal; empty: nothing.
    pub before: String,
    /// Digest of what is; see `before`.
    pub after: String,
    /// More, for people; nothing secret.
    pub detail: String,
}

/// Whether the log is as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Entries there are.
    pub entries: u64,
    /// The first that does not fit to the one before.
    pub broken_at: Option<u64>,
    /// The hash of the newest: kept elsewhere, it shows later whether the log was cut short or written anew.
    pub head: [u8; 32],
}

/// Adds an entry.
///
/// # Errors
///
/// The database fails.
pub fn record(connection: &Connection, now: Timestamp, event: Event) -> Result<(), StoreError> {
    let last: Option<(u64, [u8; 32])> = connection
        .prepare_cached("SELECT number, hash FROM audit ORDER BY number DESC LIMIT 1")?
        .query_row((), |row| Ok((column::number(row, 0)?, row.get(1)?)))
        .optional()?;
    let (number, previous) = last.map_or((1, GENESIS), |(number, hash)| (number + 1, hash));
    let mut entry = Entry {
        number,
        at_ms: now.as_millisecond(),
        actor: bounded(event.actor),
        action: event.action.to_owned(),
        object: bounded(event.object),
        before: event.before,
        after: event.after,
        detail: bounded(event.detail),
        hash: GENESIS,
    };
    entry.hash = entry.tied_to(&previous);
    connection.prepare_cached("INSERT INTO audit VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)")?.execute(params![
        column::int(entry.number),
        entry.at_ms,
        entry.actor,
        entry.action,
        entry.object,
        entry.before,
        entry.after,
        entry.detail,
        entry.hash
    ])?;
    Ok(())
}

/// Entries before one, newest first; with `denials`, only those of somebody who was refused.
///
/// # Errors
///
/// The database fails.
pub fn before(connection: &Connection, before: u64, limit: u32, denials: bool) -> Result<Vec<Entry>, StoreError> {
    let mut statement = connection.prepare_cached(if denials {
        // the word itself, so that the index of denials is used
        "SELECT * FROM audit WHERE action = 'denied' AND number < ? ORDER BY number DESC LIMIT ?"
    } else {
        "SELECT * FROM audit WHERE number < ? ORDER BY number DESC LIMIT ?"
    })?;
    Ok(statement.query_map(params![column::int(before), limit], read)?.collect::<Result<_, _>>()?)
}

/// Walks the log from its beginning.
///
/// # Errors
///
/// The database fails.
pub fn verify(connection: &Connection) -> Result<Verdict, StoreError> {
    let mut verdict = Verdict { entries: 0, broken_at: None, head: GENESIS };
    let mut statement = connection.prepare("SELECT * FROM audit ORDER BY number")?;
    let mut rows = statement.query(())?;
    while let Some(row) = rows.next()? {
        let entry = read(row)?;
        verdict.entries += 1;
        let fits = entry.number == verdict.entries && entry.hash == entry.tied_to(&verdict.head);
        if !fits {
            verdict.broken_at.get_or_insert(entry.number);
        }
        verdict.head = entry.hash;
    }
    Ok(verdict)
}

fn bounded(mut text: String) -> String {
    if text.len() > MAX_TEXT {
        let end = (0..=MAX_TEXT).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text
}

fn read(row: &Row<'_>) -> rusqlite::Result<Entry> {
    Ok(Entry {
        number: column::number(row, 0)?,
        at_ms: row.get(1)?,
        actor: row.get(2)?,
        action: row.get(3)?,
        object: row.get(4)?,
        before: row.get(5)?,
        after: row.get(6)?,
        detail: row.get(7)?,
        hash: row.get(8)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Failure, Folder, Store};

    fn now() -> Timestamp {
        "2026-11-20T10:00:00Z".parse().unwrap()
    }

    #[test]
    fn a_change_of_any_entry_is_found_and_named() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(Folder::new(folder.path()), now()).unwrap();
        let event = |object: &str| Event { action: "apply", object: object.into(), ..Event::default() };
        store.write_now(|tx| (0..5).try_for_each(|n| record(tx, now(), event(&format!("server/{n}"))))).unwrap();
        let good = store.read_now(verify).unwrap();
        assert_eq!((good.entries, good.broken_at), (5, None));
        let objects: Vec<_> =
            store.read_now(|db| before(db, 4, 2, false)).unwrap().into_iter().map(|entry| entry.object).collect();
        assert_eq!(objects, ["server/2", "server/1"]);
        for (damage, broken) in [
            ("UPDATE audit SET object = 'server/9' WHERE number = 3", Some(3)),
            ("UPDATE audit SET at_ms = at_ms + 1 WHERE number = 1", Some(1)),
            ("UPDATE audit SET actor = action, action = actor WHERE number = 5", Some(5)),
            ("DELETE FROM audit WHERE number = 2", Some(3)),
            // What hashes cannot show, the head kept elsewhere does.
            ("DELETE FROM audit WHERE number = 5", None),
        ] {
            let found = store.write_now(|tx| {
                tx.execute(damage, ())?;
                Err::<(), _>(Found(verify(tx)?))
            });
            let Err(Found(verdict)) = found else { panic!("committed") };
            assert_eq!(verdict.broken_at, broken, "{damage}");
            assert_eq!(
                verdict.head != good.head,
                damage.contains("number = 5") && damage.starts_with("DELETE"),
                "{damage}"
            );
        }
        assert_eq!(store.read_now(verify).unwrap(), good, "a failed write changes nothing");
    }

    /// Carries what was found out of a transaction that is not to be kept.
    #[derive(Debug)]
    struct Found(Verdict);

    impl From<StoreError> for Found {
        fn from(error: StoreError) -> Self {
            panic!("{error}")
        }
    }

    impl Failure for Found {
        fn of_store(&self) -> Option<&StoreError> {
            None
        }
    }

    impl From<rusqlite::Error> for Found {
        fn from(error: rusqlite::Error) -> Self {
            panic!("{error}")
        }
    }
}
