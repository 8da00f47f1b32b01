//! `sluice explain`: what is asked, and how the answer is shown.

use sluice_contract::v1::*;

use crate::admin::{ControlPlane, Script};
use crate::process::finished;

#[test]
fn the_verdict_comes_first_and_each_step_has_a_line() {
    let home = tempfile::tempdir().unwrap();
    let explain = |request: ExplainRequest| {
        assert_eq!((request.tool.as_str(), request.principal.as_str()), ("weather_get", "jwt:corp:ann"));
        assert_eq!((request.scopes, request.roles), (vec!["a".to_owned(), "b".to_owned()], vec!["ops".to_owned()]));
        assert_eq!((request.method.as_str(), request.arguments_json.as_str()), ("tools/call", r#"{"city": "Bern"}"#));
        let step = Step { name: "rule".into(), value: "denies it".into(), source: "policies.p.deny[0]".into() };
        Ok(ExplainResponse {
            verdict: "denied".into(),
            steps: vec![step],
            revision: 7,
            node: "edge-1".into(),
            offered: String::new(),
        })
    };
    let control_plane = ControlPlane::start(Script { explain: Some(Box::new(explain)), ..Script::default() });
    let asked = [
        "explain",
        "call",
        "weather_get",
        "--as",
        "jwt:corp:ann",
        "--scopes",
        "a,b",
        "--roles",
        "ops",
        "--args",
        r#"{"city": "Bern"}"#,
    ];
    let (code, shown, talk) = control_plane.finished(home.path(), &asked);
    assert_eq!(code, 0, "{talk}");
    assert_eq!(shown, "denied on edge-1 by revision 7\n\nSTEP  FOUND      FROM\nrule  denies it  policies.p.deny[0]\n");
    let (_, json, _) = control_plane.finished(home.path(), &[&asked[..], &["-o", "json"]].concat());
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["verdict"], &json["steps"][0]["source"]), (&"denied".into(), &"policies.p.deny[0]".into()));
    let (code, _, talk) = control_plane.finished(home.path(), &["explain", "call", "x", "--args", "[1]"]);
    assert!(code == 2 && talk.contains("write a JSON object"), "{talk}");
}

#[test]
fn a_file_is_explained_without_a_control_plane() {
    let home = tempfile::tempdir().unwrap();
    let text =
        "features: {authentication: true}\nservers: {weather: {url: 'http://w/mcp', headers: {x-key: s3cret}}}\n";
    std::fs::write(home.path().join("mcp.yaml"), text).unwrap();
    let explained =
        |args: &[&str]| finished(home.path(), &[&["explain", "call", "weather_get", "-f", "mcp.yaml"], args].concat());
    let (code, shown, talk) = explained(&[]);
    assert!(code == 1 && shown.starts_with("unauthenticated\n"), "{shown}{talk}");
    assert!(talk.contains("unauthenticated as local: nobody comes in without a credential"), "{talk}");
    assert_eq!(finished(home.path(), &["token", "create", "alice"]).0, 0);
    let (_, shown, talk) = explained(&["--as", "client:alice"]);
    assert!(shown.starts_with("allowed, if the server has it\n") && shown.contains("header x-key"), "{shown}{talk}");
    assert!(!shown.contains("s3cret"), "{shown}");
    let (code, shown, talk) =
        finished(home.path(), &["explain", "call", "weather_", "-f", "mcp.yaml", "--as", "client:alice"]);
    assert!(
        (code, &*shown) == (2, "") && talk.contains("`weather_` is server weather and no name behind it"),
        "{talk}"
    );
}
