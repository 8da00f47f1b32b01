//! One list of one server, all its pages.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::Kind;
use super::exposure::{Exposed, Exposure, Naming};

/// One list of one server, all pages, as the server wrote it.
pub(crate) struct List {
    pub kind: Kind,
    pub items: Vec<Item>,
    /// When fetching it began, and when it was complete.
    pub begun: Instant,
    pub fetched: Instant,
    /// How long the server says it stays good.
    pub ttl: Option<Duration>,
    /// Good for those only whom it was fetched for (`cacheScope`).
    pub private: bool,
    /// As the doors show it; made when first asked for.
    shown: [OnceLock<Exposed>; Naming::COUNT],
}

/// One item: what it is known by (name, URI or URI template), and all of it.
pub(crate) struct Item {
    pub name: Box<str>,
    pub json: Bytes,
}

impl List {
    pub(crate) fn new(kind: Kind, items: Vec<Item>, begun: Instant, ttl: Option<Duration>, private: bool) -> Self {
        Self { kind, items, begun, fetched: Instant::now(), ttl, private, shown: Default::default() }
    }

    /// Whether both show the same.
    pub(crate) fn same(&self, other: &Self) -> bool {
        self.items.len() == other.items.len()
            && self.items.iter().zip(&other.items).all(|(one, two)| one.json == two.json)
    }

    /// The list as a door shows it: curated, named and serialised once.
    pub(crate) fn shown(&self, exposure: &Exposure, naming: Naming) -> &Exposed {
        self.shown[naming as usize].get_or_init(|| Exposed::new(self, exposure, naming))
    }
}
