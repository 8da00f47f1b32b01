//! Words that this version does not act on yet: each gets a sentence of its own instead of "unknown key".

use super::fault::Fault;
use super::path::Path;
use super::tree::{Entry, Node};

/// Keys of the document that come with later versions.
const SECTIONS: [(&str, &str); 1] = [("routes", "routes come")];

/// Faults of words that are right, but not yet.
pub(super) fn later(root: &Node) -> Vec<Fault> {
    let mut faults = Vec::new();
    not_yet(root.entries(), &Path::default(), &SECTIONS, &mut faults);
    faults
}

fn not_yet(entries: &[Entry], path: &Path, words: &[(&str, &str)], faults: &mut Vec<Fault>) {
    for entry in entries {
        if let Some((_, what)) = words.iter().find(|(word, _)| *word == entry.key) {
            faults.push(Fault::key(path.key(&entry.key), format!("{what} with a later version")));
        }
    }
}
