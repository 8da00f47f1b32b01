//! From objects to a configuration: they are put into one document, which is read like a file.

use std::collections::HashSet;

use super::super::config::Config;
use super::super::fault::Fault;
use super::super::tree::{Content, Entry, Node, Span};
use super::super::{later, reader};
use super::{Kind, Object};
use crate::language::Path;

/// Reads objects as the configuration they are together. Their order is that of the document.
///
/// # Errors
///
/// Every fault found.
pub fn join<'a>(objects: impl IntoIterator<Item = &'a Object>) -> Result<Config, Vec<Fault>> {
    let mut maps: Vec<(Kind, Vec<Entry>)> = Kind::ALL.into_iter().map(|kind| (kind, Vec::new())).collect();
    for object in objects {
        let entry = Entry::new(object.name.clone(), Span::default(), Node::clone(&object.spec.0));
        if let Some((_, entries)) = maps.iter_mut().find(|(kind, _)| *kind == object.kind) {
            entries.push(entry);
        }
    }
    let document = maps.into_iter().filter(|(_, entries)| !entries.is_empty()).map(|(kind, entries)| {
        let of_one = |mut entries: Vec<Entry>| entries.pop().map(|entry| entry.value);
        let value = if kind.is_single() { of_one(entries) } else { Some(map(entries)) };
        Entry::new(kind.map(), Span::default(), value.unwrap_or_else(|| map(Vec::new())))
    });
    let root = map(document.collect());
    let mut faults = later::later(&root);
    faults.extend(elsewhere(&root));
    let known: HashSet<Path> = faults.iter().map(|fault| fault.path.clone()).collect();
    let (config, found) = reader::read::<Config>(&root, known);
    faults.extend(found);
    if faults.is_empty() { Ok(config) } else { Err(faults) }
}

/// Files that are read together with a configuration are beside it, not beside a node.
fn elsewhere(root: &Node) -> Vec<Fault> {
    let servers = root.get("servers").map_or(&[][..], Node::entries);
    let named = servers.iter().filter(|server| server.value.get("env_file").is_some());
    let fault = |server: &Entry| {
        let path = Path::of(["servers", &server.key, "env_file"]);
        let fault = Fault::key(path, "names a file of whoever wrote the configuration, which nodes do not have");
        fault.advise("give its variables as `env`; `sluice apply -f FILE` does so")
    };
    named.map(fault).collect()
}

fn map(entries: Vec<Entry>) -> Node {
    Node { span: Span::default(), content: Content::Map(entries) }
}
