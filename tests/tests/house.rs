//! The house keeps its order: crates depend in one direction, and modules import downwards only.

#![allow(clippy::unwrap_used, reason = "a test that cannot read the sources has failed")]

use std::fs;
use std::path::{Path, PathBuf};

/// Each crate with the crates of this workspace it may depend on. The two planes never know each other.
const CRATES: &[(&str, &[&str])] = &[
    ("proto/mcp", &[]),
    ("proto/http1", &[]),
    ("proto/contract", &[]),
    ("proto/arguments", &[]),
    ("proto/snapshot", &["sluice-contract", "sluice-mcp"]),
    ("dataplane", &["sluice-arguments", "sluice-mcp", "sluice-http1", "sluice-contract", "sluice-snapshot"]),
    ("controlplane", &["sluice-arguments", "sluice-contract", "sluice-snapshot"]),
    ("ctl", &["sluice-arguments", "sluice-contract", "sluice-snapshot", "sluice-dataplane", "sluice-controlplane"]),
];

/// The data plane's modules, lowest first: one imports only from those before it.
const DATAPLANE: &[&str] = &[
    "limit",
    "settings",
    "connection",
    "fetch",
    "clock",
    "wire",
    "reason",
    "drain",
    "budget",
    "observe",
    "auth",
    "seal",
    "ledger",
    "peer",
    "catalog",
    "upstream",
    "session",
    "plane",
    "adoption",
    "node",
    "exchange",
    "listen",
    "admin",
    "uplink",
    "app",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

#[test]
fn crates_depend_in_one_direction() {
    for (folder, allowed) in CRATES {
        let manifest = fs::read_to_string(root().join(folder).join("Cargo.toml")).unwrap();
        let (_, dependencies) = manifest.split_once("[dependencies]").unwrap();
        let dependencies = dependencies.split("\n[").next().unwrap();
        for line in dependencies.lines().filter(|line| line.starts_with("sluice-")) {
            let name = line.split(['.', ' ', '=']).next().unwrap();
            assert!(allowed.contains(&name), "{folder} must not depend on {name}");
        }
    }
}

#[test]
fn modules_of_the_data_plane_import_downwards() {
    let sources = root().join("dataplane/src");
    let mut wrong = Vec::new();
    let mut imports = 0;
    for file in files(&sources) {
        let inside = file.strip_prefix(&sources).unwrap();
        let module = inside.components().next().unwrap().as_os_str().to_str().unwrap().trim_end_matches(".rs");
        // the library's root, and the program around it
        if ["lib", "main", "log"].contains(&module) {
            continue;
        }
        let rank = |name: &str| DATAPLANE.iter().position(|m| *m == name);
        let own = rank(module).unwrap_or_else(|| panic!("{module} has no rank: add it to DATAPLANE"));
        let text = fs::read_to_string(&file).unwrap();
        for (_, rest) in text.match_indices("crate::").map(|(at, found)| text[at..].split_at(found.len())) {
            let name: String = rest.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
            // types re-exported at the root have no rank
            if let Some(used) = rank(&name).filter(|used| *used != own) {
                imports += 1;
                if used > own {
                    wrong.push(format!("{} imports {name}", inside.display()));
                }
            }
        }
    }
    assert!(imports > 50, "the imports were not found");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn files(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|e| e == "rs"))
        .collect()
}
