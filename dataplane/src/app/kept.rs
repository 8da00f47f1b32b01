//! Where a node keeps its sessions, and with what it seals them: chosen once, when it starts.

use sluice_snapshot::Fault;
use sluice_snapshot::model::Sessions;
use tokio::runtime::Handle;

use crate::seal::Seal;
use crate::session::Store;
use crate::session::redis::Redis;
use crate::session::sqlite::Sqlite;
use crate::settings::{Settings, StartError};

/// What was chosen, against which later configurations are held.
pub(super) struct Kept {
    /// `None`: the command line says where sessions are kept.
    configured: Option<Sessions>,
    /// There are keys that all nodes share: given to each, or by their control plane.
    has_keys: bool,
}

impl Kept {
    /// `told`: the control plane told keys.
    pub(super) fn new(settings: &Settings, configured: &Sessions, told: bool) -> Self {
        let configured = settings.sessions.is_none().then(|| configured.clone());
        Self { configured, has_keys: settings.session_keys.is_some() || told }
    }

    /// What seals session ids and handles.
    ///
    /// # Errors
    /// There are no keys, or they cannot be used.
    pub(super) fn seal(&self, settings: &Settings, configured: &Sessions) -> Result<Seal, StartError> {
        match (&settings.session_keys, chosen(settings, configured)) {
            (Some(keys), _) => Seal::given(keys).map_err(StartError::SessionKeys),
            // each node would refuse what the others sealed
            (None, Sessions::Redis(_)) if !self.has_keys => Err(StartError::NoSessionKeys),
            (None, _) => Ok(Seal::kept(&settings.state_dir.join("session.key"))),
        }
    }

    /// Judges where a later configuration keeps sessions: what the node has to be started again for is told.
    ///
    /// # Errors
    /// With that configuration, the node would not start again.
    pub(super) fn judge(&self, later: &Sessions) -> Result<Option<Fault>, Fault> {
        let fault = |reason: String| Fault { path: "sessions".to_owned(), reason };
        match &self.configured {
            Some(_) if matches!(later, Sessions::Redis(_)) && !self.has_keys => {
                Err(fault(StartError::NoSessionKeys.to_string()))
            }
            Some(configured) if configured != later => Ok(Some(fault(
                "counts when the node is started again; until then sessions are kept as before".to_owned(),
            ))),
            _ => Ok(None),
        }
    }
}

/// What is said on the command line counts more than what the configuration says.
fn chosen<'a>(settings: &'a Settings, configured: &'a Sessions) -> &'a Sessions {
    settings.sessions.as_ref().unwrap_or(configured)
}

/// Where sessions are kept. `beside`: another process keeps them there as well, until this one is in its place.
///
/// # Errors
/// The file cannot be used, or the address is none. A Redis that does not answer is no error: it may come.
pub(super) fn sessions(
    settings: &Settings,
    configured: &Sessions,
    beside: bool,
    control: &Handle,
) -> Result<Store, StartError> {
    let store = match chosen(settings, configured) {
        Sessions::Memory => Ok(Store::in_memory()),
        Sessions::Sqlite => Sqlite::open(&settings.state_dir.join("sessions.db"), beside).map(Store::sqlite),
        Sessions::Redis(redis) => Store::redis(|near, doubted| Redis::open(redis, near, doubted, control)),
    };
    store.map_err(StartError::Sessions)
}
