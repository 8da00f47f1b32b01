//! How the node is, for its control plane.

use std::sync::Arc;

use sluice_contract::v1;

use crate::drain::Phase;
use crate::node::Node;
use crate::observe::denials::Denied;

/// A report of this moment.
pub(super) fn of(node: &Node) -> v1::Report {
    let plane = Arc::clone(&node.planes.borrow());
    let phase = node.drain.phase();
    let taken = node.denials.take();
    v1::Report {
        ready: phase == Phase::Serving,
        draining: phase != Phase::Serving,
        sessions: node.sessions.len() as u64,
        streams: u64::try_from(node.metrics.streams.get()).unwrap_or_default(),
        requests: node.metrics.finished(),
        servers: plane.servers().map(|upstream| upstream.health()).collect(),
        denials: taken.denials.into_iter().map(denial).collect(),
        denials_lost: taken.lost,
    }
}

/// What a server offers; `None`: it is not configured any more, or there is nothing that everybody is offered.
pub(super) fn inventory(node: &Node, server: &str) -> Option<v1::Inventory> {
    let plane = Arc::clone(&node.planes.borrow());
    plane.servers().find(|upstream| &**upstream.name() == server)?.inventory()
}

fn denial((denied, at_ms, count): (Denied, u64, u64)) -> v1::Denial {
    let Denied { principal, method, server, object, why, rule } = denied;
    v1::Denial {
        at_ms,
        principal: principal.to_string(),
        method: method.to_owned(),
        server: server.to_string(),
        object: object.into(),
        reason: if rule.is_empty() { why.to_owned() } else { format!("{why} by {rule}") },
        count,
    }
}
