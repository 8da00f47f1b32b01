//! Logs: JSON lines on stderr.

use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;

/// Libraries that tell more at `debug` than anybody but their authors wants.
const CHATTY: &str = "hyper=info,hyper_util=info,h2=info,rustls=info,rmcp=info,tokio_rustls=info,tonic=info,tower=info";
/// Lines waiting for stderr, under `sluice run` also those of requests; beyond it they are lost rather than waited for.
const QUEUE: usize = 16_384;

/// Starts logging from this level on; `RUST_LOG` wins. Lines are written by a thread of their own: a stderr that nobody reads
/// must not stop anything. What still waits is written when the returned guard is dropped.
pub fn start(level: &str) -> WorkerGuard {
    let (writer, guard) = NonBlockingBuilder::default()
        .buffered_lines_limit(QUEUE)
        .lossy(true)
        .thread_name("log")
        .finish(std::io::stderr());
    let filter = std::env::var("RUST_LOG").ok().filter(|said| !said.is_empty());
    let filter = EnvFilter::new(filter.unwrap_or_else(|| format!("{level},{CHATTY}")));
    let subscriber = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_writer(writer)
        .with_env_filter(filter)
        .finish();
    // It can fail only where somebody else set one up before, and then logs go there.
    let _ = tracing::subscriber::set_global_default(subscriber);
    guard
}
