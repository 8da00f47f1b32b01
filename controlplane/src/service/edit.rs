//! Changes of objects: apply, delete, roll back. Each says what the objects are to be; one way leads from there to a revision.

mod commit;
mod next;

use jiff::Timestamp;
use rusqlite::Connection;

use super::change::Change;
use super::held::Held;
use super::judge::Judged;
use super::made::Made;
use super::{Caller, Operation, Service, ServiceError};
use crate::language::{Fault, Kind, Path};
use crate::store::{objects, revisions};
use commit::{Intent, commit};

/// Longest message of a revision, in characters.
pub const MAX_MESSAGE: usize = 1_000;
/// How many changes are named to somebody who lost a race.
const MAX_TOLD: u32 = 20;

/// Objects to create or update.
#[derive(Default)]
pub struct Apply {
    /// In the order they are to have, where they are new.
    pub objects: Vec<RawObject>,
    /// The revision the caller has seen; `None`: whatever is there.
    pub base: Option<u64>,
    /// Judges and compares, and changes nothing.
    pub dry_run: bool,
    /// Objects that are not named are removed, and the order is the one given.
    pub prune: bool,
    /// Why.
    pub message: String,
}

/// An object that nobody looked at yet.
pub struct RawObject {
    /// The kind.
    pub kind: String,
    /// The name.
    pub name: String,
    /// What it says, as JSON; secrets that stay may be masks.
    pub json: String,
    /// Places in it, such as `args[0]`, of what is secret beyond what the language calls so.
    pub secrets: Vec<String>,
}

/// An object to remove.
#[derive(Default)]
pub struct Delete {
    /// The kind.
    pub kind: String,
    /// The name.
    pub name: String,
    /// As in [`Apply`].
    pub base: Option<u64>,
    /// As in [`Apply`].
    pub dry_run: bool,
    /// Why.
    pub message: String,
}

/// A revision to go back to.
#[derive(Default)]
pub struct Rollback {
    /// Its objects become those of a new revision.
    pub revision: u64,
    /// As in [`Apply`].
    pub base: Option<u64>,
    /// As in [`Apply`].
    pub dry_run: bool,
    /// Why; empty: that it is a rollback.
    pub message: String,
}

/// What came of a change.
#[derive(Default)]
pub struct Outcome {
    /// The head after it.
    pub revision: u64,
    /// What changed, or would.
    pub changes: Vec<Change>,
    /// Accepted, but perhaps not what was meant.
    pub warnings: Vec<Fault>,
    /// Any of them: nothing was changed.
    pub faults: Vec<Judged>,
}

impl Service {
    /// Makes objects what is said.
    ///
    /// # Errors
    ///
    /// Not allowed, the configuration moved on, or the store fails. Faults of the configuration are in the outcome.
    pub async fn apply(&self, caller: &Caller, apply: Apply) -> Result<Outcome, ServiceError> {
        let intent = self.intent(caller, Operation::Apply, "apply", apply.base, apply.dry_run, apply.message).await?;
        let service = self.clone();
        let edit = move |tx: &Connection| {
            check_base(tx, intent.base)?;
            let (ring, current) = (service.ring(), service.objects(tx)?);
            match next::applied(&current, apply.objects, apply.prune, &ring)? {
                Ok((next, warnings)) => commit(tx, &ring, &intent, &current, next, warnings),
                Err(faults) => {
                    let faults = faults.into_iter().map(Judged::from).collect();
                    Ok((Outcome { revision: revisions::head(tx)?, faults, ..Outcome::default() }, None))
                }
            }
        };
        self.commit(edit).await
    }

    /// Removes an object.
    ///
    /// # Errors
    ///
    /// Not allowed, no such object, the configuration moved on, or the store fails.
    pub async fn delete(&self, caller: &Caller, delete: Delete) -> Result<Outcome, ServiceError> {
        let kind = Kind::parse(&delete.kind).map_err(|fault| ServiceError::Invalid(in_words(&fault)))?;
        let intent =
            self.intent(caller, Operation::Delete, "delete", delete.base, delete.dry_run, delete.message).await?;
        let service = self.clone();
        let name = delete.name;
        let edit = move |tx: &Connection| {
            check_base(tx, intent.base)?;
            let (ring, current) = (service.ring(), service.objects(tx)?);
            let is_meant = |held: &Held| held.object.kind == kind && held.object.name == name;
            if !current.iter().any(is_meant) {
                let of_kind = current.iter().filter(|held| held.object.kind == kind);
                let names: Vec<String> = of_kind.map(|held| held.object.name.clone()).collect();
                return Err(ServiceError::no_object(kind, &name, &names));
            }
            let next = current.iter().filter(|held| !is_meant(held)).map(|held| held.object.clone()).collect();
            let (outcome, made) = commit(tx, &ring, &intent, &current, next, Vec::new())?;
            Ok((Outcome { faults: used_by(kind, &name, outcome.faults), ..outcome }, made))
        };
        self.commit(edit).await
    }

    /// Makes a new revision with the objects of an old one. Tokens and secrets of their own stay what they are.
    ///
    /// # Errors
    ///
    /// Not allowed, no such revision, the configuration moved on, or the store fails.
    pub async fn roll_back(&self, caller: &Caller, rollback: Rollback) -> Result<Outcome, ServiceError> {
        let Rollback { revision, base, dry_run, mut message } = rollback;
        if message.is_empty() {
            message = format!("rollback to revision {revision}");
        }
        let intent = self.intent(caller, Operation::Rollback, "rollback", base, dry_run, message).await?;
        let service = self.clone();
        let edit = move |tx: &Connection| {
            let head = revisions::head(tx)?;
            if revision == 0 {
                let reason = "there is no revision 0: revisions count from 1, and before the first there was nothing; \
                    `sluice delete` removes objects";
                return Err(ServiceError::Invalid(reason.to_owned()));
            }
            if revision > head {
                return Err(ServiceError::NotFound(format!("there is no revision {revision}; the head is {head}")));
            }
            check_base(tx, intent.base)?;
            let (ring, current) = (service.ring(), service.objects(tx)?);
            let old = opened(objects::at(tx, revision)?, &ring)?;
            commit(tx, &ring, &intent, &current, old.into_iter().map(|held| held.object).collect(), Vec::new())
        };
        self.commit(edit).await
    }

    /// Makes an edit, and goes on from what it made.
    async fn commit(
        &self,
        edit: impl FnOnce(&Connection) -> Result<(Outcome, Option<Made>), ServiceError> + Send + 'static,
    ) -> Result<Outcome, ServiceError> {
        let service = self.clone();
        let then = move |(_, made): &(Outcome, Option<Made>)| service.made(made.as_ref());
        let (outcome, _) = self.store().write_then(move |tx| edit(tx), then).await?;
        Ok(outcome)
    }

    async fn intent(
        &self,
        caller: &Caller,
        operation: Operation,
        action: &'static str,
        base: Option<u64>,
        dry_run: bool,
        message: String,
    ) -> Result<Intent, ServiceError> {
        // To judge is to read.
        self.allow(caller, if dry_run { Operation::Get } else { operation }).await?;
        if message.chars().count() > MAX_MESSAGE {
            return Err(ServiceError::Invalid(format!("the message has more than {MAX_MESSAGE} characters")));
        }
        Ok(Intent { author: caller.name.clone(), at: Timestamp::now(), action, base, dry_run, message })
    }
}

fn opened(rows: Vec<objects::StoredObject>, ring: &crate::secrets::Ring) -> Result<Vec<Held>, ServiceError> {
    rows.into_iter().map(|row| Held::open(row, ring)).collect()
}

/// Somebody who has seen an older state than what is there must look again. Keys and secrets do not count: who writes objects
/// has not seen them.
fn check_base(tx: &Connection, base: Option<u64>) -> Result<(), ServiceError> {
    let (Some(base), head) = (base, revisions::head(tx)?) else { return Ok(()) };
    if base > head {
        return Err(ServiceError::Invalid(format!("there is no revision {base} to start from; the head is {head}")));
    }
    if objects::changed(tx)? <= base {
        return Ok(());
    }
    let mut changed = Vec::new();
    for revision in revisions::after(tx, base, MAX_TOLD)? {
        let changes: Vec<Change> = serde_json::from_str(&revision.changes).unwrap_or_default();
        let names: Vec<_> = changes.iter().map(|change| format!("{}/{}", change.kind, change.name)).collect();
        changed.push(format!("{} by {} in revision {}", names.join(", "), revision.author, revision.revision));
    }
    Err(ServiceError::Conflict { base, head, changed: changed.join("; ") })
}

/// Says first which objects need the one that was to go.
fn used_by(kind: Kind, name: &str, faults: Vec<Judged>) -> Vec<Judged> {
    let mut users: Vec<String> = Vec::new();
    for (kind, name) in faults.iter().filter_map(|judged| Kind::of_path(&judged.fault.path)) {
        let user = format!("{kind}/{name}");
        if !users.contains(&user) {
            users.push(user);
        }
    }
    if users.is_empty() {
        return faults;
    }
    let fault = Fault::key(kind.path(name), format!("is needed by {}", users.join(", ")));
    let first = Judged::from(fault.advise("change or delete those first, or apply all of it in one go"));
    std::iter::once(first).chain(faults).collect()
}

pub(super) fn in_words(fault: &Fault) -> String {
    let advice = fault.advice.as_deref().map(|advice| format!("; {advice}")).unwrap_or_default();
    format!("{}{advice}", fault.message)
}

/// A place inside an object as one of the document.
fn within(object: &Path, inside: &Path) -> Path {
    inside.segments().iter().cloned().fold(object.clone(), Path::then)
}
