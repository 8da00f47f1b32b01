//! What a server is shown to let us in, ready to be written, and following its sources: a secret in a new version, a file that
//! changed. Values written in the configuration itself are part of a request's fixed head ([`super::http::Target`]); here are
//! the others.
//!
//! The path takes the ready header lines by one atomic load; everything else happens on the control runtime.

mod fetch;
mod grant;
mod lines;
mod source;
mod token;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwapOption;
use sluice_snapshot::Fault;
use sluice_snapshot::model::{CredentialKind, NamedSecret, Secret, Server, Transport};
use tokio::runtime::Handle;
use zeroize::Zeroizing;

use source::Found;

pub(super) use grant::Grant;
pub(crate) use grant::Unavailable;
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
    /// The token it is shown, where we obtain one.
    grant: Option<Arc<Grant>>,
    /// Rises with each change, so that what was opened with older ones can be told.
    generation: AtomicU64,
}

/// Why what a server is shown cannot be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trouble {
    /// For people who see the node from inside; no secret.
    pub cause: String,
    /// Since when, in milliseconds since 1970.
    pub since_ms: u64,
}

/// Values that were found, for when the configuration that needs them is adopted.
pub(crate) struct Prepared {
    credentials: Arc<Credentials>,
    found: Vec<Found>,
}

impl Credentials {
    /// Finds the credentials of a server that is new. Tokens are obtained on the control runtime.
    ///
    /// # Errors
    /// Everything that is not there or cannot be sent, with its place in the server.
    pub(crate) fn find(server: &Arc<Server>, secrets: &Secrets, control: &Handle) -> Result<Arc<Self>, Vec<Fault>> {
        let found = source::find(server, secrets)?;
        let grant = grant_of(server, &found, control);
        Ok(Arc::new(Self {
            server: Arc::clone(server),
            shown: ArcSwapOption::from_pointee(lines::write(server, &found)),
            grant,
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

    /// Writes the header lines that a request has beyond those that are always the same.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        if let Some(lines) = &*self.shown.load() {
            out.extend_from_slice(lines);
        }
        if let Some(grant) = &self.grant {
            grant.write(out);
        }
    }

    /// Whether there are such lines.
    pub(super) fn changes(&self) -> bool {
        self.grant.is_some() || self.server.transport.endpoint().is_some_and(lines::are_needed)
    }

    /// The token it is shown, where we obtain one.
    pub(super) fn grant(&self) -> Option<&Arc<Grant>> {
        self.grant.as_ref()
    }

    /// Why some of it cannot be had, as of the last attempt; `None`: it can, or it was not needed yet.
    pub(crate) fn trouble(&self) -> Option<Trouble> {
        let of_file = self.found().iter().find_map(|found| found.trouble().cloned());
        of_file.or_else(|| self.grant.as_ref()?.failing())
    }

    /// Whether any of it is written elsewhere than in the configuration, or obtained.
    pub(crate) fn are_elsewhere(&self) -> bool {
        self.grant.is_some() || self.found().iter().any(Found::is_elsewhere)
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
        if let (Some(grant), Some(proof)) = (&self.grant, found.last()) {
            grant.prove(&proof.value);
        }
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

/// The token of a server that is shown one. What proves the client is the last of its values.
fn grant_of(server: &Server, found: &[Found], control: &Handle) -> Option<Arc<Grant>> {
    let credential = server.transport.endpoint()?.credential.as_ref()?;
    let CredentialKind::ClientCredentials(config) = &credential.kind else { return None };
    let name = credential.name.clone().unwrap_or_else(|| format!("servers.{}.auth", server.name).into());
    Some(Grant::new(name, Arc::clone(config), found.last()?.value.clone(), control.clone()))
}
