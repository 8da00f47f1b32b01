//! What people ask about nodes.

use std::pin::pin;
use std::sync::Arc;

use jiff::Timestamp;
use sluice_contract::v1;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use crate::publish::Publisher;

/// Answers that wait for a slow reader of a watch; it is told the newest state, not each.
const WAITING: usize = 1;

/// Nodes, what they run, and what they last refused.
pub(in crate::api) fn status(publisher: &Publisher) -> v1::StatusResponse {
    let revision = publisher.head();
    v1::StatusResponse {
        revision,
        at_ms: u64::try_from(Timestamp::now().as_millisecond()).unwrap_or_default(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        nodes: publisher.nodes().status(revision),
    }
}

/// Tells how a revision spreads, until every connected node has judged it. `revision` 0 is the head.
pub(in crate::api) fn watch(
    publisher: Arc<Publisher>,
    revision: u64,
) -> ReceiverStream<Result<v1::WatchResponse, Status>> {
    let (sender, receiver) = mpsc::channel(WAITING);
    tokio::spawn(async move {
        let (mut changes, mut heads) = (publisher.nodes().changes(), publisher.heads());
        let mut ended = pin!(told(publisher.nodes().ending()));
        let revision = if revision == 0 { publisher.head() } else { revision };
        loop {
            changes.mark_unchanged();
            heads.mark_unchanged();
            let nodes = publisher.nodes().status(revision.max(publisher.head()));
            let judged = |node: &v1::NodeStatus| node.revision.max(node.rejected_revision) >= revision;
            // before the publisher has it, nobody can have judged it
            let settled = publisher.head() >= revision && nodes.iter().filter(|node| node.connected).all(judged);
            if sender.send(Ok(v1::WatchResponse { revision, nodes, settled })).await.is_err() || settled {
                return;
            }
            tokio::select! {
                () = sender.closed() => return,
                () = &mut ended => {
                    let _ = sender.send(Err(Status::unavailable("the control plane is stopping"))).await;
                    return;
                }
                changed = changes.changed() => if changed.is_err() { return },
                // where there is no node, nothing else changes
                changed = heads.changed() => if changed.is_err() { return },
            }
        }
    });
    ReceiverStream::new(receiver)
}

async fn told(mut ending: watch::Receiver<bool>) {
    // an error is that there are no nodes any more, which is an end as well
    let _ = ending.wait_for(|ending| *ending).await;
}
