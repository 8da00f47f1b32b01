//! A caller's queue: what a child says to it, in order, bounded in bytes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::budget::Budget;
use crate::limit;

/// The two ends of a caller's queue. `held` is the node's byte budget.
pub(super) fn outbox(held: &Budget) -> (Outbox, Inbox) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let queued = Arc::new(Queued { own: AtomicUsize::new(0), node: held.clone() });
    (Outbox { sender, queued: Arc::clone(&queued) }, Inbox { receiver, queued })
}

/// The sending end.
#[derive(Clone)]
pub(crate) struct Outbox {
    sender: mpsc::UnboundedSender<Bytes>,
    queued: Arc<Queued>,
}

/// The receiving end.
pub(crate) struct Inbox {
    receiver: mpsc::UnboundedReceiver<Bytes>,
    queued: Arc<Queued>,
}

/// Bytes in one caller's queue; they count in the node's budget too.
struct Queued {
    own: AtomicUsize,
    node: Budget,
}

impl Outbox {
    /// Whether somebody still takes messages.
    pub(super) fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }

    /// Queues a message; `false` when the caller is gone or takes nothing.
    pub(super) fn put(&self, message: Bytes) -> bool {
        let bytes = message.len();
        let taken = !self.sender.is_closed() && self.queued.add(bytes);
        if taken && self.sender.send(message).is_ok() {
            return true;
        }
        if taken {
            self.queued.take(bytes);
        }
        false
    }
}

impl Inbox {
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let polled = self.receiver.poll_recv(cx);
        if let Poll::Ready(Some(message)) = &polled {
            self.queued.take(message.len());
        }
        polled
    }

    pub(crate) async fn next(&mut self) -> Option<Bytes> {
        std::future::poll_fn(|cx| self.poll(cx)).await
    }
}

impl Queued {
    /// Counts a message in; `false`, and nothing counted, when the caller's or the node's limit is reached.
    fn add(&self, bytes: usize) -> bool {
        // the first message always fits: a caller that reads may be given anything
        if self.own.fetch_add(bytes, Ordering::Relaxed) <= limit::OUTBOX_BYTES && self.node.add(bytes) {
            return true;
        }
        self.own.fetch_sub(bytes, Ordering::Relaxed);
        false
    }

    fn take(&self, bytes: usize) {
        self.own.fetch_sub(bytes, Ordering::Relaxed);
        self.node.take(bytes);
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        self.node.take(*self.own.get_mut());
    }
}
