//! A place where an HTTP server runs: its address, what it has to do for this node, and how it is.

use std::hash::Hasher as _;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use siphasher::sip::SipHasher24;
use sluice_snapshot::model::HttpEndpoint;

use super::breaker::Breaker;
use super::credential::Credentials;
use super::http::Target;

/// Connections are kept by it: unique in the process. That of a server's first endpoint is the number of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Key(u64);

impl Key {
    /// Room for a million million servers, as configurations come and go, and for sixteen million endpoints of each.
    const SERVER_BITS: u32 = 40;

    pub(super) fn new(server: u64, number: u64) -> Self {
        Self(number << Self::SERVER_BITS | server)
    }

    /// The number of the server.
    pub(crate) fn server(self) -> u64 {
        self.0 & ((1 << Self::SERVER_BITS) - 1)
    }
}

/// By what an endpoint is known wherever sessions are: a digest of its address, the same on every node and after a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Place(NonZeroU64);

impl Place {
    /// The place of an address.
    pub(super) fn of(at: &HttpEndpoint) -> Self {
        let mut digest = SipHasher24::new();
        for part in [at.authority.as_bytes(), at.path.as_bytes()] {
            digest.write(part);
            // is in neither
            digest.write(b"\n");
        }
        digest.write(at.socket.as_deref().map_or(&[][..], |path| path.as_os_str().as_encoded_bytes()));
        Self(NonZeroU64::new(digest.finish()).unwrap_or(NonZeroU64::MIN))
    }

    /// As it is written.
    pub(crate) fn number(self) -> u64 {
        self.0.get()
    }

    /// The one that was written.
    pub(crate) fn numbered(number: u64) -> Option<Self> {
        NonZeroU64::new(number).map(Self)
    }
}

/// One endpoint, for as long as it is configured, whatever else changes.
pub(crate) struct Endpoint {
    pub key: Key,
    pub place: Place,
    pub target: Target,
    pub breaker: Breaker,
    /// What health checks found; `true` where there are none.
    healthy: AtomicBool,
    load: Arc<Load>,
    /// How often it was put out of service.
    pub ejections: AtomicU64,
}

/// What an endpoint has to do for this node. Counted by all workers: each alone would see too little of a slow endpoint to tell.
#[derive(Default)]
struct Load {
    requests: AtomicU32,
    /// Streams that last say little of how busy an endpoint is, so they are counted, and shared out, apart.
    streams: AtomicU32,
}

/// Counts a request, or a stream that lasts, until dropped.
pub(crate) struct Flight {
    load: Arc<Load>,
    lasts: bool,
}

impl Endpoint {
    pub(super) fn new(key: Key, at: &HttpEndpoint, credentials: &Arc<Credentials>) -> Self {
        Self {
            key,
            place: Place::of(at),
            target: Target::new(at, credentials),
            breaker: Breaker::default(),
            healthy: AtomicBool::new(true),
            load: Arc::default(),
            ejections: AtomicU64::new(0),
        }
    }

    /// Whether it is in service: health checks and requests found nothing against it.
    pub(crate) fn is_in(&self) -> bool {
        self.is_healthy() && !self.breaker.is_open()
    }

    pub(crate) fn is_healthy(&self) -> bool {
        self.healthy.load(Ordering::Relaxed)
    }

    pub(super) fn set_healthy(&self, healthy: bool) {
        self.healthy.store(healthy, Ordering::Relaxed);
    }

    /// Requests in flight, or open streams.
    pub(crate) fn load(&self, lasts: bool) -> u32 {
        self.load.of(lasts).load(Ordering::Relaxed)
    }

    /// Counts one more.
    pub(crate) fn begin(&self, lasts: bool) -> Flight {
        self.load.of(lasts).fetch_add(1, Ordering::Relaxed);
        Flight { load: Arc::clone(&self.load), lasts }
    }
}

impl Load {
    fn of(&self, lasts: bool) -> &AtomicU32 {
        if lasts { &self.streams } else { &self.requests }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.load.of(self.lasts).fetch_sub(1, Ordering::Relaxed);
    }
}
