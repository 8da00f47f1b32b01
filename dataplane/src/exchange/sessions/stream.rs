//! Whose the standing stream of a session is, as all nodes that share the session are told: taken before it opens, and given back.

use std::sync::Arc;

use super::kept::try_rewrite;
use crate::node::Worker;
use crate::reason::Reason;
use crate::session::Session;
use crate::session::record::Record;
use crate::session::store::Shared;

/// The standing stream is this process' now, for all nodes that share the session. Where that cannot be kept, a stream that nobody had
/// is for those that have the session at hand, as the session itself. `true`: another process had it, whose clients may wait for it.
///
/// # Errors
/// The session is over; or another process has the stream, and nobody can be told.
pub(in crate::exchange) async fn take_stream(worker: &Worker, whole: &Arc<Session>) -> Result<bool, Reason> {
    let (store, process) = (&worker.node.sessions, worker.node.sessions.process);
    let holder = whole.stream_holder();
    let is_shared = |shared: &&Shared| shared.is_of_many() && whole.tie.is_kept();
    let Some(shared) = store.shared().filter(is_shared).filter(|_| holder != Some(process)) else { return Ok(false) };
    let mut before = None;
    let take = |record: &mut Record| {
        whole.take_stream_back();
        before = record.stream.replace(process);
        before != Some(process)
    };
    let taken = match shared.is_up() {
        true => try_rewrite(worker, whole, take).await,
        // nothing is written: the copy here is as good as it was
        false => Err(Reason::SessionStore),
    };
    match taken {
        Err(Reason::SessionStore) if holder.is_none() => Ok(false),
        Err(reason) => Err(reason),
        Ok(_) => Ok(before.is_some_and(|before| before != process)),
    }
}

/// Nobody has the standing stream any more, for other processes to know that had it before. Where that cannot be kept, their clients
/// hear nothing until one of them comes back.
pub(in crate::exchange) async fn give_stream_back(worker: &Worker, whole: &Arc<Session>) {
    let give = |record: &mut Record| {
        record.stream = None;
        // whoever came meanwhile has written that
        whole.is_stream_given_back()
    };
    if let Err(reason) = try_rewrite(worker, whole, give).await {
        tracing::debug!(?reason, "other nodes do not know that nobody has the stream of a session");
    }
}
