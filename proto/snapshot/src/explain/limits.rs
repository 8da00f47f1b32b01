//! How often, how many at a time, and how long; and what of that is this node's.

use super::{Question, Steps};
use crate::model::Snapshot;
use crate::policy::{Limit, Per};
use crate::share::{Share, is_shared};

/// Those that hold for every call of a principal.
pub(super) fn describe(snapshot: &Snapshot, question: &Question<'_>, steps: &mut Steps) {
    let limits = &snapshot.limits;
    let share = |of_fleet: bool, limit| held(of_fleet, question.shares.all, limit, question);
    if let Some(requests) = limits.requests_per_minute {
        let share = share(limits.of_fleet.requests_per_minute, requests);
        let value = format!("{requests} requests a minute of one principal{share}");
        steps.note("limit", value, "features.rate_limiting.requests_per_minute");
    }
    let requests = limits.concurrent_requests;
    let share = share(limits.of_fleet.concurrent_requests, requests);
    let value = format!("{requests} requests at a time of one principal{share}");
    steps.note("limit", value, "proxy.limits.concurrent_requests");
    steps.note("limit", format!("{} bytes of one request", limits.body_bytes), "proxy.limits.body_bytes");
}

/// One of a policy.
pub(super) fn of_policy(limit: &Limit, question: &Question<'_>, steps: &mut Steps) {
    let per = match limit.per {
        Per::Principal => "of one principal, counted together for all that the limit covers",
        Per::Tool => "of one principal, counted apart for each tool, prompt and resource",
    };
    let share = |number| held(limit.of_fleet, question.shares.of(&limit.source), number, question);
    if let Some(requests) = limit.requests_per_minute {
        steps.note("limit", format!("{requests} calls a minute {per}{}", share(requests)), &*limit.source);
    }
    if let Some(calls) = limit.concurrent_requests {
        steps.note("limit", format!("{calls} calls at a time {per}{}", share(calls)), &*limit.source);
    }
}

/// What of it one node holds.
fn held(of_fleet: bool, share: Share, limit: u32, question: &Question<'_>) -> String {
    match share.nodes() {
        nodes if of_fleet && nodes > 1 && is_shared(question.principal) => {
            format!("; this node holds {} of them, being one of {nodes}", share.of(limit))
        }
        _ => String::new(),
    }
}
