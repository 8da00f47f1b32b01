//! What a node shows of itself: metrics, the access log, spans. Nothing here knows bodies, keys or session ids.

pub(crate) mod access_log;
pub(crate) mod metrics;
pub(crate) mod otlp;
pub(crate) mod traces;
