//! What servers offer, as nodes say: each inventory is kept once, however many nodes have it, and as long as one does.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use prost::Message;
use sluice_contract::v1;
use sluice_snapshot::chunk::Name;

use super::now_ms;

/// Bytes of all that are kept: a thousand servers with a hundred tools each take a tenth of it.
const ROOM: usize = 256 << 20;

/// All that are known.
#[derive(Default)]
pub(super) struct Inventories(Mutex<HashMap<Name, Known>>);

struct Known {
    bytes: usize,
    inventory: Weak<v1::Inventory>,
}

/// What one server offers, by its digest.
#[derive(Clone)]
pub(super) struct Offered {
    pub digest: Name,
    pub inventory: Arc<v1::Inventory>,
}

/// What a node told of one server, last.
pub(super) struct Told {
    pub offered: Offered,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// The node still says so; otherwise it has gone or started again, and not heard of it since.
    pub stands: bool,
}

impl Told {
    /// What a node tells at this moment.
    pub(super) fn now(offered: Offered) -> Self {
        Self { offered, at_ms: now_ms(), stands: true }
    }
}

impl Inventories {
    /// One that some node has told.
    pub(super) fn find(&self, digest: Name) -> Option<Offered> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&digest).and_then(|known| known.inventory.upgrade()).map(|inventory| Offered { digest, inventory })
    }

    /// Keeps what a node told; `None`: there is no room.
    pub(super) fn keep(&self, inventory: v1::Inventory) -> Option<Offered> {
        let encoded = inventory.encode_to_vec();
        let digest = Name::of(&encoded);
        if let Some(known) = self.find(digest) {
            return Some(known);
        }
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, known| known.inventory.strong_count() > 0);
        let bytes = encoded.len();
        if known.values().map(|known| known.bytes).sum::<usize>() + bytes > ROOM {
            tracing::warn!(server = inventory.server, bytes, "no room to keep what this server offers");
            return None;
        }
        let inventory = Arc::new(inventory);
        known.insert(digest, Known { bytes, inventory: Arc::downgrade(&inventory) });
        Some(Offered { digest, inventory })
    }
}
