//! The database: private, owned by one process, whole after every write, and readable at every revision.

use super::{Timestamp, mode, now};
use crate::store::objects::{self, StoredObject};
use crate::store::tokens::{self, StoredToken, TokenKind};
use crate::store::{Folder, Store, StoreError, digest, revisions};

fn open(path: &std::path::Path) -> Store {
    Store::open(Folder::new(path), now()).unwrap()
}

fn object(name: &str, since: u64, spec: &str) -> StoredObject {
    let (kind, digests) = ("server".into(), "{}".into());
    StoredObject { kind, name: name.into(), since, position: 0, spec: spec.into(), sealed: None, digests }
}

#[test]
fn the_database_is_private_and_belongs_to_one_process() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("state");
    let store = open(&path);
    store.write_now(|tx| revisions::add(tx, now(), "a", "", 0, "[]")).unwrap();
    for name in ["controlplane.db", "controlplane.db-wal", "controlplane.lock"] {
        assert_eq!(mode(&path.join(name)), 0o600, "{name}");
    }
    assert_eq!(mode(&path), 0o700);
    let Err(refused) = Store::open(Folder::new(&path), now()) else { panic!("opened twice") };
    assert!(refused.to_string().contains("in use by another control plane"), "{refused}");
    drop(store);
    open(&path);
}

#[test]
fn a_write_counts_whole_or_not_at_all_and_heads_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let mut head = store.head();
    let failed: Result<(), _> = store.write_now(|tx| {
        revisions::add(tx, now(), "a", "", 0, "[]")?;
        Err(StoreError::Stopping)
    });
    assert!(failed.is_err() && !head.has_changed().unwrap());
    for expected in 1..=3 {
        let revision = store.write_now(|tx| revisions::add(tx, now(), "a", "why", 0, "[]")).unwrap();
        assert_eq!((revision, *head.borrow_and_update()), (expected, expected));
    }
    drop(store);
    let store = open(folder.path());
    assert_eq!(*store.head().borrow(), 3);
    let listed = store.read_now(|db| revisions::before(db, 3, 9)).unwrap();
    assert_eq!(listed.iter().map(|revision| revision.revision).collect::<Vec<_>>(), [2, 1]);
}

#[test]
fn objects_are_read_as_they_were_at_any_revision() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let step = |what: &dyn Fn(&rusqlite::Transaction<'_>, u64) -> Result<(), StoreError>| {
        store.write_now(|tx| {
            let revision = revisions::add(tx, now(), "a", "", 0, "[]")?;
            what(tx, revision)
        })
    };
    step(&|tx, at| objects::put(tx, &object("a", at, "1"))).unwrap();
    step(&|tx, at| objects::put(tx, &object("b", at, "2"))).unwrap();
    step(&|tx, at| objects::put(tx, &object("a", at, "3"))).unwrap();
    step(&|tx, at| objects::end(tx, at, "server", "a")).unwrap();
    step(&|_, _| Ok(())).unwrap();
    let at = |revision| {
        let rows = store.read_now(move |db| objects::at(db, revision)).unwrap();
        rows.into_iter().map(|row| format!("{}{}", row.name, row.spec)).collect::<Vec<_>>().join(" ")
    };
    assert_eq!([0, 1, 2, 3, 4, 5].map(at), ["", "a1", "a1 b2", "a3 b2", "b2", "b2"]);
    assert_eq!(store.read_now(objects::changed).unwrap(), 4);
}

#[test]
fn a_join_token_counts_once_and_not_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let later = |seconds: i64| Timestamp::from_second(now().as_second() + seconds).unwrap();
    let token = |text: &str, kind| StoredToken {
        id: text.into(),
        kind,
        name: "n".into(),
        role: None,
        sha256: digest(text),
        created: now(),
        expires: Some(later(600)),
        author: "a".into(),
        labels: [("zone".to_owned(), "eu".to_owned())].into(),
        used: None,
    };
    let made = [token("one", TokenKind::Join), token("two", TokenKind::Join), token("key", TokenKind::Client)];
    store.write_now(|tx| made.iter().try_for_each(|token| tokens::add(tx, token))).unwrap();
    let join = |text: &str, at| store.write_now(|tx| tokens::join(tx, &digest(text), "node-1", at)).unwrap();
    assert_eq!(join("one", later(1)).unwrap().labels["zone"], "eu");
    assert!(join("one", later(2)).is_none(), "used");
    assert!(join("two", later(600)).is_none(), "expired");
    assert!(join("key", later(1)).is_none(), "for something else");
    assert!(join("none", later(1)).is_none());
    assert_eq!(store.read_now(tokens::all).unwrap().len(), 3);
}
