//! The current plane as the principal of a long-lived stream sees it: policies and roles are those of today, never those of
//! the day the stream began.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::auth::Principal;
use crate::auth::permits::Permits;
use crate::limit;
use crate::node::Worker;
use crate::plane::Plane;

/// The plane that a worker has adopted, as a principal sees it.
pub(super) fn plane(worker: &Worker, principal: &Principal) -> Arc<Plane> {
    seen(&worker.plane(), principal)
}

fn seen(plane: &Arc<Plane>, principal: &Principal) -> Arc<Plane> {
    if plane.snapshot.policies.is_none() {
        return Arc::clone(plane);
    }
    plane.seen_by(&plane.known.current(principal))
}

/// The same, followed from swap to swap.
pub(super) struct Seen {
    pub plane: Arc<Plane>,
    planes: watch::Receiver<Arc<Plane>>,
    principal: Principal,
    /// The principal may do other things, and from when on that is told: a client that is told asks at once, and may ask a
    /// worker that adopts the plane a moment later.
    others: Option<Instant>,
}

impl Seen {
    pub(super) fn new(worker: &Worker, principal: &Principal) -> Self {
        let planes = worker.node.planes.clone();
        Self { plane: plane(worker, principal), planes, principal: principal.clone(), others: None }
    }

    /// Waits for the next swap. `true`: the principal may do other things than before. May be dropped and called again at any
    /// time.
    pub(super) async fn changed(&mut self) -> bool {
        if self.others.is_none() {
            if self.planes.changed().await.is_err() {
                // the node goes away, and so does whoever waits
                return std::future::pending().await;
            }
            let plane = seen(&self.planes.borrow_and_update(), &self.principal);
            let before = std::mem::replace(&mut self.plane, plane);
            if Permits::stay(before.permits.as_ref(), self.plane.permits.as_ref()) {
                return false;
            }
        }
        let told = *self.others.get_or_insert_with(|| Instant::now() + limit::CHANGES_COPIES);
        tokio::time::sleep_until(told).await;
        self.others = None;
        true
    }
}
