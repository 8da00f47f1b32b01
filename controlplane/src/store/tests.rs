//! Keys outlive their process, are written whole, and cannot be got back from what is kept.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use jiff::Timestamp;

use super::*;

fn now() -> Timestamp {
    "2026-11-20T10:00:00Z".parse().unwrap()
}

fn mode(path: &std::path::Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_key_is_kept_as_a_digest_until_it_is_revoked() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("a/state");
    let keys = Keys::new(Folder::new(&path));
    assert!(keys.list().unwrap().is_empty());
    assert!(!path.exists(), "looking makes nothing");
    let made = keys.create("alice", now()).unwrap();
    assert_eq!(made.key.len(), "sluice_".len() + 43);
    assert!(made.key.strip_prefix("sluice_").unwrap().bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)));
    assert_eq!((mode(&path), mode(&path.join("clients.json"))), (0o700, 0o600));
    assert!(!fs::read_to_string(path.join("clients.json")).unwrap().contains(&made.key[7..]));
    let kept = Keys::new(Folder::new(&path)).list().unwrap();
    assert_eq!(kept, [StoredKey { name: "alice".into(), sha256: digest(&made.key), created: now(), expires: None }]);
    assert_ne!(keys.create("bob", now()).unwrap().key, made.key);
    keys.revoke("alice").unwrap();
    let names: Vec<_> = keys.list().unwrap().into_iter().map(|key| key.name).collect();
    assert_eq!(names, ["bob"]);
}

#[test]
fn names_are_checked() {
    let folder = tempfile::tempdir().unwrap();
    let keys = Keys::new(Folder::new(folder.path()));
    keys.create("alice@example.com", now()).unwrap();
    assert!(matches!(keys.create("alice@example.com", now()), Err(KeyError::Taken(_))));
    for name in ["", "a b", "a\n", "../a", &"a".repeat(65)] {
        assert!(matches!(keys.create(name, now()), Err(KeyError::Name(_))), "{name:?}");
    }
    assert!(matches!(keys.revoke("bob"), Err(KeyError::Unknown(_))));
}

#[test]
fn every_change_changes_the_fingerprint() {
    let folder = tempfile::tempdir().unwrap();
    let keys = Keys::new(Folder::new(folder.path()));
    let nothing = keys.fingerprint();
    assert_eq!(nothing, keys.fingerprint());
    keys.create("a", now()).unwrap();
    let one = keys.fingerprint();
    assert_ne!(nothing, one);
    assert_eq!(one, keys.fingerprint());
    keys.create("b", now()).unwrap();
    keys.revoke("b").unwrap();
    assert_ne!(one, keys.fingerprint(), "the same content, written again");
}

#[test]
fn the_first_key_is_made_once_taken_where_there_is_one_and_gone_when_revoked() {
    let folder = tempfile::tempdir().unwrap();
    let keys = Keys::new(Folder::new(folder.path()));
    let made = keys.first(now()).unwrap().unwrap();
    assert_eq!(fs::read_to_string(keys.first_key_file()).unwrap().trim(), made.key);
    assert_eq!(mode(&keys.first_key_file()), 0o600);
    assert!(keys.first(now()).unwrap().is_none(), "there is one now");
    keys.revoke("default").unwrap();
    assert!(!keys.first_key_file().exists());
    fs::write(keys.first_key_file(), "a key that somebody put there\n").unwrap();
    keys.first(now()).unwrap().unwrap();
    assert_eq!(keys.list().unwrap()[0].sha256, digest("a key that somebody put there"));
}

#[test]
fn a_broken_file_is_an_error_and_not_an_empty_list() {
    let folder = tempfile::tempdir().unwrap();
    let keys = Keys::new(Folder::new(folder.path()));
    for text in ["", "{}", "{\"clients\":[{\"name\":\"a\",\"sha256\":\"00\",\"created\":\"2026-11-20T10:00:00Z\"}]}"] {
        fs::write(folder.path().join("clients.json"), text).unwrap();
        assert!(matches!(keys.list(), Err(KeyError::Broken { .. })), "{text}");
        assert!(matches!(keys.create("a", now()), Err(KeyError::Broken { .. })), "and is not written over");
    }
}

#[test]
fn keys_made_at_the_same_time_are_all_kept() {
    let folder = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        for client in 0..8 {
            let keys = Keys::new(Folder::new(folder.path()));
            scope.spawn(move || keys.create(&format!("client-{client}"), now()).unwrap());
        }
    });
    assert_eq!(Keys::new(Folder::new(folder.path())).list().unwrap().len(), 8);
}

mod database;
