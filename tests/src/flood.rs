//! A server whose tool `endless` never stops talking, and how much of it somebody took.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::message;
use crate::upstream::{Answer, Legacy};
use crate::wait::within;

/// Bytes of one message.
const PIECE: usize = 60_000;

/// The server and its count.
pub struct Flood {
    /// The server; its other tools answer with their arguments.
    pub server: Legacy,
    sent: Arc<AtomicUsize>,
}

impl Flood {
    /// Starts it.
    #[must_use]
    pub fn start() -> Self {
        let sent = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&sent);
        let server = Legacy::scripted(move |received| {
            (received.tool() == "endless").then(|| {
                let (pipe, answer) = Answer::stream("text/event-stream");
                let count = Arc::clone(&count);
                tokio::spawn(async move {
                    let note = message::notification("notifications/message", json!({ "data": "x".repeat(PIECE) }));
                    while pipe.event(&note).await {
                        count.fetch_add(PIECE, Ordering::SeqCst);
                    }
                });
                answer
            })
        });
        Self { server, sent }
    }

    /// Waits until nobody takes any more: the kernel's buffers on the way, some 10 MB a stream, are full.
    pub async fn held_back(&self) {
        let mut last = (0, Instant::now());
        within(Duration::from_secs(40), "the server is held back", || {
            let now = self.sent.load(Ordering::SeqCst);
            if now != last.0 {
                last = (now, Instant::now());
            }
            (now > 0 && last.1.elapsed() > Duration::from_millis(800)).then_some(())
        })
        .await;
    }
}
