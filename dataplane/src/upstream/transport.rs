//! What is known of a server's HTTP transport where the configuration does not say: streamable HTTP until it is refused
//! and an event stream of HTTP+SSE is found in its place (2025-11-25 *Transports: Backwards Compatibility*). Remembered
//! per server, forgotten when it turns out wrong.

use std::sync::atomic::{AtomicBool, Ordering};

use sluice_snapshot::model::Transport;

/// The memory of one server's transport.
pub(crate) struct Memory {
    /// The configuration leaves it open.
    open: bool,
    /// HTTP+SSE was found.
    sse: AtomicBool,
}

impl Memory {
    pub(crate) fn new(configured: &Transport) -> Self {
        let open = matches!(configured, Transport::Http(endpoint) if endpoint.maybe_sse);
        Self { open, sse: AtomicBool::new(false) }
    }

    /// Whether it may be the one or the other.
    pub(crate) fn is_open(&self) -> bool {
        self.open
    }

    /// Whether HTTP+SSE was found.
    pub(crate) fn is_sse(&self) -> bool {
        self.sse.load(Ordering::Relaxed)
    }

    /// Learns that the server speaks HTTP+SSE.
    pub(crate) fn found_sse(&self) {
        self.sse.store(true, Ordering::Relaxed);
    }

    /// What was found is no longer there: streamable HTTP is tried again.
    pub(crate) fn forget(&self) {
        self.sse.store(false, Ordering::Relaxed);
    }
}
