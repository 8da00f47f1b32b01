//! Tokens are shown once, know their place, and end.

use std::collections::BTreeMap;

use super::*;
use crate::store::tokens::TokenKind;

fn wanted(kind: TokenKind, name: &str, role: Option<Role>, expires_in: Option<u64>) -> CreateToken {
    CreateToken { kind, name: name.into(), role, expires_in, labels: BTreeMap::new(), own_labels: false }
}

#[tokio::test]
async fn the_first_start_writes_a_token_that_only_its_owner_reads() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let service = service(folder.path());
    assert!(service.first_token(Timestamp::now()).unwrap());
    assert!(!service.first_token(Timestamp::now()).unwrap(), "once");
    let file = folder.path().join(ADMIN_TOKEN);
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let token = std::fs::read_to_string(file).unwrap();
    let admin = service.authenticate(Some(token.trim()), "127.0.0.1").await.unwrap();
    assert_eq!((admin.name.as_str(), admin.role), ("admin", Role::Admin));
    let Err(last) = service.revoke_token(&admin, "admin").await else { panic!("nobody would be left") };
    assert!(last.to_string().contains("nobody could make tokens any more"), "{last}");
}

#[tokio::test]
async fn each_kind_of_token_opens_its_own_door_until_it_ends() {
    let folder = tempfile::tempdir().unwrap();
    let service = service(folder.path());
    let admin = caller(Role::Admin);
    let person =
        service.create_token(&admin, wanted(TokenKind::Person, "eve", Some(Role::Viewer), None)).await.unwrap();
    let client = service.create_token(&admin, wanted(TokenKind::Client, "app", None, Some(3_600))).await.unwrap();
    let join = service.create_token(&admin, wanted(TokenKind::Join, "edge", None, None)).await.unwrap();
    let gone =
        service.create_token(&admin, wanted(TokenKind::Person, "tim", Some(Role::Admin), Some(0))).await.unwrap();
    assert_eq!(service.authenticate(Some(&person.token), "p").await.unwrap().role, Role::Viewer);
    for (token, wanted) in [
        (Some(client.token.as_str()), "the key of a client"),
        (Some(&join.token), "for a node to join"),
        (Some(&gone.token), "has expired"),
        (Some("sluice_person_nonsense"), "nobody is known"),
        (Some(&"x".repeat(1 << 20)), "no token"),
        (None, "no token"),
    ] {
        let refused = service.authenticate(token, "p").await.unwrap_err().to_string();
        assert!(refused.contains(wanted), "{refused}");
    }
    let desired = service.desired().await.unwrap();
    assert_eq!((desired.revision, desired.keys.len()), (1, 1), "keys are part of what nodes get");
    assert!(desired.keys[0].expires.is_some());
    assert_eq!(join.about.expires.unwrap().as_second() - join.about.created.as_second(), 600);
    let listed = service.list_tokens(&admin).await.unwrap();
    assert!(listed.iter().all(|token| token.author == "a-admin"));
    assert_eq!(service.revoke_token(&admin, "app").await.unwrap(), (1, 2));
    assert_eq!(service.revoke_token(&admin, &person.about.id).await.unwrap(), (1, 0), "no node has it");
    assert!(service.authenticate(Some(&person.token), "p").await.is_err());
    assert!(service.desired().await.unwrap().keys.is_empty());
    let none = service.revoke_token(&admin, "app").await.unwrap_err().to_string();
    assert!(none.contains("no token has the id or name `app`"), "{none}");
}

#[tokio::test]
async fn join_tokens_that_have_ended_are_kept_for_a_day() {
    let folder = tempfile::tempdir().unwrap();
    let service = service(folder.path());
    let admin = caller(Role::Admin);
    let join = service.create_token(&admin, wanted(TokenKind::Join, "edge", None, Some(60))).await.unwrap();
    service.create_token(&admin, wanted(TokenKind::Person, "tim", Some(Role::Viewer), Some(60))).await.unwrap();
    service.create_token(&admin, wanted(TokenKind::Join, "used", None, None)).await.unwrap();
    let names = async || {
        let listed = service.list_tokens(&admin).await.unwrap();
        listed.into_iter().map(|token| token.name).collect::<Vec<_>>().join(" ")
    };
    let after = |seconds| join.about.created + jiff::SignedDuration::from_secs(seconds);
    service.forget_ended_tokens(after(86_400 + 59)).await.unwrap();
    assert_eq!(names().await, "edge tim used");
    service.forget_ended_tokens(after(86_400 + 62)).await.unwrap();
    assert_eq!(names().await, "tim used", "the end of a person's token is shown until somebody revokes it");
}

#[tokio::test]
async fn what_cannot_be_a_token_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let service = service(folder.path());
    let labelled = CreateToken {
        labels: [("zone".to_owned(), "eu west".to_owned())].into(),
        ..wanted(TokenKind::Join, "n", None, None)
    };
    for (create, told) in [
        (wanted(TokenKind::Client, "a b", None, None), "is no name for a token"),
        (wanted(TokenKind::Person, "a", None, None), "takes a role"),
        (wanted(TokenKind::Client, "a", Some(Role::Viewer), None), "has no role"),
        (wanted(TokenKind::Join, "a", None, Some(601)), "at most 600 seconds"),
        (wanted(TokenKind::Client, "a", None, Some(u64::MAX)), "at most"),
        (labelled, "labels are at most"),
    ] {
        let Err(error) = service.create_token(&caller(Role::Admin), create).await else { panic!("{told}") };
        assert!(error.to_string().contains(told), "{error}");
    }
    assert!(service.create_token(&editor(), wanted(TokenKind::Client, "a", None, None)).await.is_err());
}

#[tokio::test]
async fn a_flood_of_attempts_is_slowed_and_does_not_fill_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let service = service(folder.path());
    let mut throttled = 0;
    for _ in 0..200 {
        let refused = service.authenticate(Some("wrong"), "10.0.0.9").await.unwrap_err();
        throttled += u32::from(matches!(refused, ServiceError::Throttled(_)));
    }
    assert_eq!(throttled, 190);
    assert_eq!(service.verify_audit(&caller(Role::Admin)).await.unwrap().entries, 10);
}
