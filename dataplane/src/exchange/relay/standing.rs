//! How long a stream may go on: until the node stops, its session ends, its credential expires, or the configuration allows it
//! no longer.

use std::rc::Rc;
use std::sync::Arc;

use crate::auth::Principal;
use crate::auth::permits::Permits;
use crate::drain::Phase;
use crate::exchange::sessions;
use crate::node::Worker;
use crate::plane::Plane;
use crate::session::Session;
use crate::upstream::Upstream;

/// Why the gateway ends a stream that would go on.
#[derive(Clone, Copy)]
pub(super) enum End {
    /// The node is stopping.
    Leaving,
    /// The session was ended.
    SessionOver,
    /// The client cancelled the call.
    Cancelled,
    /// The credential was revoked, the server is no longer configured as it was, or policies grant something else.
    NotAllowed,
    /// The credential has expired: the client comes back with another, and goes on.
    Expired,
    /// A newer GET of the client had the stream. It has gone, or there are too many.
    Overtaken,
}

/// A long-lived stream, as far as it matters for how long.
pub(super) struct Standing {
    pub principal: Principal,
    /// The server; `None` for a stream of the merged door, which is bound to no single one.
    pub upstream: Option<Arc<Upstream>>,
    pub session: Option<Arc<Session>>,
    /// What policies granted as it began.
    pub permits: Option<Arc<Permits>>,
    /// Nobody else tells the client that its lists are others.
    pub own_door: bool,
}

/// What becomes of it in a new plane.
enum Verdict {
    GoesOn,
    /// Its client may have another one: it says what was shown as it began, and other things are now.
    ShowsOthers,
    NotAllowed,
}

impl Standing {
    fn judged_by(&self, plane: &Arc<Plane>) -> Verdict {
        let Some(principal) = plane.known.again(&self.principal) else { return Verdict::NotAllowed };
        let Some(upstream) = &self.upstream else { return Verdict::GoesOn };
        let view = plane.seen_by(&principal);
        let Some(now) = view.server(upstream.name()).filter(|now| now.is(upstream)) else {
            return Verdict::NotAllowed;
        };
        let same = now.shows_as(upstream) && Permits::stay(self.permits.as_ref(), view.permits.as_ref());
        if same { Verdict::GoesOn } else { Verdict::ShowsOthers }
    }
}

/// Waits until a long-lived stream must end: streams are judged again after every swap of the configuration. One whose
/// principal may do other things by now ends as well: what comes in its place is what policies grant then.
pub(super) async fn ending(worker: Rc<Worker>, standing: Standing) -> End {
    let node = &worker.node;
    let over = async {
        match &standing.session {
            Some(session) => session.over().await,
            None => std::future::pending().await,
        }
    };
    let mut over = std::pin::pin!(over);
    let mut planes = node.planes.clone();
    loop {
        tokio::select! {
            () = node.drain.reached(Phase::Closing) => return End::Leaving,
            () = &mut over => return End::SessionOver,
            () = standing.principal.expired() => return End::Expired,
            changed = planes.changed() => {
                if changed.is_err() {
                    return End::Leaving;
                }
                let plane = Arc::clone(&planes.borrow_and_update());
                match standing.judged_by(&plane) {
                    Verdict::GoesOn => {}
                    Verdict::ShowsOthers => {
                        if let (true, Some(session)) = (standing.own_door, &standing.session) {
                            sessions::leave_all(&worker, session).await;
                        }
                        return End::NotAllowed;
                    }
                    Verdict::NotAllowed => return End::NotAllowed,
                }
            }
        }
    }
}
