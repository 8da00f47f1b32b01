//! The programs under test and beside it, as files.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The `sluice` binary: `SLUICE_BIN`, or built in the profile of the tests. Built at most once per run of nextest.
pub fn sluice() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| std::env::var_os("SLUICE_BIN").map_or_else(|| build("sluice-ctl", "sluice"), PathBuf::from))
}

/// The `sluice-controlplane` binary, built as [`sluice`] is.
pub fn controlplane() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| build("sluice-controlplane", "sluice-controlplane"))
}

/// The `sluice-dataplane` binary, built as [`sluice`] is.
pub fn dataplane() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| build("sluice-dataplane", "sluice-dataplane"))
}

/// The scripted stdio server, `src/bin/stdio-peer.rs`.
#[must_use]
pub fn stdio_peer() -> PathBuf {
    profile_folder().join("stdio-peer")
}

/// The folder of the profile, such as `target/debug`: test binaries are in its `deps`.
fn profile_folder() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    own.ancestors().nth(2).expect("a test binary is in <profile>/deps").to_owned()
}

fn build(package: &str, name: &str) -> PathBuf {
    let folder = profile_folder();
    let path = folder.join(name);
    let stamp = folder.join(format!(".{name}-tests.run"));
    let lock = std::fs::File::create(folder.join(".sluice-tests.lock")).unwrap();
    lock.lock().unwrap();
    let run = std::env::var("NEXTEST_RUN_ID").unwrap_or_default();
    let last = std::fs::read_to_string(&stamp).unwrap_or_default();
    let failed = format!("{run} failed");
    assert!(run.is_empty() || last != failed, "cargo build --bin {name} failed, see the first test of this run");
    if run.is_empty() || last != run {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.args(["build", "--quiet", "--package", package, "--bin", name, "--target-dir"]);
        cargo.arg(folder.parent().unwrap()).current_dir(env!("CARGO_MANIFEST_DIR"));
        if folder.ends_with("release") {
            cargo.arg("--release");
        }
        let built = cargo.status().unwrap().success();
        std::fs::write(&stamp, if built { &run } else { &failed }).unwrap();
        assert!(built, "cargo build --bin {name} failed");
    }
    path
}
