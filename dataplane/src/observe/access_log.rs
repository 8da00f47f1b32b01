//! The access log: one JSON line per request on stderr. The path fills a record and hands it to a writer thread; when
//! that is behind, lines are lost and counted, and traffic goes on.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::metrics::Metrics;
use crate::limit;

/// What is told of one request. Names are cut at [`NAME_BYTES`]; bodies, keys and session ids have no place here.
#[derive(serde::Serialize)]
pub(crate) struct Line {
    pub at_ms: u64,
    pub request: String,
    pub principal: Arc<str>,
    pub server: Arc<str>,
    pub method: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    pub status: u16,
    pub outcome: &'static str,
    pub micros: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
}

/// Longest name of a tool, prompt or resource in a line.
pub(crate) const NAME_BYTES: usize = 256;

/// The log's sending end.
#[derive(Clone)]
pub(crate) struct AccessLog {
    lines: SyncSender<Line>,
    metrics: Arc<Metrics>,
}

impl AccessLog {
    /// Starts the writer thread; it ends when every sending end is gone.
    pub(crate) fn start(metrics: Arc<Metrics>) -> std::io::Result<Self> {
        let (lines, queue) = sync_channel(limit::LOG_QUEUE);
        std::thread::Builder::new().name("access-log".into()).spawn(move || write(&queue))?;
        Ok(Self { lines, metrics })
    }

    pub(crate) fn record(&self, line: Line) {
        if self.lines.try_send(line).is_err() {
            self.metrics.log_lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn write(queue: &Receiver<Line>) {
    #[derive(serde::Serialize)]
    struct Tagged<'a> {
        log: &'static str,
        #[serde(flatten)]
        line: &'a Line,
    }
    let mut buffer = Vec::with_capacity(64 << 10);
    while let Ok(first) = queue.recv() {
        let mut next = Some(first);
        while let Some(line) = next {
            if serde_json::to_writer(&mut buffer, &Tagged { log: "access", line: &line }).is_ok() {
                buffer.push(b'\n');
            }
            next = if buffer.len() < 60 << 10 { queue.try_recv().ok() } else { None };
        }
        let _ = std::io::stderr().lock().write_all(&buffer);
        buffer.clear();
    }
}
