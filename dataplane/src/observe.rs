//! What a node shows of itself: metrics and the access log. Nothing here knows bodies, keys or session ids.

pub(crate) mod access_log;
pub(crate) mod metrics;
