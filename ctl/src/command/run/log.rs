//! Logs: JSON lines on stderr.

use sluice_controlplane::language::{Fault, LogLevel, Source};
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;

/// Libraries that tell more at `debug` than anybody but their authors wants.
const CHATTY: &str = "hyper=info,hyper_util=info,h2=info,rustls=info,rmcp=info,tokio_rustls=info";

/// Lines waiting for stderr; beyond it they are lost rather than waited for.
const QUEUE: usize = 16_384;

/// Starts logging. `RUST_LOG` wins over the configured level. Lines are written by a thread of their own: a stderr that
/// nobody reads must not stop traffic. What still waits is written when the returned guard is dropped.
pub(super) fn start(level: Option<LogLevel>) -> WorkerGuard {
    let (writer, guard) = NonBlockingBuilder::default()
        .buffered_lines_limit(QUEUE)
        .lossy(true)
        .thread_name("log")
        .finish(std::io::stderr());
    let level = level.map_or("info", LogLevel::as_str);
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

/// How bad it is.
#[derive(Clone, Copy)]
pub(super) enum Weight {
    Warning,
    Error,
}

/// One line for each thing said about a configuration, with its place.
pub(super) fn faults(source: &Source, faults: &[Fault], weight: Weight) {
    for fault in faults {
        let (line, column) = source.position(fault);
        let (file, path, advice) = (source.name(), source.as_written(&fault.path), fault.advice.as_deref());
        match weight {
            Weight::Warning => tracing::warn!(file, line, column, %path, advice, "{}", fault.message),
            Weight::Error => tracing::error!(file, line, column, %path, advice, "{}", fault.message),
        }
    }
}
