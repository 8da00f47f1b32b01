//! A stream as a client has it that may break off and come back: what is kept of it goes on without its client for a while.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::{End, Item, Relay};
use crate::drain::Phase;
use crate::limit;
use crate::session::Session;
use crate::session::ring::Ring;

/// A relay whose client can resume.
pub(crate) struct Attended(Option<Box<Relay>>);

impl Attended {
    pub(crate) fn new(mut relay: Box<Relay>) -> Self {
        relay.may_keep();
        Self(Some(relay))
    }

    /// The next item; `None` at the end.
    pub(crate) fn poll_item(&mut self, cx: &mut Context<'_>) -> Poll<Option<Item>> {
        let Some(relay) = &mut self.0 else { return Poll::Ready(None) };
        if relay.keeping.ring().is_some_and(|ring| ring.is_read(cx)) {
            // the client came back by another way
            self.let_go();
            return Poll::Ready(None);
        }
        relay.poll_item(cx)
    }

    /// Minds the end of the stream while its client reads nothing.
    pub(crate) fn poll_aside(&mut self, cx: &mut Context<'_>) {
        if let Some(relay) = &mut self.0 {
            relay.poll_aside(cx);
        }
    }

    /// The client has gone.
    fn let_go(&mut self) {
        let Some(mut relay) = self.0.take() else { return };
        if relay.aside.is_some() {
            // nothing more is to come
            relay.leave(End::Overtaken);
        }
        let stays = relay.worker.node.drain.phase() < Phase::Emptying;
        if let Some((session, ring)) = relay.keeping.what().filter(|_| stays) {
            tokio::task::spawn_local(go_on(relay, session, ring));
        }
    }
}

impl Drop for Attended {
    fn drop(&mut self) {
        self.let_go();
    }
}

/// Reads a stream on without its client, as long as that may come back; then keeps what there is for as long as that may.
async fn go_on(mut relay: Box<Relay>, session: Arc<Session>, ring: Arc<Ring>) {
    ring.let_go();
    // a node that ends waits for calls whose answers can be had elsewhere
    let outlives = !ring.is_standing && session.tie.is_kept();
    let open = outlives.then(|| relay.worker.node.drain.open());
    let passing = async {
        while !ring.is_lost() {
            let item = poll_fn(|cx| {
                ready!(ring.poll_room(cx));
                relay.poll_item(cx)
            });
            if item.await.is_none() {
                return;
            }
        }
    };
    tokio::select! {
        () = passing => {}
        () = ring.left_alone(limit::RING_STANDING), if ring.is_standing => ring.lose(),
        () = session.over() => ring.lose(),
    }
    match relay.left {
        // nor what came before is for this client to see any more
        Some(End::NotAllowed) => ring.lose(),
        None | Some(End::Cancelled | End::SessionOver) => ring.end(false),
        Some(_) => ring.end(true),
    }
    drop((relay, open));
    keep(session, ring).await;
}

/// Keeps what there is of a stream that is over, or whose server can be asked for the rest.
pub(crate) async fn keep(session: Arc<Session>, ring: Arc<Ring>) {
    let kept = async {
        if !ring.is_lost() {
            ring.left_alone(limit::RING_PASSED_ON).await;
            if !ring.is_standing && !ring.is_taken() {
                ring.left_alone(limit::RING_KEPT).await;
            }
        }
    };
    tokio::select! {
        () = kept => {}
        () = session.over() => {}
    }
    session.rare().rings.remove(ring.stream);
}
