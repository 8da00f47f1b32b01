//! A node from start to end: listeners are bound, workers and the control runtime started, planes swapped as snapshots
//! come, and everything is let go in order.
//!
//! Threads: `worker-N` serve traffic, each with a current-thread runtime of its own; `control` (the caller's thread) holds
//! the admin listener and the push stream, adopts snapshots and sweeps what idles; `access-log` writes.

mod control;
mod opening;
mod sockets;
mod thread;
mod waiting;

use std::net::TcpListener;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use crate::adoption::Adoptions;
use crate::auth::issuer::Kept;
use crate::auth::meters::Meters;
use crate::auth::quota::Quotas;
use crate::catalog::{Changes, Offers, memory};
use crate::clock::Clock;
use crate::drain::Drain;
use crate::ledger::Ledger;
use crate::listen::balance::Balance;
use crate::listen::mailbox::Mailboxes;
use crate::node::Node;
use crate::observe::access_log::AccessLog;
use crate::observe::denials::Denials;
use crate::observe::metrics::Metrics;
use crate::observe::traces::Spans;
use crate::plane::Ground;
use crate::seal::{self, Seal};
use crate::session::{Store, memory::Memory};
use crate::settings::{Settings, StartError};
use crate::uplink::{Held, Link, Uplink};
use crate::upstream::pipe::guard::Guard;
use control::Control;
use opening::Opening;
use sockets::listen;
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
    let admin = settings.admin.map(|address| listen(address, "--admin")).transpose()?;
    let (staged, stage) = watch::channel(None);
    let trouble = watch::Sender::new("the configuration has not come yet".to_owned());
    if let Some(admin) = admin {
        control.spawn(crate::admin::serve(stage.clone(), trouble.subscribe(), admin));
    }
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
        kept_keys: Kept::new(&settings.state_dir),
    };
    // a node that is alone with its control plane in one process has no need to start without it
    let ledger = uplink.is_remote().then(|| Arc::new(Ledger::new(&settings.state_dir, &settings.node)));
    let held = ledger.as_ref().and_then(|ledger| ledger.read()).map(|(manifest, chunks)| Held { manifest, chunks });
    let link = Link {
        node: settings.node.clone(),
        labels: settings.labels.clone(),
        addresses: settings.listen.iter().map(ToString::to_string).collect(),
        held: held.clone().unwrap_or_default(),
        offers: offer,
        stage,
        trouble: trouble.clone(),
    };
    control.spawn(link.run(uplink));
    let opening = match (&ledger, held.and_then(|held| Opening::of_ledger(&settings, &ground, &held))) {
        (_, Some(opening)) => opening,
        (None, None) => control.block_on(opening::only(&settings, &ground, &mut offers, &trouble))?,
        (Some(_), None) => {
            let first = control.block_on(async {
                tokio::select! {
                    first = opening::first(&settings, &ground, &mut offers, &trouble) => first.map(Some),
                    () = control::signal() => Ok(None),
                }
            });
            let Some(opening) = first? else { return Ok(()) };
            opening
        }
    };
    let Opening { plane, held, sockets, certificates, clients, verdict } = opening;
    let listener = plane.snapshot.listener.clone();

    let (spans, ended_spans) = Spans::new(Arc::clone(&metrics));
    let tls = (!listener.certificates.is_empty()).then(|| Arc::clone(&certificates).listener(Arc::clone(&clients)));
    let (adopt, planes) = watch::channel(plane);
    let count = match settings.workers {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        n => n,
    };
    let node = Arc::new(Node {
        clock: Clock::start(),
        seal: Seal::new(&seal::kept(&settings.state_dir.join("session.key"))),
        sessions: Store::Memory(Memory::default()),
        quotas: Quotas::new(),
        meters: Meters::new(),
        log: AccessLog::start(Arc::clone(&metrics))?,
        spans,
        denials: Denials::default(),
        drain: Drain::new(),
        boot: u32::from_be_bytes(seal::random()),
        planes,
        adoptions: Adoptions::new(count),
        emptied: tokio::sync::Notify::new(),
        changes,
        offers: Offers::default(),
        metrics: Arc::clone(&metrics),
    });

    let (stop, stopped) = watch::channel(false);
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
    let mut bound = Vec::with_capacity(sockets.len());
    for socket in &sockets {
        let address = socket.local_addr()?;
        tracing::info!(%address, tls = tls.is_some(), workers = count, "listening");
        bound.push(address);
    }
    drop(sockets);
    staged.send_replace(Some(Arc::clone(&node)));

    let log = node.log.clone();
    let run = Control {
        node,
        adopt,
        offers,
        ground,
        certificates,
        clients,
        bound,
        listener,
        is_told: settings.listen.is_some(),
        ledger,
        ended_spans: Some(ended_spans),
    };
    control.block_on(async move {
        if let Some(verdict) = verdict {
            run.settle(held, Vec::new(), verdict);
        }
        run.run().await;
    });
    stop.send_replace(true);
    for worker in workers {
        let _ = worker.join();
    }
    log.flush();
    Ok(())
}
