//! The control runtime's work while the node serves: it adopts what is offered, sweeps what idles, and leads the way out.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sluice_snapshot::Fault;
use sluice_snapshot::chunk::{Held, Parsed};
use sluice_snapshot::model::LogLevel;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::kept::Kept;
use super::proof::{Proof, Site, faults};
use crate::catalog::Kind;
use crate::clock::epoch_ms;
use crate::drain::{Drain, Phase};
use crate::ledger::Ledger;
use crate::limit;
use crate::node::Node;
use crate::observe::otlp;
use crate::observe::traces::Span;
use crate::plane::Plane;
use crate::uplink::{Offer, Verdict};
use crate::upstream::Upstream;

/// What the control runtime works with.
pub(super) struct Control {
    pub node: Arc<Node>,
    /// What the node runs, for the next to take over from.
    pub parsed: Parsed,
    pub offers: mpsc::Receiver<Offer>,
    pub site: Site,
    /// What certificates of clients were verified by, when streams were last asked whose they are.
    pub looked: AtomicU64,
    pub kept: Kept,
    /// Where what is run is kept for the next start.
    pub ledger: Option<Arc<Ledger>>,
    /// Spans of requests that have ended, to be sent on.
    pub ended_spans: Option<mpsc::Receiver<Span>>,
    /// Sets how much the process says of itself.
    pub set_log_level: Option<fn(Option<LogLevel>)>,
    /// Servers that are configured no longer, whose calls finish.
    pub letting_go: Mutex<JoinSet<()>>,
}

impl Control {
    /// Serves until the node is to end, and lets it end.
    pub(super) async fn run(mut self) {
        self.keep_keys();
        self.follow_log_level(None);
        let (end_spans, spans_end) = oneshot::channel::<()>();
        let exporter = self.ended_spans.take().map(|ended| {
            let (planes, metrics) = (self.node.planes.clone(), Arc::clone(&self.node.metrics));
            let settings = move || planes.borrow().snapshot.monitoring.traces.clone();
            tokio::spawn(otlp::run(ended, settings, metrics, async move { drop(spans_end.await) }))
        });
        let drain = self.node.drain.clone();
        let mut leaving = Box::pin(async move { drain.reached(Phase::Leaving).await });
        let mut end = Box::pin(signal());
        let mut tick = tokio::time::interval(limit::SWEEP);
        let mut fed = true;
        // the state of the catalogues that is kept for the next start
        let mut remembered = self.node.changes.version();
        loop {
            tokio::select! {
                () = &mut end => break,
                () = &mut leaving => break,
                offer = self.offers.recv(), if fed => match offer {
                    Some(offer) => tokio::select! {
                        () = self.judge(offer) => {}
                        () = &mut end => break,
                    },
                    None => fed = false,
                },
                _ = tick.tick() => {
                    self.site.listeners.refresh();
                    self.look_again();
                    self.node.seal.refresh();
                    if let Some((ledger, keys)) = self.ledger.clone().and_then(|it| it.new_keys().map(|keys| (it, keys))) {
                        tokio::task::spawn_blocking(move || ledger.exchange(&keys));
                    }
                    let version = self.node.changes.version();
                    if version != remembered {
                        remembered = version;
                        self.node.planes.borrow().remember(&self.site.ground.memory);
                    }
                    for upstream in self.node.planes.borrow().servers() {
                        upstream.sweep();
                    }
                }
            }
        }
        self.leave().await;
        // the spans of the last calls
        drop(end_spans);
        if let Some(exporter) = exporter {
            let _ = tokio::time::timeout(limit::SPAN_FLUSH, exporter).await;
        }
    }

    /// Adopts what is offered, or says every reason why not.
    async fn judge(&mut self, Offer { held, verdict }: Offer) {
        let previous = Arc::clone(&self.node.planes.borrow());
        match self.site.prove(&held, Some((&self.parsed, &previous)), &[]) {
            Ok(proof) => {
                let mut faults = proof.listeners.faults();
                match self.kept.judge(&proof.built.snapshot().sessions) {
                    Ok(later) => faults.extend(later),
                    Err(fault) => return drop(verdict.send(Err(vec![fault]))),
                }
                self.adopt(&previous, proof).await;
                self.settle(faults, verdict);
            }
            // whoever waits for it may be gone; the next stream will offer it again
            Err(errors) => drop(verdict.send(Err(faults(errors)))),
        }
    }

    /// Gives the verdict when the last worker serves from what is run now, and it is in the ledger. `faults` do not keep it from
    /// being run.
    pub(super) fn settle(&self, mut faults: Vec<Fault>, verdict: oneshot::Sender<Verdict>) {
        let (node, ledger, held) = (Arc::clone(&self.node), self.ledger.clone(), Arc::clone(self.parsed.held()));
        tokio::spawn(async move {
            node.adoptions.reached(held.manifest.generation).await;
            if let Some(ledger) = ledger {
                faults.extend(keep(ledger, held).await.err());
            }
            // whoever waits for it may be gone; what is run is run
            let _ = verdict.send(Ok(faults));
        });
    }

    /// Swaps in the plane of a proof; servers that are gone are let go. Nobody comes in by an entrance whose lock some worker does
    /// not know yet, or knows no longer.
    async fn adopt(&mut self, old: &Plane, Proof { parsed, built, mut listeners }: Proof) {
        self.site.listeners.close(&mut listeners).await;
        let plane = built.adopt();
        self.parsed = parsed;
        tracing::info!(
            revision = plane.snapshot.revision,
            servers = plane.snapshot.servers.len(),
            "configuration adopted"
        );
        for upstream in old.servers() {
            if !plane.has(upstream.id) {
                let mut letting_go = self.letting_go.lock().unwrap_or_else(PoisonError::into_inner);
                while letting_go.try_join_next().is_some() {}
                letting_go.spawn(let_go(Arc::clone(upstream), self.node.drain.clone()));
            }
        }
        let differs = plane.shows_otherwise_than(old);
        if plane.snapshot.prefix != old.snapshot.prefix {
            // lists are kept as the door shows them
            plane.servers().for_each(|upstream| upstream.catalogue.changed(&Kind::ALL));
        }
        let generation = plane.generation;
        if plane.snapshot.revision != old.snapshot.revision {
            self.node.since_ms.store(epoch_ms(), Ordering::Relaxed);
        }
        self.node.entitlement.adopt(plane);
        self.keep_keys();
        self.follow_log_level(old.snapshot.monitoring.log_level);
        if differs {
            self.node.changes.tell(&Kind::ALL);
        }
        self.node.adoptions.reached(generation).await;
        self.site.listeners.open(listeners).await;
        self.look_again();
    }

    /// Has everybody who is in looked at again, if certificates are verified by something else than before.
    fn look_again(&self) {
        let state = self.site.listeners.state();
        if self.looked.swap(state, Ordering::Relaxed) != state {
            self.node.entitlement.look_again();
        }
    }

    /// Sees to it that somebody minds the keys of each issuer, also of those whose tokens do not come in at the moment.
    fn keep_keys(&self) {
        self.node
            .planes
            .borrow()
            .configured
            .issuers()
            .iter()
            .for_each(|issuer| issuer.keep(&self.site.ground.kept_keys));
    }

    /// Logs as much as the configuration says, where that is something else than before.
    fn follow_log_level(&self, before: Option<LogLevel>) {
        let now = self.node.planes.borrow().snapshot.monitoring.log_level;
        if let Some(set) = self.set_log_level.filter(|_| now != before) {
            set(now);
        }
    }

    /// The way out; see [`crate::drain`].
    async fn leave(self) {
        let drain = &self.node.drain;
        tracing::info!("stopping: not ready, calls in flight finish");
        let already = drain.phase() >= Phase::Closing;
        drain.enter(Phase::Leaving);
        if drain.has_successor() {
            // others come in there from now on; who is in is told to come again
            self.site.listeners.leave();
        }
        if !already {
            tokio::time::sleep(limit::DRAIN_LEAD).await;
        }
        // a worker that is stuck keeps nobody from stopping
        let _ = tokio::time::timeout(limit::LISTENERS_END, self.site.listeners.end()).await;
        drain.enter(Phase::Closing);
        let deadline = Instant::now() + limit::DRAIN;
        while (drain.still_open() > 0 || self.site.listeners.serve_somebody()) && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        drain.enter(Phase::Emptying);
        let _ = tokio::time::timeout(limit::SESSIONS_END, self.node.emptied.notified()).await;
        let plane = Arc::clone(&self.node.planes.borrow());
        let mut stopping = self.letting_go.into_inner().unwrap_or_else(PoisonError::into_inner);
        for upstream in plane.servers() {
            let children = Arc::clone(&upstream.children);
            stopping.spawn(async move { children.stop().await });
        }
        while stopping.join_next().await.is_some() {}
        tracing::info!(connections_cut = drain.still_open(), "stopped");
    }
}

/// Ends what runs for a server that is configured no longer, or otherwise, once the calls that began with it have their answers: each
/// holds the server it is for, and so does the plane they began in.
async fn let_go(upstream: Arc<Upstream>, drain: Drain) {
    let unused = async {
        let deadline = Instant::now() + limit::CALL_ABSOLUTE;
        while Arc::strong_count(&upstream) > 1 && Instant::now() < deadline {
            tokio::time::sleep(limit::LETTING_GO).await;
        }
    };
    tokio::select! {
        () = unused => {}
        () = drain.reached(Phase::Emptying) => {}
    }
    upstream.children.stop().await;
}

/// Writes the ledger, which waits for the disk.
async fn keep(ledger: Arc<Ledger>, held: Arc<Held>) -> Result<(), Fault> {
    let written = tokio::task::spawn_blocking(move || ledger.write(&held)).await;
    written.unwrap_or_else(|failed| Err(std::io::Error::other(failed))).map_err(|error| {
        tracing::error!(%error, "the ledger cannot be written: without a control plane this node would start with what it ran before");
        let consequence = "started again without a control plane, the node would run what it ran before";
        Fault { path: "ledger".to_owned(), reason: format!("cannot be written: {error}; {consequence}") }
    })
}

/// Waits for the signal to end.
pub(super) async fn signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut term), Ok(mut int)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) else {
        tracing::warn!("signals cannot be handled; the process ends at once when told to");
        return std::future::pending().await;
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
}
