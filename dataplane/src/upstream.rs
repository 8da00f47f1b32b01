//! Servers as the data plane reaches them. An [`Upstream`] lives as long as its configuration stays the same, across
//! planes: what was learnt of it, its children and its counters are carried over.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sluice_snapshot::model::Server;

pub(crate) mod era;
pub(crate) mod http;
pub(crate) mod parameters;
pub(crate) mod stdio;

/// One configured server.
pub(crate) struct Upstream {
    /// Unique in the process: pools are keyed by it.
    pub id: u64,
    pub config: Arc<Server>,
    /// What is known of its era.
    pub era: era::Memory,
    /// Which of its tools' parameters are mirrored into headers.
    pub parameters: parameters::Parameters,
    /// Its child processes; empty for HTTP servers.
    pub children: Arc<stdio::Children>,
}

impl Upstream {
    pub(crate) fn new(config: Arc<Server>, children: stdio::Children) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let era = era::Memory::new(config.protocol);
        Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            config,
            era,
            parameters: Default::default(),
            children: Arc::new(children),
        }
    }

    pub(crate) fn name(&self) -> &Arc<str> {
        &self.config.name
    }
}
