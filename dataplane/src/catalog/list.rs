//! One list of one server, all its pages, as doors show it.

use std::hash::{BuildHasher as _, Hasher as _};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::Kind;
use super::exposure::{Exposed, Exposure, Naming};

/// One list of one server, all pages. What the server wrote is kept only as the merged door shows it: thousands of tools
/// are there once.
pub(crate) struct List {
    /// When fetching it began, and when it was complete.
    pub begun: Instant,
    pub fetched: Instant,
    /// How long the server says it stays good.
    pub ttl: Option<Duration>,
    /// Good for those only whom it was fetched for (`cacheScope`).
    pub private: bool,
    pub shown: Arc<Exposed>,
    /// Of all that the server wrote, to tell whether another fetch brought the same.
    digest: u64,
}

/// One item as the server wrote it: what it is known by (name, URI or URI template), and all of it.
pub(crate) struct Item {
    pub name: Box<str>,
    pub json: Bytes,
}

/// What is known of a list beside its items.
pub(crate) struct Facts {
    pub begun: Instant,
    pub ttl: Option<Duration>,
    pub private: bool,
}

impl List {
    pub(crate) fn new(kind: Kind, items: &[Item], exposure: &Exposure, naming: Naming, facts: &Facts) -> Self {
        static SEED: OnceLock<foldhash::quality::RandomState> = OnceLock::new();
        let mut hasher = SEED.get_or_init(Default::default).build_hasher();
        for item in items {
            hasher.write_usize(item.json.len());
            hasher.write(&item.json);
        }
        Self {
            begun: facts.begun,
            fetched: Instant::now(),
            ttl: facts.ttl,
            private: facts.private,
            shown: Arc::new(Exposed::new(kind, items, exposure, naming)),
            digest: hasher.finish(),
        }
    }

    /// How long fetching it took.
    pub(crate) fn took(&self) -> Duration {
        self.fetched.saturating_duration_since(self.begun)
    }

    /// Whether both show the same.
    pub(crate) fn same(&self, other: &Self) -> bool {
        self.digest == other.digest && self.shown.naming == other.shown.naming
    }
}
