//! What is different between two states of the objects, told field by field; what is secret is never told, only that it
//! changed.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::held::Held;
use crate::language::MASK;

/// What became of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChangeKind {
    /// It is new.
    Added,
    /// It says something else.
    Changed,
    /// It is gone.
    Removed,
}

/// What became of an object, or of something else that nodes get: `key` stands for the API key of a client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// What became of it.
    pub change: ChangeKind,
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Of one that changed: where.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<FieldChange>,
}

/// A value of an object that changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldChange {
    /// `args[0]`, `auth.token`; `(place)` stands for the place among the objects of its kind.
    pub path: String,
    /// What was, as JSON; `None`: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// What is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

impl Change {
    pub(super) fn new(change: ChangeKind, kind: impl Into<String>, name: impl Into<String>) -> Self {
        Self { change, kind: kind.into(), name: name.into(), fields: Vec::new() }
    }
}

/// What became of the objects, in the order of what is; what is gone comes last.
pub(super) fn between(old: &[Held], new: &[Held]) -> Vec<Change> {
    let before = by_name(old);
    let mut changes = Vec::new();
    for (place, held) in places(new) {
        let (kind, name) = (&held.row.kind, &held.row.name);
        let Some((old_place, old)) = before.get(&(kind.as_str(), name.as_str())) else {
            changes.push(Change::new(ChangeKind::Added, kind, name));
            continue;
        };
        let mut fields = if old.equals(held) { Vec::new() } else { fields(old, held) };
        if old.row.position != held.row.position {
            let say = |place: usize| Some((place + 1).to_string());
            fields.push(FieldChange { path: "(place)".to_owned(), before: say(*old_place), after: say(place) });
        }
        if !fields.is_empty() {
            changes.push(Change { fields, ..Change::new(ChangeKind::Changed, kind, name) });
        }
    }
    let after = by_name(new);
    let gone = old.iter().filter(|held| !after.contains_key(&(held.row.kind.as_str(), held.row.name.as_str())));
    changes.extend(gone.map(|held| Change::new(ChangeKind::Removed, &held.row.kind, &held.row.name)));
    changes
}

type Places<'a> = BTreeMap<(&'a str, &'a str), (usize, &'a Held)>;

fn by_name(held: &[Held]) -> Places<'_> {
    places(held).map(|(place, held)| ((held.row.kind.as_str(), held.row.name.as_str()), (place, held))).collect()
}

/// Objects with their places among those of their kind.
fn places(held: &[Held]) -> impl Iterator<Item = (usize, &Held)> {
    let mut count: BTreeMap<&str, usize> = BTreeMap::new();
    held.iter().map(move |held| {
        let next = count.entry(&held.row.kind).or_default();
        *next += 1;
        (*next - 1, held)
    })
}

/// Where two states of an object differ.
fn fields(old: &Held, new: &Held) -> Vec<FieldChange> {
    let leaves = |held: &Held| super::held::read(&held.row).map(|(_, spec)| spec.leaves()).unwrap_or_default();
    let (before, after) = (leaves(old), leaves(new));
    let (secret_before, secret_after) = (old.sealed(), new.sealed());
    let paths: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let differs =
        |path: &&String| before.get(*path) != after.get(*path) || secret_before.get(*path) != secret_after.get(*path);
    // what becomes secret is not told on the way
    let is_secret = |path: &String| secret_before.contains_key(path) || secret_after.contains_key(path);
    let told = |leaves: &BTreeMap<String, String>, path: &String| {
        leaves.get(path).map(|value| if is_secret(path) { format!("\"{MASK}\"") } else { value.clone() })
    };
    let change =
        |path: &String| FieldChange { path: path.clone(), before: told(&before, path), after: told(&after, path) };
    paths.into_iter().filter(differs).map(change).collect()
}
