//! What is remembered of a server's tools: which of their parameters are mirrored into headers, and which may run twice.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwapOption;
use sluice_mcp::ParamHeader;

use crate::limit;

/// The annotated parameters of a server's tools, as last listed.
#[derive(Default)]
pub(crate) struct Parameters {
    listed: ArcSwapOption<Listed>,
    listing: tokio::sync::Mutex<()>,
}

/// One listing.
#[derive(Default)]
pub(crate) struct Tools {
    /// Of tools with annotated parameters only.
    pub headers: HashMap<String, Vec<ParamHeader>>,
    /// Those that are annotated as idempotent, or as changing nothing.
    pub repeatable: HashSet<String>,
}

/// The same, and when.
pub(crate) struct Listed {
    pub tools: Tools,
    at: Instant,
}

impl Parameters {
    /// What was listed is out of date.
    pub(crate) fn forget(&self) {
        self.listed.store(None);
    }

    /// What was listed within [`limit::TOOLS_MEMORY`], or what `list` brings; one listing for all who wait.
    pub(crate) async fn get(&self, list: impl Future<Output = Tools>) -> Arc<Listed> {
        let fresh = || self.listed.load_full().filter(|l| l.at.elapsed() < limit::TOOLS_MEMORY);
        if let Some(listed) = fresh() {
            return listed;
        }
        let _one = self.listing.lock().await;
        if let Some(listed) = fresh() {
            return listed;
        }
        let listed = Arc::new(Listed { tools: list.await, at: Instant::now() });
        self.listed.store(Some(Arc::clone(&listed)));
        listed
    }
}
