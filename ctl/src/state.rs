//! Where state is kept unless told otherwise.

use std::path::PathBuf;

use sluice_controlplane::store::Folder;

use crate::output::Failure;

/// The option all verbs with state have.
#[derive(Debug, clap::Args)]
pub(crate) struct StateDir {
    /// Folder for keys and other state [default: $XDG_STATE_HOME/sluice or ~/.local/state/sluice]
    #[arg(long, value_name = "DIR", env = "SLUICE_STATE_DIR", hide_env_values = true)]
    state_dir: Option<PathBuf>,
}

impl StateDir {
    /// The folder that was named, or the usual one.
    pub(crate) fn folder(&self) -> Result<Folder, Failure> {
        let named = self.state_dir.clone().filter(|path| !path.as_os_str().is_empty());
        let path = match named.or_else(usual) {
            Some(path) => path,
            None => return Err(Failure::input("there is no home folder for state; name one with --state-dir")),
        };
        // The working directory must not matter to whoever uses it later.
        std::path::absolute(&path).map(Folder::new).map_err(Failure::other)
    }
}

fn usual() -> Option<PathBuf> {
    let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    state.or_else(|| std::env::home_dir().map(|home| home.join(".local/state"))).map(|state| state.join("sluice"))
}
