//! Counters of a node. Each worker counts in words of its own; a scrape adds them up. Labels are bounded: server (as
//! configured), method (the specification's, else `other`), outcome (see `reason`).

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use sluice_mcp::Method;

use crate::budget::Budget;

/// Upper bounds of the latency histogram, microseconds. From a warm local call to a slow tool.
const BOUNDS: [u64; 14] =
    [100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 500_000, 1_000_000, 10_000_000, 60_000_000];

/// Something that goes up and down.
#[derive(Default)]
pub(crate) struct Gauge(AtomicI64);

/// Holds a gauge up by one until dropped.
pub(crate) struct Inside(Arc<Gauge>);

impl Gauge {
    pub(crate) fn enter(self: &Arc<Self>) -> Inside {
        self.0.fetch_add(1, Ordering::Relaxed);
        Inside(Arc::clone(self))
    }

    pub(crate) fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The counts of one (server, method) on one worker.
#[derive(Default)]
pub(crate) struct Series {
    outcomes: Mutex<BTreeMap<&'static str, u64>>,
    ok: AtomicU64,
    buckets: [AtomicU64; BOUNDS.len() + 1],
    micros: AtomicU64,
}

impl Series {
    /// Counts one finished request.
    pub(crate) fn count(&self, outcome: &'static str, latency: Duration) {
        if outcome == "ok" {
            self.ok.fetch_add(1, Ordering::Relaxed);
        } else if let Ok(mut outcomes) = self.outcomes.lock() {
            *outcomes.entry(outcome).or_default() += 1;
        }
        let micros = latency.as_micros() as u64;
        let bucket = BOUNDS.partition_point(|bound| *bound < micros);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// All that were counted.
    fn total(&self) -> u64 {
        self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).sum()
    }
}

type Key = (Arc<str>, &'static str);

/// One worker's series, found by server and method.
#[derive(Default)]
pub(crate) struct Worker {
    series: RwLock<BTreeMap<Key, Arc<Series>>>,
}

impl Worker {
    /// The series of a server and method; callers on the path keep it.
    pub(crate) fn series(&self, server: &Arc<str>, method: Method) -> Arc<Series> {
        let key = (Arc::clone(server), method.as_str());
        if let Some(series) = self.series.read().ok().and_then(|s| s.get(&key).cloned()) {
            return series;
        }
        self.series.write().map(|mut s| Arc::clone(s.entry(key).or_default())).unwrap_or_default()
    }
}

/// All counts of a node.
#[derive(Default)]
pub(crate) struct Metrics {
    workers: Mutex<Vec<Arc<Worker>>>,
    /// Requests refused before a server was found, by outcome.
    refused: Mutex<BTreeMap<&'static str, u64>>,
    /// Requests that policies denied, by why.
    denied: Mutex<BTreeMap<&'static str, u64>>,
    /// Bytes of bodies, sessions and queued messages the node holds.
    pub held: Budget,
    pub connections: Arc<Gauge>,
    pub streams: Arc<Gauge>,
    pub upstream_connections: Arc<Gauge>,
    pub children: Arc<Gauge>,
    /// Configurations in memory: the one that runs, and those that requests in flight still use.
    pub snapshots: Arc<Gauge>,
    pub child_starts: AtomicU64,
    pub undeliverable: AtomicU64,
    /// Requests that another node answered, because it holds the session.
    handed_on: AtomicU64,
    pub log_lost: AtomicU64,
    pub spans_lost: AtomicU64,
}

/// What a scrape adds to the counts.
pub(crate) struct Levels {
    /// Each server, and whether it could be reached when last tried.
    pub up: BTreeMap<Arc<str>, bool>,
    /// Each server that is shown something from elsewhere than the configuration, and whether that can be had.
    pub credentials: BTreeMap<Arc<str>, bool>,
    /// The endpoints of those that have several, by server and number.
    pub endpoints: BTreeMap<(Arc<str>, usize), Endpoint>,
    /// Requests that were sent once more, by server that has several endpoints.
    pub retried: BTreeMap<Arc<str>, u64>,
    /// What keeps sessions beyond the process, and whether it does.
    pub store: Option<(&'static str, bool)>,
    pub sessions: usize,
    pub revision: u64,
}

/// How an endpoint is.
pub(crate) struct Endpoint {
    pub in_service: bool,
    pub requests: u32,
    pub ejections: u64,
}

impl Metrics {
    pub(crate) fn worker(&self) -> Arc<Worker> {
        let worker = Arc::new(Worker::default());
        if let Ok(mut workers) = self.workers.lock() {
            workers.push(Arc::clone(&worker));
        }
        worker
    }

    pub(crate) fn refuse(&self, outcome: &'static str) {
        if let Ok(mut refused) = self.refused.lock() {
            *refused.entry(outcome).or_default() += 1;
        }
    }

    pub(crate) fn hand_on(&self) {
        self.handed_on.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn deny(&self, reason: &'static str) {
        if let Ok(mut denied) = self.denied.lock() {
            *denied.entry(reason).or_default() += 1;
        }
    }

    /// Requests that are finished, whatever became of them.
    pub(crate) fn finished(&self) -> u64 {
        let workers = self.workers.lock();
        let counted =
            |worker: &Arc<Worker>| worker.series.read().iter().flat_map(|s| s.values()).map(|s| s.total()).sum::<u64>();
        workers.iter().flat_map(|w| w.iter()).map(counted).sum()
    }

    /// The Prometheus text format, version 0.0.4.
    pub(crate) fn render(&self, levels: &Levels) -> String {
        let mut text = String::with_capacity(4096);
        self.requests(&mut text);
        let gauges: [(&str, &str, i64); 8] = [
            ("sluice_connections", "Client connections open.", self.connections.get()),
            ("sluice_sessions", "Legacy sessions open.", levels.sessions as i64),
            ("sluice_streams", "GET and listen streams open.", self.streams.get()),
            ("sluice_upstream_connections", "Connections to servers open.", self.upstream_connections.get()),
            ("sluice_children", "Child processes of stdio servers.", self.children.get()),
            ("sluice_held_bytes", "Bytes of bodies, sessions and queued messages held.", self.held.used() as i64),
            ("sluice_config_revision", "Revision of the active configuration.", levels.revision as i64),
            ("sluice_snapshots_alive", "Configurations in memory, active or still in use.", self.snapshots.get()),
        ];
        for (name, help, value) in gauges {
            let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}\n");
        }
        text.push_str(
            "# HELP sluice_server_up Whether the server could be reached when last tried.\n# TYPE sluice_server_up gauge\n",
        );
        for (server, up) in &levels.up {
            let _ = writeln!(text, "sluice_server_up{{server=\"{server}\"}} {}", u8::from(*up));
        }
        text.push_str("# HELP sluice_credential_up Whether what the server is shown could be had when last tried.\n");
        text.push_str("# TYPE sluice_credential_up gauge\n");
        for (server, up) in &levels.credentials {
            let _ = writeln!(text, "sluice_credential_up{{server=\"{server}\"}} {}", u8::from(*up));
        }
        endpoints(&mut text, levels);
        if let Some((store, up)) = levels.store {
            let name = "sluice_session_store_up";
            let _ = write!(text, "# HELP {name} Whether sessions can be looked up and kept.\n# TYPE {name} gauge\n");
            let _ = writeln!(text, "{name}{{store=\"{store}\"}} {}", u8::from(up));
        }
        let counters: [(&str, &str, &AtomicU64); 5] = [
            (
                "sluice_handed_on_total",
                "Requests that the node that holds their session answered, and counted.",
                &self.handed_on,
            ),
            ("sluice_child_starts_total", "Child processes started.", &self.child_starts),
            (
                "sluice_undeliverable_messages_total",
                "Messages of servers that no client could take.",
                &self.undeliverable,
            ),
            ("sluice_access_log_lost_total", "Access log lines lost because the writer was behind.", &self.log_lost),
            ("sluice_spans_lost_total", "Spans lost because the collector did not take them.", &self.spans_lost),
        ];
        for (name, help, value) in counters {
            let value = value.load(Ordering::Relaxed);
            let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} counter\n{name} {value}\n");
        }
        text
    }

    fn requests(&self, text: &mut String) {
        let mut sums: BTreeMap<Key, Sum> = BTreeMap::new();
        for worker in self.workers.lock().iter().flat_map(|w| w.iter()) {
            for (key, series) in worker.series.read().iter().flat_map(|s| s.iter()) {
                sums.entry(key.clone()).or_default().add(series);
            }
        }
        text.push_str("# HELP sluice_requests_total Finished requests.\n# TYPE sluice_requests_total counter\n");
        for ((server, method), sum) in &sums {
            for (outcome, count) in &sum.outcomes {
                let _ = writeln!(
                    text,
                    "sluice_requests_total{{server=\"{server}\",method=\"{method}\",outcome=\"{outcome}\"}} {count}"
                );
            }
        }
        text.push_str("# HELP sluice_refused_total Requests refused before a server was found.\n# TYPE sluice_refused_total counter\n");
        for (outcome, count) in self.refused.lock().iter().flat_map(|r| r.iter()) {
            let _ = writeln!(text, "sluice_refused_total{{outcome=\"{outcome}\"}} {count}");
        }
        text.push_str(
            "# HELP sluice_policy_denials_total Requests that policies denied.\n# TYPE sluice_policy_denials_total counter\n",
        );
        for (reason, count) in self.denied.lock().iter().flat_map(|d| d.iter()) {
            let _ = writeln!(text, "sluice_policy_denials_total{{reason=\"{reason}\"}} {count}");
        }
        text.push_str(
            "# HELP sluice_request_seconds Time to the end of the answer.\n# TYPE sluice_request_seconds histogram\n",
        );
        for ((server, method), sum) in &sums {
            let labels = format!("server=\"{server}\",method=\"{method}\"");
            let mut total = 0;
            for (count, bound) in sum.buckets.iter().zip(BOUNDS.iter().map(Some).chain([None])) {
                total += count;
                let bound = bound.map_or("+Inf".to_owned(), |b| (*b as f64 / 1e6).to_string());
                let _ = writeln!(text, "sluice_request_seconds_bucket{{{labels},le=\"{bound}\"}} {total}");
            }
            let seconds = sum.micros as f64 / 1e6;
            let _ = writeln!(text, "sluice_request_seconds_sum{{{labels}}} {seconds}");
            let _ = writeln!(text, "sluice_request_seconds_count{{{labels}}} {total}");
        }
    }
}

/// Endpoints by their numbers in the configuration: an address is nobody's business who may read metrics.
fn endpoints(text: &mut String, levels: &Levels) {
    type Shown = (&'static str, &'static str, &'static str, fn(&Endpoint) -> u64);
    let shown: [Shown; 3] = [
        ("sluice_endpoint_up", "gauge", "Whether an endpoint is in service.", |e| u64::from(e.in_service)),
        ("sluice_endpoint_requests", "gauge", "Requests in flight at an endpoint.", |e| e.requests.into()),
        ("sluice_endpoint_ejections_total", "counter", "How often an endpoint got no requests for a while.", |e| {
            e.ejections
        }),
    ];
    for (name, kind, help, value) in shown {
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for ((server, number), endpoint) in &levels.endpoints {
            let _ = writeln!(text, "{name}{{server=\"{server}\",endpoint=\"{number}\"}} {}", value(endpoint));
        }
    }
    text.push_str(
        "# HELP sluice_retries_total Requests sent once more, to another endpoint.\n# TYPE sluice_retries_total counter\n",
    );
    for (server, retried) in &levels.retried {
        let _ = writeln!(text, "sluice_retries_total{{server=\"{server}\"}} {retried}");
    }
}

#[derive(Default)]
struct Sum {
    outcomes: BTreeMap<&'static str, u64>,
    buckets: [u64; BOUNDS.len() + 1],
    micros: u64,
}

impl Sum {
    fn add(&mut self, series: &Series) {
        *self.outcomes.entry("ok").or_default() += series.ok.load(Ordering::Relaxed);
        for (outcome, count) in series.outcomes.lock().iter().flat_map(|o| o.iter()) {
            *self.outcomes.entry(outcome).or_default() += count;
        }
        for (sum, bucket) in self.buckets.iter_mut().zip(&series.buckets) {
            *sum += bucket.load(Ordering::Relaxed);
        }
        self.micros += series.micros.load(Ordering::Relaxed);
    }
}
