//! What a client is to be told when it next opens a stream: which of its lists may have changed. It stands with the state of the
//! session, so that whichever node opens that stream tells it, and takes it out.

use std::sync::Arc;

use bytes::Bytes;

use super::kept;
use crate::exchange::relay::{LIST_CHANGED, list_changed};
use crate::node::Worker;
use crate::session::Session;

/// All lists, a bit each, in the order of [`LIST_CHANGED`].
const ALL: u8 = (1 << LIST_CHANGED.len()) - 1;

/// The lists of whose changes a server tells, as its answer to `initialize` says.
pub(super) fn declared(initialize_result: &[u8]) -> u8 {
    let result: serde_json::Value = serde_json::from_slice(initialize_result).unwrap_or_default();
    let kinds = ["tools", "prompts", "resources"].into_iter().enumerate();
    kinds.filter(|(_, kind)| result["capabilities"][kind]["listChanged"] == true).fold(0, |all, (at, _)| all | 1 << at)
}

/// All lists of a session may be others from now on, and its stream ends before its client is told.
pub(in crate::exchange) async fn leave_all(worker: &Worker, session: &Arc<Session>) {
    let left = kept::change(worker, session, |state| std::mem::replace(&mut state.untold, ALL) != ALL).await;
    if left.is_err() {
        // where the store does not take it, this node at least knows
        session.update(|state| std::mem::replace(&mut state.untold, ALL) != ALL);
    }
}

/// Takes what the client of a session is to be told, for a stream that begins.
pub(in crate::exchange) async fn take(worker: &Worker, session: &Arc<Session>) -> Vec<Bytes> {
    let mut untold = session.state().untold;
    if untold == 0 {
        return Vec::new();
    }
    let taking = kept::change(worker, session, |state| {
        untold = std::mem::take(&mut state.untold);
        untold != 0
    });
    // where the store does not take it the client is told once more: that does no harm
    let _ = Box::pin(taking).await;
    let kinds = LIST_CHANGED.iter().enumerate().filter(|(at, _)| untold & 1 << at != 0);
    kinds.map(|(_, method)| list_changed(*method)).collect()
}
