//! A node from start to end: listeners are bound, workers and the control runtime started, planes swapped as snapshots
//! come, and everything is let go in order.
//!
//! Threads: `worker-N` serve traffic, each with a current-thread runtime of its own; `control` (the caller's thread) holds
//! the admin listener and the push stream, adopts snapshots and sweeps what idles; `access-log` writes.

mod control;
mod handover;
mod kept;
mod listeners;
mod opening;
mod porter;
mod proof;
mod sockets;
mod tenancy;
mod thread;
mod waiting;

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use sluice_snapshot::chunk::Held;
use tokio::sync::{mpsc, watch};

use crate::adoption::Adoptions;
use crate::auth::issuer;
use crate::auth::meters::Meters;
use crate::auth::quota::Quotas;
use crate::auth::shares::Shares;
use crate::catalog::{Changes, Offers, memory};
use crate::clock::{Clock, epoch_ms};
use crate::drain::{Drain, Phase};
use crate::ledger::Ledger;
use crate::limit;
use crate::listen::balance::Balance;
use crate::listen::berth::Berths;
use crate::listen::mailbox::Mailboxes;
use crate::node::Node;
use crate::observe::access_log::AccessLog;
use crate::observe::denials::Denials;
use crate::observe::metrics::Metrics;
use crate::observe::traces::Spans;
use crate::peer::Peers;
use crate::plane::Ground;
use crate::seal;
use crate::session::endings::Endings;
use crate::settings::{Settings, StartError};
use crate::uplink::{Fleet, Link, Offer, Uplink};
use crate::upstream::pipe::guard::Guard;
use control::Control;
use handover::{Estate, Inherited};
use kept::Kept;
use listeners::Listeners;
use opening::Opening;
use proof::Site;
use sockets::listen;
use tenancy::Tenancy;
use thread::Thread;

/// Runs a node until a signal, or the end of stdin where stdio is served. What it runs comes by the uplink; each snapshot is
/// adopted whole.
///
/// # Errors
/// [`StartError`]; once started, a node ends without an error.
pub fn run(settings: Settings, uplink: Uplink) -> Result<(), StartError> {
    // a second provider in the process would have been installed by the caller on purpose
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let control = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut inherited = inherit(&settings)?;
    // a node that is alone with its control plane in one process may share its folder: it keeps nothing there that another one writes
    let tenancy = match inherited.as_mut().and_then(|inherited| inherited.tenancy.take()) {
        Some(tenancy) => Some(tenancy),
        None if uplink.is_remote() => Tenancy::take(&settings.state_dir)?,
        None => None,
    };
    let tenancy = tenancy.map(Arc::new);
    let doors = inherited.as_ref().map_or(&[][..], |inherited| &inherited.sockets);
    let bound = |address, flag| match sockets::at(address, doors) {
        Some(door) => door.try_clone().map_err(StartError::Io),
        None => listen(address, flag),
    };
    let admin = settings.admin.map(|address| bound(address, "--admin")).transpose()?;
    let (staged, stage) = watch::channel(None);
    let trouble = watch::Sender::new("the configuration has not come yet".to_owned());
    let serve_admin = || {
        let socket = admin.as_ref().map(TcpListener::try_clone).transpose()?;
        let serving =
            socket.map(|socket| control.spawn(crate::admin::serve(stage.clone(), trouble.subscribe(), socket)));
        Ok::<_, StartError>(serving)
    };
    // where another process serves, it is asked until this one does
    let mut serving_admin = if inherited.is_none() { serve_admin()? } else { None };
    let (offer, mut offers) = mpsc::channel(1);
    let metrics = Arc::new(Metrics::default());
    let guard = Arc::new(Guard::new(settings.guard.clone()));
    let changes = Arc::new(Changes::default());
    let ground = Ground {
        guard,
        metrics: Arc::clone(&metrics),
        changes: Arc::clone(&changes),
        memory: memory::Memory::load(&settings.state_dir),
        control: control.handle().clone(),
        kept_keys: issuer::Kept::new(&settings.state_dir),
    };
    // a node that is alone with its control plane in one process has no need to start without it
    let ledger = uplink.is_remote().then(|| Ledger::new(&settings.state_dir, &settings.node).map(Arc::new));
    let ledger = ledger.transpose().map_err(StartError::LedgerKey)?;
    let held = ledger.as_ref().and_then(|ledger| ledger.read()).map(Arc::new);
    let peers = Peers::new(&settings.node, settings.link.is_some());
    let linking = settings.link.map(|address| bound(address, "--link")).transpose()?.map(Arc::new);
    let told = match (&settings.advertise, &linking) {
        (_, None) => String::new(),
        (Some(said), Some(_)) => said.clone(),
        (None, Some(socket)) => socket.local_addr()?.to_string(),
    };
    let shares = Arc::new(Shares::default());
    let fleet = Fleet::new(&peers, &shares, ledger.as_ref());
    fleet.recall();
    let denials = Arc::new(Denials::new(u64::from_be_bytes(seal::random())));
    let link = Link {
        incarnation: epoch_ms(),
        denials: Arc::clone(&denials),
        fleet: fleet.clone(),
        takes_links_at: told,
        node: settings.node.clone(),
        labels: settings.labels.clone(),
        addresses: settings.listen.iter().map(ToString::to_string).collect(),
        held: held.clone().unwrap_or_default(),
        offers: offer,
        stage: stage.clone(),
        renewal: Arc::default(),
        trouble: trouble.clone(),
    };
    let uplink = control.spawn(link.run(uplink));
    let count = match settings.workers {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        n => n,
    };
    let (balance, handed) = Balance::new(count);
    let site = Site { ground, listeners: Listeners::new(&settings, Arc::clone(&balance)) };
    let Some(opening) =
        control.block_on(open(&settings, &site, held.as_ref(), &ledger, &mut offers, &trouble, doors))?
    else {
        return Ok(());
    };
    let Opening { plane, parsed, listeners, verdict } = opening;
    let kept = Kept::new(&settings, &plane.snapshot.sessions, fleet.has_keys());
    let seal = Arc::new(kept.seal(&settings, &plane.snapshot.sessions)?);
    fleet.seal(&seal);
    let sessions = kept::sessions(&settings, &plane.snapshot.sessions, inherited.is_some(), control.handle())?;

    let (spans, ended_spans) = Spans::new(Arc::clone(&metrics));
    let planes = fleet.entitlement.open(plane);
    let node = Arc::new(Node {
        clock: Clock::start(),
        seal,
        sessions,
        endings: Endings::default(),
        peers,
        quotas: Quotas::new(&shares),
        meters: Meters::new(shares),
        log: AccessLog::start(Arc::clone(&metrics))?,
        spans,
        denials,
        since_ms: AtomicU64::new(epoch_ms()),
        drain: Drain::new(),
        boot: u32::from_be_bytes(seal::random()),
        planes,
        entitlement: Arc::clone(&fleet.entitlement),
        adoptions: Adoptions::new(count),
        emptied: tokio::sync::Notify::new(),
        changes,
        offers: Offers::default(),
        metrics: Arc::clone(&metrics),
    });

    let (stop, stopped) = watch::channel(false);
    let (mailboxes, berths) = (Arc::new(Mailboxes::default()), Arc::new(Berths::default()));
    let mut workers = Vec::with_capacity(count);
    for (index, handed) in handed.into_iter().enumerate() {
        let worker = Thread {
            node: Arc::clone(&node),
            index: index as u8,
            mailboxes: Arc::clone(&mailboxes),
            berths: Arc::clone(&berths),
            balance: Arc::clone(&balance),
            handed,
            entrances: Arc::clone(&site.listeners.entrances),
            linking: linking.clone(),
            stdio: settings.stdio && index == 0,
            stopped: stopped.clone(),
        };
        workers.push(std::thread::Builder::new().name(format!("worker-{index}")).spawn(move || worker.run())?);
    }
    control.block_on(async {
        // the first request may be one of a session that another node opened
        tokio::join!(node.sessions.opened(), node.peers.let_in());
        tokio::select! {
            () = site.listeners.open(listeners) => {}
            // a worker could not start
            () = node.drain.reached(Phase::Closing) => {}
        }
    });
    staged.send_replace(Some(Arc::clone(&node)));
    if let Some(inherited) = inherited {
        serving_admin = serve_admin()?;
        if let Err(error) = inherited.ready() {
            tracing::warn!(%error, "the process before this one is gone already");
        }
        if let Some(tenancy) = &tenancy {
            tenancy.sign();
        }
    }
    if ledger.is_some() {
        let estate = Estate {
            tenancy: tenancy.clone(),
            entrances: Arc::clone(&site.listeners.entrances),
            linking,
            admin,
            serving_admin: serving_admin.map(|serving| serving.abort_handle()),
            node: Arc::clone(&node),
        };
        control.spawn(estate.hand_over(settings.state_dir.clone()));
    }

    let log = node.log.clone();
    let run = Control {
        node,
        parsed,
        offers,
        looked: AtomicU64::new(site.listeners.state()),
        site,
        kept,
        ledger,
        ended_spans: Some(ended_spans),
        set_log_level: settings.set_log_level,
        letting_go: Default::default(),
    };
    control.block_on(async move {
        if let Some(verdict) = verdict {
            run.settle(Vec::new(), verdict);
        }
        run.run().await;
        // who was refused last is told
        let _ = tokio::time::timeout(limit::UPLINK_FAREWELL, uplink).await;
    });
    stop.send_replace(true);
    for worker in workers {
        let _ = worker.join();
    }
    log.flush();
    Ok(())
}

/// What the process before this one gives, if this one is to take its place.
fn inherit(settings: &Settings) -> Result<Option<Inherited>, StartError> {
    if !settings.take_over {
        return Ok(None);
    }
    let inherited = Inherited::ask(&settings.state_dir).map_err(StartError::TakeOver)?;
    match &inherited {
        Some(inherited) => tracing::info!(sockets = inherited.sockets.len(), "taking over from the process that runs"),
        None => tracing::info!("no process runs with this state folder: there is nothing to take over"),
    }
    Ok(inherited)
}

/// What the node starts with: what it ran last, or the first that can be run; `None`: it is to end before that.
async fn open(
    settings: &Settings,
    site: &Site,
    held: Option<&Arc<Held>>,
    ledger: &Option<Arc<Ledger>>,
    offers: &mut mpsc::Receiver<Offer>,
    trouble: &watch::Sender<String>,
    doors: &[TcpListener],
) -> Result<Option<Opening>, StartError> {
    if ledger.is_none() {
        return opening::only(site, offers, trouble).await.map(Some);
    }
    if let Some(held) = held {
        match Opening::of_ledger(site, held, doors) {
            Ok(opening) => return Ok(Some(opening)),
            Err(error) => {
                tracing::error!(%error, "what was run last cannot be run now");
                trouble.send_replace(error.to_string());
            }
        }
    }
    tokio::select! {
        first = opening::first(settings, site, held, offers, trouble, doors) => first.map(Some),
        () = control::signal() => Ok(None),
    }
}
