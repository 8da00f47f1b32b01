//! Calls of the door's own making, on a client's behalf: not counted, not logged, not limited, because the client's own
//! request or stream that causes them is.

use std::rc::Rc;
use std::sync::Arc;

use sluice_http1::Fields;

use crate::auth::Principal;
use crate::auth::quota::{Account, Ticket};
use crate::catalog::exposure::Naming;
use crate::exchange::call::{Base, Call};
use crate::exchange::record::Record;
use crate::node::Worker;
use crate::plane::Plane;
use crate::upstream::Upstream;

/// A call towards one server, as a part of what a client asked the merged door for.
pub(super) fn call(
    worker: &Rc<Worker>,
    plane: &Arc<Plane>,
    upstream: &Arc<Upstream>,
    principal: &Principal,
    headers: Fields,
) -> Call {
    let mut record = Record::quiet(worker, plane);
    record.outcome = "ok";
    let base = Base {
        plane: Arc::clone(plane),
        principal: principal.clone(),
        account: Arc::new(Account::default()),
        headers,
        // of what the client sent, only its own request has the headers
        synthesized: true,
        record,
        ticket: Ticket::uncounted(),
        naming: Naming::merged(plane.snapshot.prefix),
    };
    Call { upstream: Arc::clone(upstream), base: Box::new(base) }
}
