//! `sluice token`, and what it does to a gateway that runs.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::process::{Gateway, finished, sluice, told};

const STATE: &str = "state";

fn token(home: &Path, args: &[&str]) -> (i32, String, String) {
    finished(home, &[&["token"], args, &["--state-dir", STATE]].concat())
}

#[test]
fn a_variable_that_is_empty_is_as_one_that_is_not_set() {
    let home = tempfile::tempdir().unwrap();
    let run = |variable: &str, args: &[&str]| {
        told(
            sluice(home.path(), args).env("SLUICE_CONTROL_PLANE", variable).env("SLUICE_CA_FILE", "").output().unwrap(),
        )
    };
    let (code, key, talk) = run("", &["token", "create", "alice", "--state-dir", STATE]);
    assert!(code == 0 && key.starts_with("sluice_"), "{talk}");
    // and what is set there has not to be typed
    let (code, _, talk) = run("http://127.0.0.1:1", &["token", "create", "alice", "--nonsense"]);
    assert!(code == 2 && talk.contains("Usage: sluice token create"), "{talk}");
    assert!(!talk.contains("--control-plane"), "{talk}");
}

#[test]
fn keys_are_made_listed_and_revoked() {
    let home = tempfile::tempdir().unwrap();
    let (code, key, talk) = token(home.path(), &["create", "alice"]);
    assert_eq!(code, 0, "{talk}");
    let key = key.strip_suffix('\n').unwrap();
    assert!(key.starts_with("sluice_") && key.len() == 50 && !talk.contains(key), "{key} {talk}");
    let file = home.path().join(STATE).join("clients.json");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!std::fs::read_to_string(&file).unwrap().contains(&key[7..]));

    let (code, again, talk) = token(home.path(), &["create", "alice"]);
    assert!(code == 1 && again.is_empty() && talk.contains("has a key already"), "{talk}");

    token(home.path(), &["create", "bob"]);
    let (code, table, _) = token(home.path(), &["list"]);
    let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(code, 0);
    assert_eq!(
        (lines.len(), &lines[0][..], lines[1][0], lines[2][0]),
        (3, &["NAME", "CREATED", "ENDS"][..], "alice", "bob")
    );
    let (_, json, _) = token(home.path(), &["list", "-o", "json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json[0]["name"], "alice");

    token(home.path(), &["create", "carol", "--expires", "30d"]);
    let (_, table, _) = token(home.path(), &["list"]);
    assert!(table.lines().any(|line| line.starts_with("carol") && line.contains("days")), "{table}");

    assert_eq!(token(home.path(), &["revoke", "alice"]).0, 0);
    let (code, data, talk) = token(home.path(), &["revoke", "alice"]);
    assert!(code == 1 && data.is_empty() && talk.contains("no client is called `alice`"), "{talk}");
    assert!(!token(home.path(), &["list"]).1.contains("alice"));
}

#[test]
fn state_is_kept_at_home_unless_told_otherwise() {
    let home = tempfile::tempdir().unwrap();
    assert_eq!(finished(home.path(), &["token", "create", "alice"]).0, 0);
    assert!(home.path().join(".local/state/sluice/clients.json").exists());
}

#[test]
fn a_running_gateway_knows_new_keys_and_refuses_revoked_ones_within_a_second() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("mcp.yaml"), "features: {authentication: true}\nservers: {}\n").unwrap();
    let alice = token(home.path(), &["create", "alice"]).1;
    let gateway = Gateway::start(home.path(), &["--config", "mcp.yaml", "--state-dir", STATE]);
    assert_ne!(gateway.status(Some(alice.trim())), 401);
    assert_eq!(gateway.status(None), 401);
    assert!(!home.path().join(STATE).join("api-key").exists(), "somebody had a key");

    let bob = token(home.path(), &["create", "bob"]).1;
    let until = |key: &str, refused: bool| {
        let begin = Instant::now();
        while (gateway.status(Some(key.trim())) == 401) != refused {
            assert!(begin.elapsed() < Duration::from_secs(20), "never");
            std::thread::sleep(Duration::from_millis(10));
        }
        begin.elapsed()
    };
    until(&bob, false);
    token(home.path(), &["revoke", "alice"]);
    let took = until(&alice, true);
    // The promise is one second; a machine that runs other tests as well may be late, but not by another one.
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert_ne!(gateway.status(Some(bob.trim())), 401, "the others stay");
    token(home.path(), &["revoke", "bob"]);
    until(&bob, true);
    assert_eq!(gateway.status(None), 401, "the last key revoked does not open the door");
}
