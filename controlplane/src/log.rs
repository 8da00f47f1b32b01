//! Logs: JSON lines on stderr; the last of them are kept in memory for those who ask.

mod recent;

use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::writer::MakeWriterExt as _;

pub use recent::Recent;

/// Libraries that tell more at `debug` than anybody but their authors wants.
const CHATTY: &str = "hyper=info,hyper_util=info,h2=info,rustls=info,rmcp=info,tokio_rustls=info,tonic=info,tower=info";
/// Lines waiting for stderr, under `sluice run` also those of requests; beyond it they are lost rather than waited for.
const QUEUE: usize = 16_384;

/// Starts logging from this level on; `RUST_LOG` wins. Lines are written by a thread of their own: a stderr that nobody reads
/// must not stop anything. What still waits is written when the returned guard is dropped.
pub fn start(level: &str) -> WorkerGuard {
    let (writer, guard) = stderr();
    install(level, writer);
    guard
}

/// The same, and keeps the last lines.
pub fn start_kept(level: &str) -> (WorkerGuard, Recent) {
    let ((writer, guard), recent) = (stderr(), Recent::default());
    install(level, writer.and(recent.clone()));
    (guard, recent)
}

fn stderr() -> (tracing_appender::non_blocking::NonBlocking, WorkerGuard) {
    NonBlockingBuilder::default().buffered_lines_limit(QUEUE).lossy(true).thread_name("log").finish(std::io::stderr())
}

fn install(level: &str, writer: impl for<'w> MakeWriter<'w> + Send + Sync + 'static) {
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
}
