//! What a server is shown to let us in, ready to be written, and following its sources: a secret in a new version, a file that
//! changed. Values written in the configuration itself are part of a request's fixed head ([`super::http::Target`]); here are
//! the others.
//!
//! The path takes the ready header lines by one atomic load; everything else happens on the control runtime.

mod lines;
mod source;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwapOption;
use sluice_snapshot::Fault;
use sluice_snapshot::model::{NamedSecret, Secret, Server, Transport};
use zeroize::Zeroizing;

use source::Found;

pub(super) use lines::fixed;

/// The named secrets of a snapshot.
pub(crate) type Secrets = HashMap<Arc<str>, NamedSecret>;

/// The credentials of one server, for as long as its configuration stays the same.
pub(crate) struct Credentials {
    server: Arc<Server>,
    /// In the order of [`Server::sensitive`].
    found: Mutex<Vec<Found>>,
    /// Header lines beyond those that are always the same.
    shown: ArcSwapOption<Zeroizing<Vec<u8>>>,
    /// Rises with each change, so that what was opened with older ones can be told.
    generation: AtomicU64,
}

/// Values that were found, for when the configuration that needs them is adopted.
pub(crate) struct Prepared {
    credentials: Arc<Credentials>,
    found: Vec<Found>,
}

impl Credentials {
    /// Finds the credentials of a server that is new.
    ///
    /// # Errors
    /// Everything that is not there or cannot be sent, with its place in the server.
    pub(crate) fn find(server: &Arc<Server>, secrets: &Secrets) -> Result<Arc<Self>, Vec<Fault>> {
        let found = source::find(server, secrets)?;
        Ok(Arc::new(Self {
            server: Arc::clone(server),
            shown: ArcSwapOption::from_pointee(lines::write(server, &found)),
            found: Mutex::new(found),
            generation: AtomicU64::new(0),
        }))
    }

    /// Finds them anew for a server that stays the same.
    ///
    /// # Errors
    /// As [`Credentials::find`]; what is in use stays.
    pub(crate) fn prepare(self: &Arc<Self>, secrets: &Secrets) -> Result<Prepared, Vec<Fault>> {
        Ok(Prepared { credentials: Arc::clone(self), found: source::find(&self.server, secrets)? })
    }

    /// Looks at the files among the sources. One that cannot be read leaves its last value in use.
    pub(crate) fn refresh(&self) {
        let mut found = self.found();
        let changed = found.iter_mut().map(|found| found.refresh(&self.server)).fold(false, |any, one| any | one);
        if changed {
            self.show(&found);
        }
    }

    /// The header lines to add to a request.
    pub(super) fn shown(&self) -> arc_swap::Guard<Option<Arc<Zeroizing<Vec<u8>>>>> {
        self.shown.load()
    }

    /// Whether there are lines that a request has beyond those that are always the same.
    pub(super) fn changes(&self) -> bool {
        self.server.transport.endpoint().is_some_and(lines::are_needed)
    }

    /// The environment of the server's process.
    pub(super) fn environment(&self) -> Vec<(String, Secret)> {
        let Transport::Stdio(command) = &self.server.transport else { return Vec::new() };
        let found = self.found();
        let values = command.env.iter().zip(found.iter());
        values.map(|((name, _), found)| (name.clone(), found.value.clone())).collect()
    }

    /// What a connection or process is opened with now.
    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    fn show(&self, found: &[Found]) {
        self.shown.store(lines::write(&self.server, found).map(Arc::new));
        self.generation.fetch_add(1, Ordering::Release);
        tracing::info!(server = %self.server.name, "the server is shown a new credential from now on");
    }

    fn found(&self) -> MutexGuard<'_, Vec<Found>> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Prepared {
    /// Takes what was found into use: requests that begin from now on are sent with it.
    pub(crate) fn adopt(self) {
        let mut found = self.credentials.found();
        if *found != self.found {
            *found = self.found;
            self.credentials.show(&found);
        }
    }
}
