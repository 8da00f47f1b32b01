//! A node and its workers: what all share, and what each worker has for itself so that the path takes no lock.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Instant, UNIX_EPOCH};

use sluice_mcp::Method;
use tokio::sync::watch;

use crate::adoption::Adoptions;
use crate::auth::meters::Meters;
use crate::auth::quota::Quotas;
use crate::auth::verified::Verified;
use crate::budget::Held;
use crate::catalog::{Changes, Offers};
use crate::clock::Clock;
use crate::drain::Drain;
use crate::limit;
use crate::observe::access_log::{AccessLog, Page};
use crate::observe::denials::Denials;
use crate::observe::metrics::{self, Metrics, Series};
use crate::observe::traces::Spans;
use crate::peer::{Lines, Peers};
use crate::plane::Plane;
use crate::plane::entitlement::Entitlement;
use crate::reason::Reason;
use crate::seal::Seal;
use crate::session::Store;
use crate::session::endings::Endings;
use crate::upstream::Upstream;
use crate::upstream::http::Pools;

/// What the workers of a node share.
pub(crate) struct Node {
    pub clock: Clock,
    pub seal: Arc<Seal>,
    /// The other nodes of the fleet.
    pub peers: Arc<Peers>,
    pub sessions: Store,
    /// Sessions that somebody wants to be over.
    pub endings: Endings,
    pub quotas: Quotas,
    /// What the limits of policies count.
    pub meters: Meters,
    /// What was denied, for the audit log.
    pub denials: Arc<Denials>,
    pub metrics: Arc<Metrics>,
    pub log: AccessLog,
    pub spans: Spans,
    pub drain: Drain,
    /// Distinguishes this process in request ids.
    pub boot: u32,
    pub planes: watch::Receiver<Arc<Plane>>,
    /// Who may come in, apart from what is run.
    pub entitlement: Arc<Entitlement>,
    /// Since when this process runs the revision of the plane, in milliseconds since 1970.
    pub since_ms: AtomicU64,
    /// Which of them each worker serves from.
    pub adoptions: Adoptions,
    /// All sessions were ended towards their servers.
    pub emptied: tokio::sync::Notify,
    /// What changed in any server's lists.
    pub changes: Arc<Changes>,
    /// What the merged door shows, serialised.
    pub offers: Offers,
}

impl Node {
    /// Reserves room in the node's byte budget.
    ///
    /// # Errors
    /// [`Reason::Busy`] when it is used up.
    pub(crate) fn hold(&self, bytes: usize) -> Result<Held, Reason> {
        self.metrics.held.hold(bytes)
    }
}

/// One worker: a thread with its own runtime, accept loop and connections.
pub(crate) struct Worker {
    pub node: Arc<Node>,
    pub pools: Rc<Pools>,
    /// Connections to other nodes.
    pub lines: Lines,
    /// Turns for what may start processes.
    pub asking: tokio::sync::Semaphore,
    /// Its lines of the access log.
    pub log: Page,
    /// The time of day at the moment the house was looked after last, in milliseconds since the epoch.
    day: Cell<(Instant, u64)>,
    index: u8,
    requests: Cell<u64>,
    plane: RefCell<Arc<Plane>>,
    metrics: Arc<metrics::Worker>,
    /// Tokens that were verified.
    pub tokens: Verified,
    series: RefCell<HashMap<(u64, Method), Arc<Series>, foldhash::fast::RandomState>>,
}

impl Worker {
    pub(crate) fn new(node: Arc<Node>, index: u8) -> Rc<Self> {
        let plane = Arc::clone(&node.planes.borrow());
        let tokens = Verified::default();
        tokens.adopt(plane.known.serial);
        node.adoptions.note(usize::from(index), plane.generation);
        Rc::new(Self {
            pools: Rc::new(Pools::new(Arc::clone(&node.metrics.upstream_connections))),
            lines: Lines::new(Arc::clone(&node.peers)),
            asking: tokio::sync::Semaphore::new(limit::ASKED_AT_A_TIME),
            metrics: node.metrics.worker(),
            log: node.log.page(),
            day: Cell::new(day()),
            index,
            requests: Cell::new(0),
            plane: RefCell::new(plane),
            tokens,
            series: RefCell::default(),
            node,
        })
    }

    /// Which one it is, from 0.
    pub(crate) fn index(&self) -> usize {
        usize::from(self.index)
    }

    /// The plane this worker has adopted.
    pub(crate) fn plane(&self) -> Arc<Plane> {
        Arc::clone(&self.plane.borrow())
    }

    /// Adopts planes as they come, and looks over what idles, until the node goes away.
    pub(crate) async fn keep_house(self: Rc<Self>) {
        let mut planes = self.node.planes.clone();
        let mut tick = tokio::time::interval(limit::SWEEP);
        loop {
            tokio::select! {
                changed = planes.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let plane = Arc::clone(&planes.borrow_and_update());
                    let generation = plane.generation;
                    self.tokens.adopt(plane.known.serial);
                    *self.plane.borrow_mut() = plane;
                    self.series.borrow_mut().clear();
                    self.node.adoptions.note(self.index(), generation);
                }
                _ = tick.tick() => {
                    self.day.set(day());
                    let plane = self.plane();
                    self.pools.sweep(|key| plane.has(key.server()));
                    self.lines.sweep();
                    self.tokens.sweep();
                }
            }
        }
    }

    /// The counters of a server and method.
    pub(crate) fn series(&self, upstream: &Upstream, method: Method) -> Arc<Series> {
        let mut series = self.series.borrow_mut();
        let fresh = || self.metrics.series(upstream.name(), method);
        Arc::clone(series.entry((upstream.id, method)).or_insert_with(fresh))
    }

    /// The counters of what the merged door answers itself. No server has the number 0.
    pub(crate) fn door_series(&self, method: Method) -> Arc<Series> {
        let mut series = self.series.borrow_mut();
        let fresh = || self.metrics.series(&Arc::from(""), method);
        Arc::clone(series.entry((0, method)).or_insert_with(fresh))
    }

    /// The time of day at a moment, in milliseconds since the epoch. No other clock is read for it.
    pub(crate) fn time_of_day(&self, at: Instant) -> u64 {
        let (then, ms) = self.day.get();
        ms + at.saturating_duration_since(then).as_millis() as u64
    }

    /// A number that names a request in logs: boot, worker and count.
    pub(crate) fn next_request(&self) -> u64 {
        let count = self.requests.get().wrapping_add(1);
        self.requests.set(count);
        u64::from(self.index) << 56 | (count & ((1 << 56) - 1))
    }
}

/// A moment, and the time of day then.
fn day() -> (Instant, u64) {
    (Instant::now(), UNIX_EPOCH.elapsed().map_or(0, |passed| passed.as_millis() as u64))
}
