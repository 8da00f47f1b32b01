//! Named secrets: versions, who refers to them, and what a newer key of the ring changes.

use zeroize::Zeroizing;

use super::*;

const OLD: &str = "old:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const NEW: &str = "new://///////////////////////////////////////w8=";

fn with_ring(folder: &std::path::Path, text: &str) -> Service {
    let store = Store::open(Folder::new(folder), Timestamp::now()).unwrap();
    Service::new(store, Arc::new(crate::secrets::Ring::parse(text).unwrap()))
}

async fn set(service: &Service, name: &str, value: &str) -> Result<(u64, u64), ServiceError> {
    service.set_secret(&caller(Role::Admin), name, Zeroizing::new(value.as_bytes().to_vec())).await
}

async fn values(service: &Service) -> Vec<(String, u64, String)> {
    let desired = service.desired().await.unwrap();
    let value = |secret: &crate::secrets::SecretValue| String::from_utf8(secret.value.to_vec()).unwrap();
    desired.secrets.iter().map(|(name, secret)| (name.clone(), secret.version, value(secret))).collect()
}

#[tokio::test]
async fn a_secret_has_versions_and_each_is_a_revision() {
    let folder = tempfile::tempdir().unwrap();
    let service = with_ring(folder.path(), OLD);
    assert_eq!(set(&service, "github", "v4lue-1\n").await.unwrap(), (1, 1));
    assert_eq!(set(&service, "github", "v4lue-2").await.unwrap(), (2, 2));
    assert_eq!(values(&service).await, [("github".to_owned(), 2, "v4lue-2".to_owned())]);
    assert_eq!(service.delete_secret(&caller(Role::Admin), "github").await.unwrap(), 3);
    assert!(values(&service).await.is_empty());
    assert_eq!(set(&service, "github", "v4lue-3").await.unwrap(), (3, 4), "versions only rise");
    let listed = service.list_secrets(&caller(Role::Viewer)).await.unwrap();
    let about: Vec<_> =
        listed.iter().map(|s| (s.name.as_str(), s.version, s.author.as_str(), s.key.as_str())).collect();
    assert_eq!(about, [("github", 3, "a-admin", "old")]);
    for (name, value, wanted) in [
        ("a b", "x", "is no name for a secret"),
        ("a", "", "is empty"),
        ("a", "x\0y", "NUL"),
        ("a", &"x".repeat(65_537), "longer than 64 KiB"),
    ] {
        let refused = set(&service, name, value).await.unwrap_err().to_string();
        assert!(refused.contains(wanted), "{refused}");
    }
    let refused = service.set_secret(&editor(), "a", Zeroizing::new(b"x".to_vec())).await.unwrap_err();
    assert!(matches!(refused, ServiceError::Denied { .. }), "{refused}");
    drop(service);
    for file in std::fs::read_dir(folder.path()).unwrap() {
        let path = file.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        for value in ["v4lue-1", "v4lue-2", "v4lue-3"] {
            assert!(!bytes.windows(value.len()).any(|part| part == value.as_bytes()), "{value} in {}", path.display());
        }
    }
}

#[tokio::test]
async fn a_secret_that_is_referred_to_stays_and_one_that_is_missing_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let service = with_ring(folder.path(), OLD);
    let server = r#"{"url":"https://a/mcp","auth":{"type":"bearer","token":{"secret":"github"}}}"#;
    let refused = apply(&service, &[("server", "a", server)]).await;
    assert!(faults(&refused)[0].contains("there is no secret `github`"), "{:?}", faults(&refused));
    set(&service, "github", "value").await.unwrap();
    assert!(faults(&apply(&service, &[("server", "a", server)]).await).is_empty());
    let listed = service.list_secrets(&caller(Role::Viewer)).await.unwrap();
    assert_eq!(listed[0].used_by, ["server/a"]);
    let refused = service.delete_secret(&caller(Role::Admin), "github").await.unwrap_err().to_string();
    assert!(refused.contains("is used by server/a"), "{refused}");
    let (_, shown) = service.get(&caller(Role::Viewer), "server", "a", 0).await.unwrap();
    assert!(shown[0].json.contains(r#"{"secret":"github"}"#), "where it is may be seen: {}", shown[0].json);
    let missing = service.delete_secret(&caller(Role::Admin), "nothing").await.unwrap_err().to_string();
    assert!(missing.contains("there is no secret `nothing`"), "{missing}");
}

#[tokio::test]
async fn a_newer_key_seals_everything_and_the_older_one_can_go() {
    let folder = tempfile::tempdir().unwrap();
    let inline = r#"{"url":"https://a/mcp","auth":{"type":"bearer","token":"inline"}}"#;
    {
        let service = with_ring(folder.path(), OLD);
        service.check_ring().unwrap();
        set(&service, "github", "value").await.unwrap();
        assert!(faults(&apply(&service, &[("server", "a", inline)]).await).is_empty());
    }
    let wrong = with_ring(folder.path(), &NEW.replace("new", "old"));
    let refused = wrong.check_ring().unwrap_err().to_string();
    assert!(refused.contains("key `old` of the key ring is not the one it was sealed with"), "{refused}");
    drop(wrong);
    let missing = with_ring(folder.path(), NEW);
    let refused = missing.check_ring().unwrap_err().to_string();
    assert!(refused.contains("sealed with key `old`, which is not in the key ring"), "{refused}");
    drop(missing);
    {
        let service = with_ring(folder.path(), &format!("{OLD}\n{NEW}"));
        service.check_ring().unwrap();
        assert_eq!(service.rotate_key(&caller(Role::Admin)).await.unwrap(), ("new".to_owned(), 2));
        assert_eq!(service.rotate_key(&caller(Role::Admin)).await.unwrap(), ("new".to_owned(), 0), "again is nothing");
    }
    let service = with_ring(folder.path(), NEW);
    service.check_ring().unwrap();
    assert_eq!(values(&service).await[0].2, "value");
    let auth = service.desired().await.unwrap().config.servers["a"].auth.clone().unwrap();
    assert_eq!(auth.token.unwrap().value().unwrap().expose(), "inline");
}

#[tokio::test]
async fn what_the_language_calls_secret_by_now_is_sealed_when_it_is_said_again() {
    let folder = tempfile::tempdir().unwrap();
    let server = r#"{"args":["--token","s3cret"],"command":"x"}"#;
    {
        let service = with_ring(folder.path(), OLD);
        apply(&service, &[("server", "a", server)]).await;
        // as a version stored it that did not know
        let clear = format!("UPDATE objects SET spec = '{server}', sealed = NULL, digests = '{{}}'");
        let stored: Result<usize, ServiceError> = service.store().write_now(|tx| Ok(tx.execute(&clear, ())?));
        assert_eq!(stored.unwrap(), 1);
    }
    let service = with_ring(folder.path(), OLD);
    assert_eq!(apply(&service, &[("server", "b", r#"{"command":"y"}"#)]).await.revision, 2);
    let again = apply(&service, &[("server", "a", server)]).await;
    assert_eq!(told(&again), [r#"Changed server/a args[1]: "***" → "***""#]);
    let (_, shown) = service.get(&caller(Role::Viewer), "server", "a", 0).await.unwrap();
    assert_eq!(shown[0].json, server.replace("s3cret", "***"));
    assert_eq!(apply(&service, &[("server", "a", server)]).await.revision, 3, "once");
    assert_eq!(service.desired().await.unwrap().config.servers["a"].args, ["--token", "s3cret"]);
}

#[tokio::test]
async fn rows_that_changed_places_do_not_open() {
    let folder = tempfile::tempdir().unwrap();
    let service = with_ring(folder.path(), OLD);
    set(&service, "a", "of a").await.unwrap();
    set(&service, "b", "of b").await.unwrap();
    let swap = "UPDATE secrets SET sealed = (SELECT sealed FROM secrets AS other WHERE other.name <> secrets.name)";
    let swapped: Result<usize, ServiceError> = service.store().write_now(|tx| Ok(tx.execute(swap, ())?));
    assert_eq!(swapped.unwrap(), 2);
    let Err(refused) = service.desired().await else { panic!("opened") };
    assert!(refused.to_string().contains("it was changed or moved"), "{refused}");
}
