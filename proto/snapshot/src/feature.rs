//! What a manifest may need a node to know. Fields that a node does not know are noticed without a word here (see
//! [`crate::chunk::Parsed`]); words are for what is said by values, by order, or outside of chunks.

use sluice_contract::v1;

use crate::Fault;

/// A word, and whether a snapshot needs it.
type Feature = (&'static str, fn(&v1::Snapshot) -> bool);

/// Knows `Entitled`, by which a node refuses who was taken away before it runs the revision that says so.
pub const ENTITLED: &str = "entitled";

/// What this version knows beyond the first version of the contract.
const KNOWN: &[Feature] = &[
    // beside snapshots: none needs it
    (ENTITLED, |_| false),
];

/// What this version knows, for `Hello.features`.
pub fn known() -> impl Iterator<Item = &'static str> {
    KNOWN.iter().map(|(word, _)| *word)
}

/// What a snapshot needs its node to know, for `Manifest.features`.
pub fn needed(snapshot: &v1::Snapshot) -> impl Iterator<Item = &'static str> {
    KNOWN.iter().filter(|(_, needs)| needs(snapshot)).map(|(word, _)| *word)
}

/// A fault for each word that this version does not know.
pub fn unknown(words: &[String]) -> impl Iterator<Item = Fault> {
    words.iter().filter(|word| !known().any(|known| known == word.as_str())).map(|word| Fault {
        path: "features".to_owned(),
        reason: format!("`{word}` is not known to this version; the node has to be upgraded first"),
    })
}
