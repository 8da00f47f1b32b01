//! Logs: JSON lines on stderr.

use sluice_controlplane::language::LogLevel;
use tracing_subscriber::EnvFilter;

/// Libraries that tell more at `debug` than anybody but their authors wants.
const CHATTY: &str = "hyper=info,hyper_util=info,h2=info,rustls=info,rmcp=info,tokio_rustls=info";

/// Starts logging. `RUST_LOG` wins over the configured level.
pub(super) fn start(level: Option<LogLevel>) {
    let level = level.map_or("info", LogLevel::as_str);
    let filter = std::env::var("RUST_LOG").ok().filter(|said| !said.is_empty());
    let filter = EnvFilter::new(filter.unwrap_or_else(|| format!("{level},{CHATTY}")));
    let subscriber = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_writer(std::io::stderr)
        .with_env_filter(filter)
        .finish();
    // It can fail only where somebody else set one up before, and then logs go there.
    let _ = tracing::subscriber::set_global_default(subscriber);
}
