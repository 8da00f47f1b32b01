//! The scripted stdio server as tests configure and watch it. The program itself is `src/bin/stdio-peer.rs`.

use std::path::PathBuf;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{binary, process, wait};

/// A stdio server that records what it is told in a folder, one file per process.
pub struct Peer {
    folder: TempDir,
    args: Vec<String>,
}

impl Peer {
    /// A server of `legacy`, `modern` or `both` eras.
    #[must_use]
    pub fn new(era: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let args = vec![folder.path().to_str().unwrap().to_owned(), era.to_owned()];
        Self { folder, args }
    }

    /// With a way to behave at start; see the program.
    #[must_use]
    pub fn start(mut self, mode: &str) -> Self {
        self.args.push(mode.into());
        self
    }

    /// Its entry in a configuration.
    #[must_use]
    pub fn config(&self) -> Value {
        json!({ "command": binary::stdio_peer(), "args": self.args })
    }

    /// As [`Peer::config`], with further keys.
    #[must_use]
    pub fn config_with(&self, more: Value) -> Value {
        let mut config = self.config();
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        config
    }

    /// Living processes of this server, whatever they started included.
    #[must_use]
    pub fn processes(&self) -> Vec<u32> {
        process::marked(self.folder.path().to_str().unwrap())
    }

    /// How often it was started.
    #[must_use]
    pub fn starts(&self) -> usize {
        self.files().len()
    }

    /// Every line that any of its processes was sent, in order within each process.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let texts = self.files().into_iter().map(|file| std::fs::read_to_string(file).unwrap());
        texts.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect()
    }

    /// The messages it was sent with this method.
    #[must_use]
    pub fn got(&self, method: &str) -> Vec<Value> {
        let messages = self.lines().into_iter().filter_map(|line| serde_json::from_str::<Value>(&line).ok());
        messages.filter(|message| message["method"] == method).collect()
    }

    /// Waits until no process of it is left.
    pub async fn gone(&self) {
        wait::until("no process of the stdio server is left", || self.processes().is_empty().then_some(())).await;
    }

    fn files(&self) -> Vec<PathBuf> {
        let mut files: Vec<_> = std::fs::read_dir(self.folder.path()).unwrap().flatten().map(|f| f.path()).collect();
        files.retain(|file| file.extension().is_some_and(|kind| kind == "in"));
        files.sort();
        files
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        for pid in self.processes() {
            process::signal(pid, rustix::process::Signal::KILL);
        }
    }
}
