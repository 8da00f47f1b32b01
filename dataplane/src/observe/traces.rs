//! Spans of requests: one of kind SERVER for each that is recorded, handed to the exporter when the request ends. When the
//! exporter is behind, spans are lost and counted, and traffic goes on.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use sluice_mcp::{Method, TraceContext};
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::metrics::Metrics;
use crate::limit;

/// The place of a request that is recorded: its own span, as servers see it, and whose child it is.
pub(crate) struct Trace {
    /// What goes to the server: the trace, and the span of this request.
    pub context: TraceContext,
    parent: Option<[u8; 8]>,
    /// `tracestate`, as it came.
    state: String,
    started: SystemTime,
}

impl Trace {
    /// Decides whether a request is recorded: as its caller does, else by chance (`sample_per_million`).
    pub(crate) fn begin(caller: Option<TraceContext>, state: Option<&[u8]>, sample_per_million: u32) -> Option<Self> {
        let (trace, parent) = match caller {
            Some(caller) if caller.sampled => (caller.trace, Some(caller.span)),
            Some(_) => return None,
            None => {
                let [a, b, c, d, ..]: [u8; 16] = random();
                let drawn = (u64::from(u32::from_be_bytes([a, b, c, d])) * 1_000_000) >> 32;
                (drawn < u64::from(sample_per_million)).then(|| (random(), None))?
            }
        };
        let context = TraceContext { trace, span: random(), sampled: true };
        let state = state.filter(|_| parent.is_some()).map(|state| String::from_utf8_lossy(state).into_owned());
        Some(Self { context, parent, state: state.unwrap_or_default(), started: SystemTime::now() })
    }
}

/// Random bytes; a trace is no secret, and where there are none it is not recorded under a name of its own.
fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // the generator runs in this process and is seeded; it does not fail
    let _ = aws_lc_rs::rand::fill(&mut bytes);
    bytes
}

/// A request that ended.
pub(crate) struct Span {
    pub trace: Trace,
    pub ended: SystemTime,
    pub about: About,
}

/// What is told of it; no argument, no credential, no session id.
pub(crate) struct About {
    pub request: String,
    pub method: Method,
    /// The method as it was sent, where it is none of the specification's.
    pub other_method: Option<Cow<'static, str>>,
    pub name: Option<String>,
    pub server: Arc<str>,
    pub principal: Arc<str>,
    pub status: u16,
    pub outcome: &'static str,
}

impl Span {
    pub(crate) fn started(&self) -> SystemTime {
        self.trace.started
    }

    pub(crate) fn parent(&self) -> Option<[u8; 8]> {
        self.trace.parent
    }

    pub(crate) fn state(&self) -> &str {
        &self.trace.state
    }
}

/// Where ended spans go; the other end is the exporter's.
#[derive(Clone)]
pub(crate) struct Spans {
    queue: Sender<Span>,
    metrics: Arc<Metrics>,
}

impl Spans {
    pub(crate) fn new(metrics: Arc<Metrics>) -> (Self, Receiver<Span>) {
        let (queue, ended) = channel(limit::SPAN_QUEUE);
        (Self { queue, metrics }, ended)
    }

    pub(crate) fn record(&self, span: Span) {
        if self.queue.try_send(span).is_err() {
            self.metrics.spans_lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(sampled: bool) -> Option<TraceContext> {
        Some(TraceContext { trace: [7; 16], span: [9; 8], sampled })
    }

    #[test]
    fn a_caller_decides_for_its_trace() {
        let begun = Trace::begin(caller(true), Some(b"v=1"), 0).unwrap();
        assert_eq!((begun.context.trace, begun.parent, begun.state.as_str()), ([7; 16], Some([9; 8]), "v=1"));
        assert_ne!(begun.context.span, [9; 8]);
        assert!(Trace::begin(caller(false), None, 1_000_000).is_none());
    }

    #[test]
    fn others_are_drawn() {
        let recorded = |rate| (0..1_000).filter(|_| Trace::begin(None, Some(b"v=1"), rate).is_some()).count();
        assert_eq!((recorded(0), recorded(1_000_000)), (0, 1_000));
        // 500 expected, deviation 16: twelve of them away is another coin
        assert!((300..700).contains(&recorded(500_000)));
        assert_eq!(Trace::begin(None, Some(b"v=1"), 1_000_000).unwrap().state, "");
    }
}
