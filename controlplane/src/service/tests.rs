//! Changes are judged whole, counted once, remembered, and can be gone back on; secrets never come out.

mod explain;
mod made;
mod secrets;
mod tokens;

use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::secrets::RingSource;
use crate::store::Folder;

fn service(folder: &Path) -> Service {
    let folder = Folder::new(folder);
    let ring = RingSource::State(folder.clone()).first().unwrap();
    Service::new(Store::open(folder, Timestamp::now()).unwrap(), Arc::new(ring))
}

fn caller(role: Role) -> Caller {
    Caller { name: format!("a-{role}"), role }
}

fn editor() -> Caller {
    caller(Role::Editor)
}

fn named(objects: &[(&str, &str, &str)]) -> Apply {
    let raw = |(kind, name, json): &(&str, &str, &str)| RawObject {
        secrets: Vec::new(),
        kind: (*kind).to_owned(),
        name: (*name).to_owned(),
        json: (*json).to_owned(),
    };
    Apply { objects: objects.iter().map(raw).collect(), ..Apply::default() }
}

async fn apply(service: &Service, objects: &[(&str, &str, &str)]) -> Outcome {
    service.apply(&editor(), named(objects)).await.unwrap()
}

fn told(outcome: &Outcome) -> Vec<String> {
    let change = |change: &Change| {
        let fields: Vec<_> = change
            .fields
            .iter()
            .map(|field| {
                let say = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
                format!(" {}: {} → {}", field.path, say(&field.before), say(&field.after))
            })
            .collect();
        format!("{:?} {}/{}{}", change.change, change.kind, change.name, fields.concat())
    };
    outcome.changes.iter().map(change).collect()
}

fn faults(outcome: &Outcome) -> Vec<String> {
    outcome.faults.iter().map(|judged| format!("{}: {}", judged.fault.path, judged.fault.message)).collect()
}

async fn names(service: &Service, revision: u64) -> String {
    let (_, shown) = service.get(&caller(Role::Viewer), "server", "", revision).await.unwrap();
    shown.into_iter().map(|shown| shown.name).collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn what_changes_becomes_a_revision_and_nothing_else_does() {
    let folder = tempfile::tempdir().unwrap();
    let service = service(folder.path());
    let first = apply(&service, &[("server", "a", r#"{"url":"http://a/mcp","timeout":5}"#)]).await;
    assert_eq!((first.revision, told(&first)), (1, vec!["Added server/a".to_owned()]));
    let same = apply(&service, &[("server", "a", r#"{ "timeout": 5, "url": "http://a/mcp" }"#)]).await;
    assert_eq!((same.revision, same.changes), (1, vec![]));
    let dry = Apply { dry_run: true, ..named(&[("server", "a", r#"{"url":"http://b/mcp","tools":["x"]}"#)]) };
    let judged = service.apply(&caller(Role::Viewer), dry).await.unwrap();
    assert_eq!(judged.revision, 1);
    let expected = "Changed server/a timeout: 5 → - tools.allow[0]: - → \"x\" url: \"http://a/mcp\" → \"http://b/mcp\"";
    assert_eq!(told(&judged), [expected]);
    let wrong = apply(
        &service,
        &[("server", "b", r#"{"url":"http://b/mcp","timeout":"soon"}"#), ("server", "c", r#"{"tiemout":3}"#)],
    )
    .await;
    assert_eq!(wrong.revision, 1, "nothing is stored while anything is wrong");
    assert_eq!(faults(&wrong).len(), 2, "{:?}", faults(&wrong));
    let unusable = apply(&service, &[("server", "c", "{}"), ("sever", "d", "{}"), ("server", "e", "[")]).await;
    assert_eq!(faults(&unusable).len(), 2, "{:?}", faults(&unusable));
    let unproved = apply(&service, &[("server", "c", r#"{"url":"ftp://c/"}"#)]).await;
    assert!(faults(&unproved)[0].starts_with("servers.c.url: "), "{:?}", faults(&unproved));
    let elsewhere = r#"{"url":"ftp://c/","nodes":{"zone":"eu"}}"#;
    let unproved = apply(&service, &[("server", "c", elsewhere)]).await;
    assert_eq!(faults(&unproved).len(), 1, "what no known node gets is judged, too");
    assert_eq!(names(&service, 0).await, "a");
}

#[tokio::test]
async fn who_has_seen_an_older_state_loses_and_is_told_why() {
    let folder = tempfile::tempdir().unwrap();
    let service = service(folder.path());
    apply(&service, &[("server", "a", r#"{"url":"http://a/mcp"}"#)]).await;
    let on =
        |base, url: &str| Apply { base: Some(base), ..named(&[("server", "a", &format!(r#"{{"url":"{url}"}}"#))]) };
    assert_eq!(service.apply(&editor(), on(1, "http://b/mcp")).await.unwrap().revision, 2);
    let Err(lost) = service.apply(&editor(), on(1, "http://c/mcp")).await else { panic!("both won") };
    assert!(matches!(lost, ServiceError::Conflict { base: 1, head: 2, .. }));
    assert!(lost.to_string().contains("server/a by a-editor in revision 2"), "{lost}");
    assert!(service.apply(&editor(), on(9, "http://c/mcp")).await.is_err(), "a revision that is not there");
    let create = CreateToken {
        kind: crate::store::tokens::TokenKind::Client,
        name: "c".into(),
        role: None,
        expires_in: None,
        labels: Default::default(),
        own_labels: false,
    };
    service.create_token(&caller(Role::Admin), create).await.unwrap();
    let after_key = service.apply(&editor(), on(2, "http://c/mcp")).await.unwrap();
    assert_eq!(after_key.revision, 4, "a key is no change of what its author has seen");
}

#[tokio::test]
async fn pruning_makes_the_file_the_whole_state_and_its_order() {
    let folder = tempfile::tempdir().unwrap();
    let service = service(folder.path());
    let server = |name| ("server", name, r#"{"command":"x"}"#);
    apply(&service, &[server("a"), server("b"), server("c")]).await;
    apply(&service, &[server("d"), server("a")]).await;
    assert_eq!(names(&service, 0).await, "a b c d", "who is new comes last");
    let prune = Apply { prune: true, ..named(&[server("d"), server("a"), server("e")]) };
    let pruned = service.apply(&editor(), prune).await.unwrap();
    assert_eq!(
        told(&pruned),
        ["Changed server/a (place): 1 → 2", "Added server/e", "Removed server/b", "Removed server/c"]
    );
    assert_eq!(names(&service, 0).await, "d a e");
    assert_eq!(names(&service, 2).await, "a b c d", "as it was");
    let desired = service.desired().await.unwrap();
    assert_eq!(desired.config.servers.keys().collect::<Vec<_>>(), ["d", "a", "e"]);
}

#[tokio::test]
async fn an_old_revision_comes_back_as_a_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let service = service(folder.path());
    apply(&service, &[("server", "a", r#"{"url":"http://a/mcp","headers":{"X":"s3cret-1"}}"#)]).await;
    apply(&service, &[("server", "a", r#"{"url":"http://a/mcp","headers":{"X":"s3cret-2"}}"#)]).await;
    let delete = Delete { kind: "server".into(), name: "a".into(), ..Delete::default() };
    assert_eq!(service.delete(&editor(), delete).await.unwrap().revision, 3);
    let back = service.roll_back(&editor(), Rollback { revision: 1, ..Rollback::default() }).await.unwrap();
    assert_eq!((back.revision, told(&back)), (4, vec!["Added server/a".to_owned()]));
    let desired = service.desired().await.unwrap();
    assert_eq!(desired.config.servers["a"].headers["X"].value().unwrap().expose(), "s3cret-1");
    let again = service.roll_back(&editor(), Rollback { revision: 4, ..Rollback::default() }).await.unwrap();
    assert_eq!(again.revision, 4);
    let Err(none) = service.roll_back(&editor(), Rollback { revision: 5, ..Rollback::default() }).await else {
        panic!("a revision that is not there")
    };
    assert!(none.to_string().contains("there is no revision 5"), "{none}");
    let history = service.history(&caller(Role::Viewer), 0, 0).await.unwrap();
    let lines: Vec<_> = history.iter().map(|r| format!("{} {} {}", r.revision, r.author, r.message)).collect();
    assert_eq!(lines, ["4 a-editor rollback to revision 1", "3 a-editor ", "2 a-editor ", "1 a-editor "]);
    assert_eq!(history[2].changes[0].fields[0].before.as_deref(), Some("\"***\""), "that it changed, not what");
}

#[tokio::test]
async fn secrets_come_out_only_to_nodes_and_stay_behind_their_masks() {
    let folder = tempfile::tempdir().unwrap();
    let service = service(folder.path());
    let secret = "c4nary-s3cret";
    apply(
        &service,
        &[("server", "a", &format!(r#"{{"url":"http://a/mcp","auth":{{"type":"bearer","token":"{secret}"}}}}"#))],
    )
    .await;
    let (_, shown) = service.get(&caller(Role::Viewer), "server", "a", 0).await.unwrap();
    assert_eq!(shown[0].json, r#"{"auth":{"token":"***","type":"bearer"},"url":"http://a/mcp"}"#);
    let edited = shown[0].json.replace("\"url\"", "\"timeout\":7,\"url\"");
    assert_eq!(told(&apply(&service, &[("server", "a", &edited)]).await), ["Changed server/a timeout: - → 7"]);
    let desired = service.desired().await.unwrap();
    let auth = desired.config.servers["a"].auth.clone().unwrap();
    assert_eq!(auth.token.unwrap().value().unwrap().expose(), secret);
    let moved = apply(&service, &[("server", "a", &edited.replace("http://a/", "http://evil/"))]).await;
    assert_eq!(faults(&moved).len(), 1, "{:?}", faults(&moved));
    assert!(faults(&moved)[0].contains("secrets would go there unseen"));
    let new = apply(&service, &[("server", "b", &edited)]).await;
    assert!(faults(&new)[0].starts_with("servers.b.auth.token: `***` stands for a secret"), "{:?}", faults(&new));
    let program = r#"{"command":"x","cwd":"/a","env":{"A":"one","TOKEN":"c4nary-s3cret"}}"#;
    let oauth = r#"{"type":"oauth_client_credentials","token_url":"https://a/t?k=c4nary-s3cret","client_id":"c","client_secret":"c4nary-s3cret"}"#;
    let inline = format!(r#"{{"url":"http://a/mcp","auth":{oauth}}}"#);
    apply(&service, &[("server", "p", program), ("credential", "o", oauth), ("server", "i", &inline)]).await;
    for (kind, name, before, after, refused) in [
        ("server", "p", "\"/a\"", "\"/evil\"", true),
        ("server", "p", "\"A\":\"***\"", "\"PATH\":\"/evil\",\"A\":\"***\"", true),
        ("server", "p", "\"A\":\"***\"", "\"A\":\"https://evil\"", true),
        ("server", "p", "{\"command\"", "{\"timeout\":7,\"command\"", false),
        ("credential", "o", "\"token_url\":\"***\"", "\"token_url\":\"https://evil/t\"", true),
        ("credential", "o", "\"token_url\":\"***\"", "\"issuer\":\"https://evil\"", true),
        ("credential", "o", "\"client_id\":\"c\"", "\"client_id\":\"d\"", false),
        ("server", "i", "\"token_url\":\"***\"", "\"token_url\":\"https://evil/t\"", true),
    ] {
        let (_, shown) = service.get(&caller(Role::Viewer), kind, name, 0).await.unwrap();
        assert!(!shown[0].json.contains(secret), "{}", shown[0].json);
        let edited = shown[0].json.replacen(before, after, 1);
        assert_ne!(edited, shown[0].json);
        let applied = apply(&service, &[(kind, name, &edited)]).await;
        let faults = faults(&applied);
        assert_eq!(faults.iter().any(|fault| fault.contains("go there unseen")), refused, "{edited}: {faults:?}");
        assert_eq!(faults.is_empty(), !refused, "{edited}: {faults:?}");
    }
    drop(service);
    for file in std::fs::read_dir(folder.path()).unwrap() {
        let path = file.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        assert!(!bytes.windows(secret.len()).any(|part| part == secret.as_bytes()), "{}", path.display());
    }
}

#[tokio::test]
async fn what_is_not_there_is_told_with_what_may_have_been_meant() {
    let folder = tempfile::tempdir().unwrap();
    let service = service(folder.path());
    apply(&service, &[("server", "weather", r#"{"command":"x"}"#)]).await;
    let viewer = caller(Role::Viewer);
    let delete = |kind: &str, name: &str| Delete { kind: kind.into(), name: name.into(), ..Delete::default() };
    for (error, wanted) in [
        (service.get(&viewer, "server", "wether", 0).await.err(), "did you mean `weather`?"),
        (service.get(&viewer, "sever", "", 0).await.err(), "did you mean `server`?"),
        (service.get(&viewer, "", "weather", 0).await.err(), "takes a kind"),
        (service.get(&viewer, "", "", 7).await.err(), "the head is 1"),
        (service.delete(&editor(), delete("server", "wether")).await.err(), "did you mean `weather`?"),
        (service.delete(&editor(), delete("client", "x")).await.err(), "there are none"),
        (
            service.apply(&editor(), Apply { message: "m".repeat(1_001), ..Apply::default() }).await.err(),
            "more than 1000 characters",
        ),
    ] {
        let error = error.unwrap().to_string();
        assert!(error.contains(wanted), "{error}");
    }
    assert_eq!(service.get(&viewer, "servers", "weather", 0).await.unwrap().1.len(), 1, "as its map is called");
}

#[tokio::test]
async fn roles_bound_what_is_done_and_every_change_and_denial_is_remembered() {
    let folder = tempfile::tempdir().unwrap();
    let service = service(folder.path());
    let Err(denied) = service.apply(&caller(Role::Viewer), named(&[("server", "a", r#"{"command":"x"}"#)])).await
    else {
        panic!("a viewer changed something")
    };
    assert_eq!(denied.to_string(), "Apply takes the role `editor`, and this token has `viewer`");
    apply(&service, &[("server", "a", r#"{"command":"x"}"#)]).await;
    apply(&service, &[("server", "a", r#"{"command":"y"}"#)]).await;
    assert!(service.audit(&editor(), 0, 0, false).await.is_err());
    let entries = service.audit(&caller(Role::Admin), 0, 0, false).await.unwrap();
    let lines: Vec<_> = entries.iter().map(|e| format!("{} {} {} {}", e.actor, e.action, e.object, e.detail)).collect();
    assert_eq!(
        lines,
        [
            "a-editor denied  Audit takes the role admin",
            "a-editor apply server/a revision 2",
            "a-editor apply server/a revision 1",
            "a-viewer denied  Apply takes the role editor",
        ]
    );
    assert_eq!(entries[1].before, entries[2].after, "before and after by digest");
    assert!(entries[2].before.is_empty() && entries[1].after != entries[2].after);
    let verdict = service.verify_audit(&caller(Role::Admin)).await.unwrap();
    assert_eq!((verdict.entries, verdict.broken_at, verdict.head), (4, None, entries[0].hash));
}

#[tokio::test]
async fn who_revokes_a_node_that_is_not_known_is_told_what_was_done_each_time() {
    let folder = tempfile::tempdir().unwrap();
    let service = service(folder.path());
    let (admin, nodes) = (caller(Role::Admin), crate::publish::Nodes::in_memory());
    for _ in 0..2 {
        let told = service.revoke_node(&admin, &nodes, "edge").await.unwrap_err();
        assert!(matches!(&told, ServiceError::NotFound(_)), "{told}");
        assert!(told.to_string().contains("no node is called `edge`"), "{told}");
        assert!(told.to_string().ends_with("it is refused from now on"), "{told}");
    }
    let entries = service.audit(&admin, 0, 0, false).await.unwrap();
    let lines: Vec<_> = entries.iter().map(|e| format!("{} {} {}", e.action, e.object, e.detail)).collect();
    assert_eq!(lines, ["node.revoke node/edge not known"; 2]);
}

#[tokio::test]
async fn what_is_desired_follows_the_head() {
    let folder = tempfile::tempdir().unwrap();
    let service = service(folder.path());
    let mut desired = service.follow().await.unwrap();
    assert_eq!(desired.borrow_and_update().revision, 0);
    for last in 1..=3 {
        apply(&service, &[("server", "a", &format!(r#"{{"url":"http://a/{last}"}}"#))]).await;
    }
    let newest = desired.wait_for(|desired| desired.revision == 3);
    let newest = tokio::time::timeout(std::time::Duration::from_secs(10), newest).await.unwrap().unwrap();
    assert_eq!(newest.config.servers["a"].url.as_deref(), Some("http://a/3"));
}

#[test]
fn the_operations_are_those_of_the_contract() {
    let proto = include_str!("../../../proto/sluice/v1/admin.proto");
    let named = proto.lines().filter_map(|line| line.trim().strip_prefix("rpc ")?.split('(').next());
    let ours: Vec<&str> = Operation::ALL.iter().map(|operation| operation.name()).collect();
    assert_eq!(named.collect::<Vec<_>>(), ours);
}
