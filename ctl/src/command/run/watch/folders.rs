//! The folders of the files a configuration was read from. Folders rather than files: editors replace files, and
//! Kubernetes swaps links beside them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc::Sender;

/// Folders in which something that happens wakes somebody.
pub(super) struct Folders {
    watcher: Option<RecommendedWatcher>,
    watched: BTreeSet<PathBuf>,
}

impl Folders {
    /// None yet.
    pub(super) fn new(wake: Sender<()>) -> Self {
        let told = move |event: notify::Result<Event>| {
            if event.is_ok_and(|event| changes(event.kind)) {
                // A full channel: somebody is being woken already.
                let _ = wake.try_send(());
            }
        };
        let watcher = notify::recommended_watcher(told)
            .inspect_err(|error| tracing::debug!(%error, "the system does not tell about changes; files are polled"));
        Self { watcher: watcher.ok(), watched: BTreeSet::new() }
    }

    /// Watches the folders of these files, of what they are links to, and no others.
    pub(super) fn follow<'a>(&mut self, files: impl Iterator<Item = &'a Path>) {
        let Some(watcher) = &mut self.watcher else { return };
        let wanted: BTreeSet<PathBuf> = files.flat_map(places).filter(|folder| folder.is_dir()).collect();
        for gone in self.watched.difference(&wanted) {
            let _ = watcher.unwatch(gone);
        }
        let mut watched = BTreeSet::new();
        for folder in wanted {
            if self.watched.contains(&folder) {
                watched.insert(folder);
                continue;
            }
            match watcher.watch(&folder, RecursiveMode::NonRecursive) {
                Ok(()) => drop(watched.insert(folder)),
                Err(error) => tracing::debug!(folder = %folder.display(), %error, "a folder is polled, not watched"),
            }
        }
        self.watched = watched;
    }
}

/// The folder of a file, and that of its target where it is a link.
fn places(file: &Path) -> impl Iterator<Item = PathBuf> {
    let target = std::fs::canonicalize(file).ok();
    let parent = |path: &Path| path.parent().map(Path::to_owned);
    parent(file).into_iter().chain(target.as_deref().and_then(parent))
}

/// Reading is no change.
fn changes(kind: EventKind) -> bool {
    !matches!(kind, EventKind::Access(access) if access != AccessKind::Close(AccessMode::Write))
}
