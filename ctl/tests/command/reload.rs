//! Changes of files while `sluice run` runs: applied whole or not at all.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use crate::process::{Gateway, PATIENCE};

const FIRST: &str = "servers: {a: {command: sluice, args: [demo-server, --stdio]}}\n";
const SECOND: &str =
    "servers:\n  a: {command: sluice, args: [demo-server, --stdio]}\n  b: {url: 'http://127.0.0.1:9'}\n";

fn start(home: &Path, file: &str) -> Gateway {
    let gateway = Gateway::start(home, &["--config", file, "--state-dir", "state"]);
    assert_eq!(gateway.status_at("/servers/b/mcp", None), 404, "there is no such server yet");
    gateway
}

/// Waits until the second server is there, as the data plane says and as a client sees.
fn adopted(gateway: &Gateway) {
    let said = gateway.says("configuration changed");
    assert_eq!((&said["revision"], &said["added"]), (&2.into(), &"b".into()), "{said}");
    assert_eq!(gateway.says("configuration adopted")["revision"], 2);
    // Each worker takes the new plane when it gets to it.
    let deadline = Instant::now() + PATIENCE;
    while gateway.status_at("/servers/b/mcp", None) == 404 {
        assert!(Instant::now() < deadline, "the data plane does not serve what it adopted");
    }
}

#[test]
fn a_file_that_is_written_is_applied() {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("mcp.yaml"), FIRST).unwrap();
    let gateway = start(home.path(), "mcp.yaml");
    fs::write(home.path().join("mcp.yaml"), SECOND).unwrap();
    adopted(&gateway);
}

#[test]
fn a_file_that_is_replaced_is_applied() {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("mcp.yaml"), FIRST).unwrap();
    let gateway = start(home.path(), "mcp.yaml");
    fs::write(home.path().join("mcp.yaml.tmp"), SECOND).unwrap();
    fs::rename(home.path().join("mcp.yaml.tmp"), home.path().join("mcp.yaml")).unwrap();
    adopted(&gateway);
}

#[test]
fn a_folder_of_links_that_is_swapped_is_applied() {
    // As Kubernetes mounts a ConfigMap: mcp.yaml → ..data/mcp.yaml, ..data → a folder of one version.
    let home = tempfile::tempdir().unwrap();
    let mount = home.path().join("mount");
    for (version, text) in [("..1", FIRST), ("..2", SECOND)] {
        fs::create_dir_all(mount.join(version)).unwrap();
        fs::write(mount.join(version).join("mcp.yaml"), text).unwrap();
    }
    std::os::unix::fs::symlink("..1", mount.join("..data")).unwrap();
    std::os::unix::fs::symlink("..data/mcp.yaml", mount.join("mcp.yaml")).unwrap();
    let gateway = start(home.path(), "mount/mcp.yaml");
    std::os::unix::fs::symlink("..2", mount.join("..data_tmp")).unwrap();
    fs::rename(mount.join("..data_tmp"), mount.join("..data")).unwrap();
    adopted(&gateway);
}

#[test]
fn a_broken_file_changes_nothing_until_it_is_repaired() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("mcp.yaml");
    fs::write(&file, FIRST).unwrap();
    let gateway = start(home.path(), "mcp.yaml");
    fs::write(&file, "servers:\n  b: {comand: x}\n").unwrap();
    let said = gateway.says("unknown key");
    let place = ["file", "line", "column", "path", "advice", "level"].map(|field| said[field].to_string());
    assert_eq!(place, ["\"mcp.yaml\"", "2", "7", "\"servers.b.comand\"", "\"did you mean `command`?\"", "\"ERROR\""]);
    gateway.says("the last good configuration stays");
    assert_ne!(gateway.status_at("/servers/a/mcp", None), 404);
    fs::remove_file(&file).unwrap();
    gateway.says("mcp.yaml cannot be read");
    fs::write(&file, SECOND).unwrap();
    adopted(&gateway);
}

#[test]
fn what_waits_for_the_next_start_is_said() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("mcp.yaml");
    fs::write(&file, FIRST).unwrap();
    let gateway = start(home.path(), "mcp.yaml");
    fs::write(&file, format!("proxy: {{transport: stdio}}\n{SECOND}")).unwrap();
    let said = gateway.says("takes effect at the next start");
    assert_eq!((&said["path"], &said["level"]), (&"proxy.transport".into(), &"WARN".into()), "{said}");
    adopted(&gateway);
}

#[test]
fn how_much_is_logged_counts_like_the_rest() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("mcp.yaml");
    fs::write(&file, FIRST).unwrap();
    let gateway = start(home.path(), "mcp.yaml");
    let is_there = |server: &str| {
        let deadline = Instant::now() + PATIENCE;
        while gateway.status_at(&format!("/servers/{server}/mcp"), None) == 404 {
            assert!(Instant::now() < deadline, "{server} is not served");
        }
    };
    let with = |level: &str, servers: &str| {
        let level = if level.is_empty() { String::new() } else { format!("proxy: {{log_level: {level}}}\n") };
        fs::write(&file, format!("{level}{SECOND}{servers}")).unwrap();
    };
    with("error", "");
    is_there("b");
    with("error", "  c: {url: 'http://127.0.0.1:9'}\n");
    is_there("c");
    with("debug", "  c: {url: 'http://127.0.0.1:9'}\n  d: {url: 'http://127.0.0.1:9'}\n");
    is_there("d");
    with("", "  e: {url: 'http://127.0.0.1:9'}\n");
    is_there("e");
    // nothing was said of the third, and of the fifth the first that is said is that it is run
    let mut told = Vec::new();
    while told.last() != Some(&5) {
        told.push(gateway.says("configuration changed")["revision"].as_u64().unwrap());
    }
    assert!(!told.contains(&3), "{told:?}");
    let plain =
        Gateway::start_with(home.path(), &[("RUST_LOG", "info")], &["--config", "mcp.yaml", "--state-dir", "other"]);
    with("error", "");
    while plain.status_at("/servers/e/mcp", None) != 404 {}
    assert_eq!(plain.says("configuration changed")["revision"], 2, "what the process was started with counts more");
}

#[test]
fn a_certificate_that_is_not_there_is_said_and_nothing_counts_until_it_is_left_out() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("mcp.yaml");
    fs::write(&file, FIRST).unwrap();
    let gateway = start(home.path(), "mcp.yaml");
    fs::write(&file, format!("proxy: {{tls: [{{certificate: c, key: k}}]}}\n{SECOND}")).unwrap();
    let said = gateway.says("a node refused the configuration");
    assert_eq!((&said["revision"], &said["level"]), (&2.into(), &"ERROR".into()), "{said}");
    assert_eq!(gateway.status_at("/servers/b/mcp", None), 404, "all or nothing");
    fs::write(&file, SECOND).unwrap();
    assert_eq!(gateway.says("configuration adopted")["revision"], 3);
}

#[test]
fn sighup_reads_the_files_again() {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("mcp.yaml"), FIRST).unwrap();
    let gateway = start(home.path(), "mcp.yaml");
    let hangup = Command::new("kill").args(["-HUP", &gateway.id().to_string()]).status().unwrap();
    assert!(hangup.success());
    gateway.says("asked to read the configuration again");
    gateway.says("the configuration is the same as before");
    assert_ne!(gateway.status_at("/servers/a/mcp", None), 404);
}

#[test]
fn variables_and_credentials_count_as_well() {
    let home = tempfile::tempdir().unwrap();
    let env = home.path().join("a.env");
    fs::write(&env, "A=1\n").unwrap();
    let text = "servers:\n  a: {command: sluice, args: [demo-server, --stdio], env_file: a.env}\n  c: {command: \"${C:-x}\"}\n";
    fs::write(home.path().join("mcp.yaml"), text).unwrap();
    let gateway = start(home.path(), "mcp.yaml");
    fs::write(&env, "A=2\n").unwrap();
    assert_eq!(gateway.says("configuration changed")["changed"], "a");
    let credentials = home.path().join(".config/sluice");
    fs::create_dir_all(&credentials).unwrap();
    fs::write(credentials.join("credentials.json.tmp"), "{\"C\": \"y\"}").unwrap();
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(credentials.join("credentials.json.tmp"), private).unwrap();
    fs::rename(credentials.join("credentials.json.tmp"), credentials.join("credentials.json")).unwrap();
    assert_eq!(gateway.says("configuration changed")["changed"], "c");
}

#[test]
fn the_file_of_a_client_is_served_and_followed() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("claude_desktop_config.json");
    let text = |more: &str| {
        format!(
            "{{\n  // mine\n  \"mcpServers\": {{\n    \"a\": {{\"command\": \"sluice\", \"args\": [\"demo-server\", \"--stdio\"]}},\n{more}  }},\n}}\n"
        )
    };
    fs::write(&file, text("")).unwrap();
    let gateway = start(home.path(), "claude_desktop_config.json");
    fs::write(&file, text("    \"b\": {\"url\": \"http://127.0.0.1:9\", \"type\": \"sse\"},\n")).unwrap();
    adopted(&gateway);
}
