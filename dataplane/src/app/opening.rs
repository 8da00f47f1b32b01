//! The first snapshot of a process: what it asks for is opened before anything of the node is there.

use std::net::TcpListener;
use std::sync::Arc;

use sluice_contract::v1;
use sluice_snapshot::chunk::assemble;
use sluice_snapshot::{Fault, parse};
use tokio::sync::{mpsc, oneshot, watch};

use super::sockets::bind;
use super::waiting::Waiting;
use crate::listen::tls::{Certificates, Clients};
use crate::plane::{Ground, Plane};
use crate::settings::{Settings, StartError};
use crate::uplink::{Held, Offer, Verdict};

/// A snapshot with which the node can start.
pub(super) struct Opening {
    pub plane: Arc<Plane>,
    pub held: Held,
    pub sockets: Vec<TcpListener>,
    pub certificates: Arc<Certificates>,
    pub clients: Arc<Clients>,
    /// Somebody waits to hear that it is served.
    pub verdict: Option<oneshot::Sender<Verdict>>,
}

impl Opening {
    fn of(
        settings: &Settings,
        ground: &Ground,
        snapshot: &v1::Snapshot,
        held: Held,
        door: Option<&TcpListener>,
    ) -> Result<Self, StartError> {
        let snapshot = parse(snapshot).map_err(StartError::Faults)?;
        let sockets = bind(settings, &snapshot, door)?;
        let certificates = Certificates::load(&snapshot.listener.certificates)?;
        let clients = Clients::load(snapshot.listener.client_certificates.as_ref())?;
        let built = Plane::build(snapshot, held.manifest.generation, None, ground).map_err(StartError::Faults)?;
        Ok(Self { plane: built.adopt(), held, sockets, certificates, clients, verdict: None })
    }

    /// What the ledger has, if it can be run. What cannot is told, and the control plane will have something better.
    pub(super) fn of_ledger(settings: &Settings, ground: &Ground, held: &Held) -> Option<Self> {
        let snapshot = assemble(&held.manifest, &held.chunks).map_err(StartError::Faults);
        match snapshot.and_then(|snapshot| Self::of(settings, ground, &snapshot, held.clone(), None)) {
            Ok(opening) => {
                let (revision, generation) = (held.manifest.revision, held.manifest.generation);
                tracing::info!(revision, generation, "starting with what was run last");
                Some(opening)
            }
            Err(error) => {
                tracing::error!(%error, "what was run last cannot be run now");
                None
            }
        }
    }
}

/// Waits for the first snapshot that comes, which must be one that can be run.
///
/// # Errors
/// It cannot be run, or none will come.
pub(super) async fn only(
    settings: &Settings,
    ground: &Ground,
    offers: &mut mpsc::Receiver<Offer>,
    trouble: &watch::Sender<String>,
) -> Result<Opening, StartError> {
    let Some(Offer { snapshot, held, verdict }) = offers.recv().await else {
        return Err(StartError::NoConfiguration(trouble.borrow().clone()));
    };
    let opening = Opening::of(settings, ground, &snapshot, held, None)?;
    Ok(Opening { verdict: Some(verdict), ..opening })
}

/// Waits for the first snapshot that can be run, for however long, and refuses the others.
///
/// # Errors
/// The address that was asked for cannot be bound.
pub(super) async fn first(
    settings: &Settings,
    ground: &Ground,
    offers: &mut mpsc::Receiver<Offer>,
    trouble: &watch::Sender<String>,
) -> Result<Opening, StartError> {
    let waiting = Waiting::open(settings)?;
    tracing::info!("not ready: waiting for a configuration");
    loop {
        let Some(Offer { snapshot, held, verdict }) = offers.recv().await else {
            // sent away: the process stays, so that somebody sees why
            std::future::pending::<()>().await;
            continue;
        };
        match Opening::of(settings, ground, &snapshot, held, waiting.socket.as_ref()) {
            Ok(opening) => return Ok(Opening { verdict: Some(verdict), ..opening }),
            Err(error) => {
                tracing::error!(%error, "the first configuration cannot be run");
                trouble.send_replace(error.to_string());
                let _ = verdict.send(Err(faults(error)));
            }
        }
    }
}

/// A reason not to start, as the control plane is told.
fn faults(error: StartError) -> Vec<Fault> {
    let path = match &error {
        StartError::Bind { .. } => "listener.addresses",
        StartError::Certificate(_) => "listener.certificates",
        StartError::Open(_) => "access",
        _ => "",
    };
    match error {
        StartError::Faults(faults) => faults,
        error => vec![Fault { path: path.to_owned(), reason: error.to_string() }],
    }
}
