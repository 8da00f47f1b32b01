//! The record of a request: filled along the path, accounted once when it is dropped (metrics, access log).

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::StatusCode;
use sluice_mcp::Method;

use crate::node::Worker;
use crate::observe::access_log::{Line, RequestName, shortened};
use crate::observe::denials::{Denied, Who};
use crate::observe::traces::{About, Span, Trace};
use crate::plane::Plane;
use crate::reason::Reason;
use crate::upstream::Upstream;

/// What is known of a request so far.
pub(crate) struct Record {
    worker: Rc<Worker>,
    number: u64,
    started: Instant,
    logged: bool,
    /// Of the plane the request is served by, from its beginning to its end.
    revision: u64,
    pub principal: Option<Arc<str>>,
    pub upstream: Option<Arc<Upstream>>,
    /// The merged door answers it, or refuses it, itself: counted without a server.
    pub of_door: bool,
    pub method: Method,
    /// Asked in a revision up to 2025-11-25.
    pub legacy: bool,
    /// The method as it was sent, where it is none of the specification's.
    pub other_method: Option<String>,
    pub name: Option<String>,
    pub status: StatusCode,
    pub outcome: &'static str,
    /// What is told inside only.
    pub cause: Option<String>,
    /// Its span, where it is recorded.
    pub trace: Option<Box<Trace>>,
    /// Where the rule stands that denied it.
    pub rule: Option<Arc<str>>,
    /// Whoever asked was refused by the gateway.
    refused: bool,
    /// Where they came from, of those who did not come in.
    pub stranger: Option<IpAddr>,
    /// Another node answers, and counts it.
    pub handed_on: bool,
}

impl Record {
    /// A request served by this plane.
    pub(crate) fn begin(worker: &Rc<Worker>, plane: &Plane) -> Self {
        let mut record = Self::quiet(worker, plane);
        record.logged = plane.snapshot.monitoring.access_log;
        record
    }

    /// One that nobody asked for, which has no line in the log.
    pub(crate) fn quiet(worker: &Rc<Worker>, plane: &Plane) -> Self {
        Self {
            number: worker.next_request(),
            worker: Rc::clone(worker),
            started: Instant::now(),
            logged: false,
            revision: plane.snapshot.revision,
            principal: None,
            upstream: None,
            of_door: false,
            method: Method::Other,
            legacy: false,
            other_method: None,
            name: None,
            status: StatusCode::OK,
            outcome: "abandoned",
            cause: None,
            trace: None,
            rule: None,
            refused: false,
            stranger: None,
            handed_on: false,
        }
    }

    /// Whether names are worth collecting.
    pub(crate) fn is_logged(&self) -> bool {
        self.logged || self.trace.is_some()
    }

    /// When the request came.
    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    pub(crate) fn fail(&mut self, reason: &Reason) {
        let row = reason.row();
        self.status = row.status;
        self.outcome = row.outcome;
        // what a server does not take is no denial of ours
        self.refused = !reason.is_the_servers()
            && matches!(row.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS);
    }

    /// Another node answers: what becomes of it is counted there, and whom that refuses is noted there.
    pub(crate) fn hand_on(&mut self, outcome: &'static str, status: StatusCode, cause: String) {
        self.status = status;
        self.outcome = outcome;
        self.cause = Some(cause);
        self.handed_on = true;
    }

    fn span(&self, trace: Trace) -> Span {
        let server = self.upstream.as_ref().map_or_else(|| Arc::from(""), |u| Arc::clone(u.name()));
        let about = About {
            request: self.request().to_string(),
            method: self.method,
            other_method: self.other_method.as_deref().map(|other| shortened(other).to_owned().into()),
            name: self.name.as_deref().map(|name| shortened(name).to_owned()),
            server,
            principal: self.principal.clone().unwrap_or_else(|| Arc::from("")),
            status: self.status.as_u16(),
            outcome: self.outcome,
        };
        Span { trace, ended: std::time::SystemTime::now(), about }
    }

    /// Notes that somebody did not come in, or came too often. What policies deny is noted where they do.
    fn deny(&self) {
        let who = match (&self.principal, self.stranger) {
            (Some(principal), _) => Who::Principal(Arc::clone(principal)),
            (None, Some(address)) => Who::Stranger(address),
            (None, None) => Who::Strangers,
        };
        self.worker.node.denials.note(Denied {
            who,
            method: self.method.as_str(),
            server: self.upstream.as_ref().map_or_else(|| Arc::from(""), |upstream| Arc::clone(upstream.name())),
            object: Box::from(""),
            why: self.outcome,
            rule: Arc::from(""),
        });
    }

    fn log(&self, took: Duration) {
        let ended = self.started + took;
        self.worker.log.record(
            ended,
            &Line {
                at_ms: self.worker.time_of_day(ended),
                revision: self.revision,
                request: self.request(),
                principal: self.principal.as_deref().unwrap_or_default(),
                server: self.upstream.as_ref().map_or("", |upstream| upstream.name()),
                method: self.other_method.as_deref().unwrap_or(self.method.as_str()),
                name: self.name.as_deref(),
                status: self.status.as_u16(),
                outcome: self.outcome,
                micros: took.as_micros() as u64,
                cause: self.cause.as_deref(),
                rule: self.rule.as_deref(),
            },
        );
    }

    fn request(&self) -> RequestName {
        RequestName { boot: self.worker.node.boot, number: self.number }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let took = self.started.elapsed();
        match &self.upstream {
            _ if self.handed_on => self.worker.node.metrics.hand_on(),
            Some(upstream) => self.worker.series(upstream, self.method).count(self.outcome, took),
            None if self.of_door => self.worker.door_series(self.method).count(self.outcome, took),
            None if self.outcome == "ok" => {}
            None => self.worker.node.metrics.refuse(self.outcome),
        }
        if let Some(trace) = self.trace.take() {
            let span = self.span(*trace);
            self.worker.node.spans.record(span);
        }
        if self.refused && self.rule.is_none() {
            self.deny();
        }
        if self.logged {
            self.log(took);
        }
    }
}
