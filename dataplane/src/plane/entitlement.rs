//! The planes of a node without those who may not come in any more: between what is adopted, or told, and the workers.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use super::Plane;
use crate::auth::entitled::Entitled;

/// Who may come in by the newest revision, and where the planes are that it is about.
#[derive(Default)]
pub(crate) struct Entitlement(Mutex<State>);

#[derive(Default)]
struct State {
    now: Option<Arc<Entitled>>,
    planes: Option<watch::Sender<Arc<Plane>>>,
    /// The revision of what the control plane told in this life of the process, once it was kept or the disk was waited for.
    counts: u64,
}

impl Entitlement {
    /// Planes go here from now on, the first one as it is right now.
    pub(crate) fn open(&self, first: Arc<Plane>) -> watch::Receiver<Arc<Plane>> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (planes, receiver) = watch::channel(first.within(state.now.as_ref()));
        state.planes = Some(planes);
        receiver
    }

    /// A plane takes the place of the one before.
    pub(crate) fn adopt(&self, plane: Arc<Plane>) {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(planes) = &state.planes {
            planes.send_replace(plane.within(state.now.as_ref()));
        }
    }

    /// Everybody who is in is looked at again.
    pub(crate) fn look_again(&self) {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(planes) = &state.planes {
            let anew = planes.borrow().anew();
            planes.send_replace(anew.within(state.now.as_ref()));
        }
    }

    /// What the control plane told by this revision is kept, or the disk was waited for: it may hear that it counts.
    pub(crate) fn counts(&self, revision: u64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).counts = revision;
    }

    /// The revision of what it may hear that counts; 0: nothing was told.
    pub(crate) fn revision(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).counts
    }

    /// Goes by what the control plane tells, or told last: from the next request on, on every worker.
    pub(crate) fn go_by(&self, entitled: Entitled) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let entitled = Arc::new(entitled);
        state.now = Some(Arc::clone(&entitled));
        let Some(planes) = &state.planes else { return };
        let runs = Arc::clone(&planes.borrow());
        let may = runs.within(Some(&entitled));
        if !Arc::ptr_eq(&runs, &may) {
            tracing::info!(
                revision = entitled.revision,
                runs = runs.snapshot.revision,
                "who may come in is another than by the configuration that runs"
            );
            planes.send_replace(may);
        }
    }
}
