//! What a server offers, for the people of a fleet: names and what they mean.
//!
//! It is made anew when a list was, and known by its digest: a control plane asks for what it does not know.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use prost::Message as _;
use serde::Deserialize;
use sluice_contract::v1;
use sluice_snapshot::chunk::Name;

use super::{Catalogue, Kind, List};
use crate::limit;

/// When the lists were fetched that were last reported, and the digest of that report.
pub(super) type Reported = Mutex<Option<([Option<Instant>; 4], Name)>>;

/// Lists by kind.
type Lists = [Option<Arc<List>>; 4];

/// What of an item is told.
#[derive(Default, Deserialize)]
struct Words<'a> {
    #[serde(borrow, default)]
    title: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    description: Option<Cow<'a, str>>,
}

impl Catalogue {
    /// The digest of the inventory; `None` before anything was listed.
    pub(crate) fn inventory_digest(&self, server: &str) -> Option<Name> {
        let lists = self.longest();
        let fetched = lists.each_ref().map(|list| list.as_ref().map(|list| list.fetched));
        if fetched.iter().all(Option::is_none) {
            return None;
        }
        let mut reported = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
        match &*reported {
            Some((before, digest)) if *before == fetched => Some(*digest),
            _ => {
                let digest = Name::of(&inventory(server, &lists).encode_to_vec());
                *reported = Some((fetched, digest));
                Some(digest)
            }
        }
    }

    /// What the server offers.
    pub(crate) fn inventory(&self, server: &str) -> v1::Inventory {
        inventory(server, &self.longest())
    }

    /// The longest list of each kind: servers show less to clients that can do less.
    fn longest(&self) -> Lists {
        let mut lists = Lists::default();
        for entry in self.entries.load().values() {
            for kind in Kind::ALL {
                let Some(list) = entry.list(kind) else { continue };
                let longest = &mut lists[kind as usize];
                if longest.as_ref().is_none_or(|longest| longest.shown.items.len() < list.shown.items.len()) {
                    *longest = Some(list);
                }
            }
        }
        lists
    }
}

fn inventory(server: &str, lists: &Lists) -> v1::Inventory {
    let (mut items, mut bytes, mut left_out) = (0, 0, 0);
    let mut of = |kind: Kind| {
        let Some(list) = &lists[kind as usize] else { return Vec::new() };
        let mut told = Vec::new();
        for shown in &list.shown.items {
            let item = item(shown.exposed.as_ref(), shown.original(), list.shown.json(shown));
            if items == limit::INVENTORY_ITEMS || bytes + item.encoded_len() > limit::INVENTORY_BYTES {
                left_out += 1;
                continue;
            }
            items += 1;
            bytes += item.encoded_len();
            told.push(item);
        }
        told
    };
    let (tools, prompts) = (of(Kind::Tools), of(Kind::Prompts));
    let (resources, templates) = (of(Kind::Resources), of(Kind::Templates));
    v1::Inventory { server: server.to_owned(), tools, prompts, resources, templates, left_out }
}

fn item(exposed: &str, own: &str, json: &[u8]) -> v1::InventoryItem {
    // an item whose words are of another type is shown by its name
    let words: Words<'_> = serde_json::from_slice(json).unwrap_or_default();
    let cut = |text: Option<Cow<'_, str>>, most| text.unwrap_or_default().chars().take(most).collect();
    v1::InventoryItem {
        name: exposed.to_owned(),
        own: if own == exposed { String::new() } else { own.to_owned() },
        title: cut(words.title, limit::INVENTORY_TITLE_CHARS),
        description: cut(words.description, limit::INVENTORY_DESCRIPTION_CHARS),
    }
}
