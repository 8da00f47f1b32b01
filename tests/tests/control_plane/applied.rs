//! What becomes of what is applied.

use sluice_contract::v1;
use sluice_tests::ControlPlane;
use sluice_tests::control::{Start, code, messages, servers_request};
use tonic::Code;

fn server(url: &str) -> String {
    format!(r#"{{"url":"{url}"}}"#)
}

#[tokio::test]
async fn of_those_who_change_the_same_revision_one_wins_and_the_others_are_told() {
    let plane = ControlPlane::empty().await;
    let admin = plane.admin().await;
    admin.servers(&[("a", &server("http://127.0.0.1:1/mcp"))]).await;
    for base in 1..6 {
        let tasks: Vec<_> = (0..8)
            .map(|writer| {
                let admin = admin.clone();
                tokio::spawn(async move {
                    let spec = server(&format!("http://127.0.0.1:{base}/{writer}"));
                    let request = servers_request(&[("a", &spec)]);
                    admin.apply(v1::ApplyRequest { base_revision: Some(base), ..request }).await
                })
            })
            .collect();
        let mut won = 0;
        for task in tasks {
            match task.await.unwrap() {
                Ok(answer) => {
                    assert_eq!(answer.revision, base + 1);
                    won += 1;
                }
                Err(lost) => {
                    assert_eq!(lost.code(), Code::Aborted);
                    let told = format!("the head is {}; since then: server/a by admin in revision", base + 1);
                    assert!(lost.message().contains(&told), "{}", lost.message());
                }
            }
        }
        assert_eq!(won, 1);
    }
}

#[tokio::test]
async fn every_fault_is_in_the_answer_and_nothing_is_stored() {
    let plane = ControlPlane::empty().await;
    let admin = plane.admin().await;
    let request = servers_request(&[
        ("good", &server("http://127.0.0.1:1/mcp")),
        ("typo", r#"{"url":"http://127.0.0.1:1/mcp","tiemout":3}"#),
        ("both", r#"{"url":"http://127.0.0.1:1/mcp","timeout":"soon"}"#),
    ]);
    let answer = admin.apply(request).await.unwrap();
    assert_eq!(answer.revision, 0);
    let told = messages(&answer.faults);
    assert!(told.iter().any(|told| told == "servers.typo.tiemout: unknown key"), "{told:?}");
    assert!(told.iter().any(|told| told.starts_with("servers.both.timeout: must be a number")), "{told:?}");
    assert_eq!(answer.faults.iter().filter(|fault| fault.advice.contains("did you mean `timeout`")).count(), 1);
    let odd = v1::Object { kind: "\u{0}".into(), name: "../..".into(), spec_json: "{".into(), revision: 9 };
    let answer = admin.apply(v1::ApplyRequest { objects: vec![odd], ..Default::default() }).await.unwrap();
    assert_eq!(answer.faults.len(), 1);
    assert!(admin.get("", "", 0).await.unwrap().objects.is_empty());
    let long = v1::ApplyRequest { message: "x".repeat(1_001), ..Default::default() };
    assert_eq!(code(admin.apply(long).await), Code::InvalidArgument);
    assert_eq!(code(admin.get("server", "good", 0).await), Code::NotFound);
}

#[tokio::test]
async fn ten_thousand_tools_on_a_thousand_servers_are_one_change() {
    let plane = ControlPlane::empty().await;
    let admin = plane.admin().await;
    let edits: Vec<String> =
        (0..10).map(|tool| format!(r#""tool-{tool}":{{"description":"{}"}}"#, "what it does ".repeat(20))).collect();
    let spec = |port: u16| {
        format!(
            r#"{{"url":"http://127.0.0.1:{port}/mcp","tools":{{"edit":{{{}}}}},"headers":{{"K":"v"}}}}"#,
            edits.join(",")
        )
    };
    let specs: Vec<(String, String)> = (1..=1_000).map(|n| (format!("s-{n}"), spec(n))).collect();
    let servers: Vec<(&str, &str)> = specs.iter().map(|(name, spec)| (&**name, &**spec)).collect();
    let answer = admin.apply(servers_request(&servers)).await.unwrap();
    assert!(answer.faults.is_empty(), "{:?}", messages(&answer.faults[..answer.faults.len().min(3)]));
    assert_eq!(answer.changes.len(), 1_000);
    let one = admin.servers(&[("s-500", &spec(9_999))]).await;
    assert_eq!((one.revision, one.changes.len()), (2, 1));
    assert_eq!(admin.get("", "", 1).await.unwrap().objects.len(), 1_000);
    assert!(admin.audited().await.intact);
}

#[tokio::test]
async fn a_canary_in_a_secret_is_found_nowhere() {
    let canary = "c4nary-in-a-secret";
    let plane = Start::default().env("RUST_LOG", "trace").ready().await;
    let admin = plane.admin().await;
    let spec = |url: &str| {
        format!(r#"{{"url":"{url}","auth":{{"type":"bearer","token":"{canary}"}},"headers":{{"X":"{canary}"}}}}"#)
    };
    admin.servers(&[("a", &spec("http://127.0.0.1:1/mcp"))]).await;
    let changed = admin.servers(&[("a", &spec("http://127.0.0.1:2/mcp").replace("bearer\",", "bearer\" ,"))]).await;
    let wrong = admin.apply(servers_request(&[("a", &spec("ftp://x/"))])).await.unwrap();
    assert!(!wrong.faults.is_empty());
    let got = admin.get("", "", 0).await.unwrap();
    let history = admin.client().history(admin.with(v1::HistoryRequest::default())).await.unwrap().into_inner();
    let mut seen = vec![plane.log(), messages(&wrong.faults).join("\n")];
    seen.extend(got.objects.into_iter().map(|object| object.spec_json));
    let changes = history.revisions.into_iter().flat_map(|r| r.changes).chain(changed.changes).chain(wrong.changes);
    seen.extend(changes.flat_map(|c| c.fields).flat_map(|f| [f.before, f.after]).flatten());
    assert!(seen.iter().all(|text| !text.contains(canary)), "{seen:?}");
    for file in std::fs::read_dir(plane.state()).unwrap() {
        let path = file.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        assert!(!bytes.windows(canary.len()).any(|part| part == canary.as_bytes()), "{}", path.display());
    }
}
