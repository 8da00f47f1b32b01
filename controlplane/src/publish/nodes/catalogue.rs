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

impl Nodes {
    /// What the connected nodes' servers offer. Empty texts stand for all.
    #[must_use]
    pub fn catalogue(&self, kind: OfferKind, server: &str, name: &str) -> Catalogue {
        let mut items: BTreeMap<(String, String), v1::CatalogueItem> = BTreeMap::new();
        let mut left_out = BTreeMap::new();
        for (inventory, nodes) in self.inventories_of(server) {
            let most = left_out.entry(inventory.server.clone()).or_default();
            *most = inventory.left_out.max(*most);
            for (template, item) in kind.of(&inventory) {
                let own = if item.own.is_empty() { &item.name } else { &item.own };
                if !name.is_empty() && name != item.name && name != own {
                    continue;
                }
                let key = (inventory.server.clone(), item.name.clone());
                let told = items.entry(key).or_insert_with(|| v1::CatalogueItem {
                    name: item.name.clone(),
                    own: own.clone(),
                    server: inventory.server.clone(),
                    title: item.title.clone(),
                    description: item.description.clone(),
                    template,
                    nodes: 0,
                });
                told.nodes += nodes;
            }
        }
        Catalogue { items: items.into_values().collect(), left_out: left_out.into_values().sum() }
    }

    /// What connected nodes have of a server, or of all: each inventory once, with how many have it.
    fn inventories_of(&self, server: &str) -> Vec<(Arc<v1::Inventory>, u32)> {
        let known = self.known();
        let mut found = HashMap::new();
        for node in known.values().filter(|node| node.visitor.is_some()) {
            for offered in node.offers.values() {
                if server.is_empty() || offered.inventory.server == server {
                    let (_, nodes) = found.entry(offered.digest).or_insert((Arc::clone(&offered.inventory), 0));
                    *nodes += 1;
                }
            }
        }
        found.into_values().collect()
    }
}
