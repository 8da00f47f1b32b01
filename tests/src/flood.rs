//! Servers that never stop talking, and how much of it somebody took.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::message;
use crate::upstream::{Answer, Legacy, Pipe};
use crate::wait::within;

/// Bytes of one message.
const PIECE: usize = 60_000;
/// How long nothing must have been taken. On the way there are buffers, which are filled much faster.
const HELD_BACK: Duration = Duration::from_millis(800);

/// A server whose tool `endless` never stops talking, and what was taken of that.
pub struct Flood {
    /// The server; its other tools answer with their arguments.
    pub server: Legacy,
    poured: Poured,
}

/// Counts the events that were taken of streams without end.
#[derive(Clone, Default)]
pub struct Poured(Arc<AtomicUsize>);

impl Poured {
    /// Sends an event again and again, until nobody is there any more.
    pub fn pour(&self, pipe: Pipe, event: Value) -> JoinHandle<()> {
        let Self(count) = self.clone();
        tokio::spawn(async move {
            while pipe.event(&event).await {
                count.fetch_add(1, Ordering::SeqCst);
            }
        })
    }

    /// Waits until nobody takes any more: the kernel's buffers on the way, some 10 MB a stream, are full.
    pub async fn held_back(&self) {
        let mut last = (0, Instant::now());
        within(Duration::from_secs(40), "the server is held back", || {
            let now = self.0.load(Ordering::SeqCst);
            if now != last.0 {
                last = (now, Instant::now());
            }
            (now > 0 && last.1.elapsed() > HELD_BACK).then_some(())
        })
        .await;
    }
}

impl Flood {
    /// Starts it.
    #[must_use]
    pub fn start() -> Self {
        let poured = Poured::default();
        let count = poured.clone();
        let server = Legacy::scripted(move |received| {
            (received.tool() == "endless").then(|| {
                let (pipe, answer) = Answer::stream("text/event-stream");
                count.pour(pipe, message::notification("notifications/message", json!({ "data": "x".repeat(PIECE) })));
                answer
            })
        });
        Self { server, poured }
    }

    /// Waits until nobody takes any more.
    pub async fn held_back(&self) {
        self.poured.held_back().await;
    }
}
