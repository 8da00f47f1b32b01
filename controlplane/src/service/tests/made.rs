//! What goes on from the head as it was made is what reads all of it from the database.

use super::*;
use crate::compile::Labels;

/// What is desired, after it was compared with what a start anew would make of the database; `true`: nothing was read for it.
async fn desired(service: &Service) -> (u64, bool) {
    let (known, again) = (service.desired().await.unwrap(), service.desired().await.unwrap());
    let ring = service.ring();
    let read = service.store().read(move |db| source::desired(db, &ring)).await.unwrap();
    let snapshot =
        |desired: &crate::publish::Desired| desired.compile(&Labels::new()).unwrap_or_else(|e| panic!("{e:?}"));
    assert_eq!(known.revision, read.revision);
    assert!(snapshot(&known).snapshot == snapshot(&read).snapshot);
    (known.revision, Arc::ptr_eq(&known, &again))
}

async fn set_secret(service: &Service, value: &str) {
    let value = zeroize::Zeroizing::new(value.as_bytes().to_vec());
    service.set_secret(&caller(Role::Admin), "named", value).await.unwrap();
}

#[tokio::test]
async fn whatever_is_changed_by_whatever_way() {
    let folder = tempfile::tempdir().unwrap();
    let service = service(folder.path());
    assert_eq!(desired(&service).await, (0, false));
    set_secret(&service, "of a server").await;
    let a = r#"{"url":"http://a/mcp","auth":{"type":"bearer","token":{"secret":"named"}}}"#;
    let b = r#"{"url":"http://b/mcp","headers":{"X":"s3cret"}}"#;
    apply(&service, &[("server", "a", a), ("server", "b", b)]).await;
    assert_eq!(desired(&service).await, (2, true));
    apply(&service, &[("server", "b", r#"{"url":"http://b/mcp","headers":{"X":"***"},"timeout":5}"#)]).await;
    assert_eq!(desired(&service).await, (3, true), "the mask stands for what it was");
    // a refusal, a dry run, and the same again make nothing
    apply(&service, &[("server", "c", r#"{"url":"ftp://c/"}"#)]).await;
    let dry = Apply { dry_run: true, ..named(&[("server", "c", r#"{"url":"http://c/mcp"}"#)]) };
    service.apply(&editor(), dry).await.unwrap();
    apply(&service, &[("server", "a", a)]).await;
    assert_eq!(desired(&service).await, (3, true));
    // what makes a revision and is no object
    set_secret(&service, "of a server, anew").await;
    assert_eq!(desired(&service).await, (4, false));
    apply(&service, &[("server", "c", r#"{"url":"http://c/mcp"}"#)]).await;
    assert_eq!(desired(&service).await, (5, true));
    let delete = Delete { kind: "server".to_owned(), name: "c".to_owned(), ..Delete::default() };
    service.delete(&editor(), delete).await.unwrap();
    assert_eq!(desired(&service).await, (6, true));
    service.roll_back(&editor(), Rollback { revision: 2, ..Rollback::default() }).await.unwrap();
    assert_eq!(desired(&service).await, (7, true));
    let config = &service.desired().await.unwrap().config;
    assert_eq!(config.servers["b"].headers["X"].value().unwrap().expose(), "s3cret");
}

#[tokio::test]
async fn keys_that_went_are_not_needed_for_what_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let service = service(folder.path());
    service.ring_from(RingSource::State(Folder::new(folder.path())));
    apply(&service, &[("server", "b", r#"{"url":"http://b/mcp","headers":{"X":"s3cret"}}"#)]).await;
    let file = folder.path().join("secret.keys");
    let key = |id: &str| format!("{id}:{}\n", "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=");
    let old = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("{old}{}", key("next"))).unwrap();
    assert_eq!(service.rotate_key(&caller(Role::Admin)).await.unwrap().0, "next");
    std::fs::write(&file, key("next")).unwrap();
    assert_eq!(service.rotate_key(&caller(Role::Admin)).await.unwrap().0, "next");
    let masked = r#"{"url":"http://b/mcp","headers":{"X":"***"},"timeout":5}"#;
    assert_eq!(faults(&apply(&service, &[("server", "b", masked)]).await), Vec::<String>::new());
    assert_eq!(desired(&service).await, (2, true));
}
