//! What is known of a server's era, by the specification's *Backward Compatibility* rules: over HTTP the first modern
//! request is the probe, over stdio `server/discover` is. Remembered per server, asked again when it turns out wrong.

use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwapOption;
use sluice_snapshot::model::{Protocol, Server, Transport};

use crate::limit;
use crate::reason::Reason;

/// A server's era as learnt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Known {
    /// Only `initialize` is understood.
    Legacy,
    /// Modern requests are served; the versions it named.
    Modern(Arc<[String]>),
}

/// The memory of one server's era.
pub(crate) struct Memory {
    configured: Protocol,
    learnt: ArcSwapOption<(Known, Instant)>,
    /// Held by whoever asks; why it could not be found out last time, and when.
    pub asking: tokio::sync::Mutex<Option<(Reason, Instant)>>,
}

impl Memory {
    /// Nothing is known of this server but its configuration.
    pub(crate) fn of(server: &Server) -> Self {
        // HTTP+SSE ended with the legacy era: there is nothing to find out
        let configured = match (&server.transport, server.protocol) {
            (Transport::Sse(_), Protocol::Auto) => Protocol::Legacy,
            (_, protocol) => protocol,
        };
        Self { configured, learnt: ArcSwapOption::empty(), asking: tokio::sync::Mutex::default() }
    }

    /// What the configuration fixes, if only by the transport.
    pub(crate) fn configured(&self) -> Protocol {
        self.configured
    }

    /// Whether it is still to be found out.
    pub(crate) fn is_unknown(&self) -> bool {
        self.configured == Protocol::Auto && self.modern().is_none()
    }

    /// Whether a modern request need not be tried: configured so, or learnt within [`limit::ERA_MEMORY`].
    pub(crate) fn is_legacy(&self) -> bool {
        match self.configured {
            Protocol::Legacy => true,
            Protocol::Modern => false,
            Protocol::Auto => {
                self.learnt.load().as_ref().is_some_and(|l| l.0 == Known::Legacy && l.1.elapsed() < limit::ERA_MEMORY)
            }
        }
    }

    /// The modern versions the server is known to speak, if it is known to be modern.
    pub(crate) fn modern(&self) -> Option<Arc<[String]>> {
        match &self.learnt.load().as_ref()?.0 {
            Known::Modern(versions) => Some(Arc::clone(versions)),
            Known::Legacy => None,
        }
    }

    /// Whether it is a modern one, if that was learnt since.
    pub(crate) fn learnt_since(&self, since: Instant) -> Option<bool> {
        let learnt = self.learnt.load();
        learnt.as_ref().filter(|learnt| learnt.1 >= since).map(|learnt| learnt.0 != Known::Legacy)
    }

    pub(crate) fn learn(&self, known: Known) {
        self.learnt.store(Some(Arc::new((known, Instant::now()))));
    }

    /// Learns that modern requests are served, unless that is known already (the warm path: one load).
    pub(crate) fn served_modern(&self) {
        let known = self.learnt.load().as_ref().is_some_and(|l| matches!(l.0, Known::Modern(_)));
        if !known {
            self.learn(Known::Modern(Arc::from([])));
        }
    }
}
