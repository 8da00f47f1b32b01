//! How often, how many at a time, and how long.

use super::Steps;
use crate::model::Snapshot;
use crate::policy::{Limit, Per};

/// Those that hold for every call of a principal.
pub(super) fn describe(snapshot: &Snapshot, steps: &mut Steps) {
    let limits = &snapshot.limits;
    if let Some(requests) = limits.requests_per_minute {
        let value = format!("{requests} requests a minute of one principal");
        steps.note("limit", value, "features.rate_limiting.requests_per_minute");
    }
    let value = format!("{} requests at a time of one principal", limits.concurrent_requests);
    steps.note("limit", value, "proxy.limits.concurrent_requests");
    steps.note("limit", format!("{} bytes of one request", limits.body_bytes), "proxy.limits.body_bytes");
}

/// One of a policy.
pub(super) fn of_policy(limit: &Limit, steps: &mut Steps) {
    let per = match limit.per {
        Per::Principal => "of one principal, counted together for all that the limit covers",
        Per::Tool => "of one principal, counted apart for each tool, prompt and resource",
    };
    if let Some(requests) = limit.requests_per_minute {
        steps.note("limit", format!("{requests} calls a minute {per}"), &*limit.source);
    }
    if let Some(calls) = limit.concurrent_requests {
        steps.note("limit", format!("{calls} calls at a time {per}"), &*limit.source);
    }
}
