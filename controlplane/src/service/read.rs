//! What may be seen: objects, revisions, the audit log.

use jiff::Timestamp;

use super::change::Change;
use super::{Caller, Operation, Service, ServiceError};
use crate::audit::{self, Entry, Verdict};
use crate::language::Kind;
use crate::store::{StoreError, objects, revisions};

/// Revisions that are listed where nobody says how many.
const HISTORY: u32 = 50;
/// Entries of the audit log that are listed where nobody says how many.
const AUDIT: u32 = 100;
/// Most rows of either in one answer: the next ones are asked for with `before`.
pub const MAX_ROWS: u32 = 1_000;

/// An object as it may be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Canonical JSON, secrets masked.
    pub json: String,
    /// The revision it was last changed in.
    pub revision: u64,
}

/// A revision, with what it changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevisionAbout {
    /// Its number.
    pub revision: u64,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub author: String,
    /// Why.
    pub message: String,
    /// What it was based on.
    pub base: u64,
    /// What it changed.
    pub changes: Vec<Change>,
}

impl Service {
    /// Objects of a kind, or one, at a revision (0: the head), which is told. Empty texts stand for all.
    ///
    /// # Errors
    ///
    /// Not allowed, no such kind, object or revision, or the store fails.
    pub async fn get(
        &self,
        caller: &Caller,
        kind: &str,
        name: &str,
        revision: u64,
    ) -> Result<(u64, Vec<Shown>), ServiceError> {
        self.allow(caller, Operation::Get).await?;
        let kind = match kind {
            "" if !name.is_empty() => return Err(ServiceError::Invalid("a name takes a kind before it".to_owned())),
            "" => None,
            kind => Some(Kind::parse(kind).map_err(|fault| ServiceError::Invalid(super::edit::in_words(&fault)))?),
        };
        let name = name.to_owned();
        self.store()
            .read(move |db| {
                let head = revisions::head(db)?;
                let revision = if revision == 0 { head } else { revision };
                if revision > head {
                    return Err(ServiceError::NotFound(format!("there is no revision {revision}; the head is {head}")));
                }
                let mut rows = objects::at(db, revision)?;
                rows.retain(|row| kind.is_none_or(|kind| row.kind == kind.as_str()));
                if let (Some(kind), false) = (kind, name.is_empty()) {
                    let names: Vec<String> = rows.iter().map(|row| row.name.clone()).collect();
                    rows.retain(|row| row.name == name);
                    if rows.is_empty() {
                        return Err(ServiceError::no_object(kind, &name, &names));
                    }
                }
                let order = |row: &objects::StoredObject| Kind::named(&row.kind);
                rows.sort_by_key(order);
                let shown = |row: objects::StoredObject| Shown {
                    kind: row.kind,
                    name: row.name,
                    json: row.spec,
                    revision: row.since,
                };
                Ok((revision, rows.into_iter().map(shown).collect()))
            })
            .await
    }

    /// Revisions before one (0: from the head), newest first.
    ///
    /// # Errors
    ///
    /// Not allowed, or the store fails.
    pub async fn history(&self, caller: &Caller, limit: u32, before: u64) -> Result<Vec<RevisionAbout>, ServiceError> {
        self.allow(caller, Operation::History).await?;
        let (limit, before) = page(limit, HISTORY, before)?;
        let rows = self.store().read(move |db| revisions::before(db, before, limit)).await?;
        let about = |row: revisions::Revision| {
            let changes = serde_json::from_str(&row.changes).map_err(|error| StoreError::Broken(error.to_string()))?;
            let revisions::Revision { revision, at, author, message, base, .. } = row;
            Ok(RevisionAbout { revision, at, author, message, base, changes })
        };
        rows.into_iter().map(about).collect()
    }

    /// Entries of the audit log before one (0: from the newest), newest first; with `denials`, only those of somebody who was
    /// refused.
    ///
    /// # Errors
    ///
    /// Not allowed, or the store fails.
    pub async fn audit(
        &self,
        caller: &Caller,
        limit: u32,
        before: u64,
        denials: bool,
    ) -> Result<Vec<Entry>, ServiceError> {
        self.allow(caller, Operation::Audit).await?;
        let (limit, before) = page(limit, AUDIT, before)?;
        self.store().read(move |db| Ok(audit::before(db, before, limit, denials)?)).await
    }

    /// Checks the audit log from its beginning.
    ///
    /// # Errors
    ///
    /// Not allowed, or the store fails.
    pub async fn verify_audit(&self, caller: &Caller) -> Result<Verdict, ServiceError> {
        self.allow(caller, Operation::VerifyAudit).await?;
        self.store().read(|db| Ok(audit::verify(db)?)).await
    }
}

fn page(limit: u32, usual: u32, before: u64) -> Result<(u32, u64), ServiceError> {
    if limit > MAX_ROWS {
        let reason = format!("at most {MAX_ROWS} are listed at a time; the next ones are asked for with `before`");
        return Err(ServiceError::Invalid(reason));
    }
    Ok((if limit == 0 { usual } else { limit }, if before == 0 { u64::MAX } else { before }))
}
