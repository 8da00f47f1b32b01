//! What people are told of tools, prompts and resources.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use sluice_contract::v1;

use super::Nodes;

/// What can be offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OfferKind {
    /// Tools.
    Tool,
    /// Prompts.
    Prompt,
    /// Resources, and the templates they are made from.
    Resource,
}

impl OfferKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Tool, Self::Prompt, Self::Resource];

    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tool => "tool",
            Self::Prompt => "prompt",
            Self::Resource => "resource",
        }
    }

    /// The kind of that name, in the singular.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// Items of this kind; `true`: they are templates.
    fn of(self, inventory: &v1::Inventory) -> impl Iterator<Item = (bool, &v1::InventoryItem)> {
        let (items, templates): (&[_], &[_]) = match self {
            Self::Tool => (&inventory.tools, &[]),
            Self::Prompt => (&inventory.prompts, &[]),
            Self::Resource => (&inventory.resources, &inventory.templates),
        };
        items.iter().map(|item| (false, item)).chain(templates.iter().map(|item| (true, item)))
    }
}

/// All of a kind.
#[derive(Default)]
pub struct Catalogue {
    /// By server and name.
    pub items: Vec<v1::CatalogueItem>,
    /// Items that nodes had no room to report.
    pub left_out: u32,
}

/// Whether a server offers something, as a node heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heard {
    /// It does.
    Has,
    /// It did not then, in milliseconds since 1970.
    Lacks { at_ms: u64 },
    /// The node has not heard what the server offers.
    Unknown,
}

/// What one server offers, as nodes told it.
struct Known {
    inventory: Arc<v1::Inventory>,
    /// Connected nodes that say so.
    nodes: u32,
    /// When one of them last did.
    at_ms: u64,
}

impl Nodes {
    /// What servers offer: as connected nodes say, or where none does, as it was last said. Empty texts stand for all.
    #[must_use]
    pub fn catalogue(&self, kind: OfferKind, server: &str, name: &str) -> Catalogue {
        let mut items: BTreeMap<(String, String), v1::CatalogueItem> = BTreeMap::new();
        let mut left_out = BTreeMap::new();
        for Known { inventory, nodes, at_ms } in self.inventories_of(server) {
            let most = left_out.entry(inventory.server.clone()).or_default();
            *most = inventory.left_out.max(*most);
            for (template, item) in kind.of(&inventory) {
                let own = own_name(item);
                if !name.is_empty() && name != item.name && name != own {
                    continue;
                }
                let key = (inventory.server.clone(), item.name.clone());
                let told = items.entry(key).or_insert_with(|| v1::CatalogueItem {
                    name: item.name.clone(),
                    own: own.to_owned(),
                    server: inventory.server.clone(),
                    title: item.title.clone(),
                    description: item.description.clone(),
                    template,
                    nodes: 0,
                    heard_ms: 0,
                });
                told.nodes += nodes;
                told.heard_ms = told.heard_ms.max(at_ms);
            }
        }
        Catalogue { items: items.into_values().collect(), left_out: left_out.into_values().sum() }
    }

    /// Whether a server offers this, by its own name of it, as a node last said.
    pub(crate) fn heard(&self, node: &str, server: &str, kind: OfferKind, name: &str) -> Heard {
        let known = self.known();
        let Some(told) = known.get(node).and_then(|node| node.offers.get(server)) else { return Heard::Unknown };
        let mut items = kind.of(&told.offered.inventory).peekable();
        // what was not listed, or not told in full, may be there
        let is_known = items.peek().is_some() && told.offered.inventory.left_out == 0;
        match items.any(|(_, item)| own_name(item) == name) {
            true => Heard::Has,
            false if is_known => Heard::Lacks { at_ms: told.at_ms },
            false => Heard::Unknown,
        }
    }

    /// What is known of a server, or of all: each inventory once.
    fn inventories_of(&self, server: &str) -> Vec<Known> {
        let known = self.known();
        let mut standing: HashMap<_, Known> = HashMap::new();
        let mut last: BTreeMap<&str, Known> = BTreeMap::new();
        for node in known.values() {
            for told in node.offers.values() {
                let inventory = &told.offered.inventory;
                if !server.is_empty() && inventory.server != server {
                    continue;
                }
                let once = || Known { inventory: Arc::clone(inventory), nodes: 0, at_ms: told.at_ms };
                if node.visitor.is_some() && told.stands {
                    let same = standing.entry(told.offered.digest).or_insert_with(once);
                    same.nodes += 1;
                    same.at_ms = same.at_ms.max(told.at_ms);
                } else {
                    let newest = last.entry(&inventory.server).or_insert_with(once);
                    if newest.at_ms < told.at_ms {
                        *newest = once();
                    }
                }
            }
        }
        last.retain(|server, _| !standing.values().any(|known| known.inventory.server == *server));
        standing.into_values().chain(last.into_values()).collect()
    }
}

/// As the server itself calls it.
fn own_name(item: &v1::InventoryItem) -> &str {
    if item.own.is_empty() { &item.name } else { &item.own }
}
