//! Who may do what.

use sluice_contract::v1;
use sluice_tests::ControlPlane;
use sluice_tests::control::{Admin, code, servers_request};
use tonic::Code;

const SERVER: &[(&str, &str)] = &[("a", r#"{"url":"http://127.0.0.1:1/mcp"}"#)];

#[tokio::test]
async fn each_role_does_what_it_may_and_is_told_what_it_takes() {
    let plane = ControlPlane::empty().await;
    let admin = plane.admin().await;
    let viewer = Admin::at(plane.grpc, &admin.person("vi", "viewer").await).await;
    let editor = Admin::at(plane.grpc, &admin.person("ed", "editor").await).await;
    assert_eq!(code(viewer.apply(servers_request(SERVER)).await), Code::PermissionDenied);
    let dry = v1::ApplyRequest { dry_run: true, ..servers_request(SERVER) };
    assert_eq!(viewer.apply(dry).await.unwrap().changes.len(), 1, "to judge is to read");
    assert_eq!(editor.apply(servers_request(SERVER)).await.unwrap().revision, 1);
    assert_eq!(viewer.get("server", "", 0).await.unwrap().objects.len(), 1);
    let denied = editor.client().list_tokens(editor.with(v1::ListTokensRequest {})).await.err().unwrap();
    assert_eq!(denied.code(), Code::PermissionDenied);
    assert!(denied.message().contains("takes the role `admin`, and this token has `editor`"), "{}", denied.message());
    let create = v1::CreateTokenRequest { kind: v1::TokenKind::Person.into(), name: "x".into(), ..Default::default() };
    assert_eq!(code(editor.client().create_token(editor.with(create)).await), Code::PermissionDenied);
    let entries = admin.client().audit(admin.with(v1::AuditRequest::default())).await.unwrap().into_inner().entries;
    let denials: Vec<_> = entries.iter().filter(|entry| entry.action == "denied").map(|entry| &*entry.actor).collect();
    assert_eq!(denials, ["ed", "ed", "vi"]);
    assert!(admin.audited().await.intact);
    let revoke = v1::RevokeTokenRequest { token: "vi".into() };
    admin.client().revoke_token(admin.with(revoke)).await.unwrap();
    assert_eq!(code(viewer.get("", "", 0).await), Code::Unauthenticated, "at once");
}

#[tokio::test]
async fn secrets_of_an_object_that_is_not_there_are_a_mistake() {
    let plane = ControlPlane::empty().await;
    let admin = plane.admin().await;
    let places = v1::SecretPlaces { kind: "servers".into(), name: "a".into(), paths: vec!["url".into()] };
    let misspelt = v1::ApplyRequest { secrets: vec![places.clone()], ..servers_request(SERVER) };
    let refused = admin.apply(misspelt).await.err().unwrap();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert_eq!(refused.message(), "`secrets` names servers/a, which is not among `objects`");
    let places = v1::SecretPlaces { kind: "server".into(), ..places };
    let meant = v1::ApplyRequest { secrets: vec![places], ..servers_request(SERVER) };
    assert_eq!(admin.apply(meant).await.unwrap().revision, 1);
    assert!(admin.get("server", "a", 0).await.unwrap().objects[0].spec_json.contains("***"));
}

#[tokio::test]
async fn strangers_are_refused_slowed_and_remembered() {
    let plane = ControlPlane::empty().await;
    let admin = plane.admin().await;
    let stranger = Admin::at(plane.grpc, "sluice_person_guess").await;
    let nobody = Admin::at(plane.grpc, "").await;
    let mut codes = Vec::new();
    for _ in 0..15 {
        codes.push(code(stranger.get("", "", 0).await));
        codes.push(code(nobody.get("", "", 0).await));
    }
    assert_eq!(codes.iter().filter(|code| **code == Code::Unauthenticated).count(), 10);
    assert_eq!(codes.iter().filter(|code| **code == Code::ResourceExhausted).count(), 20);
    admin.get("", "", 0).await.expect("who has a token is not slowed by others at the same address");
    let entries = admin.client().audit(admin.with(v1::AuditRequest::default())).await.unwrap().into_inner().entries;
    assert_eq!(entries.iter().filter(|entry| entry.actor == "127.0.0.1").count(), 10);
    assert!(!plane.log().contains("sluice_person_guess"));
    let metrics = plane.get("/metrics").await.text();
    assert!(metrics.contains("sluice_controlplane_unauthenticated_total 30"), "{metrics}");
}
