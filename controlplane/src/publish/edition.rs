//! One revision as nodes of equal labels get it: compiled once, cut once, its bytes shared.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use sluice_contract::v1;
use sluice_snapshot::chunk::{Chunks, cut};

use super::{Desired, wire};
use crate::compile::{Compiled, Origins};
use crate::language::Fault;

/// Labels of a node.
pub type Labels = BTreeMap<String, String>;

/// A manifest without generation, and its chunks.
pub(super) struct Edition {
    pub manifest: v1::Manifest,
    pub chunks: Chunks,
    /// Names in the order of the manifest, to say faults by.
    servers: Vec<String>,
    /// To say faults in the words of the configuration: worked out for the first of them.
    origins: OnceLock<Origins>,
    desired: Arc<Desired>,
    labels: Labels,
}

/// An edition, or why there is none.
pub(super) type Made = Result<Edition, Vec<Fault>>;

impl Edition {
    fn make(desired: &Arc<Desired>, labels: &Labels) -> Made {
        let Compiled { snapshot, .. } = desired.take(labels)?;
        let servers = snapshot.servers.iter().map(|server| server.name.clone()).collect();
        let (manifest, chunks) = cut(snapshot);
        let (desired, labels) = (Arc::clone(desired), labels.clone());
        Ok(Self { manifest, chunks, servers, origins: OnceLock::new(), desired, labels })
    }

    /// A node's fault in the words of the configuration; where nobody wrote the part, by names instead of positions.
    pub(super) fn say(&self, fault: v1::NodeFault) -> v1::ConfigurationFault {
        let v1::NodeFault { path, reason } = &fault;
        let origins = self.origins.get_or_init(|| self.desired.origins(&self.labels));
        let said = origins.say(sluice_snapshot::Fault { path: path.clone(), reason: reason.clone() });
        said.map_or_else(|| self.by_name(fault), wire::fault)
    }

    fn by_name(&self, fault: v1::NodeFault) -> v1::ConfigurationFault {
        let mut path: Vec<String> = Vec::new();
        for part in fault.path.split('.').filter(|part| !part.is_empty()) {
            let (name, indices) = part.split_once('[').map_or((part, ""), |(name, rest)| (name, rest));
            path.push(name.to_owned());
            for index in indices.split(['[', ']']).filter(|index| !index.is_empty()) {
                let server = (path == ["servers"]).then(|| self.servers.get(index.parse::<usize>().ok()?)).flatten();
                path.push(server.map_or_else(|| index.to_owned(), String::clone));
            }
        }
        v1::ConfigurationFault { path, message: fault.reason, ..v1::ConfigurationFault::default() }
    }
}

/// The editions of the newest revision that was asked for.
#[derive(Default)]
pub(super) struct Editions(Mutex<Shelf>);

#[derive(Default)]
struct Shelf {
    revision: u64,
    made: BTreeMap<Labels, Arc<OnceLock<Made>>>,
}

impl Editions {
    /// The edition for these labels, made once for all who ask at the same time.
    pub(super) fn of(&self, desired: &Arc<Desired>, labels: &Labels) -> Arc<OnceLock<Made>> {
        let place = {
            let mut shelf = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if shelf.revision < desired.revision {
                *shelf = Shelf { revision: desired.revision, made: BTreeMap::new() };
            }
            match shelf.revision == desired.revision {
                true => Arc::clone(shelf.made.entry(labels.clone()).or_default()),
                // somebody was overtaken, and will ask for the newer one soon
                false => Arc::default(),
            }
        };
        place.get_or_init(|| Edition::make(desired, labels));
        place
    }
}

/// Pieces of a chunk of at most `size` bytes; the last one is marked.
pub(super) fn pieces(bytes: &Bytes, size: usize) -> impl Iterator<Item = (Bytes, bool)> + '_ {
    let count = bytes.len().div_ceil(size).max(1);
    (0..count).map(move |index| (bytes.slice(index * size..bytes.len().min((index + 1) * size)), index + 1 == count))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language::{self, Variables};

    fn desired(revision: u64, text: &str) -> Arc<Desired> {
        let loaded = language::load("mcp.yaml", text.to_owned(), &Variables::of([])).unwrap_or_else(|e| panic!("{e}"));
        Arc::new(Desired { revision, config: loaded.config, ..Desired::default() })
    }

    fn labels(region: &str) -> Labels {
        [("region".to_owned(), region.to_owned())].into()
    }

    #[test]
    fn nodes_of_equal_labels_share_an_edition_and_others_get_their_own() {
        let editions = Editions::default();
        let desired = desired(1, "servers:\n  all: {command: a}\n  eu: {command: b, nodes: {region: eu}}\n");
        let (eu, again, us) = (
            editions.of(&desired, &labels("eu")),
            editions.of(&desired, &labels("eu")),
            editions.of(&desired, &labels("us")),
        );
        assert!(Arc::ptr_eq(&eu, &again));
        let servers = |made: &OnceLock<Made>| made.get().unwrap().as_ref().unwrap().servers.clone();
        assert_eq!((servers(&eu), servers(&us)), (vec!["all".to_owned(), "eu".to_owned()], vec!["all".to_owned()]));
    }

    #[test]
    fn who_was_overtaken_does_not_push_the_newer_edition_out() {
        let editions = Editions::default();
        let (old, new) = (desired(1, "servers: {a: {command: a}}"), desired(2, "servers: {b: {command: b}}"));
        let newer = editions.of(&new, &labels("eu"));
        let older = editions.of(&old, &labels("eu"));
        assert_eq!(older.get().unwrap().as_ref().unwrap().manifest.revision, 1);
        assert!(Arc::ptr_eq(&newer, &editions.of(&new, &labels("eu"))));
    }

    #[test]
    fn a_node_s_fault_is_said_by_the_name_of_its_server() {
        let Ok(edition) = Edition::make(&desired(1, "servers: {a: {command: a}, b: {command: b}}"), &Labels::new())
        else {
            panic!("refused")
        };
        let say = |path: &str| edition.say(v1::NodeFault { path: path.to_owned(), reason: "no".to_owned() }).path;
        assert_eq!(say("servers[1].stdio.program"), ["servers", "b", "command"], "as it was written");
        assert_eq!(say("servers[1].http.headers[0].name"), ["servers", "b", "http", "headers", "0", "name"]);
        assert_eq!(say("ledger"), ["ledger"]);
        assert!(say("").is_empty());
    }
}
