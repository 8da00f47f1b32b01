//! Where clients keep their configurations. Every place is looked at on every system: home folders travel.

use std::path::{Path, PathBuf};

/// A client, and a file it may have.
pub(super) struct Place {
    pub(super) client: &'static str,
    pub(super) path: PathBuf,
}

/// Where a path starts.
#[derive(Clone, Copy)]
enum Base {
    /// The home folder.
    Home,
    /// Where programs keep their settings: `~/.config`, `~/Library/Application Support` and `~/AppData/Roaming`.
    Settings,
    /// The folder the command is called in.
    Project,
}

use Base::{Home, Project, Settings};

/// Editors that are VS Code under another name, by their folder below [`Settings`].
const EDITIONS: [&str; 3] = ["Code", "Code - Insiders", "VSCodium"];

/// Client, base and path below it. `*` at the end: the files of a folder; `EDITION`: each of [`EDITIONS`].
const PLACES: [(&str, Base, &str); 25] = [
    ("Claude Desktop", Settings, "Claude/claude_desktop_config.json"),
    ("Claude Code", Home, ".claude.json"),
    ("Claude Code", Project, ".mcp.json"),
    ("Cursor", Home, ".cursor/mcp.json"),
    ("Cursor", Project, ".cursor/mcp.json"),
    ("VS Code", Settings, "EDITION/User/mcp.json"),
    ("VS Code", Settings, "EDITION/User/settings.json"),
    ("VS Code", Project, ".vscode/mcp.json"),
    ("VS Code", Project, ".vscode/settings.json"),
    ("Windsurf", Home, ".codeium/windsurf/mcp_config.json"),
    ("Zed", Settings, "zed/settings.json"),
    ("Zed", Settings, "Zed/settings.json"),
    ("Zed", Project, ".zed/settings.json"),
    ("Cline", Settings, "EDITION/User/globalStorage/saoudrizwan.claude-dev/settings/cline_mcp_settings.json"),
    ("Roo Code", Settings, "EDITION/User/globalStorage/rooveterinaryinc.roo-cline/settings/mcp_settings.json"),
    ("Roo Code", Settings, "EDITION/User/globalStorage/rooveterinaryinc.roo-cline/settings/cline_mcp_settings.json"),
    ("Roo Code", Project, ".roo/mcp.json"),
    ("Continue", Home, ".continue/config.yaml"),
    ("Continue", Home, ".continue/config.json"),
    ("Continue", Home, ".continue/mcpServers/*"),
    ("Continue", Project, ".continue/mcpServers/*"),
    ("Gemini CLI", Home, ".gemini/settings.json"),
    ("Gemini CLI", Project, ".gemini/settings.json"),
    ("Codex", Home, ".codex/config.toml"),
    ("Codex", Project, ".codex/config.toml"),
];

/// All places, each once, whether there is a file or not.
pub(super) fn places(home: Option<&Path>, config: Option<&Path>, project: &Path) -> Vec<Place> {
    let settings: Vec<PathBuf> = config
        .map(Path::to_owned)
        .into_iter()
        .chain([".config", "Library/Application Support", "AppData/Roaming"].iter().filter_map(|f| Some(home?.join(f))))
        .collect();
    let mut places: Vec<Place> = Vec::new();
    for (client, base, below) in PLACES {
        let bases = match base {
            Home => home.map(Path::to_owned).into_iter().collect(),
            Settings => settings.clone(),
            Project => vec![project.to_owned()],
        };
        let paths = bases.iter().flat_map(|base| editions(below).into_iter().map(|below| base.join(below)));
        for path in paths.flat_map(|path| files(&path)) {
            // The project may be the home folder.
            if !places.iter().any(|place| place.path == path) {
                places.push(Place { client, path });
            }
        }
    }
    places
}

fn editions(below: &str) -> Vec<String> {
    match below.strip_prefix("EDITION") {
        Some(below) => EDITIONS.iter().map(|edition| format!("{edition}{below}")).collect(),
        None => vec![below.to_owned()],
    }
}

/// The path itself, or in a folder the files that are configurations by their names, in order.
fn files(path: &Path) -> Vec<PathBuf> {
    let Some(folder) = path.parent().filter(|_| path.ends_with("*")) else { return vec![path.to_owned()] };
    let entries = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok).map(|entry| entry.path());
    let is_ours =
        |path: &PathBuf| path.extension().is_some_and(|end| ["yaml", "yml", "json"].iter().any(|e| end == *e));
    let mut files: Vec<PathBuf> = entries.filter(is_ours).collect();
    files.sort();
    files
}
