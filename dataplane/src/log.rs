//! What the process says of itself: one JSON line each on stderr.

use std::sync::OnceLock;

use sluice_snapshot::model::LogLevel;
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;

/// Libraries that tell more at `debug` than anybody but their authors wants.
const CHATTY: &str = "hyper=info,hyper_util=info,h2=info,rustls=info,tokio_rustls=info,tonic=info";
/// Lines waiting for stderr; beyond it they are lost rather than waited for.
const QUEUE: usize = 16_384;

/// Puts another filter in the place of the one there is.
static EXCHANGE: OnceLock<Box<dyn Fn(EnvFilter) + Send + Sync>> = OnceLock::new();

/// A log that was started. Dropped: what still waits is written.
pub(crate) struct Log {
    /// Nobody said at the start how much is told: configurations may.
    pub follows: bool,
    _written: WorkerGuard,
}

/// Starts logging, by a thread of its own: a stderr that nobody reads must not stop traffic. `RUST_LOG` counts more than the level.
pub(crate) fn start(level: Option<LogLevel>) -> Log {
    let (writer, written) = NonBlockingBuilder::default()
        .buffered_lines_limit(QUEUE)
        .lossy(true)
        .thread_name("log")
        .finish(std::io::stderr());
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
    // either can fail only where somebody else set one up before, and then logs go there
    let _ = EXCHANGE.set(Box::new(move |filter| drop(handle.reload(filter))));
    let _ = tracing::subscriber::set_global_default(builder.finish());
    Log { follows: said.is_none() && level.is_none(), _written: written }
}

/// Tells as much as a configuration says from now on; `None`: as much as is usual.
pub(crate) fn set_level(level: Option<LogLevel>) {
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

/// Reads a level.
pub(crate) fn level(text: &str) -> Result<LogLevel, String> {
    match text {
        "trace" => Ok(LogLevel::Trace),
        "debug" => Ok(LogLevel::Debug),
        "info" => Ok(LogLevel::Info),
        "warn" => Ok(LogLevel::Warn),
        "error" => Ok(LogLevel::Error),
        _ => Err("a level is trace, debug, info, warn or error".to_owned()),
    }
}
