//! What servers said of themselves, over a restart: a door must declare capabilities before its servers are up, and those
//! it had last time are the best guess (architecture.md, *The path of a call*: opening).

use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};

use super::About;

/// The file `servers.json` of the state folder.
pub(crate) struct Memory {
    path: PathBuf,
    known: Mutex<BTreeMap<String, Arc<About>>>,
}

impl Memory {
    /// What was kept, or nothing: without it doors only wait a little longer.
    pub(crate) fn load(state_dir: &Path) -> Self {
        let path = state_dir.join("servers.json");
        let kept: Value =
            std::fs::read(&path).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
        let servers = kept["servers"].as_object().into_iter().flatten();
        let about = |kept: &Value| About { modern: kept["modern"] == true, ..About::of(kept.to_string().as_bytes()) };
        let known = servers.map(|(name, kept)| (name.clone(), Arc::new(about(kept))));
        Self { path, known: Mutex::new(known.collect()) }
    }

    /// What the server of that name said last time.
    pub(crate) fn of(&self, server: &str) -> Option<Arc<About>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).get(server).cloned()
    }

    /// Keeps what servers say now; written only when something is new. Servers that are no longer there are forgotten.
    pub(crate) fn keep(&self, now: BTreeMap<String, Arc<About>>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if *known == now {
            return;
        }
        *known = now;
        if let Err(error) = self.write(&known) {
            tracing::debug!(%error, "what servers can do is not kept over a restart");
        }
    }

    /// Beside the old file and over it: a crash leaves one of both, whole.
    fn write(&self, known: &BTreeMap<String, Arc<About>>) -> std::io::Result<()> {
        let about = |about: &About| {
            let (capabilities, instructions) = (&about.capabilities, &about.instructions);
            json!({ "capabilities": capabilities, "instructions": instructions, "modern": about.modern })
        };
        let servers: serde_json::Map<_, _> = known.iter().map(|(name, known)| (name.clone(), about(known))).collect();
        let fresh = self.path.with_extension("json.new");
        let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
        file.write_all(json!({ "servers": servers }).to_string().as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&fresh, &self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_kept_is_there_again_and_a_broken_file_is_nothing() {
        let folder = std::env::temp_dir().join(format!("sluice-memory-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let about = Arc::new(About::discovered(br#"{"capabilities":{"tools":{}},"instructions":"Be kind."}"#));
        let memory = Memory::load(&folder);
        assert_eq!(memory.of("one"), None);
        memory.keep([("one".to_owned(), Arc::clone(&about))].into());
        assert_eq!(Memory::load(&folder).of("one"), Some(about));
        std::fs::write(folder.join("servers.json"), "{").unwrap();
        assert_eq!(Memory::load(&folder).of("one"), None);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
