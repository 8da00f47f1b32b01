//! `sluice apply`, `diff`, `delete` and `rollback`: what is sent, what is shown, and when they fail.

use std::path::Path;

use sluice_contract::v1::*;
use tonic::Status;

use crate::admin::{ControlPlane, Script, change, fault, lately};

const FILE: &str = "servers:\n  weather:\n    url: http://127.0.0.1:1/mcp\n    timeout: 60\n";

fn home() -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("mcp.yaml"), FILE).unwrap();
    home
}

fn changed(revision: u64) -> ApplyResponse {
    let changes = vec![change(ChangeKind::Changed, "weather", &[("timeout", "30", "60")])];
    ApplyResponse { revision, changes, ..ApplyResponse::default() }
}

fn node(name: &str, revision: u64) -> NodeStatus {
    NodeStatus { node: name.to_owned(), revision, connected: true, ..NodeStatus::default() }
}

fn applied(script: Script, home: &Path, args: &[&str]) -> (i32, String, String) {
    ControlPlane::start(script).finished(home, &[&["apply", "-f", "mcp.yaml"], args].concat())
}

#[test]
fn what_changed_is_data_and_how_it_spreads_is_talk() {
    let home = home();
    let watch = vec![
        WatchResponse { revision: 7, nodes: vec![node("edge-1", 6), node("edge-2", 6)], settled: false },
        WatchResponse { revision: 7, nodes: vec![node("edge-1", 7), node("edge-2", 6)], settled: false },
        WatchResponse { revision: 7, nodes: vec![node("edge-1", 7), node("edge-2", 7)], settled: true },
    ];
    let asked = |request: ApplyRequest| {
        assert_eq!((request.objects.len(), request.message.as_str(), request.base_revision), (1, "slower", Some(6)));
        let object = &request.objects[0];
        assert_eq!((object.kind.as_str(), object.name.as_str()), ("server", "weather"));
        assert_eq!(object.spec_json, r#"{"timeout":60,"url":"http://127.0.0.1:1/mcp"}"#);
        Ok(changed(7))
    };
    let script = Script { apply: Some(Box::new(asked)), watch, ..Script::default() };
    let (code, data, talk) = applied(script, home.path(), &["--message", "slower", "--base", "6"]);
    assert_eq!((code, data.as_str()), (0, "server/weather  changed  timeout 30 → 60\n"), "{talk}");
    assert!(talk.contains("this is revision 7\n"), "{talk}");
    assert!(talk.contains("edge-1 runs revision 7 after") && talk.contains("edge-2 runs revision 7 after"), "{talk}");
}

#[test]
fn a_node_that_refuses_is_quoted_in_full_at_its_place_in_the_file() {
    let home = home();
    let mut refusing = node("edge-1", 6);
    refusing.rejected_revision = 7;
    refusing.rejected = vec![fault(&["servers", "weather", "timeout"], "is too long"), fault(&[], "disk full")];
    let away = NodeStatus { connected: false, seen_ms: lately(), ..node("edge-2", 5) };
    let watch = vec![WatchResponse { revision: 7, nodes: vec![refusing, away], settled: true }];
    for format in ["table", "json"] {
        let script = Script { apply: Some(Box::new(|_| Ok(changed(7)))), watch: watch.clone(), ..Script::default() };
        let (code, data, talk) = applied(script, home.path(), &["-o", format]);
        assert_eq!(code, 1, "{talk}");
        assert!(talk.contains("edge-1 refused revision 7 and goes on with 6:\nerror: servers.weather.timeout: is too long\n --> mcp.yaml:4:14\n"), "{talk}");
        assert!(talk.contains("error: disk full\n"), "{talk}");
        assert!(talk.contains("edge-2 is not connected (seen 1 min ago); it gets it when it is back\n"), "{talk}");
        if format == "json" {
            let value: serde_json::Value = serde_json::from_str(&data).unwrap();
            assert_eq!((&value["revision"], &value["nodes"][0]["verdict"]), (&7.into(), &"rejected".into()));
        }
    }
    let script = Script { apply: Some(Box::new(|_| Ok(changed(7)))), watch, ..Script::default() };
    assert_eq!(applied(script, home.path(), &["--no-wait"]).0, 0, "whoever does not wait does not know");
}

#[test]
fn what_is_wrong_with_a_revision_that_runs_all_the_same_is_a_warning() {
    let home = home();
    let unkept = NodeStatus { faults: vec![fault(&["ledger"], "cannot be written: disk full")], ..node("edge-1", 7) };
    let watch = vec![WatchResponse { revision: 7, nodes: vec![unkept], settled: true }];
    let script = Script { apply: Some(Box::new(|_| Ok(changed(7)))), watch, ..Script::default() };
    let (code, data, talk) = applied(script, home.path(), &["-o", "json"]);
    assert_eq!(code, 0, "{talk}");
    assert!(talk.contains("edge-1 runs revision 7 after"), "{talk}");
    assert!(talk.contains("warning: ledger: cannot be written: disk full\n"), "{talk}");
    let value: serde_json::Value = serde_json::from_str(&data).unwrap();
    assert_eq!(value["nodes"][0]["faults"][0], "warning: ledger: cannot be written: disk full");
}

#[test]
fn a_file_that_is_wrong_is_not_sent() {
    let home = home();
    std::fs::write(home.path().join("mcp.yaml"), "servers:\n  weather: {urll: x}\n").unwrap();
    let script = Script { apply: Some(Box::new(|_| panic!("it was sent"))), ..Script::default() };
    let (code, data, talk) = applied(script, home.path(), &[]);
    assert_eq!((code, data.as_str()), (2, ""));
    assert!(talk.starts_with("error: servers.weather.urll: unknown key\n --> mcp.yaml:2:13\n"), "{talk}");
}

#[test]
fn faults_and_warnings_of_the_control_plane_are_shown_at_their_place() {
    let home = home();
    let answer = |_| {
        let mut advised = fault(&["servers", "weather", "url"], "is not reachable from here");
        advised.advice = "use another".to_owned();
        let faults = vec![advised, fault(&["policies", "readers", "allow", "0"], "names a server that is gone")];
        let warnings = vec![fault(&["servers", "weather"], "is slow")];
        Ok(ApplyResponse { revision: 6, faults, warnings, ..ApplyResponse::default() })
    };
    let script = Script { apply: Some(Box::new(answer)), ..Script::default() };
    let (code, data, talk) = applied(script, home.path(), &[]);
    assert_eq!((code, data.as_str()), (2, ""));
    assert!(talk.contains("warning: servers.weather: is slow\n --> mcp.yaml:3:5\n"), "{talk}");
    assert!(talk.contains("error: servers.weather.url: is not reachable from here\n --> mcp.yaml:3:10\n"), "{talk}");
    assert!(talk.contains(" = use another\n"), "{talk}");
    assert!(talk.ends_with("error: policies.readers.allow[0]: names a server that is gone\n"), "{talk}");
}

#[test]
fn a_conflict_says_who_changed_what_and_how_to_go_on() {
    let home = home();
    let history = |_| {
        let changes = changed(0).changes;
        let later = Revision { revision: 7, at_ms: lately(), author: "bob".into(), changes, ..Revision::default() };
        Ok(HistoryResponse { revisions: vec![later, Revision { revision: 6, ..Revision::default() }] })
    };
    let script = Script {
        apply: Some(Box::new(|_| Err(Status::aborted("the head is 7")))),
        history: Some(Box::new(history)),
        ..Script::default()
    };
    let (code, data, talk) = applied(script, home.path(), &["--base", "6"]);
    assert_eq!((code, data.as_str()), (1, ""));
    assert!(talk.contains("moved on since revision 6, and nothing was changed:\n"), "{talk}");
    assert!(
        talk.contains("  revision 7 by bob, 1 min ago: ~server/weather\n") && !talk.contains("revision 6 by"),
        "{talk}"
    );
    assert!(talk.contains("sluice diff -f FILE") && talk.contains("--base"), "{talk}");
}

#[test]
fn pruning_needs_a_yes_and_is_based_on_what_was_shown() {
    let home = home();
    let script = || {
        let answer = |request: ApplyRequest| {
            assert!(request.prune);
            assert!(request.dry_run || request.base_revision == Some(6), "somebody else may have been faster");
            let changes = vec![change(ChangeKind::Removed, "old", &[])];
            Ok(ApplyResponse { revision: if request.dry_run { 6 } else { 7 }, changes, ..ApplyResponse::default() })
        };
        Script { apply: Some(Box::new(answer)), ..Script::default() }
    };
    let (code, data, talk) = applied(script(), home.path(), &["--prune"]);
    assert_eq!((code, data.as_str()), (2, ""), "nobody can be asked");
    assert!(talk.contains("server/old  removed\n") && talk.contains("--yes"), "{talk}");
    let (code, data, talk) = applied(script(), home.path(), &["--prune", "--yes"]);
    assert_eq!((code, data.as_str()), (0, "server/old  removed\n"), "{talk}");
    assert!(talk.contains("there is no node"), "{talk}");
}

#[test]
fn differences_are_shown_and_tell_scripts_only_when_asked() {
    let home = home();
    let diff = |answer: ApplyResponse, args: &[&str]| {
        let answer = move |request: ApplyRequest| {
            assert!(request.dry_run);
            Ok(answer.clone())
        };
        let control_plane = ControlPlane::start(Script { apply: Some(Box::new(answer)), ..Script::default() });
        control_plane.finished(home.path(), &[&["diff", "-f", "mcp.yaml"], args].concat())
    };
    let (code, data, talk) = diff(changed(6), &[]);
    assert_eq!((code, data.as_str()), (0, "server/weather  changed  timeout 30 → 60\n"), "{talk}");
    assert_eq!(diff(changed(6), &["--exit-code"]).0, 1);
    let (code, data, talk) = diff(ApplyResponse { revision: 6, ..ApplyResponse::default() }, &["--exit-code"]);
    assert_eq!((code, data.as_str(), talk.as_str()), (0, "", "no differences: revision 6 says the same\n"));
}

#[test]
fn deleting_and_going_back_show_what_they_did() {
    let home = home();
    let removed = |request: DeleteRequest| {
        assert_eq!((request.kind.as_str(), request.name.as_str()), ("server", "old"));
        Ok(ApplyResponse {
            revision: 8,
            changes: vec![change(ChangeKind::Removed, "old", &[])],
            ..ApplyResponse::default()
        })
    };
    let control_plane = ControlPlane::start(Script {
        delete: Some(Box::new(removed)),
        rollback: Some(Box::new(|request: RollbackRequest| Ok(changed(request.revision + 10)))),
        ..Script::default()
    });
    let (code, data, talk) = control_plane.finished(home.path(), &["delete", "servers", "old"]);
    assert_eq!((code, data.as_str()), (0, "server/old  removed\n"), "{talk}");
    let (code, data, talk) = control_plane.finished(home.path(), &["rollback", "3"]);
    assert_eq!((code, data.as_str()), (0, "server/weather  changed  timeout 30 → 60\n"), "{talk}");
    assert!(talk.starts_with("this is revision 13\n"), "{talk}");
    let (code, _, talk) = control_plane.finished(home.path(), &["delete", "thing", "x"]);
    assert!(code == 2 && talk.contains("server, client, policy"), "{talk}");
}
