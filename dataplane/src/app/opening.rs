//! The first snapshot of a process: what it asks for is opened before anything of the node is there.

use std::net::TcpListener;
use std::sync::Arc;

use sluice_snapshot::chunk::{Held, Parsed};
use tokio::sync::{mpsc, oneshot, watch};

use super::listeners::Prepared;
use super::proof::{Proof, Site, faults, together};
use super::waiting::Waiting;
use crate::limit;
use crate::plane::Plane;
use crate::settings::{Settings, StartError};
use crate::uplink::{Offer, Verdict};

/// A snapshot with which the node can start.
pub(super) struct Opening {
    pub plane: Arc<Plane>,
    /// What the plane was built of.
    pub parsed: Parsed,
    pub listeners: Prepared,
    /// Somebody waits to hear that it is served.
    pub verdict: Option<oneshot::Sender<Verdict>>,
}

impl Opening {
    fn of(Proof { parsed, built, listeners }: Proof, verdict: Option<oneshot::Sender<Verdict>>) -> Self {
        Self { plane: built.adopt(), parsed, listeners, verdict }
    }

    /// What the ledger has, if it can be run. `doors` are open already.
    ///
    /// # Errors
    /// Why not. The control plane may have something better.
    pub(super) fn of_ledger(site: &Site, held: &Arc<Held>, doors: &[TcpListener]) -> Result<Self, StartError> {
        let (revision, generation) = (held.manifest.revision, held.manifest.generation);
        let proof = site.prove(held, None, doors).map_err(together)?;
        tracing::info!(revision, generation, "starting with what was run last");
        Ok(Self::of(proof, None))
    }
}

/// Waits for the first snapshot that comes, which must be one that can be run.
///
/// # Errors
/// It cannot be run, or none will come.
pub(super) async fn only(
    site: &Site,
    offers: &mut mpsc::Receiver<Offer>,
    trouble: &watch::Sender<String>,
) -> Result<Opening, StartError> {
    let Some(Offer { held, verdict }) = offers.recv().await else {
        return Err(StartError::NoConfiguration(trouble.borrow().clone()));
    };
    let proof = site.prove(&held, None, &[]).map_err(together)?;
    Ok(Opening::of(proof, Some(verdict)))
}

/// Waits for the first snapshot that can be run, for however long, and refuses the others. What the ledger has is tried again and
/// again: a file that was not there may be. `doors` are open already; where there are none, one is opened that says so.
///
/// # Errors
/// The address that was asked for cannot be bound.
pub(super) async fn first(
    settings: &Settings,
    site: &Site,
    ledger: Option<&Arc<Held>>,
    offers: &mut mpsc::Receiver<Offer>,
    trouble: &watch::Sender<String>,
    doors: &[TcpListener],
) -> Result<Opening, StartError> {
    let waiting = doors.is_empty().then(|| Waiting::open(settings)).transpose()?;
    let doors = waiting.as_ref().map_or(doors, |waiting| &waiting.sockets);
    tracing::info!("not ready: waiting for a configuration");
    let mut tick = tokio::time::interval(limit::SWEEP);
    let mut fed = true;
    loop {
        let offer = tokio::select! {
            offer = offers.recv(), if fed => offer,
            _ = tick.tick() => match ledger.map(|held| Opening::of_ledger(site, held, doors)) {
                Some(Ok(opening)) => return Ok(opening),
                _ => continue,
            },
        };
        let Some(Offer { held, verdict }) = offer else {
            // sent away: the process stays, so that somebody sees why
            fed = false;
            continue;
        };
        match site.prove(&held, None, doors) {
            Ok(proof) => return Ok(Opening::of(proof, Some(verdict))),
            Err(errors) => {
                let faults = faults(errors);
                for fault in &faults {
                    tracing::error!(path = fault.path, reason = fault.reason, "the first configuration cannot be run");
                }
                trouble.send_replace(StartError::Faults(faults.clone()).to_string());
                let _ = verdict.send(Err(faults));
            }
        }
    }
}
