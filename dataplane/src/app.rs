//! A node from start to end: listeners are bound, workers and the control runtime started, planes swapped as snapshots
//! come, and everything is let go in order.
//!
//! Threads: `worker-N` serve traffic, each with a current-thread runtime of its own; `control` (the caller's thread) holds
//! the admin listener, adopts snapshots and sweeps what idles; `access-log` writes.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sluice_snapshot::model::Snapshot;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::watch;

use crate::auth::issuer::Kept;
use crate::auth::meters::Meters;
use crate::auth::quota::Quotas;
use crate::catalog::{Changes, Kind, Offers, memory};
use crate::clock::Clock;
use crate::drain::{Drain, Phase};
use crate::exchange;
use crate::limit;
use crate::listen::balance::{Balance, Handed};
use crate::listen::connection::Connections;
use crate::listen::door::House;
use crate::listen::http::Listener;
use crate::listen::mailbox::Mailboxes;
use crate::listen::tls::{Certificates, Clients, Tls};
use crate::listen::{http, stdio};
use crate::node::{Node, Worker};
use crate::observe::access_log::AccessLog;
use crate::observe::denials::Denials;
use crate::observe::metrics::Metrics;
use crate::observe::otlp;
use crate::observe::traces::{Span, Spans};
use crate::plane::{Ground, Plane};
use crate::seal::{self, Seal};
use crate::session::{Store, memory::Memory};
use crate::settings::{Settings, StartError};
use crate::upstream::pipe::guard::Guard;

/// Runs a node until a signal, or the end of stdin where stdio is served. `snapshots` always holds the configuration to
/// run; each new value is adopted whole.
///
/// # Errors
/// [`StartError`]; once started, a node ends without an error.
pub fn run(settings: Settings, snapshots: watch::Receiver<Arc<Snapshot>>) -> Result<(), StartError> {
    // a second provider in the process would have been installed by the caller on purpose
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let first = Arc::clone(&snapshots.borrow());
    let control = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let sockets = bind(&settings, &first)?;
    let admin = settings.admin.map(|address| listen(address, "--admin")).transpose()?;
    let certificates = Certificates::load(&first.listener.certificates)?;
    let clients = Clients::load(first.listener.client_certificates.as_ref())?;
    let metrics = Arc::new(Metrics::default());
    let guard = Arc::new(Guard::new(settings.guard.clone()));
    let changes = Arc::new(Changes::default());
    let ground = Ground {
        guard,
        metrics: Arc::clone(&metrics),
        changes: Arc::clone(&changes),
        memory: memory::Memory::load(&settings.state_dir),
        control: control.handle().clone(),
        kept_keys: Kept::new(&settings.state_dir),
    };
    let plane = Plane::build(first, None, &ground).map_err(StartError::Faults)?.adopt();
    let (spans, ended_spans) = Spans::new(Arc::clone(&metrics));
    let (adopt, planes) = watch::channel(plane);
    let node = Arc::new(Node {
        clock: Clock::start(),
        seal: Seal::new(&session_key(&settings.state_dir)),
        sessions: Store::Memory(Memory::default()),
        quotas: Quotas::new(),
        meters: Meters::new(),
        denials: Denials::default(),
        log: AccessLog::start(Arc::clone(&metrics))?,
        spans,
        drain: Drain::new(),
        boot: u32::from_be_bytes(seal::random()),
        planes,
        emptied: tokio::sync::Notify::new(),
        changes,
        offers: Offers::default(),
        metrics: Arc::clone(&metrics),
    });

    let (stop, stopped) = watch::channel(false);
    let count = match settings.workers {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        n => n,
    };
    let tls = (!certificates_are_empty(&node)).then(|| Arc::clone(&certificates).listener(Arc::clone(&clients)));
    let mailboxes = Arc::new(Mailboxes::default());
    let mut workers = Vec::with_capacity(count);
    let (balance, handed) = Balance::new(count);
    for (index, handed) in handed.into_iter().enumerate() {
        let worker = Thread {
            node: Arc::clone(&node),
            index: index as u8,
            mailboxes: Arc::clone(&mailboxes),
            balance: Arc::clone(&balance),
            handed,
            sockets: sockets.iter().map(TcpListener::try_clone).collect::<Result<_, _>>()?,
            tls: tls.clone(),
            stdio: settings.stdio && index == 0,
            stopped: stopped.clone(),
        };
        workers.push(std::thread::Builder::new().name(format!("worker-{index}")).spawn(move || worker.run())?);
    }
    for socket in &sockets {
        let address = socket.local_addr()?;
        tracing::info!(%address, tls = tls.is_some(), workers = count, "listening");
    }
    drop(sockets);

    let log = node.log.clone();
    let run = Control { node, adopt, snapshots, ground, certificates, clients, admin, ended_spans: Some(ended_spans) };
    control.block_on(run.run());
    stop.send_replace(true);
    for worker in workers {
        let _ = worker.join();
    }
    log.flush();
    Ok(())
}

fn certificates_are_empty(node: &Node) -> bool {
    node.planes.borrow().snapshot.listener.certificates.is_empty()
}

/// The listening sockets: bound once, here, and handed on as descriptors.
fn bind(settings: &Settings, snapshot: &Snapshot) -> Result<Vec<TcpListener>, StartError> {
    let configured = if settings.stdio && !snapshot.listener.addresses.is_empty() && settings.listen.is_none() {
        &[][..]
    } else {
        &snapshot.listener.addresses[..]
    };
    let addresses: Vec<SocketAddr> = settings.listen.map_or_else(|| configured.to_vec(), |address| vec![address]);
    let open = snapshot.access.required || snapshot.access.explicitly_open;
    if let Some(address) = addresses.iter().find(|a| !a.ip().to_canonical().is_loopback() && !open) {
        return Err(StartError::Open(*address));
    }
    addresses.into_iter().map(|address| listen(address, "--listen")).collect()
}

fn listen(address: SocketAddr, flag: &'static str) -> Result<TcpListener, StartError> {
    let bound = (|| {
        let socket = socket2::Socket::new(socket2::Domain::for_address(address), socket2::Type::STREAM, None)?;
        // only skips the wait for old connections; two processes still cannot listen on one port
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        socket.listen(1024)?;
        socket.set_nonblocking(true)?;
        Ok(TcpListener::from(socket))
    })();
    bound.map_err(|cause| StartError::Bind { address, flag, cause })
}

/// The secret from which handles are sealed: kept in the state folder, so that they stay good over a restart.
fn session_key(state_dir: &Path) -> [u8; 32] {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let path = state_dir.join("session.key");
    if let Some(key) = std::fs::read(&path).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok()) {
        return key;
    }
    let key = seal::random::<32>();
    let write = || {
        std::fs::create_dir_all(state_dir)?;
        let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
        file.write_all(&key)?;
        file.sync_all()
    };
    if let Err(error) = write() {
        tracing::warn!(path = %path.display(), %error, "the session key cannot be kept; handles end with this process");
    }
    key
}

/// What a worker thread is started with.
struct Thread {
    node: Arc<Node>,
    index: u8,
    mailboxes: Arc<Mailboxes>,
    balance: Arc<Balance>,
    /// Connections that other workers accepted.
    handed: UnboundedReceiver<Handed>,
    sockets: Vec<TcpListener>,
    tls: Option<Arc<Tls>>,
    stdio: bool,
    stopped: watch::Receiver<bool>,
}

impl Thread {
    fn run(mut self) {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build_local(Default::default()) {
            Ok(runtime) => runtime,
            Err(error) => {
                tracing::error!(%error, "cannot start a worker");
                self.node.drain.enter(Phase::Closing);
                return;
            }
        };
        runtime.block_on(async move {
            let worker = Worker::new(Arc::clone(&self.node), self.index);
            let connections = Rc::new(Connections::default());
            let house = Rc::new(House { worker: Rc::clone(&worker), mailboxes: self.mailboxes });
            tokio::task::spawn_local(Rc::clone(&worker).keep_house());
            tokio::task::spawn_local(sweep(Rc::clone(&connections)));
            tokio::task::spawn_local(http::receive(Rc::clone(&house), Rc::clone(&connections), self.handed));
            for socket in self.sockets {
                let address = socket.local_addr();
                match tokio::net::TcpListener::from_std(socket).and_then(|s| Ok((s, address?))) {
                    Ok((socket, address)) => {
                        let listener = Listener { socket, address, tls: self.tls.clone() };
                        tokio::task::spawn_local(http::accept(
                            Rc::clone(&house),
                            Rc::clone(&connections),
                            listener,
                            Arc::clone(&self.balance),
                        ));
                    }
                    Err(error) => tracing::error!(%error, "cannot use a listening socket"),
                }
            }
            if self.stdio {
                tokio::task::spawn_local(stdio::serve(Rc::clone(&worker)));
            }
            if self.index == 0 {
                tokio::task::spawn_local(expire_sessions(Rc::clone(&worker)));
            }
            let _ = self.stopped.wait_for(|stopped| *stopped).await;
        });
        // a read of stdin cannot be called back: it is left behind rather than waited for
        runtime.shutdown_background();
    }
}

async fn sweep(connections: Rc<Connections>) {
    let start = Instant::now();
    let mut tick = tokio::time::interval(limit::SWEEP);
    loop {
        tick.tick().await;
        connections.sweep(start.elapsed().as_secs() as u32);
    }
}

/// Ends sessions that idle, towards their servers too; and all of them at the end.
async fn expire_sessions(worker: Rc<Worker>) {
    let mut tick = tokio::time::interval(limit::SWEEP);
    let drain = worker.node.drain.clone();
    let mut emptying = Box::pin(async move { drain.reached(Phase::Emptying).await });
    let mut planes = worker.node.planes.clone();
    let mut before = Arc::clone(&planes.borrow_and_update());
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            Ok(()) = planes.changed() => {
                let now = Arc::clone(&planes.borrow_and_update());
                let (worker, old) = (Rc::clone(&worker), std::mem::replace(&mut before, Arc::clone(&now)));
                tokio::task::spawn_local(async move { exchange::end_gone_sessions(&worker, &old, &now).await });
                continue;
            }
            () = &mut emptying => return end_sessions(&worker).await,
        }
        let plane = worker.plane();
        let idle = plane.snapshot.limits.session_idle.as_millis() as u64;
        for session in worker.node.sessions.expire(worker.node.clock.ms(), idle) {
            let (worker, plane) = (Rc::clone(&worker), Arc::clone(&plane));
            tokio::task::spawn_local(async move { exchange::end_session(&worker, &plane, &session).await });
        }
    }
}

/// Tells the servers that their sessions are over, many at a time; the caller bounds how long.
async fn end_sessions(worker: &Rc<Worker>) {
    let plane = worker.plane();
    let mut ending = tokio::task::JoinSet::new();
    for session in worker.node.sessions.drain() {
        while ending.len() >= limit::SESSIONS_ENDING {
            ending.join_next().await;
        }
        let (worker, plane) = (Rc::clone(worker), Arc::clone(&plane));
        ending.spawn_local(async move { exchange::end_session(&worker, &plane, &session).await });
    }
    while ending.join_next().await.is_some() {}
    worker.node.emptied.notify_one();
}

/// The control runtime's work.
struct Control {
    node: Arc<Node>,
    adopt: watch::Sender<Arc<Plane>>,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    ground: Ground,
    certificates: Arc<Certificates>,
    clients: Arc<Clients>,
    admin: Option<TcpListener>,
    ended_spans: Option<tokio::sync::mpsc::Receiver<Span>>,
}

impl Control {
    async fn run(mut self) {
        if let Some(admin) = self.admin.take().and_then(|s| tokio::net::TcpListener::from_std(s).ok()) {
            tokio::spawn(crate::admin::serve(Arc::clone(&self.node), admin));
        }
        self.keep_keys();
        let (end_spans, spans_end) = tokio::sync::oneshot::channel::<()>();
        let exporter = self.ended_spans.take().map(|ended| {
            let (planes, metrics) = (self.node.planes.clone(), Arc::clone(&self.node.metrics));
            tokio::spawn(otlp::run(ended, planes, metrics, async move { drop(spans_end.await) }))
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
                changed = self.snapshots.changed(), if fed => match changed {
                    Ok(()) => self.adopt(),
                    Err(_) => fed = false,
                },
                _ = tick.tick() => {
                    self.certificates.refresh();
                    self.clients.refresh(self.adopt.borrow().snapshot.listener.client_certificates.as_ref());
                    let version = self.node.changes.version();
                    if version != remembered {
                        remembered = version;
                        self.adopt.borrow().remember(&self.ground.memory);
                    }
                    for upstream in self.adopt.borrow().servers() {
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

    /// Builds the plane of the newest snapshot and swaps it in; servers that are gone are let go.
    fn adopt(&mut self) {
        let snapshot = Arc::clone(&self.snapshots.borrow_and_update());
        let old = Arc::clone(&self.adopt.borrow());
        let plane = match Plane::build(snapshot, Some(&old), &self.ground) {
            Ok(built) => built.adopt(),
            Err(faults) => {
                let faults = faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
                tracing::error!(faults, "the configuration is not adopted");
                return;
            }
        };
        tracing::info!(
            revision = plane.snapshot.revision,
            servers = plane.snapshot.servers.len(),
            "configuration adopted"
        );
        for upstream in old.servers() {
            if !plane.server(upstream.name()).is_some_and(|kept| Arc::ptr_eq(kept, upstream)) {
                let children = Arc::clone(&upstream.children);
                tokio::spawn(async move { children.stop().await });
            }
        }
        let differs = plane.shows_otherwise_than(&old);
        if plane.snapshot.prefix != old.snapshot.prefix {
            // lists are kept as the door shows them
            plane.servers().for_each(|upstream| upstream.catalogue.changed(&Kind::ALL));
        }
        self.clients.refresh(plane.snapshot.listener.client_certificates.as_ref());
        self.adopt.send_replace(plane);
        self.keep_keys();
        if differs {
            self.node.changes.tell(&Kind::ALL);
        }
    }

    /// Sees to it that somebody minds the keys of each issuer.
    fn keep_keys(&self) {
        self.adopt.borrow().known.issuers().iter().for_each(|issuer| issuer.keep(&self.ground.kept_keys));
    }

    /// The way out; see [`crate::drain`].
    async fn leave(self) {
        let drain = &self.node.drain;
        tracing::info!("stopping: not ready, calls in flight finish");
        let already = drain.phase() >= Phase::Closing;
        drain.enter(Phase::Leaving);
        if !already {
            tokio::time::sleep(limit::DRAIN_LEAD).await;
        }
        drain.enter(Phase::Closing);
        let deadline = Instant::now() + limit::DRAIN;
        while drain.still_open() > 0 && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        drain.enter(Phase::Emptying);
        let _ = tokio::time::timeout(limit::SESSIONS_END, self.node.emptied.notified()).await;
        let plane = Arc::clone(&self.adopt.borrow());
        let mut stopping = tokio::task::JoinSet::new();
        for upstream in plane.servers() {
            let children = Arc::clone(&upstream.children);
            stopping.spawn(async move { children.stop().await });
        }
        while stopping.join_next().await.is_some() {}
        tracing::info!(connections_cut = drain.still_open(), "stopped");
    }
}

async fn signal() {
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
