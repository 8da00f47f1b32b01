//! How the node is, for its control plane.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use sluice_contract::v1;

use crate::drain::Phase;
use crate::node::Node;
use crate::observe::denials::{Denials, Line, Who};

/// A report of this moment.
pub(super) fn of(node: &Node) -> v1::Report {
    let plane = Arc::clone(&node.planes.borrow());
    let phase = node.drain.phase();
    v1::Report {
        ready: phase == Phase::Serving,
        draining: phase != Phase::Serving,
        sessions: node.sessions.len() as u64,
        streams: u64::try_from(node.metrics.streams.get()).unwrap_or_default(),
        requests: node.metrics.finished(),
        servers: plane.servers().map(|upstream| upstream.health()).collect(),
        revision: plane.snapshot.revision,
        since_ms: node.since_ms.load(Ordering::Relaxed),
        entitled_revision: node.entitlement.revision(),
    }
}

/// What a server offers; `None`: it is not configured any more, or there is nothing that everybody is offered.
pub(super) fn inventory(node: &Node, server: &str) -> Option<v1::Inventory> {
    let plane = Arc::clone(&node.planes.borrow());
    plane.servers().find(|upstream| &**upstream.name() == server)?.inventory()
}

/// Lines about denials from this number on, as many as are said at a time; `None`: there are none.
pub(super) fn denials(denials: &Denials, from: u64) -> Option<v1::Denials> {
    let told = denials.lines(from)?;
    Some(v1::Denials { life: denials.life, first: told.first, denials: told.lines.into_iter().map(denial).collect() })
}

fn denial(Line { denied, at_ms, count }: Line) -> v1::Denial {
    let Some(denied) = denied else {
        return v1::Denial { at_ms, count, unlisted: true, ..v1::Denial::default() };
    };
    let (principal, address) = match denied.who {
        Who::Principal(principal) => (principal.to_string(), String::new()),
        Who::Stranger(address) => (String::new(), address.to_canonical().to_string()),
        Who::Strangers => Default::default(),
    };
    v1::Denial {
        at_ms,
        principal,
        address,
        method: denied.method.to_owned(),
        server: denied.server.to_string(),
        object: denied.object.into(),
        reason: if denied.rule.is_empty() {
            denied.why.to_owned()
        } else {
            format!("{} by {}", denied.why, denied.rule)
        },
        count,
        unlisted: false,
    }
}
