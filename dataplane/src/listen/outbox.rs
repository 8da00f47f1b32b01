//! Messages on their way to a client on a pipe: a queue bounded in bytes, so that whoever produces faster than the client
//! reads waits for it.

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::pipe::End;
use crate::limit;

/// What goes out.
pub(crate) enum Piece {
    Message(Bytes),
    /// Nothing more comes: why.
    End(End),
}

/// The end that is written to.
#[derive(Clone)]
pub(crate) struct Outbox {
    pieces: mpsc::UnboundedSender<(Piece, Option<OwnedSemaphorePermit>)>,
    room: Arc<Semaphore>,
}

/// The end the connection reads. Dropped: what is still sent goes nowhere.
pub(crate) struct Waiting {
    pieces: mpsc::UnboundedReceiver<(Piece, Option<OwnedSemaphorePermit>)>,
    room: Arc<Semaphore>,
}

/// A new queue with room for [`limit::OUTBOX_WAITING`] bytes; a larger message takes all of it.
pub(crate) fn outbox() -> (Outbox, Waiting) {
    let room = Arc::new(Semaphore::new(limit::OUTBOX_WAITING));
    let (sender, pieces) = mpsc::unbounded_channel();
    (Outbox { pieces: sender, room: Arc::clone(&room) }, Waiting { pieces, room })
}

impl Outbox {
    /// Sends a message, in order, once there is room for it.
    pub(crate) async fn send(&self, message: Bytes) {
        // a small message costs more than its bytes: the queue's own entry
        let cost = (message.len() + size_of::<Piece>()).min(limit::OUTBOX_WAITING) as u32;
        if let Ok(room) = Arc::clone(&self.room).acquire_many_owned(cost).await {
            let _ = self.pieces.send((Piece::Message(message), Some(room)));
        }
    }

    /// Says that nothing more comes.
    pub(crate) fn end(&self, end: End) {
        let _ = self.pieces.send((Piece::End(end), None));
    }

    /// Waits until nobody reads any more.
    pub(crate) async fn closed(&self) {
        self.pieces.closed().await;
    }
}

impl Waiting {
    /// The next piece; `None` once all writers are gone.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Piece>> {
        self.pieces.poll_recv(cx).map(|next| next.map(|(piece, _room)| piece))
    }

    /// As [`Waiting::poll_next`].
    pub(crate) async fn next(&mut self) -> Option<Piece> {
        self.pieces.recv().await.map(|(piece, _room)| piece)
    }

    /// The next piece, if one waits.
    pub(crate) fn try_next(&mut self) -> Option<Piece> {
        self.pieces.try_recv().ok().map(|(piece, _room)| piece)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        // those who wait for room need not wait any longer
        self.room.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_writer_waits_until_the_reader_has_made_room() {
        let (outbox, mut waiting) = outbox();
        outbox.send(Bytes::from(vec![0; limit::OUTBOX_WAITING])).await;
        let mut second = std::pin::pin!(outbox.send(Bytes::from_static(b"second")));
        let pending = std::future::poll_fn(|cx| Poll::Ready(second.as_mut().poll(cx).is_pending())).await;
        assert!(pending, "no room");
        assert!(matches!(waiting.next().await, Some(Piece::Message(first)) if first.len() == limit::OUTBOX_WAITING));
        second.await;
        assert!(matches!(waiting.next().await, Some(Piece::Message(message)) if message == "second"));
    }

    #[tokio::test]
    async fn nobody_waits_for_a_reader_that_is_gone() {
        let (outbox, waiting) = outbox();
        outbox.send(Bytes::from(vec![0; limit::OUTBOX_WAITING])).await;
        let waits = outbox.send(Bytes::from_static(b"second"));
        drop(waiting);
        waits.await;
        outbox.closed().await;
    }
}
