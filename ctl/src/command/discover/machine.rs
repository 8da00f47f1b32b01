//! What is found on this machine.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use sluice_controlplane::language::{Found, Variables, found};

use super::client::{Place, places};

/// Largest file read, 32 MiB: some clients keep their history beside their servers.
const MAX: u64 = 32 << 20;

/// A server, and whose it is.
pub(super) struct Listed {
    pub(super) client: &'static str,
    pub(super) file: PathBuf,
    pub(super) server: Found,
}

impl Listed {
    /// The file, and the project in it where it has several.
    pub(super) fn place(&self) -> String {
        let project = self.server.project.as_deref().map(|project| format!(" ({project})")).unwrap_or_default();
        format!("{}{project}", self.file.display())
    }
}

/// Looks everywhere. Beside what is found: what could not be read, and why.
pub(super) fn look() -> (Vec<Listed>, Vec<String>) {
    let home = std::env::home_dir();
    let config = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let project = std::env::current_dir().unwrap_or_default();
    let (mut listed, mut unreadable) = (Vec::new(), Vec::new());
    for Place { client, path } in places(home.as_deref(), config.as_deref(), &project) {
        match servers(&path) {
            Ok(servers) => {
                listed.extend(servers.into_iter().map(|server| Listed { client, file: path.clone(), server }));
            }
            Err(reason) => unreadable.push(reason),
        }
    }
    (listed, unreadable)
}

fn servers(path: &Path) -> Result<Vec<Found>, String> {
    let shown = path.display();
    let text = match read(path) {
        Ok(text) => text,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(format!("{shown} cannot be read: {error}")),
    };
    let text = if path.extension().is_some_and(|end| end == "toml") { codex(&text, path)? } else { text };
    // The place of a mistake, but not the text: it may hold credentials.
    found(&text, &Variables::nowhere().beside(path)).map_err(|reason| format!("{shown}:{reason}"))
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it is larger than {MAX} bytes")));
    }
    Ok(text)
}

/// The servers of Codex, in the words of the other clients.
fn codex(text: &str, path: &Path) -> Result<String, String> {
    let mut table: toml::Table = toml::from_str(text).map_err(|error| {
        let line = error.span().map_or(1, |span| text[..span.start].matches('\n').count() + 1);
        format!("{}:{line}: {}", path.display(), error.message())
    })?;
    let servers = table.remove("mcp_servers").unwrap_or_else(|| toml::Table::new().into());
    Ok(serde_json::json!({ "mcpServers": servers }).to_string())
}
