//! What a node shows of itself: metrics, the access log, spans and what was denied. Nothing here knows bodies, keys or session
//! ids.

pub(crate) mod access_log;
pub(crate) mod denials;
pub(crate) mod metrics;
pub(crate) mod otlp;
pub(crate) mod traces;
