//! That lists changed, for everybody who shows them.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;

use super::kind::Kind;

/// What changed, told to everybody on the node who shows lists.
pub(crate) struct Changes {
    /// Rises with everything that may change what a list shows, or how long it is good for.
    version: AtomicU64,
    /// Per kind of list (tools, prompts, resources), how often clients were to be told.
    told: watch::Sender<[u64; 3]>,
}

impl Default for Changes {
    fn default() -> Self {
        Self { version: AtomicU64::new(0), told: watch::Sender::new([0; 3]) }
    }
}

impl Changes {
    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    pub(crate) fn told(&self) -> watch::Receiver<[u64; 3]> {
        self.told.subscribe()
    }

    pub(super) fn touch(&self) {
        self.version.fetch_add(1, Ordering::AcqRel);
    }

    /// Clients are to be told that these lists may have changed.
    pub(crate) fn tell(&self, kinds: &[Kind]) {
        self.touch();
        self.told.send_modify(|told| {
            for kind in kinds {
                let at = match kind {
                    Kind::Tools => 0,
                    Kind::Prompts => 1,
                    // one notification for both (*List Changed Notification*)
                    Kind::Resources => 2,
                    Kind::Templates => continue,
                };
                told[at] += 1;
            }
        });
    }
}
