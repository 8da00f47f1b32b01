//! Logs: JSON lines on stderr; the last of them are kept in memory for those who ask.

mod recent;

use std::sync::OnceLock;

use sluice_snapshot::model::LogLevel;
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::writer::MakeWriterExt as _;

pub use recent::Recent;

/// Libraries that tell more at `debug` than anybody but their authors wants.
const CHATTY: &str = "hyper=info,hyper_util=info,h2=info,rustls=info,rmcp=info,tokio_rustls=info,tonic=info,tower=info";
/// Lines waiting for stderr, under `sluice run` also those of requests; beyond it they are lost rather than waited for.
const QUEUE: usize = 16_384;

/// Puts another filter in the place of the one there is.
static EXCHANGE: OnceLock<Box<dyn Fn(EnvFilter) + Send + Sync>> = OnceLock::new();

/// A log that was started. Dropped: what still waits is written.
pub struct Log {
    /// `RUST_LOG` does not say how much is told: configurations may ([`set_level`]).
    pub follows: bool,
    _written: WorkerGuard,
}

/// Starts logging from this level on; `None`: as much as is usual. `RUST_LOG` wins. Lines are written by a thread of their own: a
/// stderr that nobody reads must not stop anything.
#[must_use]
pub fn start(level: Option<LogLevel>) -> Log {
    let (writer, written) = stderr();
    Log { follows: install(level, writer), _written: written }
}

/// The same, and keeps the last lines.
#[must_use]
pub fn start_kept() -> (Log, Recent) {
    let ((writer, written), recent) = (stderr(), Recent::default());
    (Log { follows: install(None, writer.and(recent.clone())), _written: written }, recent)
}

/// Tells as much as a configuration says from now on; `None`: as much as is usual. It is for whoever runs the configuration: in a
/// process of both planes the data plane, when it adopts one.
pub fn set_level(level: Option<LogLevel>) {
    if let Some(exchange) = EXCHANGE.get() {
        exchange(filter(level));
    }
}

fn filter(level: Option<LogLevel>) -> EnvFilter {
    EnvFilter::new(match level {
        Some(LogLevel::Trace) => format!("trace,{CHATTY}"),
        Some(LogLevel::Debug) => format!("debug,{CHATTY}"),
        None | Some(LogLevel::Info) => "info".to_owned(),
        Some(LogLevel::Warn) => "warn".to_owned(),
        Some(LogLevel::Error) => "error".to_owned(),
    })
}

fn stderr() -> (tracing_appender::non_blocking::NonBlocking, WorkerGuard) {
    NonBlockingBuilder::default().buffered_lines_limit(QUEUE).lossy(true).thread_name("log").finish(std::io::stderr())
}

/// `false`: `RUST_LOG` says how much is told.
fn install(level: Option<LogLevel>, writer: impl for<'w> MakeWriter<'w> + Send + Sync + 'static) -> bool {
    let said = std::env::var("RUST_LOG").ok().filter(|said| !said.is_empty());
    let builder = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_writer(writer)
        .with_env_filter(said.as_deref().map_or_else(|| filter(level), EnvFilter::new))
        .with_filter_reloading();
    let handle = builder.reload_handle();
    // Either can fail only where somebody else set one up before, and then logs go there.
    let _ = EXCHANGE.set(Box::new(move |filter| drop(handle.reload(filter))));
    let _ = tracing::subscriber::set_global_default(builder.finish());
    said.is_none()
}
