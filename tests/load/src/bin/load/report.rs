//! What is said on stdout, a line of JSON each.

use std::time::Duration;

use serde_json::json;

use crate::histogram::Histogram;
use crate::session::Opened;

/// Everything is open.
pub(crate) fn ready(opened: &Opened) -> String {
    json!({ "sessions": opened.sessions, "streams": opened.streams, "seconds": opened.took.as_secs_f64() }).to_string()
}

/// A load has ended: all its requests were answered, and rightly.
pub(crate) fn ended(latencies: &Histogram, took: Duration, calls: u64, sent: u64, received: u64) -> String {
    let micros = |share| latencies.quantile(share) as f64 / 1000.0;
    json!({
        "requests": latencies.total(),
        "calls": calls,
        "seconds": took.as_secs_f64(),
        "rps": latencies.total() as f64 / took.as_secs_f64(),
        "p50": micros(0.5),
        "p99": micros(0.99),
        "p999": micros(0.999),
        "sent": sent,
        "received": received,
    })
    .to_string()
}

/// So many streams are open.
pub(crate) fn streams(open: usize) -> String {
    json!({ "streams": open }).to_string()
}
