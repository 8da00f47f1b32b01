//! `sluice session`: who is asked for, and what is said where not all answered.

use sluice_contract::v1::*;

use crate::admin::{ControlPlane, Script};
use crate::process::finished;

#[test]
fn nobody_who_could_not_be_is_looked_for() {
    let home = tempfile::tempdir().unwrap();
    let (_, _, of_explain) = finished(home.path(), &["explain", "call", "x", "--as", "alice"]);
    let sentence = of_explain.lines().next().unwrap().split_once(": write one of").unwrap().1;
    for verb in ["list", "end"] {
        let (code, data, talk) = finished(home.path(), &["session", verb, "--principal", "alice"]);
        assert_eq!((code, data.as_str()), (2, ""), "{talk}");
        assert!(
            talk.contains("'alice' for '--principal <PRINCIPAL>': write one of") && talk.contains(sentence),
            "{talk}"
        );
    }
    assert_eq!(finished(home.path(), &["session", "end", "--principal", ""]).0, 2);
}

#[test]
fn sessions_that_could_not_be_looked_for_are_not_said_not_to_be() {
    let home = tempfile::tempdir().unwrap();
    let list = |asked: ListSessionsRequest| {
        let held = Session { session: "5f0c".into(), principal: "local".into(), ..Session::default() };
        let sessions = if asked.server == "pipe" { vec![held] } else { Vec::new() };
        Ok(ListSessionsResponse {
            sessions,
            trouble: vec!["edge-1: it is away".into()],
            ..ListSessionsResponse::default()
        })
    };
    let control_plane = ControlPlane::start(Script { list_sessions: Some(Box::new(list)), ..Script::default() });
    let (code, shown, talk) = control_plane.finished(home.path(), &["session", "list"]);
    assert_eq!((code, shown.as_str()), (1, ""), "{talk}");
    assert!(!talk.contains("there are no sessions"), "{talk}");
    assert!(talk.contains("warning: edge-1: it is away") && talk.contains("not known which sessions"), "{talk}");
    let (code, shown, talk) = control_plane.finished(home.path(), &["session", "list", "--server", "pipe"]);
    assert!(code == 1 && shown.contains("5f0c") && talk.contains("not known which other sessions"), "{shown}{talk}");
}
