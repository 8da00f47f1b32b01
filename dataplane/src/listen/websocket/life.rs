//! When a client was last heard of, and what it had by then.

use std::cell::Cell;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// When the client was last heard of.
pub(super) struct Life {
    heard: Cell<Instant>,
    /// Nothing is read at the moment: the client cannot be heard.
    paused: Cell<bool>,
    /// How many messages it has, by its last pong.
    count: Cell<Option<u64>>,
    counted: Notify,
}

impl Default for Life {
    fn default() -> Self {
        Self {
            heard: Cell::new(Instant::now()),
            paused: Cell::new(false),
            count: Cell::new(None),
            counted: Notify::new(),
        }
    }
}

impl Life {
    pub(super) fn heard(&self) {
        self.heard.set(Instant::now());
        self.paused.set(false);
    }

    pub(super) fn pause(&self) {
        self.paused.set(true);
    }

    /// A pong came; one that answers no ping of ours says nothing.
    pub(super) fn confirmed(&self, count: &[u8]) {
        if let Ok(count) = count.try_into() {
            self.count.set(Some(u64::from_be_bytes(count)));
            self.counted.notify_one();
        }
    }

    /// Waits for a pong.
    pub(super) async fn count(&self) -> u64 {
        loop {
            if let Some(count) = self.count.take() {
                return count;
            }
            self.counted.notified().await;
        }
    }

    pub(super) fn silent(&self) -> Duration {
        if self.paused.get() { Duration::ZERO } else { self.heard.get().elapsed() }
    }
}
