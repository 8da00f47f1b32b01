//! From what the objects are to be to a revision: judged, compared, written, remembered.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use jiff::Timestamp;
use rusqlite::Connection;

use super::super::change::{self, Change};
use super::super::held::Held;
use super::super::judge::{Judgement, judge};
use super::super::made::Made;
use super::super::{ServiceError, order, secret, source};
use super::Outcome;
use crate::audit::{self, Event};
use crate::language::{Fault, Kind, Object, Path};
use crate::secrets::Ring;
use crate::store::{objects, revisions};

/// Largest configuration, as canonical JSON: 8 MiB, as for a file.
const MAX_BYTES: usize = 8 << 20;

/// Who wants it, and how.
pub(super) struct Intent {
    pub(super) author: String,
    pub(super) at: Timestamp,
    /// What the audit log calls it.
    pub(super) action: &'static str,
    pub(super) base: Option<u64>,
    pub(super) dry_run: bool,
    pub(super) message: String,
}

/// Makes the objects what they are to be, in a new revision, which is returned; nothing, where something is wrong or nothing would
/// change.
pub(super) fn commit(
    tx: &Connection,
    ring: &Ring,
    intent: &Intent,
    current: &[Held],
    next: Vec<Object>,
    mut warnings: Vec<Fault>,
) -> Result<(Outcome, Option<Made>), ServiceError> {
    let head = revisions::head(tx)?;
    let next = arranged(current, next, head + 1, ring);
    let size: usize = next.iter().map(|held| held.row.spec.len()).sum();
    if size > MAX_BYTES {
        let fault =
            Fault::value(Path::default(), format!("the whole configuration is larger than {} MiB", MAX_BYTES >> 20));
        return Ok((Outcome { revision: head, faults: vec![fault.into()], ..Outcome::default() }, None));
    }
    let all: Vec<&Object> = next.iter().map(|held| &held.object).collect();
    let (keys, secrets, nodes) = (source::keys(tx)?, secret::opened(tx, ring)?, source::nodes(tx)?);
    let Judgement { faults, warnings: odd, desired } = judge(&all, keys, secrets, &nodes, head + 1, intent.at);
    warnings.extend(odd);
    let changes = change::between(current, &next);
    let mut outcome = Outcome { revision: head, changes, warnings, faults };
    if intent.dry_run || !outcome.faults.is_empty() || outcome.changes.is_empty() {
        return Ok((outcome, None));
    }
    let told = serde_json::to_string(&outcome.changes).expect("changes are texts and lists of texts");
    let base = intent.base.unwrap_or(head);
    outcome.revision = revisions::add(tx, intent.at, &intent.author, &intent.message, base, &told)?;
    write(tx, intent, current, &next, &outcome)?;
    // the number that was expected, as nobody else writes meanwhile
    let made = desired.filter(|desired| desired.revision == outcome.revision);
    let made = made.map(|desired| Made { objects: Arc::new(next), desired: Arc::new(desired) });
    Ok((outcome, made))
}

/// Writes the rows of what changed, and an entry of the audit log for each.
fn write(
    tx: &Connection,
    intent: &Intent,
    current: &[Held],
    next: &[Held],
    outcome: &Outcome,
) -> Result<(), ServiceError> {
    let (before, after) = (by_name(current), by_name(next));
    for Change { kind, name, .. } in &outcome.changes {
        let key = (kind.as_str(), name.as_str());
        match after.get(&key) {
            Some(held) => objects::put(tx, &held.row)?,
            None => objects::end(tx, outcome.revision, kind, name)?,
        }
        let digest = |held: Option<&&Held>| held.map(|held| held.digest()).unwrap_or_default();
        let event = Event {
            actor: intent.author.clone(),
            action: intent.action,
            object: format!("{kind}/{name}"),
            before: digest(before.get(&key)),
            after: digest(after.get(&key)),
            detail: format!("revision {}", outcome.revision),
        };
        audit::record(tx, intent.at, event)?;
    }
    Ok(())
}

type ByName<'a> = HashMap<(&'a str, &'a str), &'a Held>;

fn by_name(held: &[Held]) -> ByName<'_> {
    held.iter().map(|held| ((held.row.kind.as_str(), held.row.name.as_str()), held)).collect()
}

/// Objects with their rows. What stays as it is keeps its row; the others get one that counts from `since` on.
fn arranged(current: &[Held], next: Vec<Object>, since: u64, ring: &Ring) -> Vec<Held> {
    let before = by_name(current);
    let mut kinds: BTreeMap<Kind, Vec<Object>> = BTreeMap::new();
    for object in next {
        kinds.entry(object.kind).or_default().push(object);
    }
    let mut held = Vec::new();
    for objects in kinds.into_values() {
        let old: Vec<Option<&Held>> =
            objects.iter().map(|object| before.get(&(object.kind.as_str(), &*object.name)).copied()).collect();
        let known: Vec<_> = old.iter().map(|old| old.map(|old| old.row.position)).collect();
        for ((object, old), position) in objects.into_iter().zip(old).zip(order::positions(&known)) {
            let same = old.filter(|old| {
                old.row.position == position && old.object.spec.equals(&object.spec) && old.hides(&object)
            });
            held.push(same.cloned().unwrap_or_else(|| Held::new(object, since, position, ring)));
        }
    }
    held
}
