//! What the process says of itself: one JSON line each on stderr.

use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;

/// What is told unless `RUST_LOG` says otherwise; libraries tell more at `debug` than anybody but their authors wants.
const USUAL: &str = "info,hyper=info,hyper_util=info,h2=info,rustls=info,tokio_rustls=info,tonic=info";
/// Lines waiting for stderr; beyond it they are lost rather than waited for.
const QUEUE: usize = 16_384;

/// Starts logging, by a thread of its own: a stderr that nobody reads must not stop traffic. What still waits is written when
/// the returned guard is dropped.
pub(crate) fn start() -> WorkerGuard {
    let (writer, guard) = NonBlockingBuilder::default()
        .buffered_lines_limit(QUEUE)
        .lossy(true)
        .thread_name("log")
        .finish(std::io::stderr());
    let filter = std::env::var("RUST_LOG").ok().filter(|said| !said.is_empty());
    let subscriber = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_writer(writer)
        .with_env_filter(EnvFilter::new(filter.as_deref().unwrap_or(USUAL)))
        .finish();
    // it can fail only where somebody else set one up before, and then logs go there
    let _ = tracing::subscriber::set_global_default(subscriber);
    guard
}
