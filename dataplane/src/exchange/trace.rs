//! Trace context on its way through: the caller's becomes the parent of our span, and ours is what the server sees.

use sluice_mcp::{MetaContext, TraceContext, trace};

use super::call::{Call, Posted};
use crate::observe::traces::Trace;

/// Begins the span of a request, where it is recorded, and lets the message say so: in `_meta` where there is one, and in the
/// header that mirrors it. What `_meta` says wins over a header: it is nearer to the call.
pub(super) fn begin<To>(call: &mut Call<To>, posted: &mut Posted) {
    let Some(sample) = call.plane.snapshot.monitoring.traces.as_ref().map(|traces| traces.sample_per_million) else {
        return;
    };
    let meta = MetaContext::of(&posted.body, &posted.message);
    let in_header = || call.headers.get(trace::PARENT).and_then(TraceContext::parse);
    let caller = meta.and_then(|meta| meta.context).or_else(in_header);
    let Some(begun) = Trace::begin(caller, call.headers.get("tracestate"), sample) else { return };
    if let Some(meta) = meta {
        posted.edits.push(meta.replace(&begun.context));
    }
    // the digits and dashes of a context are a field value
    let _ = call.headers.set(trace::PARENT, begun.context.to_string().as_bytes());
    call.record.trace = Some(Box::new(begun));
}
