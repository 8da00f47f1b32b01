//! A snapshot put to the proof: all that it takes to run it is there, or every reason why it cannot be run is known. Until
//! it is adopted, nothing has changed.

use std::net::TcpListener;
use std::sync::Arc;

use sluice_snapshot::Fault;
use sluice_snapshot::chunk::{Held, Parsed};

use super::listeners::{Listeners, Prepared};
use crate::plane::{Built, Ground, Plane};
use crate::settings::StartError;

/// What is needed to run a snapshot.
pub(super) struct Proof {
    pub parsed: Parsed,
    pub built: Built,
    pub listeners: Prepared,
}

/// What proofs stand on.
pub(super) struct Site {
    pub ground: Ground,
    pub listeners: Listeners,
}

impl Site {
    /// Parses what is held, builds a plane beside the previous one, and binds and reads what is listened with. `doors` are open
    /// already.
    ///
    /// # Errors
    /// Everything that is wrong.
    pub(super) fn prove(
        &self,
        held: &Arc<Held>,
        previous: Option<(&Parsed, &Plane)>,
        doors: &[TcpListener],
    ) -> Result<Proof, Vec<StartError>> {
        let (before, previous) = previous.unzip();
        let parsed = Parsed::of(held, before).map_err(|faults| vec![StartError::Faults(faults)])?;
        let snapshot = parsed.snapshot();
        let is_locked = snapshot.access.required || snapshot.access.explicitly_open;
        let built = Plane::build(Arc::clone(snapshot), held.manifest.generation, previous, &self.ground);
        match (self.listeners.prepare(&snapshot.listener, is_locked, doors, built.is_ok()), built) {
            (Ok(listeners), Ok(built)) => Ok(Proof { parsed, built, listeners }),
            (listeners, built) => {
                let errors = built.err().map(StartError::Faults).into_iter();
                Err(errors.chain(listeners.err().into_iter().flatten()).collect())
            }
        }
    }
}

/// What is wrong, as a control plane is told.
pub(super) fn faults(errors: Vec<StartError>) -> Vec<Fault> {
    errors.into_iter().flat_map(fault).collect()
}

/// What locks a door, and what needs none.
const LOCKS: &str = "configure `features.authentication`, `clients` or `issuers`, or listen on loopback";

fn fault(error: StartError) -> Vec<Fault> {
    let reason = error.to_string();
    let (path, reason) = match error {
        StartError::Faults(faults) => return faults,
        StartError::Bind { .. } => ("listener.addresses", reason),
        StartError::Open(address) => {
            let open = format!("the node listens on {address}, which other machines reach, and nothing locks it");
            ("access", format!("{open}: {LOCKS}"))
        }
        StartError::NoSessionKeys | StartError::SessionKeys(_) | StartError::Sessions(_) => ("sessions", reason),
        StartError::NoConfiguration(_)
        | StartError::LedgerKey(_)
        | StartError::TakeOver(_)
        | StartError::StateTaken { .. }
        | StartError::StateOfControlPlane { .. }
        | StartError::Io(_) => ("", reason),
    };
    vec![Fault { path: path.to_owned(), reason }]
}

/// What is wrong, as the reason not to start.
pub(super) fn together(mut errors: Vec<StartError>) -> StartError {
    match errors.pop() {
        Some(only) if errors.is_empty() => only,
        last => {
            errors.extend(last);
            StartError::Faults(faults(errors))
        }
    }
}
